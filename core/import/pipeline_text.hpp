// Writes a pipeline file from an inventory.
#pragma once

#include <string>
#include <vector>

#include "import/inventory.hpp"

namespace qkd::inventory {

struct PipelineOptions {
    std::string name;             ///< of the pipeline: letters, digits and ._-
    std::string source;           ///< the inventory as the user named it, for the first line
    std::string known_hosts;      ///< path as it is to stand in the file
    std::string seal_key;         ///< reference, or empty
    std::string ssh_key;          ///< reference to a private key instead of the password, or empty
    std::string device_password;  ///< reference, or empty
    std::string ca_password;      ///< reference, or empty
};

/// The whole file, with `notes` (what was not carried over) as comments. Every value is quoted; nothing of the inventory
/// can become TOML of its own.
std::string pipeline_text(const Inventory& inventory, const PipelineOptions& options,
                          const std::vector<engine::Finding>& notes);

/// A file name's stem as a pipeline name: other characters become '-'.
std::string pipeline_name(const std::filesystem::path& file);

}  // namespace qkd::inventory
