// The world of the model, small enough to be explored whole: two devices with timers, what the runner remembers, its journal.
// Plain bytes: states are compared and hashed as such.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/protocol/steps.hpp"
#include "qkd/sdk/macsec.hpp"

namespace qkd::model {

/// A key by number; 0 = none. Numbers are given anew in normalise(): states that differ in names only are one state.
using Key = std::uint8_t;
using KeySet = std::uint32_t;  ///< bit k = key k
inline constexpr unsigned max_keys = 31;
/// Bit 0 of a KeySet of own keys: "there were own keys once", when none of them stands anywhere any more.
inline constexpr KeySet some_forgotten = 1;

/// An instant. The present always is `present`: when time passes, everything else moves. Instants up to `long_ago` are
/// ranks: only their order counts. 0 in a chain = older than everything (a base key's start-time).
using Tick = std::uint8_t;
inline constexpr Tick present = 60;
inline constexpr Tick long_ago = 20;

/// Durations in ticks. One tick stands for any of the engine's margins (10 s before the timer ends, assumed_commit, ...).
inline constexpr Tick confirm_ticks = 3;
inline constexpr Tick margin_ticks = 1;

struct Slot {
    Key key;
    Tick start;
    auto operator<=>(const Slot&) const = default;
};

struct Config {
    bool configured;
    bool uses_chain;
    Key pre_shared;
    Key fallback;
    std::array<Slot, 6> chain;  ///< by start-time; free places at the end
    auto operator<=>(const Config&) const = default;
};

/// Who has a device's configuration.
enum class Lock : std::uint8_t {
    none,
    runner,   ///< a session of the living runner
    known,    ///< a session that is gone and that the device has not noticed; its name is in the journal
    unknown,  ///< the same, and its name is nowhere
};

struct Device {
    Config running;
    Config before;        ///< before the commit of run `latest`
    std::uint8_t latest;  ///< the run whose confirmed commit is the newest, pending or in effect; 0 = somebody else's
    bool pending;
    Tick deadline;  ///< of the pending commit
    Lock lock;
    bool candidate;  ///< the change is loaded
};

/// What is on the disk of the machine that runs us.
struct Journal {
    bool there;
    std::uint8_t run;  ///< its comment; 0 = not chosen yet
    Key key;
    bool asked_b;  ///< the responder's KME was asked
    bool have_b;
};

/// How far a member's part of a phase is. Small numbers: where in the phase's own little program.
inline constexpr std::uint8_t pc_done = 250;
inline constexpr std::uint8_t pc_failed = 251;
inline constexpr std::uint8_t pc_gone = 252;  ///< fetch: the key is used up

/// One barrier of a step.
enum class Phase : std::uint8_t {
    open,
    gate,
    break_locks,
    read,
    note_revert,
    revert_dead,
    read_again,
    note_withdrawal,
    withdraw_leftovers,
    read_once_more,
    difference,
    take_key,
    mint,
    note_mint,
    announce,
    fetch,
    choose_start,
    note_intent,
    save_intent,
    stage,
    check_unmoved,
    commit_clock,
    commit,
    commit_read_back,
    wait_live,
    confirm_clock,
    confirm,
    confirm_read_back,
    release,
    verify,
    verify_clock,
    persist,
    undo_clock,
    undo,
    retract,
    close
};
const char* to_string(Phase phase) noexcept;

/// One member as the runner has read it.
struct Snapshot {
    Config config;
    std::uint8_t pending;  ///< run of the pending commit, 0 = none
    Key live;              ///< MKA
    MkaState mka;
    Tick clock;  ///< the member's clock that goes with the reading
};

/// One member's change.
struct Change {
    std::array<Slot, 2> add;
    bool use_chain;
    Key pre_shared;
    Key fallback;
    auto operator<=>(const Change&) const = default;
};

struct Progress {
    bool notice;
    bool staged;
    bool committed;
    bool confirm_sent;
};

struct Runner {
    bool alive;
    std::uint8_t run;
    engine::Step step;
    Phase phase;
    std::array<std::uint8_t, 2> pc;
    std::uint8_t waited;  ///< ticks that passed in this phase, up to Options::patience
    std::array<bool, 2> session;
    std::array<bool, 2> noted;  ///< the session's name is in the journal
    std::array<Progress, 2> progress;
    std::array<std::uint8_t, 2> undone;  ///< attempts to undo that failed
    bool failed;
    bool proven;
    bool withdraw;
    bool undo_withdraws;
    bool dead;        ///< an earlier run left a journal
    bool dead_taken;  ///< what it left is resolved, or part of this rotation
    bool groundwork;  ///< this round lays a common fallback and schedules no key
    bool adopted;
    bool journalling;
    bool minted_twice;
    bool interrupted;
    bool first_configuration;
    Key next;
    Key first_key;
    Key fallback_key;
    Tick start;  ///< 0 = none
    std::array<Tick, 2> clock;
    std::array<Tick, 2> commit_clock;
    std::array<Snapshot, 2> seen;
    std::array<Change, 2> change;
};

struct State {
    KeySet own_record, own_journal, own_runner;
    std::array<KeySet, 2> removes;  ///< of the runner's changes
    std::array<Device, 2> device;
    Journal journal;
    Runner runner;
    bool used_at_b;  ///< the responder's KME has given the journalled key away
    std::uint8_t faults_left;
    std::uint8_t runs_left;
    std::uint8_t killed_in;  ///< where the runner died first: a Killed
    std::array<std::uint8_t, 2> padding;
};
static_assert(std::is_trivially_copyable_v<State> && std::has_unique_object_representations_v<State>);
bool operator==(const State& a, const State& b) noexcept;
std::size_t hash_of(const State& state) noexcept;

// The devices' own ways.

/// Keys with which MKA can be live at this instant, best first; no preceding key. 0 = none.
std::array<Key, 3> usable(const Config& config, Tick clock) noexcept;
inline Key primary(const Config& config, Tick clock) noexcept {
    return usable(config, clock)[0];
}
bool holds(const Config& config, Key key) noexcept;
void add_slot(Config& config, Slot slot);
void remove_slots(Config& config, KeySet keys);
void go_back(Device& device) noexcept;
/// One tick. Timers end first, then chain keys become active.
void pass_time(State& state) noexcept;
/// Is anything timed ahead: a pending commit's timer, a start-time?
bool timed_ahead(const State& state, const std::array<Tick, 2>& skew) noexcept;

/// Gives numbers anew and clears what nobody will look at again.
void normalise(State& state, const std::array<Tick, 2>& skew);
/// A number that no key has.
Key unused_key(const State& state);
/// A number that no run has.
std::uint8_t unused_run(const State& state) noexcept;

std::string describe(const State& state, const std::array<Tick, 2>& skew);

}  // namespace qkd::model
