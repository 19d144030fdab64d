// The device session that this plugin hands to the engine: NETCONF for the configuration, and files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config_database.hpp"
#include "netconf_session.hpp"
#include "qkd/sdk/device.hpp"

namespace qkd::junos {

class JunosSession final : public DeviceSession, private LldpAccess, private ClockAccess {
  public:
    /// `files` may use `netconf`, and may be null: then there are none.
    JunosSession(std::unique_ptr<NetconfSession> netconf, std::unique_ptr<FileAccess> files);
    ~JunosSession() override;

    /// Asks the device who it is. What it does not say stays empty.
    Result<void> read_facts(Context& context);

    const DeviceFacts& facts() const override { return facts_; }
    [[nodiscard]] std::string id() const override { return netconf_->session_id(); }
    FileAccess* files() noexcept override { return files_.get(); }
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

    Result<std::string> description(Context& context, const std::string& interface_name) override;
    Result<void> describe(Context& context, const std::string& interface_name, const std::string& text) override;
    Result<LldpNeighbour> neighbour(Context& context, const std::string& interface_name) override;

    Result<ClockReading> read(Context& context) override;

    std::unique_ptr<NetconfSession> netconf_;
    std::unique_ptr<FileAccess> files_;
    ConfigDatabase database_;
    DeviceFacts facts_;
};

}  // namespace qkd::junos
