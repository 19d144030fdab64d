// Step commit: all members at once, each taken back by its device alone unless it is confirmed.
#include <algorithm>

#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/read_back.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

/// The device's timer must end before the start-time however long the commit takes, and leave time to withdraw.
Result<void> check_room(const Attempt& attempt, const Crew& crew, const LinkState& state) {
    if (!attempt.key.start) return {};
    const TimingTerms terms = attempt.terms(state);
    const UtcMillis now = crew.latest_clock();
    if (commit_fits(now, *attempt.key.start, terms)) return {};
    return Error::timeout("link " + attempt.link.name + ": staging took so long that only " +
                              seconds_text(std::chrono::duration_cast<milliseconds>(*attempt.key.start - now)) +
                              " are left until the start-time (" + seconds_text(terms.confirm + commit_time(terms)) +
                              " are needed)",
                          "give the commit stage a longer lead")
        .retryable();
}

/// The answer to the commit was lost: the device tells by the comment what happened.
Result<void> find_out_commit(const Attempt& attempt, Crew& crew, LinkState& state, MemberRun& m) {
    m.caller.log(LogLevel::warning, "the answer to the commit was lost; reading back what happened",
                 "commit-confirmed");
    QKD_TRY(renew_session(crew, state, m));
    QKD_TRY(crew.read_again(m, "read-back"));
    if (m.state.pending && m.state.pending->comment == attempt.comment) return {};
    return Error::conflict("device " + m.member->device + " did not make the commit whose answer was lost", "run again")
        .retryable();
}

Result<void> commit_at(const Attempt& attempt, Crew& crew, LinkState& state, MemberRun& m) {
    m.progress.committed = true;
    m.touched = true;
    // Once one member commits, the others must too or all go back: no interruption in the middle.
    CallSpec spec = crew.spec(StageKind::commit, "commit-confirmed", Cancel::never);
    spec.retry.attempts = 1;
    auto done = m.caller(spec, m.commit.name, [&](Context& context) {
        return m.commit->commit_confirmed(context, *m.session, attempt.pipeline.commit.confirm, attempt.comment);
    });
    if (!done && done.error().code == ErrorCode::unknown_outcome) return find_out_commit(attempt, crew, state, m);
    return done;
}

void measure_commit(Crew& crew, LinkRecord& record) {
    if (auto read = crew.read_clocks(Cancel::never); !read) return;  // what comes next says what is wrong
    milliseconds longest{0};
    for (const auto& m : crew.members()) {
        longest = std::max(longest,
                           std::chrono::duration_cast<milliseconds>(m.clock.now + m.clock.resolution - m.commit_clock));
    }
    record.commit_time = remembered_commit_time(longest, record.commit_time);
}

}  // namespace

Ended commit(Attempt& attempt, Crew& crew, LinkState& state) {
    // The figures are the devices' own: before the commit, so that the timer ends no earlier than reckoned.
    QKD_TRY(crew.read_clocks());
    QKD_TRY(check_room(attempt, crew, state));
    for (auto& m : crew.members()) m.commit_clock = m.clock.now;

    std::vector<Steady::time_point> acknowledged(crew.members().size());
    QKD_TRY(crew.each([&](MemberRun& m) -> Result<void> {
        auto done = commit_at(attempt, crew, state, m);
        acknowledged[crew.index_of(m)] = Steady::now();
        return done;
    }));
    measure_commit(crew, state.record);
    const auto [first, last] = std::minmax_element(acknowledged.begin(), acknowledged.end());
    attempt.report.out_of_sync_ms = std::chrono::duration<double, std::milli>(*last - *first).count();
    QKD_TRY(check_interruption(crew, "after the commit"));
    QKD_TRY(read_back(crew, "read-back"));
    return Outcome::done;
}

}  // namespace qkd::engine
