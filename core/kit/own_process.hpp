// Runs what may crash or hang in a process of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

namespace qkd::conformance {

/// Until when a child is expected to be busy, in memory that it shares with its parent. The time never goes back.
class Expectation {
  public:
    using Clock = std::chrono::steady_clock;

    /// Throws std::bad_alloc when the system gives no memory.
    Expectation();
    ~Expectation();
    Expectation(const Expectation&) = delete;
    Expectation& operator=(const Expectation&) = delete;

    void busy_until(Clock::time_point time) noexcept;
    [[nodiscard]] Clock::time_point time() const noexcept;

  private:
    std::atomic<Clock::rep>* shared_;
};

/// How a child ended.
struct ChildEnd {
    std::string text;  ///< what the work gave
    std::string flaw;  ///< empty, or why there is no text: "crashed (SIGSEGV)"
};

/// Forks and calls `work` in the child, which inherits everything and leaves no trace here. A child that is still there so
/// long after the expected time, or after its start, is killed. For processes with one thread; does not throw.
ChildEnd in_child(const std::function<std::string()>& work, const Expectation& expected,
                  std::chrono::milliseconds patience) noexcept;

}  // namespace qkd::conformance
