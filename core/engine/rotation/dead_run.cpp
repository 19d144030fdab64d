// Resolving what a dead run left, by what its journal says.
#include "engine/rotation/dead_run.hpp"

#include <algorithm>

#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

bool is_of_dead_run(const MemberRun& m, const LinkState& state) {
    return state.dead && is_commit_of_dead_run(m.state.pending, state.dead->comment);
}

/// Can this rotation go on with the dead run's key? Empty when it can; else why not.
std::string why_not_reuse(const Attempt& attempt, const Crew& crew, const JournalEntry& dead, const Peers& peers) {
    const auto& members = crew.members();
    const bool same_members = dead.members.size() == members.size() &&
                              dead.members.front().device == members.front().member->device &&
                              std::all_of(members.begin(), members.end(),
                                          [&](const MemberRun& m) { return dead.member(m.member->device) != nullptr; });
    if (!same_members) return "the link has other members now";
    if (auto why = peers.why_not_reuse(dead); !why.empty()) return why;
    // A responder may have asked and not noted the answer: it asks again.
    const bool asks_again = members.front().member->role == Role::responder && dead.members.front().key.empty();
    if (!asks_again && dead.members.front().key.size() != cak_octets(attempt.link.cipher))
        return "the link has another cipher now";
    auto ckn = derive_ckn(attempt.link.name, dead.key_id, attempt.link.ckn_prefix);
    if (!ckn || *ckn != dead.ckn) return "the link names its keys in another way now";
    for (const auto& reading : attempt.found.readings) {
        if (!may_schedule_again(attempt.pipeline.commit.rollover, reading.state->keys, dead.ckn))
            return "it is in force on " + reading.device + " already, but not everywhere";
    }
    return {};
}

}  // namespace

void report_dead_run(const LinkState& state, Crew& crew) {
    if (!state.dead) return;
    crew.caller().log(LogLevel::notice,
                      "run " + state.dead->run_id + " ended " + (state.dead->ended ? "after" : "in") + " step " +
                          to_string(state.dead->step) + "; resolving what it left",
                      "connect");
}

Result<void> break_dead_locks(Crew& crew, const LinkState& state) {
    if (!state.dead) return {};
    return crew.each([&](MemberRun& m) -> Result<void> {
        const JournalMember* left = state.dead->member(m.member->device);
        if (left == nullptr) return {};
        for (const auto& id : left->sessions) {
            CallSpec spec = crew.spec(StageKind::commit, "break-lock");
            spec.look = true;
            QKD_TRY(const bool broken, m.caller(spec, m.commit.name, [&](Context& context) {
                return m.commit->break_lock(context, *m.session, id);
            }));
            if (!broken) continue;
            m.caller.log(LogLevel::notice, "ended session " + id + " of the dead run, which still held the lock",
                         "reconcile");
        }
        return {};
    });
}

Result<void> note_repair(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run) {
    return state.note_repair([&](JournalEntry& entry) {
        if (!state.dead) {
            entry.run_id = run.run_id;
            entry.step = attempt.step;
        }
        for (const auto& m : crew.members()) {
            if (entry.member(m.member->device) == nullptr) entry.members.emplace_back().device = m.member->device;
        }
        note_sessions(entry, crew);
    });
}

bool has_dead_commit(const Crew& crew, const LinkState& state) {
    const auto& members = crew.members();
    return std::any_of(members.begin(), members.end(), [&](const auto& m) { return is_of_dead_run(m, state); });
}

Result<void> undo_dead_commit(const Attempt& attempt, Crew& crew, LinkState& state, Turns& turns,
                              const RunShared& run) {
    if (!has_dead_commit(crew, state)) return {};
    QKD_TRY(turns.take_devices());
    QKD_TRY(note_repair(attempt, crew, state, run));
    auto reverted = crew.each([&](MemberRun& m) -> Result<void> {
        if (!is_of_dead_run(m, state)) return {};
        m.caller.log(LogLevel::warning, "reverting the unconfirmed commit of an interrupted run", "reconcile");
        return m.caller(busy_patient(crew, "revert"), m.commit.name,
                        [&](Context& context) { return m.commit->revert(context, *m.session, state.dead->comment); });
    });
    turns.release_devices();
    if (!reverted) return reverted;
    return crew.read_states();
}

bool dead_key_is_in_force(const Attempt& attempt, const LinkState& state) {
    const auto& dead = state.dead;
    if (!dead || dead->ckn.empty() || dead->members.empty() || dead->members.front().key.empty()) return false;
    const auto& views = attempt.found.keys.views;
    return std::all_of(views.begin(), views.end(), [&](const KeyView& view) {
        const ConfiguredKey* key = attempt.rollover.place == KeyPlace::chain ? view.active : view.pre_shared;
        return key != nullptr && key->ckn == dead->ckn && key->cak.same_as(dead->members.front().key);
    });
}

void take_over_dead_key(Attempt& attempt, Crew& crew, LinkState& state, const Peers& peers) {
    if (!state.dead) return;
    const JournalEntry& dead = *state.dead;
    state.dead_is_settled = true;
    if (dead.key_id.empty()) {
        if (!dead.members.empty() && dead.members.front().asked) {
            state.audit("lost", {}, "a KME was asked for a key, and the run died before the answer was known");
            crew.caller().log(LogLevel::warning, "the dead run may have lost the answer to a request for a new key",
                              "reserve");
        }
        state.dead.reset();
        return;
    }
    if (const std::string why = why_not_reuse(attempt, crew, dead, peers); !why.empty())
        return give_up_dead_key(crew, state, why);
    attempt.key.id = dead.key_id;
    attempt.key.ckn = dead.ckn;
    for (auto& m : crew.members()) m.key = dead.member(m.member->device)->key.clone();
    state.audit("resumed", attempt.key.name(), "the run that minted it died; this run goes on with the key");
    crew.caller().log(LogLevel::notice, "going on with key " + attempt.key.id + " of the dead run", "reserve");
}

void give_up_dead_key(Crew& crew, LinkState& state, const std::string& why) {
    state.dead_is_settled = true;
    state.audit("unused", {state.dead->key_id, state.dead->ckn}, "not used any more: " + why);
    crew.caller().log(LogLevel::notice, "key " + state.dead->key_id + " of the dead run is not used: " + why,
                      "reserve");
    state.dead.reset();
}

}  // namespace qkd::engine
