// Temporary files that become the real ones by link() or rename().
#include "cli/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "engine/base/output_file.hpp"

namespace qkd::cli {
namespace {

namespace fs = std::filesystem;

Error failed(const fs::path& path, int number) {
    return {ErrorCode::config, Retry::never,
            "cannot write " + path.string() + ": " + std::generic_category().message(number),
            "see to the folder and the space in it"};
}

fs::path folder_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void sync_folder(const fs::path& folder) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;  // it may be writable but not readable; the file itself is complete
    ::fsync(fd);
    ::close(fd);
}

/// A file beside `path`, gone with this object unless it was renamed.
class Draft {
  public:
    explicit Draft(const fs::path& path)
        : name_((folder_of(path) / ("." + path.filename().string() + ".XXXXXX")).string()),
          fd_(::mkostemp(name_.data(), O_CLOEXEC)) {}
    ~Draft() {
        if (fd_ < 0) return;
        ::close(fd_);
        ::unlink(name_.c_str());
    }
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;

    /// false: errno says why.
    bool fill(std::string_view content, ::mode_t mode) {
        return fd_ >= 0 && engine::write_all(fd_, content) && ::fchmod(fd_, mode) == 0 && ::fsync(fd_) == 0;
    }
    [[nodiscard]] const char* name() const noexcept { return name_.c_str(); }

  private:
    std::string name_;
    int fd_;
};

}  // namespace

Result<void> create_file(const fs::path& path, std::string_view content, ::mode_t mode) {
    Draft draft(path);
    if (!draft.fill(content, mode)) return failed(path, errno);
    if (::link(draft.name(), path.c_str()) != 0) {
        if (errno != EEXIST) return failed(path, errno);
        return Error{ErrorCode::conflict, Retry::never, path.string() + " is there already",
                     "nothing is overwritten: remove it, or name another file"};
    }
    sync_folder(folder_of(path));
    return {};
}

Result<void> replace_file(const fs::path& path, std::string_view content,
                          const std::function<Result<void>(const fs::path&)>& verify) {
    std::error_code failure;
    const fs::path target = fs::canonical(path, failure);
    if (failure) return failed(path, failure.value());
    struct stat info {};
    if (::stat(target.c_str(), &info) != 0) return failed(path, errno);
    Draft draft(target);
    if (!draft.fill(content, info.st_mode & 07777U)) return failed(path, errno);
    if (auto good = verify(draft.name()); !good) return good;
    if (::rename(draft.name(), target.c_str()) != 0) return failed(path, errno);
    sync_folder(folder_of(target));
    return {};
}

Created::~Created() {
    for (const auto& file : files_) ::unlink(file.c_str());
}

Result<void> Created::create(const fs::path& path, std::string_view content, ::mode_t mode) {
    auto made = create_file(path, content, mode);
    if (made) files_.push_back(path);
    return made;
}

}  // namespace qkd::cli
