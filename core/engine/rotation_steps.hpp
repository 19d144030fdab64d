// The rotation of one link as a class: its steps, its undo, and what it knows. The steps live in one file each:
// rotation.cpp (their order), rotation_reconcile.cpp, rotation_reserve.cpp, rotation_commit.cpp, rotation_verify.cpp,
// rotation_undo.cpp.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "engine/rotation.hpp"

namespace qkd::engine {

using Steady = std::chrono::steady_clock;

/// A confirm later than this before the device's own timer ends is not risked.
inline constexpr std::chrono::seconds confirm_margin{10};

/// "3.2 s", for messages.
std::string seconds_text(milliseconds time);

/// Used by one thread; the crew brings its own threads for the members within a step.
class Rotation {
  public:
    Rotation(RunShared& shared, const Link& link);

    LinkReport run();

  private:
    /// What was done at one member and is to be undone if the link fails.
    struct Progress {
        bool notice = false;     ///< a key_ID notice stands at this end
        bool staged = false;     ///< lock held, candidate loaded
        bool committed = false;  ///< the confirmed commit was sent; it may be in effect
        bool confirmed = false;  ///< the confirm was sent; it may be in effect
    };
    /// The protocol, in order.
    Result<void> advance();

    // connect
    Result<void> load_record();
    Result<void> gate_clocks();

    // reconcile
    Result<void> reconcile_members();
    void look_at_members();
    /// A confirmed commit of a run of ours that died: the device would take it back by itself; there is no need to wait
    /// for that.
    Result<void> undo_own_pending_commit();
    Result<void> withdraw_leftovers();
    /// Takes over a remembered pending key that is in force by now; forgets a remembered key that is not.
    void compare_with_memory();
    /// An interface that is down now is reported, not required, as long as every member has one that is secured. Where
    /// a member has none at all (a first configuration, a link that is down) all are required.
    void choose_required_interfaces();
    /// Is there a key that all members have scheduled, near enough to wait for?
    [[nodiscard]] bool can_resume();
    /// All members have the same key scheduled already, left by an earlier run.
    Result<void> resume();

    // prepare
    Result<void> ensure_certificates();
    Result<void> check_prepared();

    // reserve
    Result<void> reserve();
    [[nodiscard]] milliseconds lead() const;
    Result<void> choose_start_time();
    Result<void> mint();
    [[nodiscard]] Error bad_keys(const MemberRun& m, const char* call) const;
    [[nodiscard]] bool transport_commits();
    [[nodiscard]] static TransportEnd end_of(MemberRun& m);
    Result<void> hand_over_key_id();
    /// Does the transport write on devices (files, descriptions)?
    [[nodiscard]] bool transport_writes();
    /// Grows even when the remembered record was lost: never below the seconds of the calendar.
    [[nodiscard]] std::uint64_t next_generation() const;
    Result<void> fetch();
    Result<void> compare_keys();
    Result<void> acknowledge();

    // stage
    Result<void> stage();
    Result<void> make_changes();
    /// Written before any device is touched, so that a later run knows our keys and our commit on the devices.
    Result<void> remember_intent();

    // commit
    Result<void> commit();
    /// The answer to the commit was lost: the device tells by the comment what happened.
    Result<void> find_out_commit(MemberRun& m);
    Result<void> read_member(MemberRun& m);
    /// The members' configuration must hold what was written: names, octets, start-times.
    Result<void> read_back(const char* when);

    // confirm
    Result<void> confirm();
    Result<void> check_confirm_in_time();

    // verify
    Result<void> verify();
    /// Is there time to withdraw a key on every member before it becomes active?
    [[nodiscard]] bool before_start();
    /// The member's clock now, rounded up.
    Result<UtcMillis> read_clock(MemberRun& m);
    [[nodiscard]] UtcMillis latest_clock();
    [[nodiscard]] UtcMillis earliest_clock();
    /// Polls the devices until every required interface is secured on the new key and stays so for the MKA life time.
    /// All times are the devices' own.
    Result<void> wait_until_live(Cancel cancel);
    Result<void> poll_until_live(Cancel cancel);
    /// Empty when all required interfaces are secured on the new key; else which are not.
    [[nodiscard]] std::string not_live();

    // persist
    Result<void> persist();
    Result<void> save_record(Cancel cancel);
    static void copy_stage(StageKind kind, const MemberReport& from, MemberReport& to);

    // undo
    /// The link did not get to its new key. Undoes what was done, in reverse, and says what is proven.
    void fail(Error error);
    [[nodiscard]] bool has_time_to_withdraw();
    /// The members had no key in common before this rotation.
    [[nodiscard]] bool first_configuration() const;
    void undo_commits(bool& proven, bool withdraw);
    /// Takes one member's commit back and proves it by reading. `call` makes a call that nothing interrupts.
    template <class Call>
    Result<void> undo_commit(MemberRun& m, bool withdraw, Call&& call);
    void retract_notices(bool& proven);
    void forget_intent();

    // small parts
    void enter(Step step);
    /// The link got to its end: a lost answer or an interruption on the way was made good.
    void clear_recovered();
    void fill_key();
    Result<void> interrupted(const char* when);
    [[nodiscard]] CallSpec busy_patient(const char* step) const;
    /// Long enough for every other link of the device to have its turn.
    [[nodiscard]] milliseconds lease_patience() const;
    [[nodiscard]] milliseconds pair_patience() const;
    Result<void> take_leases();
    [[nodiscard]] std::size_t index_of(const MemberRun& m);
    [[nodiscard]] Progress& progress_of(const MemberRun& m);

    RunShared& shared_;
    const Pipeline& pipeline_;
    const Link& link_;
    LinkReport report_;
    Crew crew_;
    Memory memory_;
    LinkRecord record_;
    Step step_ = Step::connect;
    std::vector<Progress> progress_;
    Leases::Held leases_;
    std::string comment_;  ///< unique; marks our commits on the devices
    std::string dead_comment_;  ///< of a run that died in the middle

    std::vector<MemberReading> readings_;
    Reconciliation reconciliation_;
    std::vector<MemberChange> changes_;
    RandomKey first_key_, fallback_key_;
    RandomKey base_;  ///< not random where the members had a key; same shape
    KeyIdNotice notice_;
    std::string key_id_, next_ckn_;
    std::optional<UtcSeconds> start_;
    std::vector<UtcMillis> commit_clocks_;  ///< each member's clock just before its commit
    std::atomic<bool> written_{false};      ///< something may stand on a device
    bool resumed_ = false;
    bool withdraw_ = false;      ///< decided: the undo takes the confirmed key away before it becomes active
    bool forward_only_ = false;  ///< past the point of return: report degraded, undo nothing
};

}  // namespace qkd::engine
