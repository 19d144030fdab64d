// The folder of certificates on this machine: locked while it is worked on, and written so that a reader sees whole
// files only.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::certs {

/// An exclusive flock on the folder itself; holds against other objects, threads and processes.
class FolderLock {
  public:
    /// Makes the folder when it is absent. Waits until the deadline or the interruption.
    static Result<FolderLock> take(Context& context, const std::filesystem::path& folder);
    FolderLock(FolderLock&& other) noexcept;
    FolderLock& operator=(FolderLock&&) = delete;
    ~FolderLock();

  private:
    explicit FolderLock(int fd) : fd_(fd) {}
    int fd_;
};

struct FileContent {
    SecretBytes bytes;
    bool open_to_others = false;  ///< group or others may read or write it
};
/// Empty when there is no such file. Refuses what is no regular file or larger than 1 MiB.
Result<std::optional<FileContent>> read_file(const std::filesystem::path& file);

struct NewFile {
    std::string name;
    std::string_view content;  ///< belongs to the caller
    mode_t mode;
};
/// Writes all files beside their places first, then renames them in order.
Result<void> write_files(const std::filesystem::path& folder, const std::vector<NewFile>& files);

/// A file that is not there is success.
Result<void> remove_file(const std::filesystem::path& file);

/// Takes a file's permissions away from everybody but its owner.
Result<void> make_private(const std::filesystem::path& file);

}  // namespace qkd::certs
