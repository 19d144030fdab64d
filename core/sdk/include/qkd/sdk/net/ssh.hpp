// SSH for plugins: a verified, authenticated session, its channels and its files. Link qkd::sdk-ssh.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/net/byte_stream.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::net {

struct SshTarget {
    std::string host;  ///< name or address
    std::uint16_t port = 22;
    /// OpenSSH known_hosts file: plain, hashed, [host]:port, wildcard and negated entries. A @revoked key is always
    /// refused; @cert-authority lines are not supported. Empty = host_key decides alone.
    std::filesystem::path known_hosts;
    /// "SHA256:..." as ssh-keygen -l prints it; decides instead of known_hosts (except that @revoked still counts).
    std::string host_key;
    /// For the TCP connection to each of the host's addresses.
    std::chrono::milliseconds connect_timeout{10000};
    /// A program and its arguments, whose standard input and output are the connection instead of TCP, such as `ssh -W` by
    /// way of a jump host. No shell. %h, %p and %r in an argument stand for host, port and user, %% for a percent sign. What
    /// answers is verified as the host all the same. Empty = TCP.
    std::vector<std::string> proxy_command{};
    std::string user{};  ///< for %r only
};

/// proxy_command with its words filled in. config: an unknown % word, no program, or a host or user that a program would take
/// for an option.
Result<std::vector<std::string>> expand_proxy_command(const SshTarget& target);

/// An SSH session (RFC 4251 to 4254). One thread at a time, channels included. Blocking calls in plain code, made safe
/// by polling {socket, cancel_fd} against the deadline: each returns within 200 ms of deadline or cancellation.
/// The destructor never waits for the far end. Channels may outlive this object; they are dead then.
class SshSession {
  public:
    /// Connects, exchanges keys and verifies the host key. Errors: unreachable, timeout, cancelled, auth (host key),
    /// config (known_hosts unreadable, proxy_command), protocol (nothing in common; the message says what the device offers).
    static Result<std::unique_ptr<SshSession>> connect(Context& context, const SshTarget& target);
    ~SshSession();

    /// Public-key authentication (RFC 4252 section 7) by a private key in OpenSSH or PEM form without passphrase.
    Result<void> login_key(Context& context, const std::string& user, const SecretBytes& private_key);
    /// Password authentication, or keyboard-interactive (RFC 4256) where the device wants that.
    Result<void> login_password(Context& context, const std::string& user, const SecretBytes& password);

    /// A channel that runs a subsystem ("netconf") or a command.
    Result<std::unique_ptr<ByteStream>> subsystem(Context& context, const std::string& name);
    Result<std::unique_ptr<ByteStream>> exec(Context& context, const std::string& command);

    /// Files by SFTP (version 3). `unsupported` when the device offers no SFTP: use the scp calls then.
    /// put writes a temporary file beside `path` and renames it over `path`.
    Result<void> sftp_put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode);
    /// not_found when there is no such file; rejected above `limit` octets.
    Result<SecretBytes> sftp_get(Context& context, const std::string& path, std::size_t limit);
    /// Names without "." and ".."; an absent directory is an empty list.
    Result<std::vector<std::string>> sftp_list(Context& context, const std::string& directory);
    Result<void> sftp_remove(Context& context, const std::string& path);
    Result<void> sftp_make_directory(Context& context, const std::string& path, unsigned mode);

    /// Files by the scp protocol. put writes `path` in place: a reader may see half of it, so rename afterwards.
    Result<void> scp_put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode);
    Result<SecretBytes> scp_get(Context& context, const std::string& path, std::size_t limit);

    /// "SHA256:..." of the host key that was verified.
    [[nodiscard]] const std::string& fingerprint() const noexcept;
    [[nodiscard]] bool alive() const noexcept;

    class Impl;
    explicit SshSession(std::shared_ptr<Impl> impl);

  private:
    std::shared_ptr<Impl> impl_;
};

}  // namespace qkd::net
