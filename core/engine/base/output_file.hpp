// Files that a command writes for its user: the report, the profile, the trace log.
#pragma once

#include <filesystem>
#include <string_view>

#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Would write_output() succeed, as far as can be told without writing? The folder exists and is writable, the path
/// names no folder. The error says what is wrong and what to do.
Result<void> check_output(const std::filesystem::path& path);

/// Writes the whole text. A regular file is replaced in one step (a reader sees the old or the new text, also after a
/// power failure) and gets mode 0644; a symbolic link stays and its target is replaced; a device or pipe is written to.
Result<void> write_output(const std::filesystem::path& path, std::string_view text);

/// A new file with mode 0600, open for writing, close-on-exec. A regular file of ours in its place is removed first;
/// anything else there (a symbolic link, a file of somebody else) is refused. The caller closes the descriptor.
Result<int> create_private(const std::filesystem::path& path);

/// Writes all of it, going on after interruptions. false: errno says why.
bool write_all(int fd, std::string_view text) noexcept;

}  // namespace qkd::engine
