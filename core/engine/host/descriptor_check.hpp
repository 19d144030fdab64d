// Is a plugin's descriptor one that this engine can rely on? Reads the constant table only, runs no code of the plugin.
#pragma once

#include <string_view>

#include "qkd/sdk/plugin.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// [a-z][a-z0-9]*(-[a-z0-9]+)*, at most 64 characters.
bool is_plugin_name(std::string_view name) noexcept;

/// Magic, ABI, fingerprint, and then everything in the table. `name` is what the file name says. An error has one line
/// for the reason and one for the remedy.
Result<void> check_descriptor(const PluginDescriptor& descriptor, std::string_view name);

}  // namespace qkd::engine
