// Files that commands make or change for their user, whole or not at all.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::cli {

/// A new file with this content and mode, durable when this returns. Nothing that is there is ever replaced, not even a
/// dangling link: error of the code `conflict`.
Result<void> create_file(const std::filesystem::path& path, std::string_view content, ::mode_t mode);

/// Replaces a regular file in one step, keeping its mode; readers, and whoever looks after a crash, see the old content or
/// the new. A symbolic link stays, its target is replaced. `verify` gets the new file, which lies beside the old one,
/// before it takes that one's place.
Result<void> replace_file(const std::filesystem::path& path, std::string_view content,
                          const std::function<Result<void>(const std::filesystem::path&)>& verify);

/// Removes the files it was told of, unless kept: what a command made before it failed.
class Created {
  public:
    Created() = default;
    ~Created();
    Created(const Created&) = delete;
    Created& operator=(const Created&) = delete;
    /// create_file(), remembered.
    Result<void> create(const std::filesystem::path& path, std::string_view content, ::mode_t mode);
    void keep() noexcept { files_.clear(); }
    [[nodiscard]] const std::vector<std::filesystem::path>& files() const noexcept { return files_; }

  private:
    std::vector<std::filesystem::path> files_;
};

}  // namespace qkd::cli
