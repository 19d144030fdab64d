// What the engine hands to every call of a plugin: the deadline, cancellation, the log and the event stream.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string_view>
#include <variant>

namespace qkd {

enum class LogLevel : std::uint8_t { trace, debug, info, notice, warning, error };

/// A named value of an event. There is no alternative for secrets, on purpose.
struct Attr {
    std::string_view name;
    std::variant<std::string_view, std::int64_t, double, bool> value;
};

/// One call's surroundings. Owned by the engine, valid during the call only. Used by the calling thread only.
/// A plugin returns within 200 ms of deadline() or of stop_requested().
class Context {
  public:
    using Clock = std::chrono::steady_clock;

    virtual ~Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    /// One line without a line end. The engine adds run, link, device, stage and plugin.
    virtual void log(LogLevel level, std::string_view message) = 0;
    /// Something that happened, under a stable dotted name ("key.minted"). Start, end and time of calls come from the
    /// engine.
    virtual void event(std::string_view name, std::span<const Attr> attributes) = 0;

    [[nodiscard]] Clock::time_point deadline() const noexcept { return deadline_; }
    /// Never negative.
    [[nodiscard]] std::chrono::milliseconds remaining() const noexcept {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
        return std::max(left, std::chrono::milliseconds{0});
    }
    [[nodiscard]] bool stop_requested() const noexcept { return stop_.stop_requested(); }
    [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_; }
    /// Becomes readable when the run is interrupted, for poll(); -1 when this call cannot be interrupted.
    [[nodiscard]] int cancel_fd() const noexcept { return cancel_fd_; }

  protected:
    Context(Clock::time_point deadline, std::stop_token stop, int cancel_fd) noexcept
        : deadline_(deadline), stop_(std::move(stop)), cancel_fd_(cancel_fd) {}

  private:
    Clock::time_point deadline_;
    std::stop_token stop_;
    int cancel_fd_;
};

}  // namespace qkd
