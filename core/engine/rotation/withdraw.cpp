// Step withdraw, the way back that an operator asks for: pending keys of ours go from all members, before they become active.
#include <algorithm>

#include "engine/rotation/change.hpp"
#include "engine/rotation/leftovers.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

std::string short_name(const std::string& ckn) {
    return ckn.substr(0, 12) + "...";
}

/// What is to go, by member. conflict when a key is too near: halfway would be worse than not at all, one member would change key
/// and the other would not.
Result<std::vector<Withdrawal>> choose_withdrawals(Attempt& attempt, Crew& crew, const LinkState& state) {
    const LinkRecord& record = state.record;
    const TimingTerms terms = attempt.terms(state);
    std::vector<Withdrawal> list;
    for (std::size_t i = 0; i < attempt.found.keys.views.size(); ++i) {
        const std::string& device = attempt.found.readings[i].device;
        for (const auto* key : attempt.found.keys.views[i].pending) {
            if (std::find(record.own_ckns.begin(), record.own_ckns.end(), key->ckn) == record.own_ckns.end()) {
                crew.caller().log(LogLevel::warning,
                                  device + " has scheduled key " + short_name(key->ckn) +
                                      " that this program did not write; it is left alone",
                                  "withdraw");
                continue;
            }
            if (!before_start(crew.latest_clock(), key->start, commit_time(terms), terms)) {
                return Error::conflict("link " + attempt.link.name + ": key " + short_name(key->ckn) + " on " + device +
                                           " becomes active too soon to withdraw it everywhere",
                                       "let it become active; `qkd-macsec run` brings the next one");
            }
            list.push_back({i, key->ckn});
            attempt.key.ckn = key->ckn;
            if (key->ckn == record.pending_ckn) attempt.key.id = record.pending_key_id;
            attempt.key.start = key->start;
        }
    }
    return list;
}

Result<void> check_gone(const Attempt& attempt, const std::vector<Withdrawal>& withdrawn) {
    for (const auto& withdrawal : withdrawn) {
        for (const auto* key : attempt.found.keys.views[withdrawal.member].pending) {
            if (key->ckn != withdrawal.ckn) continue;
            return Error::conflict("device " + attempt.found.readings[withdrawal.member].device + " still has key " +
                                       short_name(key->ckn) + " after it was withdrawn",
                                   "run `qkd-macsec withdraw` again")
                .retryable();
        }
    }
    return {};
}

Result<void> withdraw_pending(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, const RunShared& run) {
    QKD_TRY(const auto list, choose_withdrawals(attempt, crew, state));
    if (list.empty()) return {};
    attempt.found.keys.withdrawals = list;
    QKD_TRY(withdraw_leftovers(attempt, crew, state, turns, run));
    QKD_TRY(crew.read_states());
    look_at_members(attempt, crew, state);
    QKD_TRY(check_gone(attempt, list));
    attempt.verdict.arrival = Arrival::withdrawn;
    return {};
}

bool stands(const std::string& ckn, const Crew& crew) {
    const auto& members = crew.members();
    return !ckn.empty() && std::any_of(members.begin(), members.end(), [&](const MemberRun& m) {
        return std::any_of(m.state.keys.begin(), m.state.keys.end(),
                           [&](const ConfiguredKey& key) { return key.ckn == ckn; });
    });
}

}  // namespace

Ended withdraw(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, RunShared& run) {
    QKD_TRY(withdraw_pending(attempt, crew, state, turns, run));
    if (state.dead && stands(state.dead->ckn, crew)) {
        crew.caller().log(LogLevel::notice, "the key of an earlier run is in force; the next run goes on with it",
                          "withdraw");
        attempt.report_key();
        return Outcome::done;
    }
    if (state.dead && !state.dead->key_id.empty()) {
        attempt.key.id = state.dead->key_id;
        attempt.key.ckn = state.dead->ckn;
    }
    if (attempt.verdict.arrival == Arrival::withdrawn || !attempt.key.empty())
        state.audit("withdrawn", attempt.key.name(), "asked for on the command line");
    attempt.report_key();
    forget_intent(crew, state);
    QKD_TRY(state.erase_journal());
    return Outcome::done;
}

}  // namespace qkd::engine
