// What a device itself says about its KME, where that takes the place of what the pipeline says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/pipeline/model.hpp"
#include "qkd/sdk/plugin.hpp"

namespace qkd::engine {

struct KmeChoice {
    std::string method;      ///< "get" or "post"; empty = as the pipeline says
    std::uint16_t port = 0;  ///< 0 = as the pipeline says
    bool check_key_id = true;
    std::vector<std::string> warnings;

    [[nodiscard]] bool empty() const noexcept { return method.empty() && port == 0; }
    [[nodiscard]] std::string text() const;  ///< "port 8443, method post"
};

/// What the interfaces of one member say, taken together. A word that is not understood and interfaces that contradict
/// each other are errors: the link's key comes from one KME. `method` and `check_key_id` are about fetching a key by its
/// ID, so an initiator has no use for them.
Result<KmeChoice> choose_kme(const std::vector<KmeOverride>& said, const std::string& device, Role role);

/// The KME's values with `choice` in their place: the port in `url`, the method in `request_form`. An error when the
/// plugin has no such field.
Result<std::unique_ptr<ConfigView>> overridden(std::unique_ptr<ConfigView> config, const KmeChoice& choice,
                                               const PluginDescriptor& plugin);

}  // namespace qkd::engine
