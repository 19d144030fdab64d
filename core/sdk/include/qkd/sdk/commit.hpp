// The commit stage: reads a member's MACsec state and changes it in revocable steps.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

/// commit: one object per device, configured with its [device.NAME] table. The session must come from the Connector of
/// the same plugin; another one is refused with `internal`.
///
/// Order of calls for one change, all within the engine's device lease:
///   stage -> commit_confirmed -> confirm -> release          the good way
///   stage -> discard                                         undo before the commit
///   stage -> commit_confirmed -> revert                      undo before the confirm
/// A confirmed commit is a property of the whole device and any commit or commit check confirms it (RFC 6241
/// clause 8.4, Junos alike). So no call here commits or checks while one is pending that is not its own.
class Commit : public Stage {
  public:
    static constexpr StageKind kind = StageKind::commit;

    /// Configuration, pending confirmed commit, recent commit comments and MKA of the member. Reads only. conflict when the
    /// association uses a key chain other than the target's.
    virtual Result<MemberState> read(Context& context, DeviceSession& session, const MemberTarget& target) = 0;
    /// MKA of the target's interfaces only; cheap enough for polling.
    virtual Result<std::vector<InterfaceMka>> read_mka(Context& context, DeviceSession& session,
                                                       const MemberTarget& target) = 0;
    /// The lines by which `change` would change the device's configuration now, secrets masked. Reads only.
    virtual Result<std::vector<std::string>> preview(Context& context, DeviceSession& session,
                                                     const MemberTarget& target, const MemberChange& change) = 0;

    /// Takes the exclusive lock, loads the change, makes sure that the candidate holds nothing but this change, and
    /// lets the device check it. On any error nothing is left behind: candidate discarded, lock released. busy/safe:
    /// locked, a dirty candidate, or a pending confirmed commit of somebody else; `what` names the holder.
    virtual Result<void> stage(Context& context, DeviceSession& session, const MemberTarget& target,
                               const MemberChange& change) = 0;
    /// Commits what is staged; the device takes it back after `timeout` unless confirmed. `comment` is unique.
    /// unknown_outcome when the answer was lost: read() tells by the comment what happened.
    virtual Result<void> commit_confirmed(Context& context, DeviceSession& session, std::chrono::minutes timeout,
                                          const std::string& comment) = 0;
    /// Confirms the pending commit named by `comment`. Success also when that commit is confirmed already (a lost answer, asked
    /// again). An error when it was taken back: a late confirm would be an ordinary empty commit. unknown_outcome when the
    /// answer was lost.
    virtual Result<void> confirm(Context& context, DeviceSession& session, const std::string& comment) = 0;
    /// Brings back the configuration before the pending commit named by `comment`, at once, and releases the lock.
    /// Success also when that commit is neither pending nor in effect any more. Takes the lock if this session does not
    /// hold it.
    virtual Result<void> revert(Context& context, DeviceSession& session, const std::string& comment) = 0;
    /// Undo of stage(): discards the candidate and releases the lock. Success when there is nothing to undo.
    virtual Result<void> discard(Context& context, DeviceSession& session) = 0;
    /// Releases the lock after confirm(). A failure here is no failed rotation.
    virtual Result<void> release(Context& context, DeviceSession& session) = 0;
    /// Deletes exactly the chain key named `ckn` by one ordinary commit with its own lock. Success when it is not
    /// there.
    virtual Result<void> withdraw(Context& context, DeviceSession& session, const MemberTarget& target,
                                  const std::string& ckn, const std::string& comment) = 0;
    /// Ends the device's session `session_id` (DeviceSession::id() of a run of ours that died) if it holds the exclusive
    /// lock under the user of this session; what it had in its candidate goes with it, and on many devices its
    /// unconfirmed commit too: read again afterwards. Returns whether it did. False, and
    /// nothing is touched, when nobody or somebody else holds the lock: session names are used again.
    virtual Result<bool> break_lock(Context& context, DeviceSession& session, const std::string& session_id) = 0;
};

}  // namespace qkd
