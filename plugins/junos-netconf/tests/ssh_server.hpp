// A small SSH server on libssh: what a real sshd cannot be told to do (passwords, RSA only, silence at the worst moment).
#pragma once

#include <libssh/libssh.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "qkd/sdk/net/ssh.hpp"

namespace qkd::junos::test {

/// One end of a channel, for a script. Belongs to the thread that runs the script.
class Peer {
  public:
    explicit Peer(ssh_channel channel) : channel_(channel) {}
    /// Reads as far as the end of `text`; what came behind it in the same read is for the next call. False when the
    /// channel ended before.
    bool await(const std::string& text);
    /// What has come behind the last text, or else what comes next; empty at the end.
    std::string take();
    void say(const std::string& text);

  private:
    bool more();
    ssh_channel channel_;
    std::string seen_;
};

struct SshServerOptions {
    std::vector<ssh_keytypes_e> host_keys{SSH_KEYTYPE_ED25519};
    bool password = false;
    bool interactive = false;
    std::string secret = "s3cret-Passw0rd";
    bool subsystem = true;  ///< false = refuses every subsystem
    /// Runs when the subsystem has started; the channel closes when it returns.
    std::function<void(Peer&)> script{};
};

class SshServer {
  public:
    explicit SshServer(SshServerOptions options);
    ~SshServer();
    SshServer(const SshServer&) = delete;
    SshServer& operator=(const SshServer&) = delete;

    [[nodiscard]] int port() const noexcept { return port_; }
    /// SHA256:... of the host key number `index`.
    [[nodiscard]] const std::string& fingerprint(std::size_t index = 0) const { return fingerprints_.at(index); }
    /// "ssh-ed25519 AAAA..."
    [[nodiscard]] const std::string& public_key(std::size_t index = 0) const { return public_keys_.at(index); }
    [[nodiscard]] net::SshTarget target() const;

  private:
    void accept_all();
    void serve(int fd);
    void talk(ssh_session session);

    SshServerOptions options_;
    std::vector<ssh_key> keys_;
    std::vector<std::string> fingerprints_;
    std::vector<std::string> public_keys_;
    int listener_ = -1;
    int stop_ = -1;
    int port_ = 0;
    std::mutex mutex_;
    std::set<int> open_;
    std::vector<std::thread> sessions_;
    std::thread acceptor_;
};

}  // namespace qkd::junos::test
