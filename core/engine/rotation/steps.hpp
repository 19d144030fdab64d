// The rotation of one link as a class: its steps, its undo, and what it knows. The steps live in one file each:
// rotation.cpp (the walk along the table of protocol/steps.hpp), recover.cpp, reconcile.cpp,
// reserve.cpp, commit.cpp, verify.cpp, undo.cpp, kme_loss.cpp,
// withdraw.cpp; and peers.cpp for on-box, where other processes drive the other members.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/protocol/steps.hpp"
#include "engine/rotation/rotation.hpp"
#include "engine/state/journal.hpp"

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
    LinkReport withdraw();

  private:
    using Ended = Result<Outcome>;  ///< how a step ended; an Error stands for Outcome::failed

    /// What was done at one member and is to be undone if the link fails.
    struct Progress {
        bool notice = false;     ///< a key_ID notice stands at this end
        bool staged = false;     ///< lock held, candidate loaded
        bool committed = false;  ///< the confirmed commit was sent; it may be in effect
        bool confirmed = false;  ///< the confirm was sent; it may be in effect
    };
    /// On-box: what the rotation brings about before it walks on or begins again.
    enum class Round : std::uint8_t {
        schedule,  ///< the new key
        fallback,  ///< a common fallback key; the new key comes in the round after it
        first      ///< the first key of a link that is down, in force at once
    };
    /// Walks along the table until it ends.
    void walk();
    Ended perform(Step step);

    // connect
    Ended connect();
    Result<void> load_record();
    Result<void> gate_clocks();

    // recover: what an earlier run left, see recover.cpp
    Result<void> load_journal();
    Result<void> break_dead_locks();
    /// Before a repair takes locks: the sessions go into the journal.
    Result<void> note_repair();
    /// A confirmed commit of a run of ours that died: the device would take it back by itself; there is no need to wait
    /// for that.
    Result<void> undo_own_pending_commit();
    /// Is the dead run's key in force on all members? Then that rotation got there, only nobody saw it.
    [[nodiscard]] bool dead_key_in_force();
    /// Can this rotation go on with the dead run's key? Empty when it can; else why not.
    [[nodiscard]] std::string why_not_reuse();
    /// Takes the dead run's key over, or says what becomes of it.
    void take_over_dead_key();
    void give_up_dead_key(const std::string& why);

    // journal
    /// Changes the entry and writes it; when it returns, it is on the disk. Thread-safe.
    Result<void> note(const std::function<void(JournalEntry&)>& change);
    /// The same where the way back must go on whatever the disk says.
    void note_if_possible(const std::function<void(JournalEntry&)>& change);
    /// `only`: from a member's own thread, which may look at no other member's session.
    void note_sessions(JournalEntry& entry, const MemberRun* only = nullptr);
    /// False when the line could not be written; the log says why.
    bool audit(const char* event, const std::string& outcome, const std::string& device = {});
    void close_journal();

    // reconcile
    Ended reconcile_step();
    Result<void> reconcile_members();
    void look_at_members();
    Result<void> withdraw_leftovers();
    /// Takes over a remembered pending key that is in force by now; forgets a remembered key that is not.
    void compare_with_memory();
    /// An interface that is down now is reported, not required, as long as every member has one that is secured. Where
    /// a member has none at all (a first configuration, a link that is down) all are required.
    void choose_required_interfaces();
    /// Is there a key that all members have scheduled, near enough to wait for?
    [[nodiscard]] bool can_resume();
    /// All members have the same new key already, left by an earlier run: the rotation goes on with it.
    void adopt();

    // prepare
    Ended prepare();
    Result<void> ensure_certificates();
    /// Asks the KME for its opinion of a new certificate, before a key depends on it.
    void try_certificate(MemberRun& m);
    void conclude_certificate(MemberRun& m, bool accepted);
    Result<void> check_prepared();

    // reserve
    Ended reserve();
    Result<void> take_key();
    Result<Leases::Held> take_sae_pairs();
    /// A journal entry for the key of this rotation, with what a dead run noted of it. `asks`: for a new key, next.
    Result<void> begin_entry(bool asks);
    [[nodiscard]] milliseconds lead() const;
    /// How long a commit takes on these devices: measured, else assumed.
    [[nodiscard]] milliseconds commit_time() const;
    /// Times that cannot work out on these devices are refused before anything is touched.
    Result<void> check_times();
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
    Result<void> fetch_at(MemberRun& m);
    /// The answer to a request for the key was lost. Asks once more, within dec_retry_window.
    Result<std::vector<Key>> ask_again(MemberRun& m, const FetchRequest& request);
    Result<void> compare_keys();
    Result<void> acknowledge();

    // peers: members that other processes drive, see peers.cpp. All but the first three are on-box only.
    [[nodiscard]] bool onbox() const;
    [[nodiscard]] bool initiates() const;
    /// Does the key take effect with the commit?
    [[nodiscard]] bool immediate() const;
    /// A scheduled key of a dead run that the others may not have is to go.
    void judge_own_key();
    [[nodiscard]] Round choose_round();
    [[nodiscard]] bool has_common_fallback();
    /// MKA is down on all interfaces, and not for a moment only.
    [[nodiscard]] bool stays_down();
    /// The peers are there, and not on the new key.
    [[nodiscard]] bool lives_on_another_key();
    /// The same, seen anew and well after the start-time.
    [[nodiscard]] bool is_left_alone();
    [[nodiscard]] Round round_of(const KeyIdNotice& offer) const;
    void begin_round(Round round);
    Result<void> settle_start_time();
    /// Held while a transport commits on the device; nothing where it does not.
    Result<Leases::Held> lease_for_transport();
    Result<void> announce(NoticeKind kind, Cancel cancel);
    Result<void> answer();
    Ended lead_peers();
    class PeerWait;
    Result<void> await_answers();
    Result<KeyIdNotice> receive(NoticeMark after, milliseconds timeout, bool judge_expiry);
    Result<KeyIdNotice> await_notice(NoticeMark after, milliseconds patience,
                                     const std::function<bool(const KeyIdNotice&)>& wanted);
    Ended follow();
    Result<void> take_offer();
    /// No new notice came: is the link on the key of the last one?
    Ended no_news(Error error);
    /// The device wants its KME asked although the key_ID is not new.
    Result<void> compare_with_kme(const ConfiguredKey& active);
    /// Lock, load, check and discard, before the responder promises anything.
    Result<void> rehearse();
    /// Armed, and the answers to it.
    Result<void> settle_with_peers();
    void end_groundwork();
    /// Has the initiator withdrawn the key that waits for its start-time?
    bool heed_withdrawal();
    /// The key did not come alive, or the others do not have it: it goes here, also after its start-time.
    void abandon();
    Result<void> say_withdrawn();

    // stage
    Result<void> stage();
    /// Somebody may have changed a member between reading and locking it.
    Result<void> check_unmoved(const std::vector<std::vector<ConfiguredKey>>& before);
    Result<void> make_changes();
    /// Written before any device is touched, so that a later run knows our keys and our commit on the devices.
    Result<void> remember_intent();

    // commit
    Result<void> commit();
    /// The answer to the commit was lost: the device tells by the comment what happened.
    Result<void> find_out_commit(MemberRun& m);
    void measure_commit();
    Result<void> read_member(MemberRun& m);
    /// The members' configuration must hold what was written: names, octets, start-times.
    Result<void> read_back(const char* when);

    // confirm
    Ended confirm();
    Result<void> check_confirm_in_time();
    [[nodiscard]] CallSpec confirm_spec() const;
    /// A new session in place of one that did not answer.
    Result<void> renew_session(MemberRun& m);
    /// The answer to the confirm was lost: where the commit is still pending, it is confirmed again, in time.
    Result<void> find_out_confirm(MemberRun& m);

    // verify
    Ended verify();
    /// Is there time to withdraw a key on every member before it becomes active?
    [[nodiscard]] bool before_start() { return before_start(pipeline_.commit.assumed_commit); }
    [[nodiscard]] bool before_start(milliseconds needed);
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
    Result<void> undo();
    Result<void> retract();
    /// The link did not get to its new key: what does the report say?
    void conclude_failure();
    /// A KME failed: what the pipeline wants then.
    void mind_kme_loss();
    Result<void> close_member(MemberRun& m);
    [[nodiscard]] std::optional<std::chrono::seconds> key_age();
    Result<bool> withdraw_pending();
    /// The members had no key in common before this rotation.
    [[nodiscard]] bool first_configuration() const;
    /// Does this round put a key into the future?
    [[nodiscard]] bool schedules() const;
    Result<void> take_undo_leases();
    Result<void> undo_commits(bool withdraw);
    Result<void> undo_member(MemberRun& m, bool withdraw);
    /// Sessions of this run that broke may still hold the lock.
    template <class Call>
    Result<void> break_own_locks(MemberRun& m, Call&& call);
    /// Takes one member's commit back and proves it by reading. `call` makes a call that nothing interrupts.
    template <class Call>
    Result<void> undo_commit(MemberRun& m, bool withdraw, Call&& call);
    Result<void> retract_notices();
    void forget_intent();

    // small parts
    void enter(Step step);
    /// The link got to its end: a lost answer or an interruption on the way was made good.
    void clear_recovered();
    /// It got there, but not whole on every device: then the report says degraded.
    void mind_shortcomings();
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
    std::optional<Error> failure_;  ///< the first one
    Journal journal_;
    bool journalling_ = false;
    std::mutex entry_mutex_;
    JournalEntry entry_;                ///< as last written
    std::optional<JournalEntry> dead_;  ///< what an earlier run left
    std::vector<Progress> progress_;
    Leases::Held leases_;
    std::string comment_;  ///< unique; marks our commits on the devices

    std::vector<MemberReading> readings_;
    Reconciliation reconciliation_;
    std::vector<MemberChange> changes_;
    RandomKey first_key_, fallback_key_;
    bool fallback_is_fresh_ = true;  ///< no member had it before
    RandomKey base_;                 ///< not random where the members had a key; same shape
    KeyIdNotice notice_;
    std::string key_id_, next_ckn_;
    std::optional<Steady::time_point> minted_at_;  ///< by this run
    std::optional<UtcSeconds> start_;
    std::optional<UtcSeconds> in_force_since_;  ///< when the present key became active, if that is known
    std::vector<UtcMillis> commit_clocks_;      ///< each member's clock just before its commit
    std::atomic<bool> written_{false};          ///< something may stand on a device
    bool groundwork_ = false;                   ///< this round lays a common fallback and schedules no key
    bool dead_taken_ = false;                   ///< what an earlier run left is resolved, or part of this rotation
    bool adopted_ = false;                      ///< the key was on all members when this run began
    std::atomic<bool> lost_kme_{false};         ///< it was a KME that failed
    bool minted_twice_ = false;                 ///< a key was used up by a lost answer already
    std::atomic<bool> key_gone_{false};
    Round round_ = Round::schedule;
    std::optional<Error> unanswered_;  ///< on-box: not all members said that they have the key
    bool abandon_ = false;             ///< on-box: the key goes, whatever the time
    bool withdraw_ = false;            ///< decided: the undo takes the confirmed key away before it becomes active
    bool kept_ = false;                ///< it was too late to take a confirmed key away
    bool proven_ = true;               ///< the undo is seen on every member
    bool forward_only_ = false;        ///< past the point of return: report degraded, undo nothing
};

}  // namespace qkd::engine
