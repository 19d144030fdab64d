// A member of a link on a real or simulated device, as the laws of connect, initial-config and commit need it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kit/trial.hpp"
#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/initial_config.hpp"

namespace qkd::conformance {

/// A key of the law's own, random.
struct OwnKey {
    std::string ckn;
    SecretBytes cak;
};

/// Connector, commit object and a session; what a law began is undone when it ends.
class DeviceRig {
  public:
    /// Opens the session. Not tried when the subject has no device.
    explicit DeviceRig(Trial& trial);
    ~DeviceRig();
    DeviceRig(const DeviceRig&) = delete;
    DeviceRig& operator=(const DeviceRig&) = delete;

    [[nodiscard]] const MemberTarget& target() const { return *trial_.subject().target; }
    DeviceSession& session() { return *session_; }
    Commit& commit() { return *commit_; }
    std::unique_ptr<DeviceSession> another_session();

    /// Makes the member run on a first key, if it does not yet.
    void bring_up();
    OwnKey new_key();
    /// The change that brings this key: in the chain with a start-time an hour ahead, or as the pre-shared key.
    MemberChange change(const OwnKey& key);
    MemberState read();
    /// What is configured, in a comparable form; the keys themselves as a hash.
    std::string configured() { return configured(*session_); }
    std::string configured(DeviceSession& session);
    /// A comment that no other commit has; the rig reverts it when the law ends.
    std::string new_comment();
    /// The key is to be withdrawn when the law ends.
    void forget_later(const OwnKey& key) { mine_.push_back(key.ckn); }

  private:
    Trial& trial_;
    support::PluginObject<Connector> connector_;
    support::PluginObject<Commit> commit_;
    std::unique_ptr<DeviceSession> session_;
    std::vector<std::string> comments_;
    std::vector<std::string> mine_;
};

/// Is this key configured, with this CAK?
bool has(const MemberState& state, const OwnKey& key);

}  // namespace qkd::conformance
