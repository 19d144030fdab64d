// Withdrawn at one member and left at another is worse than not at all: nothing interrupts it, and a lost call is made again.
#include "engine/rotation/leftovers.hpp"

#include "engine/rotation/dead_run.hpp"
#include "engine/rotation/member_calls.hpp"

namespace qkd::engine {
namespace {

constexpr unsigned withdraw_attempts = 3;

Result<void> withdraw_at(Crew& crew, MemberRun& m, const std::string& ckn, const std::string& comment) {
    Result<void> done;
    for (unsigned attempt = 1; attempt <= withdraw_attempts; ++attempt) {
        done = crew.reconnect(m, Cancel::never);
        if (!done) continue;
        done = m.caller(busy_patient(crew, "withdraw", Cancel::never), m.commit.name, [&](Context& context) {
            return m.commit->withdraw(context, *m.session, m.target, ckn, comment);
        });
        if (done || done.error().code == ErrorCode::conflict) break;
        m.session_is_doubtful = true;
    }
    return done;
}

}  // namespace

Result<void> withdraw_leftovers(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, const RunShared& run) {
    QKD_TRY(turns.take_devices());
    QKD_TRY(note_repair(attempt, crew, state, run));
    auto withdrawn = crew.each([&](MemberRun& m) -> Result<void> {
        for (const auto& withdrawal : attempt.found.keys.withdrawals) {
            if (withdrawal.member != crew.index_of(m)) continue;
            QKD_TRY(withdraw_at(crew, m, withdrawal.ckn, attempt.comment + " withdraw"));
        }
        return {};
    });
    turns.release_devices();
    return withdrawn;
}

}  // namespace qkd::engine
