// Sample TOML made from a plugin's field table.
#pragma once

#include <string>
#include <vector>

#include "qkd/sdk/plugin.hpp"

namespace qkd::conformance {

/// One `key = value` line per field of the scope: the default, or an example of the type.
std::string sample(const PluginDescriptor& plugin, Scope scope);

/// What is wrong with the samples of all scopes: no TOML, or a value of another type than the field's.
std::vector<std::string> check_samples(const PluginDescriptor& plugin);

}  // namespace qkd::conformance
