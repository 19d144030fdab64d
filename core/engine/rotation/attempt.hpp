// One attempt to bring a link from one key to the next, as data. Each value has one writer, named here; the steps are functions of
// it and of the services that their signatures name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/members/crew.hpp"
#include "engine/protocol/conclude.hpp"
#include "engine/protocol/reconcile.hpp"
#include "engine/protocol/rollover.hpp"
#include "engine/protocol/steps.hpp"
#include "engine/protocol/timing.hpp"
#include "engine/reporting/report.hpp"
#include "engine/state/link_state.hpp"
#include "qkd/sdk/key_id_transport.hpp"

namespace qkd::engine {

using Steady = std::chrono::steady_clock;
/// How a step ended; an Error stands for Outcome::failed.
using Ended = Result<Outcome>;

/// The key that the attempt brings. Written by `reserve`, or by `reconcile` where an earlier run left one on all members. The octets
/// are each member's own, in MemberRun::key.
struct NewKey {
    std::string id;
    std::string ckn;
    std::optional<UtcSeconds> start;              ///< unset: it takes effect with the commit
    std::optional<Steady::time_point> minted_at;  ///< by this attempt

    [[nodiscard]] bool empty() const noexcept { return id.empty(); }
    [[nodiscard]] KeyName name() const { return {id, ckn}; }
    /// Another key will be taken. The start-time stays: it is the round's.
    void forget() { *this = NewKey{{}, {}, start, {}}; }
};

/// What the members have, as `reconcile` found it.
struct Finding {
    std::vector<MemberReading> readings;
    Reconciliation keys;
    std::optional<UtcSeconds> in_force_since;  ///< of the present key, if that is known
};

/// The further keys of the change. Written by `stage` (on-box also while it rehearses).
struct ChangeMaterial {
    NamedSecret first;              ///< random; for members that had no key in common
    NamedSecret fallback;           ///< that all get, where they have none in common
    NamedSecret base;               ///< the key in force on which the change builds, or `first`
    bool fallback_is_fresh = true;  ///< no member had it before
};

/// How far the way back goes. Written by the step that decides to turn round.
struct WayBack {
    bool withdraws = false;          ///< the undo takes the confirmed key away before it becomes active
    bool whatever_the_time = false;  ///< also after its start-time: nobody else has it
};

enum class Goal : std::uint8_t { rotate, withdraw };

struct Attempt {
    Attempt(const Pipeline& of, const Link& with, Goal what)
        : pipeline(of), link(with), goal(what), rollover(traits_of(of.commit.rollover)) {
        report.name = with.name;
        report.rollover = of.commit.rollover;
    }

    const Pipeline& pipeline;
    const Link& link;
    const Goal goal;
    const RolloverTraits rollover;
    int commits_in_turn = 1;  ///< TimingTerms::commits_in_turn; the peers' trait

    Step step = Step::connect;     ///< the walk
    LinkReport report;             ///< the walk and, for their own parts, the steps
    Verdict verdict;               ///< see there
    std::optional<Error> failure;  ///< the first one; the walk, or the step that turns round

    Finding found;                        ///< reconcile
    KeyRound round = KeyRound::schedule;  ///< prepare, or on-box reserve
    NewKey key;                           ///< reserve, or reconcile
    bool adopted = false;                 ///< reconcile: the key was on all members when this attempt began
    bool minted_twice = false;            ///< reserve: a key was used up by a lost answer already
    KeyIdNotice notice;                   ///< the peers
    ChangeMaterial material;              ///< stage
    std::string comment;                  ///< stage: unique, marks our commits on the devices
    WayBack way_back;                     ///< verify, undo

    /// This round lays a common fallback and schedules no key.
    [[nodiscard]] bool is_groundwork() const noexcept { return round == KeyRound::fallback; }
    /// Does this round put a key into the future?
    [[nodiscard]] bool schedules() const noexcept { return rollover.schedules && !is_groundwork(); }
    /// Does the key take effect with the commit?
    [[nodiscard]] bool is_immediate() const noexcept { return !rollover.schedules || round == KeyRound::first; }
    /// The members had no key in common before this attempt.
    [[nodiscard]] bool is_first_configuration() const noexcept { return !found.keys.base_is_common; }

    [[nodiscard]] TimingTerms terms(const LinkState& state) const {
        return timing_terms(pipeline.commit, state.record.commit_time, commits_in_turn);
    }
    /// Copies the key into the report.
    void report_key() {
        report.key_id = key.id;
        report.ckn = key.ckn;
        report.start_time = rollover.schedules ? key.start : std::nullopt;
    }
};

/// "3.2 s", for messages.
std::string seconds_text(milliseconds time);

}  // namespace qkd::engine
