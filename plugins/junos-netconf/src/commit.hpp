// The commit stage: reads a member and changes it in revocable steps.
#pragma once

#include "config_database.hpp"
#include "qkd/sdk/commit.hpp"

namespace qkd::junos {

/// Stateless: what a change has reached is known to the session (the lock) and to the device (the commit history).
class JunosCommit final : public Commit {
  public:
    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;

    Result<MemberState> read(Context& context, DeviceSession& session, const MemberTarget& target) override;
    Result<std::vector<InterfaceMka>> read_mka(Context& context, DeviceSession& session,
                                               const MemberTarget& target) override;
    Result<std::vector<std::string>> preview(Context& context, DeviceSession& session, const MemberTarget& target,
                                             const MemberChange& change) override;
    Result<void> stage(Context& context, DeviceSession& session, const MemberTarget& target,
                       const MemberChange& change) override;
    Result<void> commit_confirmed(Context& context, DeviceSession& session, std::chrono::minutes timeout,
                                  const std::string& comment) override;
    Result<void> confirm(Context& context, DeviceSession& session, const std::string& comment) override;
    Result<void> revert(Context& context, DeviceSession& session, const std::string& comment) override;
    Result<void> discard(Context& context, DeviceSession& session) override;
    Result<void> release(Context& context, DeviceSession& session) override;
    Result<bool> break_lock(Context& context, DeviceSession& session, const std::string& session_id) override;
    Result<void> withdraw(Context& context, DeviceSession& session, const MemberTarget& target, const std::string& ckn,
                          const std::string& comment) override;

  private:
    std::string user_;
    OtherEngine other_engine_ = OtherEngine::must_follow;
};

}  // namespace qkd::junos
