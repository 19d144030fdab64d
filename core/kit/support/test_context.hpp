// A Context for tests: a deadline, a stop that can be asked for, and everything that was logged.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::support {

/// For tests of a deadline or a stop: more than any machine needs to come back, less than the peers of those tests hold a
/// call back. How prompt a plugin is, in milliseconds, is for the laws of the conformance kit, which know how late the
/// machine itself is.
inline constexpr std::chrono::seconds promptly{10};

/// What has to exist before the base class Context is made.
class Interruption {
  public:
    Interruption();
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;

  protected:
    std::stop_source source_;
    int fd_;  ///< eventfd; -1 when the system gave none
};

/// Ends `budget` from now. request_stop() may be called from any thread; the rest belongs to the calling thread.
class TestContext final : private Interruption, public Context {
  public:
    explicit TestContext(std::chrono::milliseconds budget = std::chrono::seconds{30});

    void log(LogLevel level, std::string_view message) override;
    void event(std::string_view name, std::span<const Attr> attributes) override;

    /// As the engine does on SIGINT: the stop token fires and cancel_fd() becomes readable.
    void request_stop();
    /// Blocks until the deadline or the stop, then says which: what a call to a dead peer looks like.
    static Error wait_for_the_end(const Context& context, const std::string& what);

    /// Log lines and events with their values, one text each.
    [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }

  private:
    std::vector<std::string> lines_;
};

}  // namespace qkd::support
