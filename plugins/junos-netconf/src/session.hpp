// The device session that this plugin hands to the engine: NETCONF for the configuration, the same SSH for files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config_database.hpp"
#include "netconf_session.hpp"
#include "qkd/sdk/device.hpp"
#include "qkd/sdk/net/ssh.hpp"

namespace qkd::junos {

class JunosSession final : public DeviceSession, private FileAccess, private LldpAccess, private ClockAccess {
  public:
    /// Makes another SSH session, for devices that serve files on another port.
    using OpenSsh = std::function<Result<std::unique_ptr<net::SshSession>>(Context&)>;

    /// `ssh` carries `netconf` and may be null (a stream of another kind: then there are no files). `files_ssh` is
    /// empty when `ssh` carries the files as well.
    JunosSession(std::unique_ptr<net::SshSession> ssh, std::unique_ptr<NetconfSession> netconf, OpenSsh files_ssh);
    ~JunosSession() override;

    /// Asks the device who it is. What it does not say stays empty.
    Result<void> read_facts(Context& context);

    const DeviceFacts& facts() const override { return facts_; }
    [[nodiscard]] std::string id() const override { return netconf_->session_id(); }
    FileAccess* files() noexcept override { return ssh_ || files_ssh_ ? this : nullptr; }
    LldpAccess* lldp() noexcept override { return this; }
    ClockAccess* clock() noexcept override { return this; }
    Result<void> close(Context& context) override;
    [[nodiscard]] bool alive() const noexcept override { return netconf_->alive(); }

    NetconfSession& netconf() noexcept { return *netconf_; }
    ConfigDatabase& database() noexcept { return database_; }

    /// The configuration and the zone in which to read its times.
    struct Snapshot {
        ConfigModel config;
        DeviceZone zone;
        UtcMillis now;
    };
    Result<Snapshot> snapshot(Context& context);
    /// A lock, the change, the proof that it is only the change, the check. On any error nothing is left behind.
    /// `plan` makes the statements from what is configured under the lock; none = nothing to do, the lock is released
    /// again unless `keep_empty`.
    using Plan = std::function<Result<std::vector<Statement>>(const Snapshot&)>;
    Result<bool> stage(Context& context, const Plan& plan, bool keep_empty, const std::string& described = {});

  private:
    Result<bool> stage_locked(Context& context, const Plan& plan, bool keep_empty, const std::string& described);

    Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) override;
    Result<SecretBytes> get(Context& context, const std::string& path) override;
    Result<std::vector<std::string>> list(Context& context, const std::string& directory) override;
    Result<void> remove(Context& context, const std::string& path) override;
    Result<void> make_directory(Context& context, const std::string& path, unsigned mode) override;
    Result<net::SshSession*> file_transport(Context& context);

    Result<std::string> description(Context& context, const std::string& interface_name) override;
    Result<void> describe(Context& context, const std::string& interface_name, const std::string& text) override;
    Result<LldpNeighbour> neighbour(Context& context, const std::string& interface_name) override;

    Result<ClockReading> read(Context& context) override;

    std::unique_ptr<net::SshSession> ssh_;
    std::unique_ptr<NetconfSession> netconf_;
    OpenSsh files_ssh_;
    std::unique_ptr<net::SshSession> second_ssh_;
    ConfigDatabase database_;
    DeviceFacts facts_;
};

}  // namespace qkd::junos
