// Who could have changed a file: the checks that stand before a plugin's code is let into the process.
#pragma once

#include <filesystem>

#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Accepts a regular file (no symbolic link) that, with every directory above it, belongs to root or to us and can be
/// written by nobody else. A directory above may also be a root-owned sticky one such as /tmp: nobody can replace what
/// is ours in there. `directory` is resolved first, so what is checked is what gets opened. Returns the resolved path.
/// Errors: not_found when there is no such file, else config; `hint` holds the command that cures it.
Result<std::filesystem::path> check_trusted_file(const std::filesystem::path& directory, const std::string& name);

}  // namespace qkd::engine
