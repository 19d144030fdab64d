// A child process, its output and its end, all waited for in one poll().
#include "engine/secrets/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>  // kill
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "engine/base/text.hpp"
#include "qkd/sdk/net/spawn.hpp"

// glibc's sys/pidfd.h has no C linkage block in every version, so these are declared here.
extern "C" int pidfd_open(pid_t pid, unsigned flags) noexcept;

namespace qkd::engine {
namespace {

constexpr std::size_t most_output = std::size_t{64} << 10U;

Error failed(ErrorCode code, Retry retry, const std::string& program, const std::string& what) {
    return {code, retry, "secret command '" + printable(program) + "' " + what, "run it by hand as the same user"};
}

class Descriptor {
  public:
    explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { close_now(); }
    [[nodiscard]] int get() const noexcept { return fd_; }
    void close_now() noexcept {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }

  private:
    int fd_;
};

/// The child; killed with its group unless it was seen to end.
class Child {
  public:
    explicit Child(pid_t pid) noexcept : pid_(pid), watch_(pidfd_open(pid, 0)) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ <= 0) return;
        ::kill(-pid_, SIGKILL);
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
    }
    [[nodiscard]] int watch() const noexcept { return watch_.get(); }
    /// Only after watch() became readable. What remains of the group goes too: it has no business any more.
    int collect() noexcept {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        ::kill(-pid_, SIGKILL);
        pid_ = -1;
        return status;
    }

  private:
    pid_t pid_;
    Descriptor watch_;
};

enum class Reading : std::uint8_t { more, end, too_much };

/// Reads what is there without waiting.
Reading drain(int fd, SecretBytes& buffer, std::size_t& used) {
    for (;;) {
        if (used == buffer.size()) return Reading::too_much;
        const ssize_t got = ::read(fd, buffer.writable().data() + used, buffer.size() - used);
        if (got > 0) {
            used += static_cast<std::size_t>(got);
        } else if (got == 0) {
            return Reading::end;
        } else if (errno == EAGAIN) {
            return Reading::more;
        } else if (errno != EINTR) {
            return Reading::end;
        }
    }
}

}  // namespace

Result<void> check_program(const std::string& program) {
    const auto runnable = [](const std::string& path) {
        struct stat info {};
        return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
    };
    const auto absent = [&](const char* hint) {
        return Error{ErrorCode::not_found, Retry::never, "there is no program '" + printable(program) + "'", hint};
    };
    if (program.find('/') != std::string::npos) {
        if (!program.starts_with('/') || !runnable(program))
            return absent("name it by an absolute path or by its bare name");
        return {};
    }
    const char* path = std::getenv("PATH");
    for (const auto& directory : split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
        if (runnable(directory + "/" + program)) return {};
    }
    return absent("install it, or name it by an absolute path; cron and systemd have a short PATH");
}

Result<SecretBytes> run_secret_command(const std::vector<std::string>& argv, Context& context) {
    const std::string& program = argv.front();
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return failed(ErrorCode::internal, Retry::safe, program,
                      std::string("could not start: ") + std::strerror(errno));
    }
    const Descriptor output(ends[0]);
    Descriptor input(ends[1]);
    fcntl(output.get(), F_SETFL, O_NONBLOCK);

    pid_t pid = 0;
    if (const int failure = net::spawn(argv, {-1, input.get(), -1, {}}, pid); failure != 0) {
        return failed(ErrorCode::not_found, Retry::never, program,
                      std::string("could not start: ") + std::strerror(failure));
    }
    input.close_now();
    Child child(pid);
    if (child.watch() < 0) {
        return failed(ErrorCode::internal, Retry::never, program,
                      std::string("cannot be watched: ") + std::strerror(errno));
    }

    SecretBytes buffer = SecretBytes::zeros(most_output + 1);
    std::size_t used = 0;
    bool open = true;
    for (;;) {
        std::array<pollfd, 3> wait = {pollfd{open ? output.get() : -1, POLLIN, 0}, pollfd{child.watch(), POLLIN, 0},
                                      pollfd{context.cancel_fd(), POLLIN, 0}};
        const auto left = context.remaining();
        if (left.count() == 0) return failed(ErrorCode::timeout, Retry::safe, program, "did not end in time");
        if (context.stop_requested()) return failed(ErrorCode::cancelled, Retry::never, program, "was interrupted");
        constexpr std::int64_t longest_wait = 60'000;
        if (::poll(wait.data(), wait.size(), static_cast<int>(std::min<std::int64_t>(left.count(), longest_wait))) <
            0) {
            if (errno == EINTR) continue;
            return failed(ErrorCode::internal, Retry::never, program,
                          std::string("cannot be watched: ") + std::strerror(errno));
        }
        // The end is looked at before the output: what a program wrote before it ended is then in the pipe.
        const bool ended = wait[1].revents != 0;
        if (open && (ended || wait[0].revents != 0)) {
            const Reading reading = drain(output.get(), buffer, used);
            if (reading == Reading::too_much) {
                return failed(ErrorCode::rejected, Retry::never, program, "wrote more than 64 KiB");
            }
            open = reading == Reading::more;
        }
        if (!ended) continue;
        const int status = child.collect();
        if (WIFSIGNALED(status)) {
            return failed(ErrorCode::rejected, Retry::never, program,
                          "was killed by signal " + std::to_string(WTERMSIG(status)));
        }
        if (WEXITSTATUS(status) != 0) {
            return failed(ErrorCode::rejected, Retry::never, program,
                          "failed with exit code " + std::to_string(WEXITSTATUS(status)));
        }
        if (used == 0) return failed(ErrorCode::rejected, Retry::never, program, "printed nothing");
        buffer.resize(used);
        return buffer;
    }
}

}  // namespace qkd::engine
