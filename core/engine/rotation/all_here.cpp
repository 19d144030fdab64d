// Off-box. The notice still travels by the link's transport, and what arrives is held against what was sent.
#include "engine/rotation/all_here.hpp"

#include <algorithm>

#include "engine/rotation/generation.hpp"
#include "engine/rotation/key.hpp"
#include "engine/rotation/live.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
constexpr auto notice_life_time = 10min;

constexpr PeerTraits all_here{1, true, false, false, false};

}  // namespace

const PeerTraits& AllHere::traits() const noexcept {
    return all_here;
}

Ended AllHere::plan_round(Attempt& attempt) {
    const bool needs = attempt.found.keys.needs_groundwork;
    if (attempt.is_groundwork() && needs) {
        return Error::conflict(
                   "link " + attempt.link.name + ": the common fallback that was just laid is not there any more",
                   "somebody else changes the members; see their latest commits, then run again")
            .retryable();
    }
    const bool lays = needs && !attempt.rollover.old_key_becomes_fallback;
    attempt.round = lays ? KeyRound::fallback : KeyRound::schedule;
    if (!lays) return Outcome::done;
    services_.crew.caller().log(LogLevel::notice,
                                "the members have no fallback in common; laying one before the new key", "prepare");
    return Outcome::groundwork;
}

Ended AllHere::reserve(Attempt& attempt) {
    auto& [run, crew, state, turns] = services_;
    if (transport_commits(crew)) QKD_TRY(turns.take_devices());
    QKD_TRY(const auto pair_lease, turns.take_sae_pairs());
    QKD_TRY(crew.connect());
    // Read again: certificates may have taken their time since the gate.
    QKD_TRY(choose_start_time(attempt, crew, state));
    QKD_TRY(take_key(attempt, crew, state, *this, run));
    write_notice(attempt);
    QKD_TRY(announce(attempt));
    QKD_TRY(receive(attempt));
    if (auto fetched = fetch_key(attempt, crew, state, run); !fetched)
        return take_another_key(attempt, fetched.error());
    QKD_TRY(compare_keys(attempt, crew));
    attempt.report_key();
    QKD_TRY(acknowledge(attempt));
    return Outcome::done;
}

Ended AllHere::take_another_key(Attempt& attempt, const Error& why) {
    auto& [run, crew, state, turns] = services_;
    const auto& members = crew.members();
    const bool gone = std::any_of(members.begin(), members.end(), [](const MemberRun& m) { return m.key_is_gone; });
    if (!gone || attempt.minted_twice) return why;
    // Both ends of a lost answer: the key is used up, and nobody can use it. Another one, once.
    attempt.minted_twice = true;
    state.audit("lost", attempt.key.name(), why.what);
    crew.caller().log(LogLevel::warning, "key " + attempt.key.id + " is gone with a lost answer; taking a new one",
                      "fetch");
    QKD_TRY(retract_notices(crew, turns, traits().borrows_to_retract));
    state.dead.reset();
    forget_key(attempt, crew);
    return Outcome::key_gone;
}

void AllHere::write_notice(Attempt& attempt) const {
    const auto& [run, crew, state, turns] = services_;
    const auto now = std::chrono::floor<std::chrono::seconds>(crew.front().clock.now);
    KeyIdNotice& notice = attempt.notice;
    notice.link = attempt.link.name;
    notice.generation = next_generation(state.record);
    notice.key_ids = {attempt.key.id};
    notice.start = attempt.rollover.schedules ? *attempt.key.start : UtcSeconds{};
    notice.sequence = notice.generation;
    notice.sender = crew.front().member->device;
    notice.issued = now;
    notice.expires =
        now + std::chrono::duration_cast<std::chrono::seconds>(lead_of(attempt.terms(state))) + notice_life_time;
    notice.round = attempt.round;
}

Result<void> AllHere::announce(const Attempt& attempt) {
    Crew& crew = services_.crew;
    // From here on both ends may hold a notice, whether or not the call is answered.
    const bool writes = transport_writes(crew);
    std::vector<TransportEnd> responders;
    for (auto& m : crew.members()) {
        m.progress.notice = true;
        m.touched = m.touched || writes;
        if (m.member->role == Role::responder) responders.push_back(end_of(m));
    }
    auto& initiator = crew.front();
    return initiator.caller(
        crew.spec(StageKind::key_id_transport, "announce"), initiator.transport.name, [&](Context& context) {
            return initiator.transport->announce(context, end_of(initiator), responders, attempt.notice);
        });
}

Result<void> AllHere::receive(const Attempt& attempt) {
    Crew& crew = services_.crew;
    const KeyIdNotice& sent = attempt.notice;
    return crew.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder) return {};
        CallSpec spec = crew.spec(StageKind::key_id_transport, "receive");
        spec.wait_out = ErrorCode::not_found;
        spec.patience = spec.timeout;
        QKD_TRY(const auto received, m.caller(spec, m.transport.name, [&](Context& context) {
            const NoticeFilter wanted{NoticeMark(sent.generation - 1), sent.sender,
                                      std::chrono::floor<std::chrono::seconds>(m.clock.now)};
            return m.transport->receive(context, end_of(m), attempt.link.name, wanted);
        }));
        if (received == sent) return {};
        return Error::conflict(
            "device " + m.member->device + " received another key_ID notice than was sent for link " +
                attempt.link.name,
            "somebody else writes notices for this link: look at the transport's place on " + m.member->device);
    });
}

Result<void> AllHere::acknowledge(const Attempt& attempt) {
    Crew& crew = services_.crew;
    return crew.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder) return {};
        return m.caller(crew.spec(StageKind::key_id_transport, "acknowledge"), m.transport.name,
                        [&](Context& context) { return m.transport->acknowledge(context, end_of(m), attempt.notice); });
    });
}

Result<void> AllHere::settle_start_time(Attempt& attempt) {
    return choose_start_time(attempt, services_.crew, services_.state);
}

Result<NotLive> AllHere::on_not_live(Attempt& attempt, Error why) {
    auto& [run, crew, state, turns] = services_;
    if (why.code != ErrorCode::cancelled) return why;
    attempt.way_back.withdraws =
        !attempt.adopted && is_before_start(attempt, crew, state, attempt.pipeline.commit.assumed_commit);
    if (attempt.way_back.withdraws) {
        attempt.failure = std::move(why);
        return NotLive::turn_round;
    }
    // Too late to go back, or not ours to take away: finish.
    QKD_TRY(wait_until_live(attempt, crew, *this, run, Cancel::never));
    return NotLive::live_after_all;
}

Result<void> AllHere::retract(Attempt&) {
    return retract_notices(services_.crew, services_.turns, traits().borrows_to_retract);
}

}  // namespace qkd::engine
