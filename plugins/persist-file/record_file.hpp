// A link's record as text, and as a file that is replaced in one step.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "qkd/sdk/persist.hpp"

namespace qkd::persist_file {

/// "LINK.json" with everything but letters, digits and '-' written as _hh. An error when it would be longer than file
/// names may be.
Result<std::string> file_name(const std::string& link);

/// JSON, schema 1. An error when a member is not printable ASCII or there are more than 16 own_ckns.
Result<std::string> encode(const LinkRecord& record);
/// nullopt when the text is not exactly what encode() makes for this link.
std::optional<LinkRecord> decode(std::string_view text, const std::string& link);

/// The whole content; nullopt when there is no such file. Errors name the file: not a regular file, too large, unreadable.
Result<std::optional<std::string>> read(const std::filesystem::path& file);
/// Replaces `file` (0600): written beside it, flushed to the disk, renamed, and the directory flushed. The directory is
/// made 0700 when absent. After a crash the old or the new content is there.
Result<void> replace(const std::filesystem::path& file, std::string_view content);

}  // namespace qkd::persist_file
