// What `plugins test` puts under the laws: a plugin, configured by a file or by its defaults.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/host/plugin_host.hpp"
#include "engine/pipeline/file.hpp"
#include "kit/laws.hpp"

namespace qkd::cli {

/// A subject with the values it stands on. Either there are errors among the findings, or `subject` can be judged.
struct PluginTrial {
    conformance::Subject subject;
    std::vector<engine::Finding> findings;
    std::vector<std::string> remarks;  ///< why some laws cannot be tried
    [[nodiscard]] bool ok() const noexcept;
};

/// Reads `file` (empty: defaults only), which is laid out as `plugins inspect NAME --sample` prints it, with an optional
/// table [test]. Of several tables for the plugin the first configures the initiator, the second the responder.
/// `scratch` is an empty directory: {state} for the plugin. Calls nothing of the plugin; at most it looks for two
/// seconds whether somebody listens at the address that is configured.
PluginTrial prepare_trial(const engine::Plugin& plugin, const std::filesystem::path& file,
                          const std::filesystem::path& scratch);

}  // namespace qkd::cli
