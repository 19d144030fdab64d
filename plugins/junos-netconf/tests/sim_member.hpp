// A member of a link on one simulated device behind a real sshd, with the stages that the engine drives.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/initial_config.hpp"
#include "session.hpp"
#include "sshd.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace qkd::junos::test {

using namespace std::chrono_literals;
using support::PluginObject;
using support::TestContext;

inline const std::string ckn_a = std::string(62, 'a') + "01";
inline const std::string ckn_b = std::string(62, 'b') + "02";
inline const support::Values with_events{{"event_script", "qkd-macsec.py"}, {"event_start", "2026-09-01.16:50:00"}};

/// 32 times the octet.
SecretBytes key_of(std::uint8_t octet);
MemberTarget member();
/// A lab whose clock can be moved, and that other users may enter.
SshdOptions lab_options();

class Junos {
  public:
    explicit Junos(const SshdOptions& options = {}, const support::Values& more = {});
    static support::Values with(support::Values values, const support::Values& more);
    static void expect(const Result<void>& result);

    std::unique_ptr<DeviceSession> open();
    UtcSeconds now(DeviceSession& session);
    MemberState read(DeviceSession& session);
    /// A second key for the chain, which starts in ten minutes.
    MemberChange second_key(DeviceSession& session);
    void stage(DeviceSession& session, const MemberChange& change);
    /// Stages as well.
    void commit_confirmed(DeviceSession& session, const MemberChange& change, const std::string& comment);
    /// Confirms and lets go of the device.
    void settle(DeviceSession& session, const std::string& comment);
    /// Stages and commits the first key and everything around it.
    void bring_up(DeviceSession& session);
    /// The device may need a moment until it has noticed that a session is gone.
    void when_free(const std::function<Result<void>()>& call);

    TestContext context{60s};
    SimulatedDevice device;
    PluginObject<Connector> connector;
    PluginObject<InitialConfig> initial;
    PluginObject<Commit> commit;
    MemberTarget target = member();
    SecretBytes key_a = key_of(0x5a);
    SecretBytes key_b = key_of(0xc3);
};

}  // namespace qkd::junos::test
