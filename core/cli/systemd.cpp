// Datagrams to systemd.
#include "cli/systemd.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stop_token>

namespace qkd::cli {

Systemd::Systemd() {
    if (const char* name = std::getenv("NOTIFY_SOCKET"); name != nullptr) socket_ = name;
    const char* interval = std::getenv("WATCHDOG_USEC");
    const char* pid = std::getenv("WATCHDOG_PID");
    if (interval == nullptr || (pid != nullptr && std::strtol(pid, nullptr, 10) != ::getpid())) return;
    const auto microseconds = std::strtoll(interval, nullptr, 10);
    if (microseconds > 0) watchdog_ = std::chrono::milliseconds{std::max(1LL, microseconds / 1000)};
}

void Systemd::tell(std::string_view state) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // abstract name
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
    (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
    ::close(fd);
}

Heartbeat::Heartbeat(const Systemd& systemd, std::chrono::milliseconds patience)
    : systemd_(systemd), patience_(patience), last_(std::chrono::steady_clock::now().time_since_epoch().count()) {
    if (!systemd.watchdog()) return;
    thread_ = std::jthread([this, interval = *systemd.watchdog() / 2](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        while (!stop.stop_requested()) {
            const std::chrono::steady_clock::time_point last{std::chrono::steady_clock::duration{last_.load()}};
            if (idle_ || std::chrono::steady_clock::now() - last < patience_.load()) systemd_.tell("WATCHDOG=1");
            never.wait_for(lock, stop, interval, [] { return false; });
        }
    });
}

}  // namespace qkd::cli
