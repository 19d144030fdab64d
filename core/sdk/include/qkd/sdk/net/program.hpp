// A program of this machine as a stream of bytes: what it reads and what it writes. Link qkd::sdk-ssh.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "qkd/sdk/net/byte_stream.hpp"

namespace qkd::net {

/// Standard input and output of the program are one socket. Its error output never holds it up: what it does not get
/// rid of there is lost, and the last 2 KiB are kept for messages. It runs in a process group of its own, with our
/// environment and none of our descriptors. When this process dies, it meets the end of its input.
class Program final : public ByteStream {
  public:
    /// Runs argv[0], searched in PATH when it has no slash, with argv as it is: no shell. Errors: config (there is no
    /// such program, or it may not be run), unreachable (this machine has no room for it now).
    static Result<std::unique_ptr<Program>> start(const std::vector<std::string>& argv);
    ~Program() override { close(); }

    /// When the program ended with an exit code other than 0, by a signal or with words on its error output, the end of
    /// its output is an `unreachable` Error that says so, for which up to a second is waited.
    Result<std::size_t> read(Context& context, std::span<std::uint8_t> into) override;
    Result<void> write(Context& context, std::span<const std::uint8_t> bytes) override;
    /// The program's input ends; 100 ms later it gets SIGTERM, and 50 ms later SIGKILL, it and its process group. It is
    /// gone and collected when this returns.
    void close() noexcept override;
    [[nodiscard]] bool alive() const noexcept override { return pid_ > 0 && !ended_; }

    /// The socket, non-blocking, for libraries that read and write by themselves. It stays ours.
    [[nodiscard]] int socket() const noexcept { return socket_; }
    /// "'ssh' ended with exit code 255: Permission denied"; empty while it runs and has said nothing. One line,
    /// printable. Waits up to `patience` for a program that is about to end.
    [[nodiscard]] std::string last_words(std::chrono::milliseconds patience = {});

  private:
    Program(std::string name, pid_t pid, int watch, int socket, int errors) noexcept
        : name_(std::move(name)), pid_(pid), watch_(watch), socket_(socket), errors_(errors) {}
    void hear();
    std::string reason_of_end(Context& context);
    bool ended_within(std::chrono::milliseconds time) noexcept;
    void collect() noexcept;

    std::string name_;
    pid_t pid_;   ///< 0: collected
    int watch_;   ///< pidfd
    int socket_;  ///< -1: closed
    int errors_;  ///< reading end of its error output; -1: closed
    int status_ = 0;
    bool ended_ = false;  ///< its output has come to its end
    std::string said_;
};

}  // namespace qkd::net
