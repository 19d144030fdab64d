// Files of a router over SSH: SFTP, or scp with the router's own file RPCs where SFTP is off (the default on Junos).
#pragma once

#include <functional>
#include <memory>

#include "netconf_session.hpp"
#include "qkd/sdk/device.hpp"
#include "qkd/sdk/net/ssh.hpp"

namespace qkd::junos {

class SshFiles final : public FileAccess {
  public:
    /// Makes another SSH session, for routers that serve files on another port.
    using OpenSsh = std::function<Result<std::unique_ptr<net::SshSession>>(Context&)>;

    /// `ssh` carries `netconf`, which outlives this object. `elsewhere` is empty when `ssh` carries the files as well.
    SshFiles(std::unique_ptr<net::SshSession> ssh, NetconfSession& netconf, OpenSsh elsewhere)
        : ssh_(std::move(ssh)), netconf_(netconf), elsewhere_(std::move(elsewhere)) {}

    Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) override;
    Result<SecretBytes> get(Context& context, const std::string& path) override;
    Result<std::vector<std::string>> list(Context& context, const std::string& directory) override;
    Result<void> remove(Context& context, const std::string& path) override;
    Result<void> make_directory(Context& context, const std::string& path, unsigned mode) override;

  private:
    Result<net::SshSession*> transport(Context& context);

    std::unique_ptr<net::SshSession> ssh_;
    NetconfSession& netconf_;
    OpenSsh elsewhere_;
    std::unique_ptr<net::SshSession> second_;
};

}  // namespace qkd::junos
