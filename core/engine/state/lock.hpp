// One process per state directory: an advisory lock with the owner written into it.
#pragma once

#include <filesystem>

#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Held until destruction or the end of the process; the kernel frees it whatever happens, so no lock is ever stale.
class StateLock {
  public:
    /// Makes the directory (0700) if it is not there. busy names the process that has it.
    static Result<StateLock> take(const std::filesystem::path& directory);
    StateLock(StateLock&& other) noexcept;
    StateLock& operator=(StateLock&&) = delete;
    ~StateLock();

  private:
    explicit StateLock(int fd) noexcept : fd_(fd) {}
    int fd_;
};

}  // namespace qkd::engine
