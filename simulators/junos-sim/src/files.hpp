// A device's own file area: what it sees as "/" is the folder fs/ of its state, and nothing else.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace qkd::junossim {

// Makes fs/ with var/tmp, var/home/USER and tmp; returns it.
std::filesystem::path make_file_area(const std::filesystem::path& state, const std::string& user);

// Where a device path really is; relative ones start at the user's home. Empty when it would leave the area.
std::optional<std::filesystem::path> inside(const std::filesystem::path& area, const std::string& user,
                                            const std::string& device_path);

// What sshd's ForceCommand runs: looks at SSH_ORIGINAL_COMMAND; returns an exit code, or does not return.
int login(const std::filesystem::path& state, const std::optional<std::filesystem::path>& faults);

}  // namespace qkd::junossim
