// Step undo: takes back what was done on each member, and proves it by reading.
#include <algorithm>

#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/read_back.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

constexpr unsigned undo_attempts = 3;

/// The undo at one member. Its calls leave the report as it is, and nothing interrupts them.
class MemberUndo {
  public:
    MemberUndo(const Attempt& attempt, Crew& crew, LinkState& state, MemberRun& m, bool withdraws)
        : attempt_(attempt), crew_(crew), state_(state), m_(m), withdraws_(withdraws), aside_(crew.aside(m)) {}

    Result<void> run() {
        QKD_TRY(crew_.reconnect(m_, Cancel::never));
        state_.try_note([&](JournalEntry& entry) { note_sessions(entry, crew_, &m_); });
        QKD_TRY(break_own_locks());
        QKD_TRY(m_.progress.committed ? take_commit_back() : discard());
        for (auto& stage : m_.report->stages) {
            if (stage.kind == StageKind::commit && stage.result == StageResult::ok)
                stage.result = StageResult::reverted;
        }
        m_.progress = {m_.progress.notice, false, false, false};
        return {};
    }

  private:
    template <class Fn>
    auto call(const char* step, Fn&& fn) {
        return aside_(busy_patient(crew_, step, Cancel::never), m_.commit.name,
                      [&](Context& context) { return fn(*m_.commit.object, context, *m_.session); });
    }

    Result<void> discard() {
        return call("discard", [](Commit& commit, Context& context, DeviceSession& session) {
            return commit.discard(context, session);
        });
    }

    Result<void> read() {
        QKD_TRY(m_.state, call("read-back", [&](Commit& commit, Context& context, DeviceSession& session) {
                    return commit.read(context, session, m_.target);
                }));
        return {};
    }

    /// Sessions of this attempt that broke may still hold the lock.
    Result<void> break_own_locks() {
        for (const auto& id : state_.noted_sessions(m_.member->device)) {
            if (id == m_.session->id()) continue;
            QKD_TRY(call("break-lock", [&](Commit& commit, Context& context, DeviceSession& session) {
                return commit.break_lock(context, session, id);
            }));
        }
        return {};
    }

    Result<void> take_commit_back() {
        QKD_TRY(read());
        const bool pending = m_.state.pending && m_.state.pending->comment == attempt_.comment;
        const Progress& done = m_.progress;
        switch (undo_of({done.staged, done.committed, done.confirmed, pending},
                        {attempt_.schedules(), attempt_.is_first_configuration(), withdraws_})) {
            case Undo::revert: QKD_TRY(revert()); break;
            case Undo::withdraw:
                QKD_TRY(discard());
                QKD_TRY(withdraw());
                break;
            default: return discard();
        }
        QKD_TRY(read());
        return check_gone();
    }

    Result<void> revert() {
        return call("revert", [&](Commit& commit, Context& context, DeviceSession& session) {
            return commit.revert(context, session, attempt_.comment);
        });
    }

    Result<void> withdraw() {
        QKD_TRY(const auto now, crew_.read_clock(m_));
        if (!attempt_.way_back.whatever_the_time && !may_withdraw(now, *attempt_.key.start, attempt_.terms(state_))) {
            return Error::conflict(
                       "device " + m_.member->device + ": too late to withdraw the new key before its start-time",
                       "run again; the next run repairs forward")
                .retryable();
        }
        return call("withdraw", [&](Commit& commit, Context& context, DeviceSession& session) {
            return commit.withdraw(context, session, m_.target, attempt_.key.ckn, attempt_.comment + " withdraw");
        });
    }

    [[nodiscard]] bool is_ours(const ConfiguredKey& key) const {
        if (key.ckn == attempt_.key.ckn) return true;
        if (!attempt_.is_first_configuration()) return false;
        const ChangeMaterial& material = attempt_.material;
        return key.ckn == material.first.name || (material.fallback_is_fresh && key.ckn == material.fallback.name);
    }

    [[nodiscard]] Result<void> check_gone() const {
        const auto& keys = m_.state.keys;
        const bool stands = std::any_of(keys.begin(), keys.end(), [&](const auto& key) { return is_ours(key); });
        if (!m_.state.pending && !stands) return {};
        return Error::conflict("device " + m_.member->device + " still has the new key after the undo",
                               "run again; the next run looks at what is there")
            .retryable();
    }

    const Attempt& attempt_;
    Crew& crew_;
    LinkState& state_;
    MemberRun& m_;
    bool withdraws_;
    Caller aside_;
};

bool has_something_to_undo(const MemberRun& m) {
    return m.progress.staged || m.progress.committed;
}

Result<void> undo_members(const Attempt& attempt, Crew& crew, LinkState& state, bool withdraws) {
    crew.caller().log(LogLevel::notice, "undoing what was done on the members", "undo");
    return crew.each([&](MemberRun& m) -> Result<void> {
        if (!has_something_to_undo(m)) return {};
        // Each attempt reads first what is there, so that none does harm; a lost one must not leave a member behind alone.
        for (unsigned count = 1;; ++count) {
            auto undone = MemberUndo(attempt, crew, state, m, withdraws).run();
            if (undone || count == undo_attempts || undone.error().code == ErrorCode::conflict) return undone;
            m.caller.log(LogLevel::warning, "undo, attempt " + std::to_string(count) + ": " + undone.error().what,
                         "undo");
            m.session_is_doubtful = true;
        }
    });
}

bool stands_on_a_member(const std::string& ckn, const Crew& crew) {
    const auto& members = crew.members();
    return std::any_of(members.begin(), members.end(), [&](const MemberRun& m) {
        return std::any_of(m.state.keys.begin(), m.state.keys.end(),
                           [&](const ConfiguredKey& key) { return key.ckn == ckn; });
    });
}

}  // namespace

Ended undo(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers) {
    const auto& members = crew.members();
    const bool anything = std::any_of(members.begin(), members.end(), has_something_to_undo);
    Verdict& verdict = attempt.verdict;
    verdict.undo_proven = false;
    // Waiting for the devices' turn takes its time; whether a key can still be withdrawn is asked after it.
    if (anything) QKD_TRY(turns.take_devices_to_undo());
    WayBack& way_back = attempt.way_back;
    const auto in_time = [&] { return is_before_start(attempt, crew, state, attempt.pipeline.commit.assumed_commit); };
    if (way_back.withdraws && !way_back.whatever_the_time && !in_time()) way_back.withdraws = false;
    const bool any_confirmed =
        std::any_of(members.begin(), members.end(), [](const MemberRun& m) { return m.progress.confirmed; });
    if (any_confirmed) peers.turn_round(attempt);
    // Active, or about to be: taking it away now could leave a member alone. The next run repairs forward.
    verdict.kept =
        any_confirmed && attempt.schedules() && !way_back.withdraws && !attempt.is_first_configuration() && !in_time();
    if (anything) QKD_TRY(undo_members(attempt, crew, state, any_confirmed && !verdict.kept));
    verdict.stands_somewhere = stands_on_a_member(attempt.key.ckn, crew);
    verdict.undo_proven = true;
    return Outcome::done;
}

}  // namespace qkd::engine
