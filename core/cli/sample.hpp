// Field tables in words: their TOML tables, their types, and a sample to start from.
#pragma once

#include <string>
#include <vector>

#include "qkd/sdk/plugin.hpp"

namespace qkd::cli {

const char* scope_word(Scope scope) noexcept;   ///< "device", "kme", "key_ids", "certs", "persist"
const char* scope_table(Scope scope) noexcept;  ///< how the table stands in a pipeline file, such as "[device.NAME]"
const char* type_word(FieldType type) noexcept;

/// Every table of a pipeline file in which the plugin is configured or named, in the order of Scope.
std::vector<Scope> scopes_of(const PluginDescriptor& descriptor);

/// Valid TOML: required fields with a value to be replaced, the others as comments with their defaults.
std::string sample_toml(const PluginDescriptor& descriptor);

}  // namespace qkd::cli
