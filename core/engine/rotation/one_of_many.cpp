// On-box: what initiator and responder do alike.
#include "engine/rotation/one_of_many.hpp"

#include <algorithm>

#include "engine/rotation/key.hpp"
#include "engine/rotation/live.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// The waits go by the member's clock, as all do; one that stands still must not keep them up for ever.
constexpr auto clock_patience = 2min;

constexpr PeerTraits one_of_many{3, false, true, true, true};

}  // namespace

namespace onbox {

bool may_pass(const Error& error) {
    return error.code != ErrorCode::cancelled &&
           (error.retry == Retry::safe || error.code == ErrorCode::auth || error.code == ErrorCode::protocol);
}

std::string see_whether_it_runs(const std::string& device) {
    return "see whether `qkd-macsec run --as " + device +
           "` runs there and what it says; both must run at the same time, within `wait` of the key-id-transport stage";
}

}  // namespace onbox

OneOfMany::Wait::Wait(Crew& crew, milliseconds patience)
    : crew_(crew), at_most_(Steady::now() + patience + clock_patience) {
    auto now = crew.read_clock(crew.front());
    until_ = (now ? *now : crew.front().clock.now) + patience;
}

bool OneOfMany::Wait::over() const {
    return crew_.members().front().clock.now >= until_ || Steady::now() >= at_most_;
}

const PeerTraits& OneOfMany::traits() const noexcept {
    return one_of_many;
}

bool OneOfMany::initiates() const {
    return services_.crew.link().members.front().role == Role::initiator;
}

void OneOfMany::judge_leftovers(Attempt& attempt) {
    Reconciliation& found = attempt.found.keys;
    const auto& dead = services_.state.dead;
    if (found.adopted == nullptr || !dead || found.adopted->ckn != dead->ckn) return;
    // Did the dead run know, or had it promised, that the others have the key as well?
    const bool settled =
        dead->step == Step::verify || dead->step == Step::persist || (!initiates() && dead->step == Step::confirm);
    if (settled) return;
    const std::string ckn = found.adopted->ckn;
    found.adopted = nullptr;
    found.withdrawals.push_back({0, ckn});
    found.notes.push_back(self().member->device + " has scheduled key " + ckn.substr(0, 12) +
                          "..., which the dead run had not settled with the others; it is withdrawn");
}

std::string OneOfMany::why_not_reuse(const JournalEntry& dead) const {
    return initiates() && dead.generation != 0 ? "its key_ID was offered in a rotation that is over" : std::string{};
}

Ended OneOfMany::reserve(Attempt& attempt) {
    return initiates() ? lead(attempt) : follow(attempt);
}

bool OneOfMany::has_common_fallback(const Attempt& attempt) const {
    const ConfiguredKey* fallback = attempt.found.keys.views.front().fallback;
    if (fallback == nullptr) return false;
    if (fallback->ckn == services_.state.record.fallback_ckn) return true;
    // What the link lives on is common, and the last thing to replace.
    const auto& mka = self().state.mka;
    return std::any_of(mka.begin(), mka.end(), [&](const InterfaceMka& interface) {
        return interface.ckn == fallback->ckn && interface.state != MkaState::down;
    });
}

void OneOfMany::begin_round(Attempt& attempt, KeyRound round) {
    attempt.round = round;
    Reconciliation& found = attempt.found.keys;
    found.fallback = nullptr;
    found.fallback_is_common = !attempt.is_groundwork();
    found.needs_groundwork = attempt.is_groundwork();
    if (round == KeyRound::first) found.base = nullptr;
    found.base_is_common = found.base != nullptr;
    if (!attempt.is_groundwork()) return;
    services_.crew.caller().log(LogLevel::notice,
                                "the members have no fallback in common; laying one before the new key", "reserve");
}

Result<void> OneOfMany::settle_start_time(Attempt& attempt) {
    const KeyIdNotice& notice = attempt.notice;
    const bool told = notice.start != UtcSeconds{} && (!initiates() || attempt.round == KeyRound::first);
    if (!told) return choose_start_time(attempt, services_.crew, services_.state);
    attempt.key.start = notice.start;
    return {};
}

Result<void> OneOfMany::settle(Attempt& attempt) {
    auto& [run, crew, state, turns] = services_;
    turns.release_devices();
    if (initiates() && !attempt.is_immediate()) QKD_TRY(arm(attempt));
    if (attempt.is_groundwork()) {
        state.record.fallback_ckn = attempt.key.ckn;
        state.audit("fallback", attempt.key.name(), "a key that all members hold in reserve");
        QKD_TRY(state.save_record(Saving::to_the_end));
    }
    if (!initiates()) {
        // It may have got there although the call failed. Without it the initiator withdraws, and says so.
        if (auto answered = answer(attempt); !answered)
            crew.caller().log(LogLevel::warning, answered.error().what, "acknowledge");
    }
    if (!attempt.is_groundwork()) return {};
    // The key of this round is the fallback now; the next round takes another one.
    forget_key(attempt, crew);
    state.dead.reset();
    attempt.report_key();
    return {};
}

Result<void> OneOfMany::hear(const Attempt& attempt) {
    const KeyIdNotice& last = attempt.notice;
    if (initiates() || last.generation == 0) return {};
    const auto notice = receive(attempt, last.mark(), onbox::glance, true);
    if (!notice || notice->kind != NoticeKind::withdrawn || notice->generation != last.generation) return {};
    withdrawn_elsewhere_ = true;
    return Error::conflict("link " + attempt.link.name + ": " + last.sender + " withdrew key " + attempt.key.id,
                           "see what `qkd-macsec run --as " + last.sender + "` says there")
        .retryable();
}

Result<NotLive> OneOfMany::on_not_live(Attempt& attempt, Error why) {
    auto& [run, crew, state, turns] = services_;
    if (why.code == ErrorCode::cancelled && !withdrawn_elsewhere_) {
        // All members have it, and each of them is driven by itself: the next run verifies.
        if (is_before_start(attempt, crew, state, attempt.pipeline.commit.assumed_commit)) return NotLive::pending;
        auto live = wait_until_live(attempt, crew, *this, run, Cancel::never);
        if (live) return NotLive::live_after_all;
        why = std::move(live).error();
    }
    // With MKA down everywhere, or unseen, the others may be on the new key just as well.
    const bool goes = attempt.schedules() && attempt.key.start && (withdrawn_elsewhere_ || is_left_alone(attempt));
    if (!goes) return why;
    abandon(attempt);
    attempt.failure = std::move(why);
    return NotLive::turn_round;
}

Result<void> OneOfMany::on_live() {
    if (unanswered_) return *unanswered_;
    return {};
}

void OneOfMany::remember(const Attempt& attempt, LinkRecord& record) const {
    // The key that was replaced, at all members.
    if (!attempt.adopted && attempt.is_immediate()) record.fallback_ckn = attempt.material.base.name;
}

void OneOfMany::turn_round(Attempt& attempt) const {
    // The others take theirs away when they hear of it, or see that the key does not come alive.
    if (attempt.schedules()) attempt.way_back = {true, true};
}

Result<void> OneOfMany::retract(Attempt& attempt) {
    if (!initiates()) return retract_notices(services_.crew, services_.turns, traits().borrows_to_retract);
    if (!self().progress.notice) return {};
    QKD_TRY(announce(attempt, NoticeKind::withdrawn, Cancel::never));
    self().progress.notice = false;
    return {};
}

void OneOfMany::abandon(Attempt& attempt) {
    // What was adopted is ours to take away as well, or this would be no exit.
    attempt.way_back = {true, true};
    self().progress.committed = self().progress.confirmed = true;
    self().touched = true;
}

bool OneOfMany::lives_on_another_key(const Attempt& attempt) const {
    const auto& mka = self().state.mka;
    return std::any_of(mka.begin(), mka.end(), [&](const InterfaceMka& interface) {
        return interface.state != MkaState::down && interface.state != MkaState::unknown && !interface.ckn.empty() &&
               interface.ckn != attempt.key.ckn;
    });
}

bool OneOfMany::is_left_alone(const Attempt& attempt) {
    Crew& crew = services_.crew;
    return crew.connect(Cancel::never) && crew.read_clocks(Cancel::never) &&
           crew.earliest_clock() >= UtcMillis(*attempt.key.start) + mka_grace && crew.read_mka(Cancel::never) &&
           lives_on_another_key(attempt);
}

}  // namespace qkd::engine
