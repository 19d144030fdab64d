// flock on STATE/lock.
#include "engine/state/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "engine/base/rfc3339.hpp"

namespace qkd::engine {

Result<StateLock> StateLock::take(const std::filesystem::path& directory) {
    const auto failed = [&](const std::string& what) {
        return Error{ErrorCode::config, Retry::never, what + ": " + std::strerror(errno),
                     "make the state directory writable for the user that runs qkd-macsec, or name another one in "
                     "[pipeline] state"};
    };
    std::error_code ignored;
    const bool made = std::filesystem::create_directories(directory, ignored);
    if (made) ::chmod(directory.c_str(), 0700);
    const std::filesystem::path file = directory / "lock";
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return failed("cannot open " + file.string());
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        std::array<char, 512> owner{};
        const auto size = ::pread(fd, owner.data(), owner.size() - 1, 0);
        std::string who = size > 0 ? std::string(owner.data(), static_cast<std::size_t>(size)) : std::string("unknown");
        while (!who.empty() && who.back() == '\n') who.pop_back();
        ::close(fd);
        return Error{ErrorCode::busy, Retry::safe,
                     "another qkd-macsec (" + who + ") works with the state in " + directory.string(),
                     "wait until it has ended; two pipelines need two state directories"};
    }
    std::array<char, 256> host{};
    (void)::gethostname(host.data(), host.size() - 1);
    const std::string owner = "process " + std::to_string(::getpid()) + " on " + host.data() + ", since " +
                              rfc3339(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())) +
                              "\n";
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, owner.data(), owner.size(), 0) < 0) {
        auto error = failed("cannot write " + file.string());
        ::close(fd);
        return error;
    }
    return StateLock(fd);
}

StateLock::StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

StateLock::~StateLock() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace qkd::engine
