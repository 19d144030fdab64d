// On-box: a member that obtains keys by their ID. It believes a notice only as far as it can check it, promises only what its device
// would take, and commits once the key is armed.
#include <algorithm>

#include "engine/rotation/change.hpp"
#include "engine/rotation/dead_run.hpp"
#include "engine/rotation/key.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/one_of_many.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;

}  // namespace

Result<KeyIdNotice> OneOfMany::receive(const Attempt& attempt, NoticeMark after, milliseconds timeout,
                                       bool judge_expiry) {
    auto& crew = services_.crew;
    auto& m = self();
    QKD_TRY(crew.connect());
    QKD_TRY(crew.read_clocks());
    CallSpec spec = crew.spec(StageKind::key_id_transport, "receive");
    spec.timeout = std::min(spec.timeout, timeout);
    spec.retry.attempts = 1;
    spec.quiet = true;
    spec.look = true;
    const UtcSeconds now = judge_expiry ? std::chrono::floor<std::chrono::seconds>(m.clock.now) : UtcSeconds{};
    return m.caller(spec, m.transport.name, [&](Context& context) {
        return m.transport->receive(context, end_of(m), attempt.link.name,
                                    NoticeFilter{after, attempt.link.initiator().device, now});
    });
}

Result<KeyIdNotice> OneOfMany::await_notice(const Attempt& attempt, NoticeMark after, milliseconds patience,
                                            const std::function<bool(const KeyIdNotice&)>& wanted) {
    auto& run = services_.run;
    const Wait wait(services_.crew, patience);
    for (;;) {
        auto notice = receive(attempt, after, patience, true);
        if (notice && wanted(*notice)) return notice;
        if (notice) {
            after = notice->mark();
            continue;
        }
        if (!onbox::may_pass(notice.error()) || wait.over()) return notice;
        if (!run.pause(onbox::poll_pause, run.interruption.token()))
            return Error::cancelled("interrupted while waiting for a notice", "run again when ready").retryable();
    }
}

Ended OneOfMany::follow(Attempt& attempt) {
    auto& crew = services_.crew;
    auto& state = services_.state;
    QKD_TRY(crew.connect());
    // A run that died with a key in hand takes that very notice up again.
    const auto& dead = state.dead;
    const bool resumes = dead && dead->generation != 0 && dead->members.size() == 1 && dead->members.front().asked;
    const NoticeMark seen = resumes ? NoticeMark(dead->generation, 0) : NoticeMark(state.record.generation);
    crew.caller().log(LogLevel::info, "waiting for a new key_ID from " + attempt.link.initiator().device, "receive");
    auto offer = await_notice(attempt, seen, attempt.pipeline.peer_wait, [&](const KeyIdNotice& notice) {
        const bool again = resumes && notice.generation == dead->generation && notice.kind == NoticeKind::armed;
        return notice.kind == NoticeKind::offer || again;
    });
    if (!offer) return no_news(attempt, offer.error());
    attempt.notice = std::move(*offer);
    QKD_TRY(take_offer(attempt));
    {
        QKD_TRY(const auto pair_lease, services_.turns.take_sae_pairs());
        QKD_TRY(fetch_key(attempt, crew, state, services_.run));
    }
    attempt.report_key();
    QKD_TRY(rehearse(attempt));
    if (attempt.notice.kind == NoticeKind::armed) return Outcome::done;
    QKD_TRY(answer(attempt));
    return await_arming(attempt);
}

Ended OneOfMany::await_arming(Attempt& attempt) {
    auto& crew = services_.crew;
    auto& state = services_.state;
    const std::string& initiator = attempt.link.initiator().device;
    crew.caller().log(LogLevel::info, "waiting until " + initiator + " arms the key", "receive");
    // The initiator waits for all answers as long as that, and then for its own device.
    const milliseconds patience =
        2 * attempt.pipeline.peer_wait + attempt.pipeline.commit.confirm + lead_of(attempt.terms(state));
    const KeyIdNotice& offer = attempt.notice;
    auto next = await_notice(attempt, offer.mark(), patience, [](const KeyIdNotice&) { return true; });
    if (!next) {
        if (next.error().code != ErrorCode::not_found) return std::move(next).error();
        return Error::timeout("link " + attempt.link.name + ": " + initiator + " did not arm key " + attempt.key.id,
                              "see what `qkd-macsec run --as " + initiator + "` says there")
            .retryable();
    }
    if (next->generation != offer.generation) {
        crew.caller().log(LogLevel::notice, initiator + " began anew with another key", "receive");
        state.audit("unused", attempt.key.name(), "the initiator began anew with another key");
        forget_key(attempt, crew);
        state.dead.reset();
        return Outcome::superseded;
    }
    if (next->kind == NoticeKind::withdrawn || next->key_ids != offer.key_ids) {
        return Error::conflict("link " + attempt.link.name + ": " + initiator + " withdrew key " + attempt.key.id,
                               "see what `qkd-macsec run --as " + initiator + "` says there")
            .retryable();
    }
    attempt.notice = std::move(*next);
    return Outcome::done;
}

Result<void> OneOfMany::check_offer(const Attempt& attempt) const {
    const KeyIdNotice& notice = attempt.notice;
    const auto& m = self();
    if (notice.key_ids.size() != 1) {
        return Error::protocol("link " + attempt.link.name + ": " + notice.sender + " offers " +
                                   std::to_string(notice.key_ids.size()) + " keys at once",
                               "let all members run the same version of qkd-macsec");
    }
    if (attempt.rollover.old_key_becomes_fallback && notice.round != KeyRound::schedule) {
        return Error::protocol("link " + attempt.link.name + ": " + notice.sender + " offers a " +
                                   to_string(notice.round) + " key, which " +
                                   to_string(attempt.pipeline.commit.rollover) + " does not know",
                               "let all members run the same pipeline file");
    }
    const auto ahead = std::chrono::duration_cast<milliseconds>(notice.issued - (m.clock.now + m.clock.resolution));
    const milliseconds bound = attempt.pipeline.commit.max_clock_skew;
    if (ahead <= bound + 1s) return {};  // a second for the rounding of what was sent
    return Error::conflict("link " + attempt.link.name + ": the clock of " + notice.sender + " is at least " +
                               seconds_text(ahead) + " ahead of that of " + m.member->device + " (max_clock_skew is " +
                               seconds_text(bound) + ")",
                           "let both devices follow the same NTP server and see there whether they do, then run again")
        .retryable();
}

Result<void> OneOfMany::take_offer(Attempt& attempt) {
    auto& state = services_.state;
    const KeyIdNotice& notice = attempt.notice;
    QKD_TRY(check_offer(attempt));
    begin_round(attempt, notice.round);
    const bool lost_fallback = attempt.round == KeyRound::schedule && attempt.rollover.schedules &&
                               attempt.found.keys.views.front().active != nullptr && !has_common_fallback(attempt);
    if (lost_fallback) {
        state.record.generation = notice.generation;
        QKD_TRY(state.save_record(Saving::to_the_end));
        return Error::conflict(
                   "device " + self().member->device + " does not have the fallback key that the members agreed on",
                   "run again: without an answer from here " + notice.sender + " lays a new one first")
            .retryable();
    }
    return take_key_of_offer(attempt);
}

Result<void> OneOfMany::take_key_of_offer(Attempt& attempt) {
    auto& [run, crew, state, turns] = services_;
    const KeyIdNotice& notice = attempt.notice;
    if (state.dead && !state.dead->key_id.empty() && state.dead->key_id != notice.key_ids.front())
        give_up_dead_key(crew, state, notice.sender + " offers another one");
    take_over_dead_key(attempt, crew, state, *this);
    attempt.key.id = notice.key_ids.front();
    QKD_TRY(attempt.key.ckn, derive_ckn(attempt.link.name, attempt.key.id, attempt.link.ckn_prefix));
    QKD_TRY(begin_entry(attempt, crew, state, run, false));
    state.record.generation = notice.generation;
    QKD_TRY(state.note([&](JournalEntry& entry) { entry.generation = attempt.notice.generation; }));
    return state.save_record(Saving::may_be_interrupted);
}

Result<void> OneOfMany::rehearse(Attempt& attempt) {
    auto& [run, crew, state, turns] = services_;
    auto& m = self();
    QKD_TRY(turns.take_devices());
    QKD_TRY(crew.connect());
    QKD_TRY(settle_start_time(attempt));
    QKD_TRY(make_changes(attempt, crew, state, *this));
    m.progress.staged = true;
    QKD_TRY(m.caller(busy_patient(crew, "rehearse"), m.commit.name,
                     [&m](Context& context) { return m.commit->stage(context, *m.session, m.target, m.change); }));
    QKD_TRY(m.caller(busy_patient(crew, "discard"), m.commit.name,
                     [&m](Context& context) { return m.commit->discard(context, *m.session); }));
    m.progress.staged = false;
    turns.release_devices();
    return {};
}

Result<void> OneOfMany::answer(const Attempt& attempt) {
    auto& crew = services_.crew;
    auto& m = self();
    Leases::Held lease;
    if (transport_commits(crew)) {
        QKD_TRY(lease, services_.turns.borrow_devices());
    }
    m.progress.notice = true;
    m.touched = m.touched || transport_writes(crew);
    return m.caller(crew.spec(StageKind::key_id_transport, "acknowledge"), m.transport.name,
                    [&](Context& context) { return m.transport->acknowledge(context, end_of(m), attempt.notice); });
}

Ended OneOfMany::no_news(Attempt& attempt, const Error& error) {
    if (error.code != ErrorCode::not_found) return error;
    auto& crew = services_.crew;
    auto& m = self();
    const LinkRecord& record = services_.state.record;
    const std::string& initiator = attempt.link.initiator().device;
    const KeyView& own = attempt.found.keys.views.front();
    const ConfiguredKey* active = own.active != nullptr ? own.active : own.pre_shared;
    const auto last = receive(attempt, NoticeMark(0, 0), onbox::glance, false);
    // What is left of the last notice differs from one transport to the next; the memory is as good.
    const std::string known = last && !last->key_ids.empty() ? last->key_ids.front() : record.key_id;
    if (active != nullptr && !known.empty()) {
        auto ckn = derive_ckn(attempt.link.name, known, attempt.link.ckn_prefix);
        if (ckn && *ckn != active->ckn) ckn = record.ckn;
        if (ckn && *ckn == active->ckn) {
            attempt.key.id = *ckn == record.ckn && !record.key_id.empty() ? record.key_id : known;
            attempt.key.ckn = active->ckn;
            if (active->start) attempt.key.start = active->start;
            attempt.report_key();
            if (!m.check_key_id) QKD_TRY(compare_with_kme(attempt, crew, *active));
            attempt.verdict.arrival = Arrival::unchanged;
            m.caller.log(LogLevel::notice,
                         "no new key_ID from " + initiator + ": the link stays on key " + attempt.key.id, "receive");
            return Outcome::unchanged;
        }
    }
    return Error::timeout("link " + attempt.link.name + ": no new key_ID from " + initiator + " (" + error.what + ")",
                          onbox::see_whether_it_runs(initiator))
        .retryable();
}

}  // namespace qkd::engine
