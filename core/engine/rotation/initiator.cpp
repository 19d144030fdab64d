// On-box: the member that obtains new keys. It offers, waits for all answers, and arms.
#include <algorithm>

#include "engine/rotation/generation.hpp"
#include "engine/rotation/key.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/one_of_many.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// A link that has a key in force is given so long to come up before it gets another one at once.
constexpr milliseconds down_for_good = 60s;

bool is_down(const std::vector<InterfaceMka>& mka) {
    return std::all_of(mka.begin(), mka.end(), [](const InterfaceMka& interface) {
        return interface.state == MkaState::down || interface.state == MkaState::unknown;
    });
}

std::string list_of(const std::vector<std::string>& devices) {
    std::string list;
    for (const auto& device : devices) list += (list.empty() ? "" : ", ") + device;
    return list;
}

}  // namespace

std::vector<TransportEnd> OneOfMany::others() const {
    std::vector<TransportEnd> ends;
    for (const auto& peer : services_.crew.link().peers) ends.push_back({peer.device, peer.interfaces, nullptr});
    return ends;
}

Ended OneOfMany::lead(Attempt& attempt) {
    auto& [run, crew, state, turns] = services_;
    QKD_TRY(crew.connect());
    const KeyRound round = choose_round(attempt);
    QKD_TRY(auto pair_lease, turns.take_sae_pairs());
    QKD_TRY(crew.connect());
    begin_round(attempt, round);
    QKD_TRY(choose_start_time(attempt, crew, state));
    QKD_TRY(take_key(attempt, crew, state, *this, run));
    attempt.report_key();
    write_offer(attempt);
    // An answer to an earlier notice must never pass for one to this.
    QKD_TRY(state.save_record(Saving::may_be_interrupted));
    QKD_TRY(state.note([&](JournalEntry& entry) { entry.generation = attempt.notice.generation; }));
    QKD_TRY(announce(attempt, NoticeKind::offer, Cancel::allowed));
    pair_lease.release();
    QKD_TRY(await_answers(attempt));
    if (!attempt.is_immediate()) return Outcome::done;
    // From here on the others wait for this device.
    QKD_TRY(turns.take_devices());
    QKD_TRY(announce(attempt, NoticeKind::armed, Cancel::allowed));
    return Outcome::done;
}

KeyRound OneOfMany::choose_round(const Attempt& attempt) {
    if (attempt.rollover.old_key_becomes_fallback) return KeyRound::schedule;
    if (attempt.found.keys.base == nullptr || stays_down(attempt)) return KeyRound::first;
    return has_common_fallback(attempt) ? KeyRound::schedule : KeyRound::fallback;
}

bool OneOfMany::stays_down(const Attempt& attempt) {
    auto& run = services_.run;
    auto& crew = services_.crew;
    // Half of what the others wait for the offer, at most.
    const Wait wait(crew, std::min(down_for_good, attempt.pipeline.peer_wait / 2));
    for (;;) {
        if (!is_down(self().state.mka)) return false;
        if (wait.over()) return true;
        if (!run.pause(onbox::poll_pause, run.interruption.token())) return false;
        if (!crew.connect() || !crew.read_clocks() || !crew.read_mka()) return false;
    }
}

void OneOfMany::write_offer(Attempt& attempt) {
    KeyIdNotice& notice = attempt.notice;
    notice = KeyIdNotice{};
    notice.link = attempt.link.name;
    notice.generation = next_generation(services_.state.record);
    notice.key_ids = {attempt.key.id};
    notice.sender = self().member->device;
    notice.round = attempt.round;
    if (attempt.round == KeyRound::first) notice.start = std::chrono::floor<std::chrono::seconds>(self().clock.now);
    if (attempt.is_immediate()) attempt.key.start.reset();
    services_.state.record.generation = notice.generation;
}

Result<void> OneOfMany::announce(Attempt& attempt, NoticeKind kind, Cancel cancel) {
    auto& crew = services_.crew;
    auto& m = self();
    Leases::Held lease;
    if (transport_commits(crew)) {
        QKD_TRY(lease, services_.turns.borrow_devices());
    }
    QKD_TRY(crew.reconnect(m, cancel));
    QKD_TRY(const auto now, crew.read_clock(m));
    KeyIdNotice& notice = attempt.notice;
    notice.issued = std::chrono::floor<std::chrono::seconds>(now);
    notice.expires = notice.issued + onbox::notice_life_time;
    notice.kind = kind;
    ++notice.sequence;
    if (attempt.round == KeyRound::schedule && attempt.key.start) notice.start = *attempt.key.start;
    m.progress.notice = true;
    m.touched = m.touched || transport_writes(crew);
    const auto responders = others();
    return m.caller(crew.spec(StageKind::key_id_transport, "announce", cancel), m.transport.name,
                    [&](Context& context) { return m.transport->announce(context, end_of(m), responders, notice); });
}

Result<std::vector<std::string>> OneOfMany::missing_answers(const Attempt& attempt, milliseconds patience,
                                                            std::string& why) {
    auto& crew = services_.crew;
    auto& m = self();
    CallSpec spec = crew.spec(StageKind::key_id_transport, "acknowledgements");
    spec.timeout = std::min(spec.timeout, patience);
    spec.retry.attempts = 1;
    spec.quiet = true;
    const auto responders = others();
    auto answered = m.caller(spec, m.transport.name, [&](Context& context) {
        return m.transport->acknowledgements(context, end_of(m), responders, attempt.notice);
    });
    if (!answered && !onbox::may_pass(answered.error())) return std::move(answered).error();
    why = answered ? std::string() : " (" + answered.error().what + ")";
    std::vector<std::string> missing;
    for (const auto& peer : crew.link().peers) {
        const bool has = answered && std::find(answered->begin(), answered->end(), peer.device) != answered->end();
        if (!has) missing.push_back(peer.device);
    }
    return missing;
}

Result<void> OneOfMany::await_answers(const Attempt& attempt) {
    auto& run = services_.run;
    auto& crew = services_.crew;
    auto& state = services_.state;
    const bool armed = attempt.notice.kind == NoticeKind::armed;
    crew.caller().log(LogLevel::info,
                      std::string("waiting for the others to answer the ") + (armed ? "armed notice" : "offer"),
                      "acknowledgements");
    const bool bounded = armed && attempt.key.start;
    // Time for two ways back, one after the other: here, then there.
    const milliseconds commit = std::max(commit_time(attempt.terms(state)), attempt.pipeline.commit.assumed_commit);
    const milliseconds two_ways_back = 2 * commit + 5s;
    const milliseconds patience = attempt.pipeline.peer_wait;
    const Wait wait(crew, patience);
    for (;;) {
        QKD_TRY(crew.connect());
        QKD_TRY(crew.read_clocks());
        std::string why;
        QKD_TRY(const auto missing, missing_answers(attempt, bounded ? onbox::glance : patience, why));
        if (missing.empty()) return {};
        const bool too_late = bounded && !is_before_start(attempt, crew, state, two_ways_back);
        if (too_late || wait.over()) {
            // Perhaps one of them could not go on from what it has: the next rotation begins with a new fallback.
            if (!too_late) state.record.fallback_ckn.clear();
            QKD_TRY(state.save_record(Saving::to_the_end));
            return Error::timeout("link " + attempt.link.name + ": no answer from " + list_of(missing) + " to the " +
                                      (armed ? "word that the key is armed" : "new key_ID") + why,
                                  onbox::see_whether_it_runs(missing.front()))
                .retryable();
        }
        if (!run.pause(onbox::poll_pause, run.interruption.token())) {
            return Error::cancelled("interrupted while waiting for " + missing.front(), "run again when ready")
                .retryable();
        }
    }
}

Result<void> OneOfMany::arm(Attempt& attempt) {
    auto& crew = services_.crew;
    QKD_TRY(announce(attempt, NoticeKind::armed, Cancel::allowed));
    auto answered = await_answers(attempt);
    if (answered) return {};
    // Too late to take it away everywhere: whether the others have it, the start-time will show.
    const bool too_late =
        attempt.key.start && !is_before_start(attempt, crew, services_.state, attempt.pipeline.commit.assumed_commit);
    if (!too_late) return answered;
    crew.caller().log(LogLevel::warning, answered.error().what, "confirm");
    unanswered_ = answered.error();
    return {};
}

}  // namespace qkd::engine
