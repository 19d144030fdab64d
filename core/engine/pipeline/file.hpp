// Reads a pipeline file and checks it whole: against the core's own tables and the field tables of the plugins it
// names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/host/plugin_host.hpp"
#include "engine/pipeline/model.hpp"

namespace qkd::engine {

/// One thing found in a file. Printed as "file:line:column: what; allowed; did you mean".
struct Finding {
    enum class Severity : std::uint8_t { warning, error };
    Severity severity = Severity::error;
    std::string file;
    unsigned line = 0;  ///< from 1; 0 = the file as a whole
    unsigned column = 0;
    std::string what;
    std::string allowed;       ///< what would be right; may be empty
    std::string did_you_mean;  ///< nearest known word; may be empty
};
std::string to_string(const Finding& finding);

struct LoadedPipeline {
    Pipeline pipeline;              ///< only to be used when ok()
    std::vector<Finding> findings;  ///< sorted by file and place; all there are
    [[nodiscard]] bool ok() const noexcept;
};

/// Never throws, touches nothing, connects to nothing. Loads the plugins that the file names through `host`.
LoadedPipeline load_pipeline(const std::filesystem::path& file, PluginHost& host);

}  // namespace qkd::engine
