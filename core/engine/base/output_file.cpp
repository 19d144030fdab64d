// Checks, replaces and creates the files that a command writes for its user.
#include "engine/base/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;

Error failure(const fs::path& path, const std::string& why, std::string hint) {
    return {ErrorCode::config, Retry::never, "cannot write " + path.string() + ": " + why, std::move(hint)};
}

Error system_failure(const fs::path& path, int number) {
    return failure(path, std::generic_category().message(number), "see to the folder and the space in it");
}

fs::path folder_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// Where the bytes go: the target of a symbolic link, also of one that leads nowhere yet.
fs::path target_of(fs::path path) {
    constexpr int longest_chain = 40;  // as in the kernel
    std::error_code failure;
    for (int i = 0; i < longest_chain && fs::is_symlink(path, failure); ++i) {
        path = folder_of(path) / fs::read_symlink(path, failure);
    }
    return path;
}

bool is_special(const fs::path& path) {
    std::error_code ignored;
    const auto status = fs::status(path, ignored);
    return fs::exists(status) && !fs::is_regular_file(status);
}

/// A file beside the target, removed again unless it took the target's place.
class Replacement {
  public:
    explicit Replacement(const fs::path& target)
        : name_((folder_of(target) / ("." + target.filename().string() + ".XXXXXX")).string()),
          fd_(::mkostemp(name_.data(), O_CLOEXEC)) {}
    ~Replacement() {
        if (fd_ < 0) return;
        ::close(fd_);
        if (!placed_) ::unlink(name_.c_str());
    }
    Replacement(const Replacement&) = delete;
    Replacement& operator=(const Replacement&) = delete;

    /// false: errno says why.
    bool put(std::string_view text, const fs::path& target) {
        if (fd_ < 0 || !write_all(fd_, text) || ::fchmod(fd_, 0644) != 0 || ::fsync(fd_) != 0) return false;
        if (::rename(name_.c_str(), target.c_str()) != 0) return false;
        placed_ = true;
        const int folder = ::open(folder_of(target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return true;  // it may be writable but not readable; the file itself is complete
        ::fsync(folder);
        ::close(folder);
        return true;
    }

  private:
    std::string name_;
    int fd_;
    bool placed_ = false;
};

}  // namespace

bool write_all(int fd, std::string_view text) noexcept {
    while (!text.empty()) {
        const auto written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno != EINTR) return false;
        if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

Result<void> check_output(const fs::path& path) {
    if (path.filename().empty()) return failure(path, "this is no file name", "name a file in an existing folder");
    const fs::path target = target_of(path);
    std::error_code ignored;
    if (fs::is_directory(target, ignored)) return failure(path, "it is a folder", "name a file in it");
    if (is_special(target)) {
        if (::access(target.c_str(), W_OK) != 0) return system_failure(path, errno);
        return {};
    }
    const fs::path folder = folder_of(target);
    if (!fs::is_directory(folder, ignored)) {
        return failure(path, "there is no folder " + folder.string(), "create it first");
    }
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
        return failure(path, "folder " + folder.string() + ": " + std::generic_category().message(errno),
                       "choose a folder that this user may write to");
    }
    return {};
}

Result<void> write_output(const fs::path& path, std::string_view text) {
    const fs::path target = target_of(path);
    if (is_special(target)) {
        const int fd = ::open(target.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0) return system_failure(path, errno);
        const bool written = write_all(fd, text);
        const int number = errno;
        ::close(fd);
        if (!written) return system_failure(path, number);
        return {};
    }
    Replacement replacement(target);
    if (!replacement.put(text, target)) return system_failure(path, errno);
    return {};
}

Result<int> create_private(const fs::path& path) {
    constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_APPEND;
    int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0 && errno == EEXIST) {
        struct stat there {};
        if (::lstat(path.c_str(), &there) != 0) return system_failure(path, errno);
        if (!S_ISREG(there.st_mode) || there.st_uid != ::geteuid()) {
            return failure(path, "what is there is no file of this user", "remove it or work in another folder");
        }
        // Removed and made anew, not truncated: whoever has the old file open reads nothing of the new one.
        if (::unlink(path.c_str()) != 0) return system_failure(path, errno);
        fd = ::open(path.c_str(), flags, 0600);
    }
    if (fd < 0) return system_failure(path, errno);
    return fd;
}

}  // namespace qkd::engine
