// A folder of one's own that goes away with the test.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace qkd::support {

/// Made 0700 below the system's folder for temporary files; removed with all it holds. Throws when it cannot be made.
class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
};

/// Every regular file below `directory`: path relative to it -> content. Empty when there is no such directory.
std::map<std::string, std::string> files_below(const std::filesystem::path& directory);
std::string read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, std::string_view content);

}  // namespace qkd::support
