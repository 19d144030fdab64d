// Files, locks and strings: the few helpers every part of junos-sim needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace qkd::junossim {

using Millis = std::int64_t;  // unix time in ms (lab, device or wall; the name of the variable says which)

// A simulator that cannot keep its state stops with a message; main() prints what() and exits 1.
struct SimError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Exclusive flock on a file (created 0600 when missing), held until destruction.
// Throws SimError when it is not free within `wait`.
class FileLock {
  public:
    explicit FileLock(const std::filesystem::path& path, std::chrono::milliseconds wait = std::chrono::seconds(20));
    FileLock(FileLock&& other) noexcept;
    FileLock& operator=(FileLock&&) = delete;
    ~FileLock();
    // True when another open file holds the lock now; false also when the file does not exist.
    static bool held(const std::filesystem::path& path);

  private:
    int fd_ = -1;
};

std::optional<std::string> read_file(const std::filesystem::path& path);
// Write to a temporary file (0600) beside `path`, then rename: readers see the old or the new text, never a part.
void write_file(const std::filesystem::path& path, std::string_view text);

std::string trim(std::string_view text);
std::string lower(std::string_view text);
std::string upper(std::string_view text);
bool is_hex(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
// Decimal integer that fills the whole text; empty otherwise.
std::optional<std::int64_t> to_int(std::string_view text);
// Words as a shell would split them (quotes and backslash, nothing expanded); empty when a quote is left open.
std::optional<std::vector<std::string>> shell_words(std::string_view text);
// Stable 64-bit hash (FNV-1a): identifiers that look random but are the same in every process.
std::uint64_t stable_hash(std::string_view text);

}  // namespace qkd::junossim
