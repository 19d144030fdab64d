// Turns SIGINT, SIGTERM and SIGHUP into a request to end in good order.
#pragma once

#include <csignal>
#include <functional>
#include <stop_token>
#include <thread>

namespace qkd::cli {

/// As long as it lives these signals do not end the process; the first one requests a stop, later ones change nothing
/// (an undo must not be skipped), each one is told. Construct it before any other thread exists: threads inherit the
/// blocked signals. SIGHUP stays ignored when it was (nohup).
class Interrupts {
  public:
    enum class Afterwards : unsigned char {
        as_before,
        stay_blocked  ///< nothing cuts off the rest of the program: a late second signal changes nothing either
    };
    enum class Hangup : unsigned char {
        ends,    ///< SIGHUP is one more request to end
        is_told  ///< SIGHUP is told to `hung_up` and requests nothing
    };
    explicit Interrupts(Afterwards afterwards, Hangup hangup = Hangup::ends);
    ~Interrupts();
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;

    /// `told(first)` is called on a thread of its own for every signal.
    void listen(std::function<void(bool first)> told, std::function<void()> hung_up = {});
    /// From here on neither is called any more; the signals stay blocked.
    void stop_listening();
    [[nodiscard]] std::stop_token stop() const noexcept { return source_.get_token(); }

  private:
    void work(const std::function<void(bool)>& told, const std::function<void()>& hung_up);

    Afterwards afterwards_;
    Hangup hangup_;
    std::stop_source source_;
    sigset_t signals_{};
    sigset_t before_{};
    int signal_fd_ = -1;
    int end_fd_ = -1;
    std::thread thread_;
};

}  // namespace qkd::cli
