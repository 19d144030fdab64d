// A stage object of a plugin, bound to the noun it was configured with.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "engine/host/plugin_host.hpp"
#include "engine/pipeline/model.hpp"

namespace qkd::engine {

/// A stage object with the values it was configured with; destroyed in the right order.
template <class T>
struct Bound {
    std::unique_ptr<ConfigView> config;
    StagePtr<T> object{nullptr, nullptr};
    const Plugin* plugin = nullptr;
    std::string name;  ///< of the plugin

    explicit operator bool() const noexcept { return object != nullptr; }
    T* operator->() const noexcept { return object.get(); }
};

/// Makes the stage object of class T for `noun`.
template <class T>
Result<Bound<T>> bind_stage(PluginHost& host, std::unique_ptr<ConfigView> config, const Noun& noun) {
    Bound<T> bound;
    QKD_TRY(bound.plugin, host.load(noun.plugin));
    bound.name = noun.plugin;
    bound.config = std::move(config);
    QKD_TRY(bound.object, host.create<T>(*bound.plugin, *bound.config));
    return bound;
}
template <class T>
Result<Bound<T>> bind_stage(PluginHost& host, const Pipeline& pipeline, const Noun& noun, const std::string& sae) {
    return bind_stage<T>(host, config_view(pipeline, noun, sae), noun);
}

}  // namespace qkd::engine
