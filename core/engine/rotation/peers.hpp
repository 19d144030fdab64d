// The one place where off-box and on-box differ: whether all members of the link are driven here (AllHere), or one of them, and the
// others by processes of their own, which are met only through the key-id-transport (OneOfMany).
#pragma once

#include <memory>

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/turns.hpp"

namespace qkd::engine {

struct RunShared;

struct PeerTraits {
    int commits_in_turn;            ///< TimingTerms::commits_in_turn
    bool may_invent_keys;           ///< random keys made here reach all members
    bool takes_dead_key_away;       ///< a key that does not come alive is taken away here, also after its start-time
    bool pending_stays_in_journal;  ///< the next run has to see whether a scheduled key came alive
    bool borrows_to_retract;        ///< a transport that commits needs the device for taking its notice away
};

/// What becomes of a key that did not come alive.
enum class NotLive : std::uint8_t {
    live_after_all,
    pending,     ///< all members have it and its start-time is ahead: the next run verifies
    turn_round,  ///< it is taken away again; Attempt::failure says why
};

/// Of one attempt. Used by the link's thread.
class Peers {
  public:
    Peers() = default;
    virtual ~Peers() = default;
    Peers(const Peers&) = delete;
    Peers& operator=(const Peers&) = delete;

    [[nodiscard]] virtual const PeerTraits& traits() const noexcept = 0;

    // ---- reconcile
    /// A scheduled key of a dead run that others may lack is added to what goes.
    virtual void judge_leftovers(Attempt& attempt) = 0;
    /// Why the key of a dead run cannot be used again, apart from what everybody can see; empty when it can.
    [[nodiscard]] virtual std::string why_not_reuse(const JournalEntry& dead) const = 0;

    // ---- prepare, reserve
    /// Which round comes next, as far as that is decided before a key is taken: `groundwork` or `done`.
    virtual Ended plan_round(Attempt& attempt) = 0;
    /// The same new key at all members, by name and octets.
    virtual Ended reserve(Attempt& attempt) = 0;

    // ---- stage, confirm
    /// The start-time of this attempt goes into its key.
    virtual Result<void> settle_start_time(Attempt& attempt) = 0;
    /// After the confirm: all members know that all have it.
    virtual Result<void> settle(Attempt& attempt) = 0;

    // ---- verify, persist
    /// Between two looks at MKA: conflict once the key was withdrawn elsewhere.
    virtual Result<void> hear(const Attempt& attempt) = 0;
    /// `why` it did not come alive. An error: nothing can be taken back any more.
    virtual Result<NotLive> on_not_live(Attempt& attempt, Error why) = 0;
    /// It is live here. An error: that is not known of all members.
    virtual Result<void> on_live() = 0;
    /// What the record says of the members beside the key itself.
    virtual void remember(const Attempt& attempt, LinkRecord& record) const = 0;

    // ---- undo, retract
    /// Before the undo of a change that some member has confirmed.
    virtual void turn_round(Attempt& attempt) const = 0;
    /// Takes the notices away.
    virtual Result<void> retract(Attempt& attempt) = 0;
};

/// What peers work with. Outlives them.
struct PeerServices {
    RunShared& run;
    Crew& crew;
    LinkState& state;
    Turns& turns;
};

/// As the link says: with peers in other processes, or without.
std::unique_ptr<Peers> make_peers(const Link& link, const PeerServices& services);

/// The part of retract() that both have: every member here takes its notice away.
Result<void> retract_notices(Crew& crew, Turns& turns, bool borrows_devices);

}  // namespace qkd::engine
