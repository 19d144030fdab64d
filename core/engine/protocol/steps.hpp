// The rotation protocol as data: its steps, which follows which, and what takes each of them back. Rotation walks along this
// table and no other way; the model check in tests/model walks all of it.
//
//   connect -> reconcile -> prepare -> reserve -> stage -> commit -> confirm -> verify -> persist -> end
//                 |                    |    ^        |        |          |         |
//                 |                    +----+ key    +--------+----------+---------+--> undo -> retract -> end
//                 |                      is gone, or another one is offered
//                 +--(a key that all members have already)-----------> verify
//                 +--(asked to withdraw)--> withdraw -> end
//
// Where no KME gives a key and the pipeline closes a link whose key is too old: retract -> close -> end.
// Where the members have no fallback in common, prepare -> stage -> commit -> confirm -> reconcile lays one first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace qkd::engine {

/// What a rotation is doing. The journal records these words: never change them.
enum class Step : std::uint8_t {
    connect,
    reconcile,
    prepare,
    reserve,
    stage,
    commit,
    confirm,
    verify,
    persist,
    undo,
    retract,
    withdraw,  ///< asked for: takes away what is scheduled and not active yet
    close,     ///< takes a key that is too old out of use
    end
};
const char* to_string(Step step) noexcept;
std::optional<Step> parse_step(std::string_view word) noexcept;

/// How a step ended.
enum class Outcome : std::uint8_t {
    done,        ///< all members
    failed,      ///< at least one member; the error is known
    adopted,     ///< reconcile: all members have a new key already, left by an earlier run
    no_keys,     ///< connect: the pipeline has no commit stage, there is nothing to rotate
    groundwork,  ///< prepare, confirm: a common fallback goes first, in a round of its own, and no new key with it
    key_gone,    ///< reserve: a KME used the key up with an answer that was lost; once per rotation
    superseded,  ///< reserve, on-box: the initiator began anew with another key
    unchanged,   ///< reserve, on-box: the initiator has no new key, and the link is on the last one
    too_soon,    ///< verify: broken off while the key can still be taken away everywhere
    withdraws,   ///< reconcile: nothing but the way back is asked for
    closes       ///< retract: no KME gave a key, and the pipeline wants the old one out of use
};
const char* to_string(Outcome outcome) noexcept;

struct Transition {
    Step from;
    Outcome when;
    Step to;
};
std::span<const Transition> transitions() noexcept;

/// The step after `from`. Where the table has no line, `undo`: that is safe from everywhere.
Step next_step(Step from, Outcome outcome) noexcept;

/// What a step leaves behind, and what takes it away again.
struct StepFacts {
    Step step;
    const char* does;
    const char* undone_by;    ///< within the run
    const char* after_death;  ///< when the runner dies in it: what ends the state, with or without another run
};
std::span<const StepFacts> step_facts() noexcept;

/// What is to be undone at one member.
enum class Undo : std::uint8_t {
    nothing,
    discard,   ///< candidate and lock
    revert,    ///< back to the configuration before our commit
    withdraw,  ///< delete exactly the new chain key
    keep       ///< too late to take it away: the next run repairs forward; only the lock goes
};
const char* to_string(Undo undo) noexcept;

struct MemberStanding {
    bool staged = false;        ///< our change may be in its candidate, our lock on it
    bool committed = false;     ///< our confirmed commit was sent
    bool confirm_sent = false;  ///< so was its confirm
    bool pending = false;       ///< the device says that our commit waits for its confirm
};
struct UndoTerms {
    /// The change scheduled a key. One that replaced a pre-shared key or laid a fallback can be taken back whole: the old
    /// key is in force or the fallback, before and after.
    bool schedules = true;
    /// The members had no key in common before: taking one key away would leave them with the rest of a configuration
    /// that they do not share.
    bool first_configuration = false;
    bool withdraw = false;  ///< confirmed keys are to go, and the start-time is far enough ahead
};
Undo undo_of(const MemberStanding& member, const UndoTerms& terms) noexcept;

}  // namespace qkd::engine
