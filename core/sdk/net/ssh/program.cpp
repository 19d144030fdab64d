// The child process, its socket and its end.
#include "qkd/sdk/net/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>  // kill
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "qkd/sdk/net/spawn.hpp"
#include "wait.hpp"

// glibc's sys/pidfd.h has no C linkage block in every version, so this is declared here.
extern "C" int pidfd_open(pid_t pid, unsigned flags) noexcept;

namespace qkd::net {
namespace {

constexpr std::chrono::milliseconds after_end_of_input{100};
constexpr std::chrono::milliseconds after_sigterm{50};
constexpr std::chrono::milliseconds after_end_of_output{1000};
constexpr std::size_t kept = 2048;   ///< of the error output, octets
constexpr std::size_t quoted = 300;  ///< of that in a message

void shut(int& fd) noexcept {
    if (fd >= 0) ::close(fd);
    fd = -1;
}

}  // namespace

Result<std::unique_ptr<Program>> Program::start(const std::vector<std::string>& argv) {
    if (argv.empty() || argv.front().empty())
        return Error{ErrorCode::config, Retry::never, "there is no command to run", "give a program and its arguments"};
    const std::string name = "'" + argv.front() + "'";
    std::array<int, 2> stream{-1, -1};
    std::array<int, 2> errors{-1, -1};
    pid_t pid = 0;
    int failure = 0;
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream.data()) != 0 ||
        ::fcntl(stream[0], F_SETFL, O_NONBLOCK) != 0 || ::pipe2(errors.data(), O_CLOEXEC | O_NONBLOCK) != 0)
        failure = errno;
    if (failure == 0) failure = spawn(argv, {stream[1], stream[1], errors[1], {}}, pid);
    shut(stream[1]);
    shut(errors[1]);
    if (failure != 0) {
        shut(stream[0]);
        shut(errors[0]);
        const bool ours = failure == EAGAIN || failure == ENOMEM || failure == EMFILE || failure == ENFILE;
        return Error{ours ? ErrorCode::unreachable : ErrorCode::config, ours ? Retry::safe : Retry::never,
                     "command " + name + " could not be started: " + std::strerror(failure),
                     ours ? "" : "name a program by its absolute path; cron and event scripts have a short PATH"};
    }
    std::unique_ptr<Program> program(new Program(name, pid, ::pidfd_open(pid, 0), stream[0], errors[0]));
    if (program->watch_ < 0)
        return Error{ErrorCode::unreachable, Retry::safe,
                     "command " + name + " cannot be watched: " + std::strerror(errno), ""};
    return program;
}

Result<std::size_t> Program::read(Context& context, std::span<std::uint8_t> into) {
    for (;;) {
        hear();
        const ssize_t count = socket_ < 0 ? 0 : ::recv(socket_, into.data(), into.size(), 0);
        if (count > 0) return static_cast<std::size_t>(count);
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            if (socket_ < 0) return std::size_t{0};
            std::string words = reason_of_end(context);
            if (words.empty()) return std::size_t{0};
            return Error{ErrorCode::unreachable, Retry::safe, std::move(words), "run it by hand as the same user"};
        }
        if (errno == EINTR) continue;
        if (auto ready = wait_for(context, socket_, POLLIN, "waiting for " + name_); !ready)
            return std::move(ready).error();
    }
}

Result<void> Program::write(Context& context, std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
        hear();
        const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(count));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) {
            const std::string words = reason_of_end(context);
            return Error{ErrorCode::unreachable, Retry::safe, words.empty() ? name_ + " takes no more input" : words,
                         "run it by hand as the same user"};
        }
        if (auto ready = wait_for(context, socket_, POLLOUT, "writing to " + name_); !ready) return ready;
    }
    return {};
}

// Takes what is there of the error output and keeps the end of it.
void Program::hear() {
    std::array<char, 1024> chunk{};
    while (errors_ >= 0) {
        const ssize_t count = ::read(errors_, chunk.data(), chunk.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return;
        if (count == 0) return shut(errors_);
        said_.append(chunk.data(), static_cast<std::size_t>(count));
        if (said_.size() > kept) said_.erase(0, said_.size() - kept);
    }
}

// Its streams are closed: the end itself is near, and says why.
std::string Program::reason_of_end(Context& context) {
    ended_ = true;
    if (pid_ > 0)
        (void)wait_for(context, watch_, POLLIN, "the end of " + name_, Context::Clock::now() + after_end_of_output);
    return last_words();
}

std::string Program::last_words(std::chrono::milliseconds patience) {
    if (pid_ > 0 && ended_within(patience)) collect();
    hear();
    std::string words;
    for (const char c : said_) {
        const bool blank = static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
        if (!blank) words += c;
        if (blank && !words.empty() && words.back() != ' ') words += ' ';
    }
    while (!words.empty() && words.back() == ' ') words.pop_back();
    if (words.size() > quoted) words = "..." + words.substr(words.size() - quoted);
    std::string end;
    if (pid_ == 0 && WIFSIGNALED(status_)) {
        end = " was ended by signal " + std::to_string(WTERMSIG(status_));
    } else if (pid_ == 0 && WEXITSTATUS(status_) != 0) {
        end = " ended with exit code " + std::to_string(WEXITSTATUS(status_));
    }
    if (words.empty()) return end.empty() ? end : name_ + end;
    return name_ + (end.empty() ? " says" : end) + ": " + words;
}

bool Program::ended_within(std::chrono::milliseconds time) noexcept {
    const auto end = Context::Clock::now() + time;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Context::Clock::now());
        pollfd watch{watch_, POLLIN, 0};
        const int ready = ::poll(&watch, 1, static_cast<int>(std::max(left.count(), decltype(left.count()){0})));
        if (ready >= 0 || errno != EINTR) return ready > 0;
    }
}

void Program::collect() noexcept {
    // Not collected yet, so the number is still its own. What it left behind in its group has no business any more.
    (void)::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
}

void Program::close() noexcept {
    if (socket_ >= 0) (void)::shutdown(socket_, SHUT_WR);
    if (pid_ > 0) {
        if (watch_ < 0 || !ended_within(after_end_of_input)) {
            // What it still wants to write has no reader.
            shut(socket_);
            (void)::kill(-pid_, SIGTERM);
            if (watch_ >= 0) (void)ended_within(after_sigterm);
        }
        collect();
    }
    shut(socket_);
    shut(errors_);
    shut(watch_);
}

}  // namespace qkd::net
