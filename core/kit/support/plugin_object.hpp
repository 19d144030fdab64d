// A configured stage object, made and destroyed the way the engine does it.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "kit/support/map_config.hpp"

namespace qkd::support {

/// Which table configures a stage of this kind.
constexpr Scope scope_of(StageKind kind) noexcept {
    switch (kind) {
        case StageKind::key_source: return Scope::kme;
        case StageKind::key_id_transport: return Scope::key_ids;
        case StageKind::certs: return Scope::certs;
        case StageKind::persist: return Scope::persist;
        default: return Scope::device;
    }
}

inline const StageInfo* find_stage(const PluginDescriptor& plugin, StageKind kind) noexcept {
    for (std::size_t i = 0; i < plugin.stage_count; ++i) {
        if (plugin.stages[i].kind == kind) return &plugin.stages[i];
    }
    return nullptr;
}

/// Owns the object and its configuration. T is the kind's class. Throws when the plugin cannot make or configure it.
template <class T>
class PluginObject {
  public:
    PluginObject(const PluginDescriptor& plugin, std::unique_ptr<ConfigView> config)
        : PluginObject(plugin, T::kind, std::move(config)) {}
    PluginObject(const PluginDescriptor& plugin, const Values& values = {}, const std::string& state = "",
                 const std::string& sae = "")
        : PluginObject(plugin, std::make_unique<MapConfig>(plugin, scope_of(T::kind), values, state, sae)) {}
    /// Of any kind, for a T that is Stage itself.
    PluginObject(const PluginDescriptor& plugin, StageKind kind, std::unique_ptr<ConfigView> config)
        : config_(std::move(config)), stage_(nullptr, nullptr) {
        const StageInfo* info = find_stage(plugin, kind);
        if (info == nullptr) throw std::runtime_error(std::string(plugin.name) + " has no stage " + to_string(kind));
        stage_ = {info->create(), info->destroy};
        if (stage_ == nullptr) throw std::runtime_error(std::string(plugin.name) + ": create() gave nothing");
        if (auto done = stage_->configure(*config_); !done) throw std::runtime_error(done.error().what);
    }

    T* operator->() const noexcept { return static_cast<T*>(stage_.get()); }
    T& operator*() const noexcept { return static_cast<T&>(*stage_); }

  private:
    std::unique_ptr<ConfigView> config_;
    std::unique_ptr<Stage, void (*)(Stage*)> stage_;
};

}  // namespace qkd::support
