// Step confirm: the change stays, on all members, and that is read back.
#include <algorithm>

#include "engine/rotation/key.hpp"
#include "engine/rotation/live.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/read_back.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

Result<void> check_time(const Attempt& attempt, const Crew& crew, const LinkState& state) {
    const TimingTerms terms = attempt.terms(state);
    for (const auto& m : crew.members()) {
        const auto time = confirm_time(m.clock.now + m.clock.resolution, m.commit_clock, attempt.key.start, terms);
        if (time == ConfirmTime::fits) continue;
        return Error::timeout("device " + m.member->device + ": it took too long from the commit to its confirm",
                              time == ConfirmTime::timer_near ? "give the commit stage a longer confirm"
                                                              : "give the commit stage a longer lead")
            .retryable();
    }
    return {};
}

Result<void> confirm_once(const Attempt& attempt, Crew& crew, MemberRun& m) {
    // The lock of a session of ours that broke may take a moment to fall.
    CallSpec spec = busy_patient(crew, "confirm", Cancel::never);
    spec.retry.attempts = 1;
    return m.caller(spec, m.commit.name,
                    [&](Context& context) { return m.commit->confirm(context, *m.session, attempt.comment); });
}

/// The answer to the confirm was lost: where the commit is still pending, it is confirmed again, in time.
Result<void> find_out_confirm(const Attempt& attempt, Crew& crew, LinkState& state, MemberRun& m) {
    m.caller.log(LogLevel::warning, "the answer to the confirm was lost; reading back what happened", "confirm");
    QKD_TRY(renew_session(crew, state, m));
    QKD_TRY(crew.read_again(m, "read-back"));
    if (!m.state.pending || m.state.pending->comment != attempt.comment)
        return {};  // the read-back of all members tells the rest
    QKD_TRY(const auto now, crew.read_clock(m));
    if (confirm_time(now, m.commit_clock, std::nullopt, attempt.terms(state)) != ConfirmTime::fits) {
        return Error::timeout("device " + m.member->device + " did not get the confirm, and its timer is about to end",
                              "run again")
            .retryable();
    }
    return confirm_once(attempt, crew, m);
}

Result<void> check_settled(const Crew& crew) {
    for (const auto& m : crew.members()) {
        if (!m.state.pending) continue;
        return Error::conflict("device " + m.member->device + " still has an unconfirmed commit after the confirm",
                               "run again")
            .retryable();
    }
    return {};
}

void release_locks(Crew& crew) {
    (void)crew.each([&](MemberRun& m) -> Result<void> {
        auto released = m.caller(crew.spec(StageKind::commit, "release", Cancel::never), m.commit.name,
                                 [&](Context& context) { return m.commit->release(context, *m.session); });
        if (released) {
            m.progress.staged = false;
            return {};
        }
        m.caller.log(LogLevel::warning, "the lock could not be released: " + released.error().what, "release");
        m.session.reset();  // the device frees the lock with the session
        return crew.reconnect(m, Cancel::never);
    });
}

}  // namespace

Ended confirm(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers, RunShared& run) {
    if (attempt.is_immediate()) QKD_TRY(wait_until_live(attempt, crew, peers, run, Cancel::allowed));
    // A clock that jumped after the first look would change key at another moment than the others.
    QKD_TRY(gate_clocks(attempt, crew));
    QKD_TRY(check_time(attempt, crew, state));
    QKD_TRY(check_interruption(crew, "before the confirm"));
    QKD_TRY(crew.each([&](MemberRun& m) -> Result<void> {
        m.progress.confirmed = true;
        auto done = confirm_once(attempt, crew, m);
        if (!done && done.error().code == ErrorCode::unknown_outcome) return find_out_confirm(attempt, crew, state, m);
        return done;
    }));
    QKD_TRY(read_back(crew, "after the confirm"));
    QKD_TRY(check_settled(crew));
    release_locks(crew);
    QKD_TRY(peers.settle(attempt));
    if (!attempt.is_groundwork()) return Outcome::done;
    // What stands now is as good as what stood before, and better to build on: nothing of it is undone later.
    turns.release_devices();
    for (auto& m : crew.members()) m.progress = Progress{};
    return Outcome::groundwork;
}

}  // namespace qkd::engine
