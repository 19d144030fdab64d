// Rotation by rename under a lock of the folder; datagrams by sendto().
#include "engine/reporting/log_targets.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "engine/base/output_file.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;

Error failed(const fs::path& path, const std::string& why, std::string hint) {
    return {ErrorCode::config, Retry::never, "cannot log to " + path.string() + ": " + why, std::move(hint)};
}
Error failed(const fs::path& path, int number, std::string hint) {
    return failed(path, std::generic_category().message(number), std::move(hint));
}

Result<int> open_log(const fs::path& path) {
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0) {
        if (errno == ELOOP) return failed(path, "it is a symbolic link", "name the file itself");
        return failed(path, errno, "name a file in a folder that this user may write to");
    }
    struct stat info {};
    const bool ours = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == ::geteuid();
    if (!ours || ::fchmod(fd, 0600) != 0) {
        ::close(fd);
        return failed(path, "it is no file of this user", "name another file");
    }
    return fd;
}

fs::path numbered(const fs::path& path, unsigned number) {
    return path.string() + "." + std::to_string(number);
}

bool same_file(int fd, const fs::path& path) {
    struct stat open {};
    struct stat named {};
    return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

int priority(LogLevel level) {
    constexpr int daemon = 3 << 3;
    switch (level) {
        case LogLevel::error: return daemon | 3;
        case LogLevel::warning: return daemon | 4;
        case LogLevel::notice: return daemon | 5;
        case LogLevel::info: return daemon | 6;
        case LogLevel::debug:
        case LogLevel::trace: break;
    }
    return daemon | 7;
}

std::string_view head(std::string_view text, std::size_t most) {
    if (text.size() <= most) return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) --most;  // not within a character
    return text.substr(0, most);
}

/// Values are one line each, so the simple form NAME=VALUE will do.
void field(std::string& out, const char* name, std::string_view value) {
    if (value.empty()) return;
    out += name;
    out += '=';
    for (const char c : value) out += c == '\n' ? ' ' : c;
    out += '\n';
}

}  // namespace

RotatingFile::RotatingFile(fs::path path, std::uint64_t most, int fd) noexcept
    : path_(std::move(path)), most_(most), fd_(fd) {}

RotatingFile::~RotatingFile() {
    if (fd_ >= 0) ::close(fd_);
}

Result<std::unique_ptr<RotatingFile>> RotatingFile::open(const fs::path& path, std::uint64_t most) {
    std::error_code failure;
    const fs::path whole = fs::absolute(path, failure).lexically_normal();
    if (failure || whole.filename().empty()) return failed(path, "this is no file name", "name a file");
    auto fd = open_log(whole);
    if (!fd) return std::move(fd).error();
    return std::unique_ptr<RotatingFile>(new RotatingFile(whole, most, *fd));
}

void RotatingFile::write(std::string_view line) noexcept {
    struct stat info {};
    if (fd_ >= 0 && ::fstat(fd_, &info) == 0 && info.st_size > 0 &&
        static_cast<std::uint64_t>(info.st_size) + line.size() > most_) {
        rotate();
    }
    if (fd_ >= 0) write_all(fd_, line);
}

void RotatingFile::rotate() noexcept {
    try {
        const int folder = ::open(path_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return;
        if (::flock(folder, LOCK_EX | LOCK_NB) == 0) {
            // Another process may have done it already; then only the new file is taken.
            if (same_file(fd_, path_)) {
                for (unsigned number = most_old; number > 1; --number) {
                    ::rename(numbered(path_, number - 1).c_str(), numbered(path_, number).c_str());
                }
                ::rename(path_.c_str(), numbered(path_, 1).c_str());
            }
            if (auto fd = open_log(path_)) {
                ::close(fd_);
                fd_ = *fd;
            }
        }
        ::close(folder);
    } catch (...) {  // no memory for a name: the old file goes on
    }
}

SystemLog::SystemLog(SystemLogKind kind, fs::path socket, int fd) noexcept
    : kind_(kind), socket_(std::move(socket)), fd_(fd) {}

SystemLog::~SystemLog() {
    ::close(fd_);
}

Result<std::unique_ptr<SystemLog>> SystemLog::open(SystemLogKind kind, const fs::path& socket) {
    fs::path path = socket;
    if (path.empty()) path = kind == SystemLogKind::syslog ? "/dev/log" : "/run/systemd/journal/socket";
    if (path.native().size() >= sizeof(sockaddr_un::sun_path)) return failed(path, ENAMETOOLONG, "");
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(path, errno, "");
    std::unique_ptr<SystemLog> log(new SystemLog(kind, path, fd));
    // Is anybody there? connect() on a socket of its own: this one stays free, so that a restarted daemon is found again.
    const int probe = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    const bool there = probe >= 0 && ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int number = errno;
    if (probe >= 0) ::close(probe);
    if (!there) {
        return failed(path, number,
                      kind == SystemLogKind::syslog ? "no syslog daemon listens; leave --log-to out"
                                                    : "no journal of systemd; leave --log-to out");
    }
    return log;
}

std::string SystemLog::datagram(const LogLine& line) const {
    constexpr std::size_t most_syslog = 8000;  // what common daemons take
    constexpr std::size_t most_journal = 64'000;
    if (kind_ == SystemLogKind::syslog) {
        return "<" + std::to_string(priority(line.level)) + ">qkd-macsec[" + std::to_string(::getpid()) +
               "]: " + std::string(head(line.text, most_syslog));
    }
    std::string out;
    field(out, "PRIORITY", std::to_string(priority(line.level) & 7));
    field(out, "SYSLOG_IDENTIFIER", "qkd-macsec");
    field(out, "SYSLOG_FACILITY", "3");
    field(out, "QKD_RUN_ID", line.run_id);
    field(out, "QKD_LINK", line.place.link);
    field(out, "QKD_DEVICE", line.place.device);
    field(out, "QKD_STAGE", line.place.stage);
    field(out, "QKD_PLUGIN", line.place.plugin);
    field(out, "MESSAGE", head(line.message, most_journal));
    return out;
}

bool SystemLog::send(const std::string& datagram) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_.c_str(), socket_.native().size());
    return ::sendto(fd_, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0;
}

void SystemLog::write(const LogLine& line) noexcept {
    try {
        if (lost_ > 0) {
            const std::string text = std::to_string(lost_) + " lines were lost before this one";
            if (!send(datagram({LogLevel::warning, line.run_id, Place{}, text, text}))) {
                ++lost_;
                return;
            }
            lost_ = 0;
        }
        if (!send(datagram(line))) ++lost_;
    } catch (...) {  // no memory for a line: it is lost
        ++lost_;
    }
}

}  // namespace qkd::engine
