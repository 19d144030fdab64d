// What several steps ask of members, clocks and transports.
#include "engine/rotation/member_calls.hpp"

#include <algorithm>
#include <cstdlib>

namespace qkd::engine {

CallSpec busy_patient(const Crew& crew, const char* step, Cancel cancel) {
    CallSpec spec = crew.spec(StageKind::commit, step, cancel);
    spec.wait_out = ErrorCode::busy;
    spec.patience = spec.timeout;
    return spec;
}

TransportEnd end_of(MemberRun& m) {
    return {m.member->device, m.member->interfaces, m.session.get()};
}

bool transport_writes(Crew& crew) {
    return crew.front().transport.plugin->stage(StageKind::key_id_transport)->provides.has(Capability::writes);
}

bool transport_commits(Crew& crew) {
    return crew.front().transport.plugin->stage(StageKind::key_id_transport)->provides.has(Capability::commits);
}

void note_sessions(JournalEntry& entry, const Crew& crew, const MemberRun* only) {
    for (const auto& m : crew.members()) {
        if (only != nullptr && only != &m) continue;
        JournalMember* into = entry.member(m.member->device);
        if (into == nullptr || m.session == nullptr) continue;
        const std::string id = m.session->id();
        auto& known = into->sessions;
        if (!id.empty() && std::find(known.begin(), known.end(), id) == known.end()) known.push_back(id);
    }
}

Result<void> gate_clocks(Attempt& attempt, Crew& crew) {
    QKD_TRY(const auto skew, crew.compare_clocks());
    attempt.report.clock_skew_ms = static_cast<double>(skew.estimate.count());
    const auto bound = attempt.pipeline.commit.max_clock_skew;
    if (skew.proven <= bound) return {};
    return Error::conflict("link " + attempt.link.name + ": the clock of " + skew.ahead + " is at least " +
                               seconds_text(skew.proven) + " ahead of that of " + skew.behind + " (max_clock_skew is " +
                               seconds_text(bound) + ")",
                           "let both devices follow the same NTP server and see there whether they do, then run again")
        .retryable();
}

bool is_before_start(const Attempt& attempt, Crew& crew, const LinkState& state, milliseconds needed) {
    if (!attempt.key.start) return false;
    // A member that does not answer cannot be asked; the others' clocks are as good, within max_clock_skew.
    (void)crew.each([&](MemberRun& m) { return crew.reconnect(m, Cancel::never); });
    UtcMillis latest{};
    for (auto& m : crew.members()) {
        if (m.session == nullptr || !m.session->alive()) continue;
        if (auto now = crew.read_clock(m); now) latest = std::max(latest, *now);
    }
    return latest != UtcMillis{} && before_start(latest, attempt.key.start, needed, attempt.terms(state));
}

Result<void> choose_start_time(Attempt& attempt, Crew& crew, const LinkState& state) {
    QKD_TRY(crew.read_clocks());
    std::vector<ClockReading> clocks;
    for (const auto& m : crew.members()) clocks.push_back(m.clock);
    attempt.key.start = choose_start(clocks, lead_of(attempt.terms(state)));
    return {};
}

Result<void> check_interruption(const Crew& crew, const char* when) {
    if (!crew.interruption().requested()) return {};
    return Error::cancelled(std::string("interrupted ") + when, "run again when ready").retryable();
}

std::string seconds_text(milliseconds time) {
    const auto tenths = (time.count() + 50) / 100;
    return std::to_string(tenths / 10) + "." + std::to_string(std::abs(tenths % 10)) + " s";
}

}  // namespace qkd::engine
