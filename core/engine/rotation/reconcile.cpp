// Step reconcile: the router is the truth. What an earlier run left is resolved first, then the members are read and compared.
#include "engine/protocol/reconcile.hpp"

#include <algorithm>

#include "engine/rotation/dead_run.hpp"
#include "engine/rotation/leftovers.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

/// Takes over a remembered pending key that is in force by now; forgets a remembered key that is not.
void compare_with_memory(Attempt& attempt, LinkRecord& record) {
    const KeyView& view = attempt.found.keys.views.front();
    const ConfiguredKey* active = view.active != nullptr ? view.active : view.pre_shared;
    const std::string in_force = active != nullptr ? active->ckn : std::string{};
    if (!record.pending_ckn.empty() && in_force == record.pending_ckn) {
        record.previous_key_id = record.key_id;
        record.key_id = record.pending_key_id;
        record.ckn = record.pending_ckn;
        record.start = active->start;
    }
    // What is remembered is a cache: the key in force may be another one.
    attempt.report.previous_key_id.reset();
    if (!record.key_id.empty() && in_force == record.ckn) attempt.report.previous_key_id = record.key_id;
    if (view.active != nullptr) {
        attempt.found.in_force_since = view.active->start;
    } else if (!in_force.empty() && in_force == record.ckn) {
        attempt.found.in_force_since = record.saved;
    }
}

/// An interface that is down now is reported, not required, as long as every member has one that is secured. Where a member has
/// none at all (a first configuration, a link that is down) all are required.
void choose_required_interfaces(Crew& crew) {
    std::vector<std::vector<std::string>> secured;
    for (const auto& m : crew.members()) {
        auto& list = secured.emplace_back();
        for (const auto& interface : m.state.mka) {
            if (interface.state != MkaState::down && interface.state != MkaState::unknown)
                list.push_back(interface.name);
        }
        if (list.empty()) return;
    }
    for (auto& m : crew.members()) {
        auto& required = secured[crew.index_of(m)];
        for (const auto& interface : m.member->interfaces) {
            if (std::find(required.begin(), required.end(), interface) != required.end()) continue;
            m.caller.log(LogLevel::warning, "interface " + interface + " is down; it is not required in this rotation",
                         "reconcile");
        }
        m.required = std::move(required);
    }
}

/// Is there a key that all members have scheduled, near enough to wait for, or one of a dead run that is in force everywhere?
bool can_resume(const Attempt& attempt, const Crew& crew, const LinkState& state) {
    const auto& members = crew.members();
    // What waits for its confirm may go again by itself.
    if (std::any_of(members.begin(), members.end(), [](const MemberRun& m) { return m.state.pending.has_value(); }))
        return false;
    if (dead_key_is_in_force(attempt, state)) return true;
    const ConfiguredKey* key = attempt.found.keys.adopted;
    if (key == nullptr || !attempt.rollover.schedules) return false;
    // Near a change of daylight time a start-time lies further ahead than the lead.
    std::vector<ClockReading> clocks;
    for (const auto& m : members) clocks.push_back(m.clock);
    return *key->start <= choose_start(clocks, lead_of(attempt.terms(state))) + std::chrono::hours{1};
}

/// The key_ID under which a key of this CKN is known; empty when it is not.
std::string key_id_of(const std::string& ckn, const LinkState& state) {
    if (state.dead && ckn == state.dead->ckn) return state.dead->key_id;
    if (ckn == state.record.pending_ckn) return state.record.pending_key_id;
    return ckn == state.record.ckn ? state.record.key_id : std::string{};
}

/// All members have the same new key already, left by an earlier run: the attempt goes on with it.
void adopt(Attempt& attempt, Crew& crew, LinkState& state) {
    attempt.adopted = true;
    state.dead_is_settled = true;
    NewKey& key = attempt.key;
    if (const ConfiguredKey* adopted = attempt.found.keys.adopted; adopted != nullptr) {
        key.ckn = adopted->ckn;
        key.start = adopted->start;
    } else {
        key.ckn = state.dead->ckn;
        if (const ConfiguredKey* active = attempt.found.keys.views.front().active; active != nullptr)
            key.start = active->start;
    }
    if (state.dead && key.ckn != state.dead->ckn && !state.dead->key_id.empty()) {
        state.audit("unused", {state.dead->key_id, state.dead->ckn},
                    "not used any more: all members have another new key");
    }
    key.id = key_id_of(key.ckn, state);
    if (key.ckn == state.record.ckn) {
        attempt.report.previous_key_id.reset();
        if (!state.record.previous_key_id.empty()) attempt.report.previous_key_id = state.record.previous_key_id;
    }
    for (auto& m : crew.members()) m.commit_clock = m.clock.now;
    crew.caller().log(LogLevel::notice, "all members have the same new key already; going on with it", "reconcile");
    attempt.report_key();
}

}  // namespace

void look_at_members(Attempt& attempt, Crew& crew, const LinkState& state) {
    attempt.found.readings = crew.readings();
    attempt.found.keys = reconcile(attempt.found.readings, state.record.own_ckns, attempt.pipeline.commit.rollover);
}

Ended reconcile(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers, RunShared& run) {
    QKD_TRY(crew.connect());  // after groundwork a session may be gone
    QKD_TRY(break_dead_locks(crew, state));
    QKD_TRY(crew.read_states());
    const bool unconfirmed = has_dead_commit(crew, state);
    QKD_TRY(undo_dead_commit(attempt, crew, state, turns, run));
    const auto look = [&] {
        look_at_members(attempt, crew, state);
        peers.judge_leftovers(attempt);
    };
    look();
    if (attempt.goal == Goal::withdraw) {
        attempt.verdict.arrival = unconfirmed ? Arrival::withdrawn : Arrival::unchanged;
        compare_with_memory(attempt, state.record);
        return Outcome::withdraws;
    }
    for (const auto& note : attempt.found.keys.notes) crew.caller().log(LogLevel::warning, note, "reconcile");
    if (!attempt.found.keys.withdrawals.empty()) {
        QKD_TRY(withdraw_leftovers(attempt, crew, state, turns, run));
        QKD_TRY(crew.read_states());
        look();
    }
    QKD_TRY(crew.obey_overrides(run.host));
    compare_with_memory(attempt, state.record);
    choose_required_interfaces(crew);
    if (!can_resume(attempt, crew, state)) return Outcome::done;
    adopt(attempt, crew, state);
    return Outcome::adopted;
}

}  // namespace qkd::engine
