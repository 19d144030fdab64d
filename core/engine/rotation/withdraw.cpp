// Rotation: withdraw, the way back that an operator asks for. Pending keys of ours go from all members, before they become
// active.
#include <algorithm>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {

LinkReport Rotation::withdraw() {
    const auto outcome = guard_engine([&]() -> Result<void> {
        if (!pipeline_.has(StageKind::commit)) {
            return Error{ErrorCode::config, Retry::never, "the pipeline has no commit stage: it never scheduled a key",
                         "name the pipeline that rotates link " + link_.name};
        }
        if (auto r = crew_.assemble(shared_.host, {StageKind::connect, StageKind::commit}); !r) return r;
        if (auto r = memory_.open(shared_.host, pipeline_); !r) return r;
        if (auto r = load_record(); !r) return r;
        if (auto r = load_journal(); !r) return r;
        if (auto r = crew_.connect(); !r) return r;
        if (auto r = crew_.read_clocks(); !r) return r;
        step_ = Step::reconcile;
        if (auto r = break_dead_locks(); !r) return r;
        if (auto r = crew_.read_states(); !r) return r;
        const bool unconfirmed =
            dead_ && std::any_of(crew_.members().begin(), crew_.members().end(), [&](const auto& m) {
                return m.state.pending && m.state.pending->comment == dead_->comment;
            });
        if (auto r = undo_own_pending_commit(); !r) return r;
        look_at_members();
        auto taken = withdraw_pending();
        if (!taken) return std::move(taken).error();
        report_.result = *taken || unconfirmed ? LinkResult::reverted : LinkResult::unchanged;
        compare_with_memory();
        const bool stands = dead_ && !dead_->ckn.empty() &&
                            std::any_of(crew_.members().begin(), crew_.members().end(), [&](const MemberRun& m) {
                                return std::any_of(m.state.keys.begin(), m.state.keys.end(),
                                                   [&](const ConfiguredKey& key) { return key.ckn == dead_->ckn; });
                            });
        if (stands) {
            crew_.caller().log(LogLevel::notice, "the key of an earlier run is in force; the next run goes on with it",
                               "withdraw");
            fill_key();
            return {};
        }
        if (dead_ && !dead_->key_id.empty()) {
            key_id_ = dead_->key_id;
            next_ckn_ = dead_->ckn;
        }
        if (report_.result == LinkResult::reverted || !key_id_.empty())
            audit("withdrawn", "asked for on the command line");
        fill_key();
        forget_intent();
        return journal_.erase();
    });
    if (!outcome) {
        report_.result = LinkResult::failed;
        report_.error = outcome.error();
    }
    leases_.release();
    if (pipeline_.has(StageKind::commit)) crew_.report_mka();
    crew_.close();
    return std::move(report_);
}

Result<bool> Rotation::withdraw_pending() {
    bool any = false;
    const auto& own = record_.own_ckns;
    std::vector<Withdrawal> list;
    for (std::size_t i = 0; i < reconciliation_.views.size(); ++i) {
        for (const auto* key : reconciliation_.views[i].pending) {
            const std::string& device = readings_[i].device;
            if (std::find(own.begin(), own.end(), key->ckn) == own.end()) {
                crew_.caller().log(LogLevel::warning,
                                   device + " has scheduled key " + key->ckn.substr(0, 12) +
                                       "... that this program did not write; it is left alone",
                                   "withdraw");
                continue;
            }
            // Halfway would be worse than not at all: one member would change key, the other would not.
            if (latest_clock() + pipeline_.commit.max_clock_skew + commit_time() >= *key->start) {
                return Error{ErrorCode::conflict, Retry::never,
                             "link " + link_.name + ": key " + key->ckn.substr(0, 12) + "... on " + device +
                                 " becomes active too soon to withdraw it everywhere",
                             "let it become active; `qkd-macsec run` brings the next one"};
            }
            list.push_back({i, key->ckn});
            next_ckn_ = key->ckn;
            if (key->ckn == record_.pending_ckn) key_id_ = record_.pending_key_id;
            start_ = key->start;
            any = true;
        }
    }
    if (!any) return false;
    reconciliation_.withdrawals = std::move(list);
    if (auto r = withdraw_leftovers(); !r) return std::move(r).error();
    if (auto r = crew_.read_states(); !r) return std::move(r).error();
    const auto gone = reconciliation_.withdrawals;
    look_at_members();
    for (const auto& withdrawal : gone) {
        for (const auto* key : reconciliation_.views[withdrawal.member].pending) {
            if (key->ckn != withdrawal.ckn) continue;
            return Error{ErrorCode::conflict, Retry::safe,
                         "device " + readings_[withdrawal.member].device + " still has key " + key->ckn.substr(0, 12) +
                             "... after it was withdrawn",
                         "run `qkd-macsec withdraw` again"};
        }
    }
    return true;
}

}  // namespace qkd::engine
