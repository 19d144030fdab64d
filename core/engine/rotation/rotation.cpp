// The walk along the table of protocol/steps.hpp, and what is concluded at its end.
#include "engine/rotation/rotation.hpp"

#include <algorithm>

#include "engine/base/guard.hpp"
#include "engine/members/records.hpp"
#include "engine/rotation/change.hpp"
#include "engine/rotation/dead_run.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

/// One attempt at work. Used by one thread; the crew brings its own threads for the members within a step.
class Rotation {
  public:
    Rotation(RunShared& run, const Link& link, Goal goal)
        : run_(run),
          attempt_(run.pipeline, link, goal),
          crew_(run.pipeline, link, run.observer, run.interruption, attempt_.report, run.sessions),
          turns_(run.devices, run.sae_pairs, crew_) {
        attempt_.comment = "qkd-macsec " + link.name + " " + run.run_id;
    }

    LinkReport run();

  private:
    Result<void> open();
    void walk();
    Ended perform(Step step);
    void enter(Step step);
    void conclude_report();
    void end_journal();
    /// False when the audit has no room for what became of the key.
    bool account_for_key();

    RunShared& run_;
    Attempt attempt_;
    Crew crew_;
    Turns turns_;
    std::unique_ptr<LinkRecords> records_;
    std::optional<LinkState> state_;
    std::unique_ptr<Peers> peers_;
};

LinkReport Rotation::run() {
    if (auto opened = open(); opened) {
        walk();
    } else {
        crew_.caller().log(LogLevel::error, opened.error().what, to_string(attempt_.step));
        attempt_.failure = std::move(opened).error();
    }
    conclude_report();
    if (state_ && attempt_.goal == Goal::rotate) end_journal();
    turns_.release_devices();
    if (run_.pipeline.has(StageKind::commit)) crew_.report_mka();
    crew_.close(/*keep=*/!attempt_.failure);
    return std::move(attempt_.report);
}

Result<void> Rotation::open() {
    const bool rotates = attempt_.goal == Goal::rotate;
    if (!rotates && !run_.pipeline.has(StageKind::commit)) {
        return Error::config("the pipeline has no commit stage: it never scheduled a key",
                             "name the pipeline that rotates link " + attempt_.link.name);
    }
    using enum StageKind;
    QKD_TRY(rotates ? crew_.assemble(run_.host, {StageKind::connect, certs, initial_config, key_source,
                                                 key_id_transport, StageKind::commit})
                    : crew_.assemble(run_.host, {StageKind::connect, StageKind::commit}));
    QKD_TRY(records_, open_records(run_.host, crew_));
    state_.emplace(run_.store, records_.get(), attempt_.link.name, [this](const Error& error) {
        crew_.caller().log(LogLevel::error, error.what, to_string(attempt_.step));
    });
    peers_ = make_peers(attempt_.link, {run_, crew_, *state_, turns_});
    attempt_.commits_in_turn = peers_->traits().commits_in_turn;
    QKD_TRY(state_->load());
    report_dead_run(*state_, crew_);
    return {};
}

void Rotation::walk() {
    for (Step step = Step::connect; step != Step::end;) {
        enter(step);
        // An exception of our own must not skip the undo.
        auto ended = guard_engine([&] { return perform(step); });
        if (!ended) {
            crew_.caller().log(LogLevel::error, ended.error().what, to_string(step));
            if (!attempt_.failure) attempt_.failure = std::move(ended).error();
            // The key stands on all members by then; nothing of it is taken back.
            if (step == Step::verify || step == Step::persist) attempt_.verdict.past_return = true;
        }
        if (state_->journalling()) state_->try_note([](JournalEntry& entry) { entry.ended = true; });
        step = next_step(step, ended ? *ended : Outcome::failed);
    }
}

void Rotation::enter(Step step) {
    attempt_.step = step;
    crew_.caller().log(LogLevel::info, std::string("step ") + to_string(step), to_string(step));
    if (!state_->journalling()) return;
    state_->try_note([&](JournalEntry& entry) {
        entry.step = step;
        entry.ended = false;
        note_sessions(entry, crew_);
    });
}

Ended Rotation::perform(Step step) {
    switch (step) {
        case Step::connect: return connect(attempt_, crew_, run_);
        case Step::reconcile: return reconcile(attempt_, crew_, *state_, turns_, *peers_, run_);
        case Step::prepare: return prepare(attempt_, crew_, *state_, *peers_, run_);
        case Step::reserve: return peers_->reserve(attempt_);
        case Step::stage: return stage(attempt_, crew_, *state_, turns_, *peers_, run_);
        case Step::commit: return commit(attempt_, crew_, *state_);
        case Step::confirm: return confirm(attempt_, crew_, *state_, turns_, *peers_, run_);
        case Step::verify: return verify(attempt_, crew_, turns_, *peers_, run_);
        case Step::persist: return persist(attempt_, crew_, *state_, *peers_);
        case Step::undo: return undo(attempt_, crew_, *state_, turns_, *peers_);
        case Step::retract: return retract(attempt_, crew_, *state_, turns_, *peers_);
        case Step::withdraw: return withdraw(attempt_, crew_, *state_, turns_, run_);
        case Step::close: return close(attempt_, crew_, *state_, turns_, run_);
        case Step::end: break;
    }
    return Outcome::done;
}

/// The link got to its end: a lost answer or an interruption on the way was made good.
void clear_recovered(Crew& crew) {
    for (auto& m : crew.members()) {
        for (auto& stage : m.report->stages) {
            if (!stage.error) continue;
            stage.result = StageResult::ok;
            stage.error.reset();
        }
    }
}

/// It got there, but not whole on every device.
std::optional<Error> shortcoming_of(const Crew& crew) {
    for (const auto& m : crew.members()) {
        if (m.state.shortcoming.empty()) continue;
        return Error::conflict(m.member->device + ": " + m.state.shortcoming,
                               "the link works; mend the device, and the next rotation makes it whole")
            .retryable();
    }
    return std::nullopt;
}

void Rotation::conclude_report() {
    Verdict& verdict = attempt_.verdict;
    LinkReport& report = attempt_.report;
    const auto& members = crew_.members();
    verdict.failed = attempt_.failure.has_value();
    verdict.written = std::any_of(members.begin(), members.end(), [](const MemberRun& m) { return m.touched; });
    report.error = attempt_.failure;
    if (!verdict.failed && attempt_.goal == Goal::rotate) {
        clear_recovered(crew_);
        report.error = shortcoming_of(crew_);
        verdict.shortcoming = report.error.has_value();
    }
    report.result = conclude(verdict);
    if (state_ && attempt_.goal == Goal::rotate && intent_is_void(verdict)) forget_intent(crew_, *state_);
    if (report.result == LinkResult::failed && verdict.written && !verdict.undo_proven) {
        report.error->hint += std::string(report.error->hint.empty() ? "" : "; ") +
                              "the undo is not proven on every member: the devices take unconfirmed commits back by "
                              "themselves, and the next run looks again";
    }
}

bool Rotation::account_for_key() {
    if (attempt_.key.empty()) return true;
    const KeyName key = attempt_.key.name();
    const bool resolved = is_resolved(attempt_.verdict);
    const std::string why = attempt_.failure ? attempt_.failure->what : std::string{};
    switch (attempt_.report.result) {
        case LinkResult::rotated: return state_->audit("rotated", key, "MKA is live on it at all members");
        case LinkResult::pending: return state_->audit("pending", key, "scheduled at all members");
        case LinkResult::unchanged: return true;
        case LinkResult::degraded: return state_->audit("degraded", key, why);
        case LinkResult::reverted: return state_->audit(resolved ? "reverted" : "unresolved", key, why);
        case LinkResult::failed: return state_->audit(resolved ? "unused" : "unresolved", key, why);
    }
    return true;
}

void Rotation::end_journal() {
    // A run that failed before it could look into what an earlier one left has resolved nothing.
    if (state_->dead && !state_->dead_is_settled) return;
    if (!state_->journalling() && !state_->dead_is_settled) return;
    const bool accounted = account_for_key();
    if (attempt_.report.result == LinkResult::pending && peers_->traits().pending_stays_in_journal) return;
    // What is not proven undone is the next run's to resolve, and it needs the journal for that. So is the line that has no room
    // now: until then the journal accounts for the key.
    if (!is_resolved(attempt_.verdict) || !accounted) return;
    if (auto erased = state_->erase_journal(); !erased) crew_.caller().log(LogLevel::error, erased.error().what, "end");
}

LinkReport run_guarded(RunShared& run, const Link& link, Goal goal) {
    auto report = guard_engine([&]() -> Result<LinkReport> { return Rotation(run, link, goal).run(); });
    if (report) return std::move(*report);
    LinkReport failed;
    failed.name = link.name;
    failed.rollover = run.pipeline.commit.rollover;
    failed.error = std::move(report).error();
    failed.error->what = "link " + link.name + ": " + failed.error->what;
    return failed;
}

}  // namespace

LinkReport rotate(RunShared& shared, const Link& link) {
    return run_guarded(shared, link, Goal::rotate);
}

LinkReport withdraw(RunShared& shared, const Link& link) {
    return run_guarded(shared, link, Goal::withdraw);
}

}  // namespace qkd::engine
