// The members of a link at work: their stage objects, sessions and what was read from them. Used by run, plan, status
// and check --online alike.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/host/plugin_host.hpp"
#include "engine/members/bound.hpp"
#include "engine/members/call.hpp"
#include "engine/members/session_pool.hpp"
#include "engine/pipeline/model.hpp"
#include "engine/protocol/clocks.hpp"
#include "engine/protocol/reconcile.hpp"
#include "engine/secrets/references.hpp"
#include "qkd/sdk/certs.hpp"
#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/initial_config.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/key_source.hpp"

namespace qkd::engine {

/// What was done at one member and is to be undone if the link fails.
struct Progress {
    bool notice = false;     ///< a key_ID notice stands at this end
    bool staged = false;     ///< lock held, candidate loaded
    bool committed = false;  ///< the confirmed commit was sent; it may be in effect
    bool confirmed = false;  ///< the confirm was sent; it may be in effect
};

/// One member at work. Touched by one thread at a time: its own during a step, the link's between steps.
struct MemberRun {
    MemberRun(const Member& of, MemberReport& into, Caller calls)
        : member(&of), report(&into), caller(std::move(calls)) {}

    const Member* member;
    MemberReport* report;
    Caller caller;
    MemberTarget target;

    Bound<Connector> connector;
    Bound<CertStage> certs;
    Bound<InitialConfig> initial;
    Bound<KeySource> source;
    Bound<KeyIdTransport> transport;
    Bound<Commit> commit;
    std::unique_ptr<DeviceSession> session;  // goes before the connector that made it
    bool session_is_old = false;             ///< from an earlier rotation: the far end may have left
    bool session_is_doubtful = false;        ///< a call in it was not answered: what comes next might not be either

    MemberState state;
    ClockReading clock;
    std::unique_ptr<ConfigEdits> edits;
    std::vector<std::string> required;  ///< interfaces that must be secured at the end
    SecretBytes key;
    bool certificate_on_trial = false;
    bool lost_kme = false;     ///< it was its KME that failed
    bool key_is_gone = false;  ///< its KME used the key up with an answer that was lost

    MemberChange change;
    Progress progress;
    bool touched = false;      ///< something may have been written on the device, undone or not
    UtcMillis commit_clock{};  ///< the device's clock just before its commit

    /// False where the device says so: a responder then asks for a key although its key_ID is not new.
    bool check_key_id = true;

    [[nodiscard]] CertSubject cert_subject(const std::optional<UtcSeconds>& renew_made_before) const {
        return {member->sae, member->device, static_cast<bool>(source), renew_made_before};
    }
};

class Crew {
  public:
    /// `report.members` gets one entry per member and must stay where it is.
    /// `pool` may be null.
    Crew(const Pipeline& pipeline, const Link& link, Observer& observer, const Interruption& interruption,
         LinkReport& report, SessionPool* pool = nullptr);

    /// Makes the stage objects of all members for these kinds, as far as the pipeline has them.
    Result<void> assemble(PluginHost& host, std::initializer_list<StageKind> kinds);

    /// Runs `fn(MemberRun&)` for every member in a thread of its own and waits for all of them: the barrier of the
    /// link. The error of the first member that failed, a real failure before a cancellation; the others' are in their
    /// reports.
    Result<void> each(const std::function<Result<void>(MemberRun&)>& fn);

    /// The spec of a call in `stage` with the pipeline's policy.
    [[nodiscard]] CallSpec spec(StageKind stage, const char* step, Cancel cancel = Cancel::allowed) const;

    Result<void> connect(Cancel cancel = Cancel::allowed);
    /// Opens the member's session again if it broke.
    Result<void> reconnect(MemberRun& member, Cancel cancel);
    Result<void> read_clocks(Cancel cancel = Cancel::allowed);
    /// The member's clock now, rounded up; leaves MemberRun::clock as it is. Nothing interrupts it.
    Result<UtcMillis> read_clock(MemberRun& member);
    /// Of the last readings, rounded up and as read.
    [[nodiscard]] UtcMillis latest_clock() const;
    [[nodiscard]] UtcMillis earliest_clock() const;
    /// Two rounds; leaves the second reading in MemberRun::clock.
    Result<Skew> compare_clocks();
    Result<void> read_states(Cancel cancel = Cancel::allowed);
    /// Reads the state of one member again. Nothing interrupts it.
    Result<void> read_again(MemberRun& member, const char* step);
    Result<void> read_mka(Cancel cancel = Cancel::allowed);
    Result<void> difference();
    /// What the devices say about their KMEs takes the place of what the pipeline says. After read_states().
    Result<void> obey_overrides(PluginHost& host);
    /// Takes leave of all members; with `keep` their sessions go to the pool instead, if there is one.
    void close(bool keep = false);

    /// The readings for reconcile(); valid until the next read_states().
    [[nodiscard]] std::vector<MemberReading> readings() const;
    /// The keys of every member as they were read last.
    [[nodiscard]] std::vector<std::vector<ConfiguredKey>> copy_keys() const;
    /// Copies the members' MKA into the report.
    void report_mka();

    [[nodiscard]] std::vector<MemberRun>& members() noexcept { return members_; }
    [[nodiscard]] const std::vector<MemberRun>& members() const noexcept { return members_; }
    [[nodiscard]] std::size_t index_of(const MemberRun& member) const noexcept {
        return static_cast<std::size_t>(&member - members_.data());
    }
    /// Off-box the initiator, on-box the only one there is.
    [[nodiscard]] MemberRun& front() noexcept { return members_.front(); }
    [[nodiscard]] std::vector<std::string> device_names() const;
    /// Calls in the name of the link.
    [[nodiscard]] Caller& caller() noexcept { return caller_; }
    /// Calls at a member that leave the report as it is: looks, and the way back, which must not hide what failed.
    [[nodiscard]] Caller aside(const MemberRun& member) const;
    [[nodiscard]] const Interruption& interruption() const noexcept { return interruption_; }
    [[nodiscard]] const Link& link() const noexcept { return link_; }
    [[nodiscard]] const Pipeline& pipeline() const noexcept { return pipeline_; }

  private:
    [[nodiscard]] bool answers(MemberRun& m) const;

    const Pipeline& pipeline_;
    const Link& link_;
    const Interruption& interruption_;
    SessionPool* pool_;
    Caller caller_;  ///< of the link itself
    std::vector<MemberRun> members_;
};

}  // namespace qkd::engine
