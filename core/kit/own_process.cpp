// fork(2), a pipe for the answer, and a pidfd to see the end by.
#include "kit/own_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <optional>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

namespace qkd::conformance {
namespace {

using Clock = Expectation::Clock;

[[noreturn]] void be_the_child(const std::function<std::string()>& work, int to) {
    // A parent that was killed cannot end its child; a crash on purpose needs no core.
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const rlimit none{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &none);
    const std::string text = work();
    for (std::size_t at = 0; at < text.size();) {
        const auto put = ::write(to, text.data() + at, text.size() - at);
        if (put <= 0) break;
        at += static_cast<std::size_t>(put);
    }
#if defined(__SANITIZE_ADDRESS__)
    __lsan_do_leak_check();  // at the end that _exit leaves out
#endif
    ::_exit(0);
}

/// Takes what is in the pipe. False when it was closed.
bool drain(int from, std::string& text) {
    std::array<char, 4096> buffer{};
    for (;;) {
        const auto got = ::read(from, buffer.data(), buffer.size());
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        if (got == 0) return false;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

/// Empty when the child has ended by itself, else why it had to be killed.
std::string watch(int pidfd, int from, std::string& text, const Expectation& expected,
                  std::chrono::milliseconds patience) {
    const auto begin = Clock::now();
    std::array<pollfd, 2> waiting{{{pidfd, POLLIN, 0}, {from, POLLIN, 0}}};
    for (;;) {
        const auto left = std::max(begin, expected.time()) + patience - Clock::now();
        if (left.count() <= 0) {
            return "did not come back: killed " + std::to_string(patience.count()) + " ms after its time was over";
        }
        const auto nap = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        (void)::poll(waiting.data(), waiting.size(), static_cast<int>(std::min<std::int64_t>(nap, 60000)));
        if (waiting[1].revents != 0 && !drain(from, text)) waiting[1].fd = -1;
        if (waiting[0].revents == 0) continue;
        (void)drain(from, text);
        return {};
    }
}

std::string flaw_of(int status) {
    if (WIFSIGNALED(status)) {
        const char* name = ::sigabbrev_np(WTERMSIG(status));
        return std::string("crashed (SIG") + (name == nullptr ? std::to_string(WTERMSIG(status)) : name) + ")";
    }
    // _exit by the plugin, or a sanitizer that has said more on stderr.
    if (WEXITSTATUS(status) != 0) return "ended the process with exit code " + std::to_string(WEXITSTATUS(status));
    return {};
}

ChildEnd failed(const char* what) {
    return {{},
            std::string("cannot be tried: ") + what + ": " + std::strerror(errno)};  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

Expectation::Expectation() {
    void* page = ::mmap(nullptr, sizeof *shared_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) throw std::bad_alloc();
    shared_ = new (page) std::atomic<Clock::rep>(0);
}

Expectation::~Expectation() {
    ::munmap(shared_, sizeof *shared_);
}

void Expectation::busy_until(Clock::time_point time) noexcept {
    *shared_ = std::max(shared_->load(), time.time_since_epoch().count());
}

Clock::time_point Expectation::time() const noexcept {
    return Clock::time_point(Clock::duration(shared_->load()));
}

ChildEnd in_child(const std::function<std::string()>& work, const Expectation& expected,
                  std::chrono::milliseconds patience) noexcept {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return failed("pipe");
    std::fflush(nullptr);  // or the child would say it again
    const pid_t child = ::fork();
    if (child == 0) be_the_child(work, pipe[1]);
    ::close(pipe[1]);
    // glibc 2.36 declares pidfd_open for C only.
    const int pidfd = child < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    ChildEnd end;
    if (pidfd < 0) {
        end = failed("fork");
    } else {
        (void)::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
        end.flaw = watch(pidfd, pipe[0], end.text, expected, patience);
        ::close(pidfd);
    }
    ::close(pipe[0]);
    if (child < 0) return end;
    int status = 0;
    const bool alone = end.flaw.empty();
    if (!alone) ::kill(child, SIGKILL);
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (alone) end.flaw = flaw_of(status);
    return end;
}

}  // namespace qkd::conformance
