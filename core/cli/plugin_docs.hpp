// A plugin's fields as the table of its README.
#pragma once

#include <filesystem>
#include <string>

#include "qkd/sdk/plugin.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::cli {

/// Markdown between two comment lines, by which the table is found again; one table for each table of a pipeline file.
std::string docs_markdown(const PluginDescriptor& descriptor);

/// Puts it into the file in place of the text between those comment lines. Errors: no such file, no such lines.
Result<void> docs_into(const std::filesystem::path& file, const PluginDescriptor& descriptor);

}  // namespace qkd::cli
