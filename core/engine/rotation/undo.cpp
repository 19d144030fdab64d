// Rotation: the undo of every step, and what of it is proven.
#include <algorithm>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

constexpr unsigned undo_attempts = 3;

}  // namespace

template <class Call>
Result<void> Rotation::undo_commit(MemberRun& m, bool withdraw, Call&& call) {
    const auto read = [&]() -> Result<void> {
        auto state = call("read-back", [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
        if (!state) return std::move(state).error();
        m.state = std::move(*state);
        return {};
    };
    if (auto r = read(); !r) return r;
    const Progress& progress = progress_of(m);
    const bool pending = m.state.pending && m.state.pending->comment == comment_;
    const Undo what = undo_of({progress.staged, progress.committed, progress.confirmed, pending},
                              {schedules(), first_configuration(), withdraw});
    if (what == Undo::revert) {
        auto r = call("revert", [&](Context& context) { return m.commit->revert(context, *m.session, comment_); });
        if (!r) return r;
    } else {
        if (auto r = call("discard", [&](Context& context) { return m.commit->discard(context, *m.session); }); !r)
            return r;
        if (what != Undo::withdraw) return {};
        auto now = read_clock(m);
        if (!now) return std::move(now).error();
        if (!abandon_ && *now + pipeline_.commit.assumed_commit >= *start_) {
            return Error{ErrorCode::conflict, Retry::safe,
                         "device " + m.member->device + ": too late to withdraw the new key before its start-time",
                         "run again; the next run repairs forward"};
        }
        auto r = call("withdraw", [&](Context& context) {
            return m.commit->withdraw(context, *m.session, m.target, next_ckn_, comment_ + " withdraw");
        });
        if (!r) return r;
    }
    if (auto r = read(); !r) return r;
    const auto is_new = [&](const ConfiguredKey& key) {
        return key.ckn == next_ckn_ || key.ckn == first_key_.ckn ||
               (fallback_is_fresh_ && key.ckn == fallback_key_.ckn);
    };
    const auto is_next = [&](const ConfiguredKey& key) { return key.ckn == next_ckn_; };
    const auto& keys = m.state.keys;
    const bool gone = first_configuration() ? std::none_of(keys.begin(), keys.end(), is_new)
                                            : std::none_of(keys.begin(), keys.end(), is_next);
    if (!m.state.pending && gone) return {};
    return Error{ErrorCode::conflict, Retry::safe,
                 "device " + m.member->device + " still has the new key after the undo",
                 "run again; the next run looks at what is there"};
}

Result<void> Rotation::undo() {
    // Waiting for the devices' turn takes its time; whether a key can still be withdrawn is asked after it.
    if (auto leases = take_undo_leases(); !leases) {
        proven_ = false;
        return leases;
    }
    if (withdraw_ && !abandon_ && !before_start()) withdraw_ = false;
    const bool any_confirmed =
        std::any_of(progress_.begin(), progress_.end(), [](const Progress& progress) { return progress.confirmed; });
    // On-box the others take theirs away when they hear of it, or see that the key does not come alive.
    if (onbox() && any_confirmed && schedules()) abandon_ = withdraw_ = true;
    // Active, or about to be: taking it away now could leave a member alone. The next run repairs forward.
    kept_ = any_confirmed && schedules() && !withdraw_ && !first_configuration() && !before_start();
    auto undone = undo_commits(any_confirmed && !kept_);
    if (!undone) proven_ = false;
    return undone;
}

Result<void> Rotation::retract() {
    auto retracted = onbox() && initiates() ? say_withdrawn() : retract_notices();
    leases_.release();
    if (!retracted) proven_ = false;
    return retracted;
}

void Rotation::conclude_failure() {
    report_.error = failure_;
    if (forward_only_) {
        report_.result = LinkResult::degraded;
        return;
    }
    if (kept_) {
        const bool left = std::any_of(crew_.members().begin(), crew_.members().end(), [&](const MemberRun& m) {
            return std::any_of(m.state.keys.begin(), m.state.keys.end(),
                               [&](const ConfiguredKey& key) { return key.ckn == next_ckn_; });
        });
        report_.result = left || !proven_ ? LinkResult::degraded : LinkResult::reverted;
        if (report_.result == LinkResult::reverted) forget_intent();
        return;
    }
    if (!written_) {
        report_.result = LinkResult::failed;
        forget_intent();
    } else if (proven_) {
        report_.result = LinkResult::reverted;
        forget_intent();
    } else {
        report_.result = LinkResult::failed;
        report_.error->hint +=
            (report_.error->hint.empty() ? "" : "; ") +
            std::string(
                "the undo is not proven on every member: the devices take unconfirmed commits back by "
                "themselves, and the next run looks again");
    }
}

bool Rotation::schedules() const {
    return pipeline_.commit.rollover == Rollover::key_chain && !groundwork_;
}

bool Rotation::first_configuration() const {
    return !reconciliation_.base_is_common;
}

Result<void> Rotation::take_undo_leases() {
    const bool anything = std::any_of(progress_.begin(), progress_.end(),
                                      [](const Progress& progress) { return progress.staged || progress.committed; });
    if (!anything || leases_.held()) return {};
    auto leases = shared_.devices.take(crew_.device_names(), link_.name, lease_patience(), {});
    if (!leases) return std::move(leases).error();
    leases_ = std::move(*leases);
    return {};
}

Result<void> Rotation::undo_commits(bool withdraw) {
    const bool anything = std::any_of(progress_.begin(), progress_.end(),
                                      [](const Progress& progress) { return progress.staged || progress.committed; });
    if (!anything) return {};
    crew_.caller().log(LogLevel::notice, "undoing what was done on the members", "undo");
    return crew_.each([&](MemberRun& m) -> Result<void> {
        // Each attempt reads first what is there, so that none does harm; a lost one must not leave a member behind alone.
        for (unsigned attempt = 1;; ++attempt) {
            auto undone = undo_member(m, withdraw);
            if (undone || attempt == undo_attempts || undone.error().code == ErrorCode::conflict) return undone;
            m.caller.log(LogLevel::warning, "undo, attempt " + std::to_string(attempt) + ": " + undone.error().what,
                         "undo");
            m.session_is_doubtful = true;
        }
    });
}

Result<void> Rotation::undo_member(MemberRun& m, bool withdraw) {
    auto& progress = progress_of(m);
    if (!progress.staged && !progress.committed) return {};
    if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
    note_if_possible([&](JournalEntry& entry) { note_sessions(entry, &m); });
    // The stage's report tells what failed; the undo must not overwrite it.
    Caller undo(shared_.observer, shared_.interruption, Place{link_.name, m.member->device, {}, {}}, nullptr);
    const auto call = [&](const char* step, auto&& fn) {
        CallSpec spec = busy_patient(step);
        spec.cancel = Cancel::never;
        return undo(spec, m.commit.name, fn);
    };
    if (auto r = break_own_locks(m, call); !r) return r;
    if (progress.committed) {
        if (auto r = undo_commit(m, withdraw, call); !r) return r;
    } else {
        if (auto r = call("discard", [&](Context& context) { return m.commit->discard(context, *m.session); }); !r)
            return r;
    }
    for (auto& stage : m.report->stages) {
        if (stage.kind == StageKind::commit && stage.result == StageResult::ok) stage.result = StageResult::reverted;
    }
    progress = {progress.notice, false, false, false};
    return {};
}

template <class Call>
Result<void> Rotation::break_own_locks(MemberRun& m, Call&& call) {
    const std::string now = m.session->id();
    std::vector<std::string> ids;
    {
        const std::lock_guard lock(entry_mutex_);
        if (const JournalMember* noted = entry_.member(m.member->device); noted != nullptr) ids = noted->sessions;
    }
    for (const auto& id : ids) {
        if (id == now) continue;
        auto broken =
            call("break-lock", [&](Context& context) { return m.commit->break_lock(context, *m.session, id); });
        if (!broken) return std::move(broken).error();
    }
    return {};
}

Result<void> Rotation::retract_notices() {
    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (!progress_of(m).notice) return {};
        if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
        auto lease = onbox() ? lease_for_transport() : Result<Leases::Held>(Leases::Held());
        if (!lease) return std::move(lease).error();
        Caller undo(shared_.observer, shared_.interruption, Place{link_.name, m.member->device, {}, {}}, nullptr);
        CallSpec spec = crew_.spec(StageKind::key_id_transport, "retract", Cancel::never);
        spec.wait_out = ErrorCode::busy;
        spec.patience = spec.timeout;
        auto r = undo(spec, m.transport.name,
                      [&](Context& context) { return m.transport->retract(context, end_of(m), link_.name); });
        if (!r) return r;
        progress_of(m).notice = false;
        for (auto& stage : m.report->stages) {
            if (stage.kind == StageKind::key_id_transport && stage.result == StageResult::ok) {
                stage.result = StageResult::reverted;
            }
        }
        return {};
    });
}

void Rotation::forget_intent() {
    if (record_.pending_ckn.empty()) return;
    record_.pending_key_id.clear();
    record_.pending_ckn.clear();
    if (memory_) {
        Caller undo(shared_.observer, shared_.interruption, Place{link_.name, {}, {}, {}}, nullptr);
        if (auto r = memory_.save(undo, crew_.spec(StageKind::persist, "save", Cancel::never), record_); !r) {
            crew_.caller().log(LogLevel::warning, r.error().what, "undo");
        }
    }
}

}  // namespace qkd::engine
