// Files and the lock, by system calls: permissions and durability matter here.
#include "folder.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace qkd::certs {
namespace {

constexpr off_t largest_file = off_t{1} << 20U;
constexpr int poll_lock_ms = 20;

Error broken(const std::string& what, const std::filesystem::path& path, int reason) {
    return {ErrorCode::config, Retry::never,
            "cannot " + what + " " + path.string() + ": " + std::generic_category().message(reason),
            "check the path, its owner and its permissions"};
}

/// Closes on every way out.
class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const { return fd_; }

  private:
    int fd_;
};

Result<void> write_one(const std::filesystem::path& file, std::string_view content, mode_t mode) {
    // Whoever holds the lock may take away what a crash left behind.
    ::unlink(file.c_str());
    const Descriptor out(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (out.get() < 0 || ::fchmod(out.get(), mode) != 0) return broken("write", file, errno);
    while (!content.empty()) {
        const ssize_t n = ::write(out.get(), content.data(), content.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return broken("write", file, errno);
        content.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(out.get()) != 0) return broken("write", file, errno);
    return {};
}

}  // namespace

Result<FolderLock> FolderLock::take(Context& context, const std::filesystem::path& folder) {
    std::error_code failure;
    std::filesystem::create_directories(folder, failure);
    if (failure) return broken("make the folder", folder, failure.value());
    FolderLock lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock.fd_ < 0) return broken("open", folder, errno);
    while (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return broken("lock", folder, errno);
        if (context.stop_requested()) {
            return Error{ErrorCode::cancelled, Retry::safe, "interrupted", "run again when ready"};
        }
        if (context.remaining().count() == 0) {
            return Error{ErrorCode::timeout, Retry::safe, folder.string() + " is locked",
                         "another run is making certificates there; give the certs stage more timeout"};
        }
        pollfd cancel{context.cancel_fd(), POLLIN, 0};
        (void)::poll(&cancel, 1, poll_lock_ms);
    }
    return lock;
}

FolderLock::FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FolderLock::~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
}

Result<std::optional<FileContent>> read_file(const std::filesystem::path& file) {
    const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (in.get() < 0) {
        if (errno == ENOENT) return std::optional<FileContent>();
        return broken("read", file, errno);
    }
    struct stat status {};
    if (::fstat(in.get(), &status) != 0) return broken("read", file, errno);
    if (!S_ISREG(status.st_mode) || status.st_size > largest_file) {
        return Error{ErrorCode::config, Retry::never, file.string() + " is no file of at most 1 MiB",
                     "put PEM files there"};
    }
    FileContent content;
    content.open_to_others = (status.st_mode & 0077U) != 0;
    content.bytes = SecretBytes::zeros(static_cast<std::size_t>(status.st_size));
    std::size_t done = 0;
    while (done < content.bytes.size()) {
        const ssize_t n = ::read(in.get(), content.bytes.writable().data() + done, content.bytes.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return broken("read", file, errno);
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    content.bytes.resize(done);
    return std::optional<FileContent>(std::move(content));
}

Result<void> write_files(const std::filesystem::path& folder, const std::vector<NewFile>& files) {
    const auto beside = [&](const NewFile& file) { return folder / ("." + file.name + ".new"); };
    const auto clean_up = [&](Error error) {
        for (const NewFile& file : files) ::unlink(beside(file).c_str());
        return error;
    };
    for (const NewFile& file : files) {
        if (auto written = write_one(beside(file), file.content, file.mode); !written) {
            return clean_up(std::move(written).error());
        }
    }
    for (const NewFile& file : files) {
        const auto place = folder / file.name;
        if (::rename(beside(file).c_str(), place.c_str()) != 0) return clean_up(broken("write", place, errno));
    }
    const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.get() < 0 || ::fsync(directory.get()) != 0) return broken("write", folder, errno);
    return {};
}

Result<void> remove_file(const std::filesystem::path& file) {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return broken("remove", file, errno);
    return {};
}

Result<void> make_private(const std::filesystem::path& file) {
    if (::chmod(file.c_str(), S_IRUSR | S_IWUSR) != 0) return broken("protect", file, errno);
    return {};
}

}  // namespace qkd::certs
