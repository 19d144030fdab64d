// Tells systemd how a service is doing: the datagrams of sd_notify(3), when NOTIFY_SOCKET says where to.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace qkd::cli {

/// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID when it is made. Without them everything here does nothing.
class Systemd {
  public:
    Systemd();
    /// "READY=1", "STATUS=..", several lines at once. Never fails: a service must not die of its supervisor's silence.
    void tell(std::string_view state) const;
    /// How often the watchdog wants to hear from us, or nothing.
    [[nodiscard]] std::optional<std::chrono::milliseconds> watchdog() const noexcept { return watchdog_; }

  private:
    std::string socket_;
    std::optional<std::chrono::milliseconds> watchdog_;
};

/// Pets the watchdog as long as something beat within `patience`.
class Heartbeat {
  public:
    Heartbeat(const Systemd& systemd, std::chrono::milliseconds patience);
    /// From now on; may be called from any thread.
    void patience(std::chrono::milliseconds patience) noexcept { patience_ = patience; }
    void beat() noexcept { last_ = std::chrono::steady_clock::now().time_since_epoch().count(); }
    /// While idle no beat is expected.
    void idle(bool idle) noexcept { idle_ = idle; }

  private:
    const Systemd& systemd_;
    std::atomic<std::chrono::milliseconds> patience_;
    std::atomic<std::chrono::steady_clock::rep> last_;
    std::atomic<bool> idle_{false};
    std::jthread thread_;  // last: it uses the others
};

}  // namespace qkd::cli
