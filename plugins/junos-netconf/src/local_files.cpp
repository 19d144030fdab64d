// System calls, and what their errors mean to a caller who could as well have asked over SFTP.
#include "local_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace qkd::junos {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_file = 1U << 20U;
constexpr std::size_t block = 65536;

Error failed(const std::string& doing, int code) {
    const std::string what = doing + ": " + std::strerror(code);
    switch (code) {
        case ENOENT:
        case ENOTDIR: return Error::not_found(what, "correct the path, or make it on the router first");
        case EACCES:
        case EPERM:
        case EROFS: return Error::auth(what, "choose a directory that this user may write");
        default: return Error::rejected(what, "look at the free space of the file system");
    }
}

class Open {
  public:
    explicit Open(int fd) noexcept : fd_(fd) {}
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    ~Open() { (void)close(); }
    [[nodiscard]] int get() const noexcept { return fd_; }
    bool close() noexcept {
        const int fd = fd_;
        fd_ = -1;
        return fd < 0 || ::close(fd) == 0;
    }

  private:
    int fd_;
};

std::string temporary_beside(const fs::path& path) {
    static std::atomic<unsigned> counter{0};
    return path.string() + ".tmp-" + std::to_string(::getpid()) + "-" +
           std::to_string(std::chrono::system_clock::now().time_since_epoch().count()) + "-" +
           std::to_string(counter.fetch_add(1));
}

// All of it, on the disk, with exactly this mode. 0 or an errno.
int write_new(const std::string& path, const SecretBytes& content, unsigned mode) {
    Open file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (file.get() < 0) return errno;
    auto rest = content.reveal();
    while (!rest.empty()) {
        const ssize_t count = ::write(file.get(), rest.data(), rest.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno;
        rest = rest.subspan(static_cast<std::size_t>(count));
    }
    if (::fchmod(file.get(), mode & 07777U) != 0 || ::fsync(file.get()) != 0 || !file.close()) return errno;
    return 0;
}

}  // namespace

Result<fs::path> LocalFiles::place(Context& context, const std::string& path) const {
    if (context.stop_requested()) return Error::cancelled(path + ": interrupted", "");
    if (path.empty() || path.find('\0') != std::string::npos || path.find('\n') != std::string::npos)
        return Error::config("not a file name", "name a file on the router");
    const fs::path given(path);
    return root_ / (given.is_absolute() ? given.relative_path() : home_.relative_path() / given);
}

Result<void> LocalFiles::put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) {
    QKD_TRY(const auto where, place(context, path));
    const std::string temporary = temporary_beside(where);
    int code = write_new(temporary, content, mode);
    if (code == 0 && ::rename(temporary.c_str(), where.c_str()) != 0) code = errno;
    if (code != 0) {
        // One that was there already is not ours.
        if (code != EEXIST) (void)::unlink(temporary.c_str());
        return failed("writing " + path, code);
    }
    const Open folder(::open(where.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() >= 0) (void)::fsync(folder.get());
    return {};
}

Result<SecretBytes> LocalFiles::get(Context& context, const std::string& path) {
    QKD_TRY(const auto where, place(context, path));
    // A pipe under that name would keep the caller waiting.
    const Open file(::open(where.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info {};
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return failed("reading " + path, errno);
    if (!S_ISREG(info.st_mode)) return Error::rejected("reading " + path + ": not a regular file", "");
    SecretBytes content;
    SecretBytes chunk = SecretBytes::zeros(block);
    for (;;) {
        const ssize_t count = ::read(file.get(), chunk.writable().data(), chunk.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed("reading " + path, errno);
        if (count == 0) return content;
        content.append(chunk.reveal().first(static_cast<std::size_t>(count)));
        if (content.size() > largest_file)
            return Error::rejected(path + " is larger than " + std::to_string(largest_file) + " octets", "");
    }
}

Result<std::vector<std::string>> LocalFiles::list(Context& context, const std::string& directory) {
    QKD_TRY(const auto where, place(context, directory));
    std::vector<std::string> names;
    std::error_code problem;
    fs::directory_iterator entries(where, problem);
    for (; !problem && entries != fs::directory_iterator(); entries.increment(problem))
        names.push_back(entries->path().filename().string());
    if (problem && problem.value() != ENOENT) return failed("listing " + directory, problem.value());
    return names;
}

Result<void> LocalFiles::remove(Context& context, const std::string& path) {
    QKD_TRY(const auto where, place(context, path));
    if (::unlink(where.c_str()) == 0 || errno == ENOENT) return {};
    return failed("removing " + path, errno);
}

Result<void> LocalFiles::make_directory(Context& context, const std::string& path, unsigned mode) {
    QKD_TRY(const auto where, place(context, path));
    if (::mkdir(where.c_str(), mode & 07777U) == 0) return {};
    const int code = errno;
    struct stat info {};
    if (code != EEXIST || ::stat(where.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
        return failed("making the directory " + path, code);
    if ((info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0) {
        return Error::auth("everybody may write into the directory " + path,
                           "take that away with chmod 0700, or name another directory");
    }
    return {};
}

}  // namespace qkd::junos
