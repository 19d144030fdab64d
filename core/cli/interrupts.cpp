// The thread that reads signals.
#include "cli/interrupts.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace qkd::cli {

Interrupts::Interrupts(Afterwards afterwards, Hangup hangup) : afterwards_(afterwards), hangup_(hangup) {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction action {};
        ::sigaction(number, nullptr, &action);
        const bool ignored = action.sa_handler == SIG_IGN;
        if (ignored && number == SIGHUP && hangup == Hangup::ends) continue;
        // A shell starts background jobs with SIGINT ignored, and an ignored signal never reaches a signalfd.
        if (ignored) std::signal(number, SIG_DFL);
        sigaddset(&signals_, number);
    }
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    signal_fd_ = ::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK);
    end_fd_ = ::eventfd(0, EFD_CLOEXEC);
    if (signal_fd_ < 0 || end_fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
}

void Interrupts::stop_listening() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(end_fd_, &one, sizeof one);
    if (thread_.joinable()) thread_.join();
}

Interrupts::~Interrupts() {
    stop_listening();
    ::close(signal_fd_);
    ::close(end_fd_);
    if (afterwards_ == Afterwards::as_before) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void Interrupts::listen(std::function<void(bool)> told, std::function<void()> hung_up) {
    thread_ = std::thread([this, told = std::move(told), hung_up = std::move(hung_up)] { work(told, hung_up); });
}

void Interrupts::work(const std::function<void(bool)>& told, const std::function<void()>& hung_up) {
    for (;;) {
        pollfd ready[] = {{signal_fd_, POLLIN, 0}, {end_fd_, POLLIN, 0}};
        if (::poll(ready, 2, -1) < 0 && errno != EINTR) return;
        signalfd_siginfo info{};
        while (::read(signal_fd_, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGHUP && hangup_ == Hangup::is_told) {
                if (hung_up) hung_up();
            } else {
                told(source_.request_stop());
            }
        }
        if ((ready[1].revents & POLLIN) != 0) return;
    }
}

}  // namespace qkd::cli
