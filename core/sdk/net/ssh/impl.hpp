// Inside of an SshSession: the libssh2 session, its socket, and the one way in which its calls are made.
#pragma once

#include <libssh2.h>
#include <libssh2_sftp.h>
#include <poll.h>

#include <string>
#include <vector>

#include "qkd/sdk/net/program.hpp"
#include "qkd/sdk/net/ssh.hpp"
#include "wait.hpp"

namespace qkd::net {

class SshSession::Impl {
  public:
    Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl();

    /// Makes a non-blocking libssh2 call again and again until it no longer says EAGAIN, waiting in between.
    /// Gives libssh2's own result, or timeout/cancelled. An interrupted call leaves libssh2 in the midst of it: all
    /// but reads therefore break the session (`breaks`).
    template <class Call>
    Result<ssize_t> run(Context& context, const char* doing, Call call, bool breaks = true) {
        for (;;) {
            const auto rc = static_cast<ssize_t>(call());
            if (rc != LIBSSH2_ERROR_EAGAIN) return rc;
            if (auto ready = wait(context, doing); !ready) {
                if (breaks) broken = true;
                return std::move(ready).error();
            }
        }
    }
    /// The same for calls that give a pointer.
    template <class Call>
    auto run_pointer(Context& context, const char* doing, Call call) -> Result<decltype(call())> {
        for (;;) {
            auto* pointer = call();
            if (pointer != nullptr || libssh2_session_last_errno(session) != LIBSSH2_ERROR_EAGAIN) return pointer;
            if (auto ready = wait(context, doing); !ready) {
                broken = true;
                return std::move(ready).error();
            }
        }
    }
    Result<void> wait(Context& context, const char* doing);
    /// An error made of libssh2's last message.
    Error error(ErrorCode code, const std::string& doing);
    /// What the proxy said, to stand behind another message; empty without one.
    std::string words_of_proxy(std::chrono::milliseconds patience);
    /// True for errors of the transport; the session is broken then.
    bool transport_failed(ssize_t rc);

    Result<void> handshake(Context& context, const std::string& host_key_methods);
    Result<LIBSSH2_CHANNEL*> open_channel(Context& context);
    Result<LIBSSH2_SFTP*> open_sftp(Context& context);

    int fd = -1;                     ///< ours, or the proxy's
    std::unique_ptr<Program> proxy;  ///< null: TCP
    LIBSSH2_SESSION* session = nullptr;
    LIBSSH2_SFTP* sftp = nullptr;
    bool sftp_refused = false;
    bool broken = false;
    bool setting_up = true;
    std::string peer;  ///< "host port 830"
    std::string fingerprint;
    std::vector<std::uint8_t> first_bytes;  ///< what the server said in clear, for diagnosis
    const SecretBytes* answer = nullptr;    ///< to keyboard-interactive prompts, during login_password only
};

/// Makes a channel a ByteStream.
std::unique_ptr<ByteStream> make_stream(std::shared_ptr<SshSession::Impl> impl, LIBSSH2_CHANNEL* channel);

/// Bounded: after shutdown() of the socket libssh2 needs a few calls to let go, and leaks when it is not given them.
inline constexpr int farewell_calls = 1000;

}  // namespace qkd::net
