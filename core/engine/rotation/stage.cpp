// Step stage: every device is ours and holds the change, checked, and nobody moved meanwhile.
#include <algorithm>

#include "engine/rotation/change.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

bool same_keys(const std::vector<ConfiguredKey>& then, const std::vector<ConfiguredKey>& now) {
    return std::equal(then.begin(), then.end(), now.begin(), now.end(),
                      [](const ConfiguredKey& a, const ConfiguredKey& b) {
                          return a.place == b.place && a.start == b.start && same_key(a, b);
                      });
}

/// Somebody may have changed a member between reading and locking it.
Result<void> check_unmoved(Crew& crew, const std::vector<std::vector<ConfiguredKey>>& before) {
    return crew.each([&](MemberRun& m) -> Result<void> {
        QKD_TRY(crew.read_again(m, "read-back"));
        if (same_keys(before[crew.index_of(m)], m.state.keys)) return {};
        return Error::conflict("device " + m.member->device + ": its keys changed between reading and locking it",
                               "somebody else works on the same link; see the latest commits there, then run again")
            .retryable();
    });
}

}  // namespace

Ended stage(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers, RunShared& run) {
    QKD_TRY(turns.take_devices());
    // Waiting for the devices' turn may have taken its time: sessions may be gone, and the start-time must be ahead by the lead.
    QKD_TRY(crew.connect());
    QKD_TRY(gate_clocks(attempt, crew));
    QKD_TRY(peers.settle_start_time(attempt));
    attempt.comment =
        "qkd-macsec " + attempt.link.name + " " + run.run_id + (attempt.is_groundwork() ? " fallback" : "");
    QKD_TRY(make_changes(attempt, crew, state, peers));
    attempt.report_key();
    QKD_TRY(remember_intent(attempt, crew, state, run));
    const auto before = crew.copy_keys();
    QKD_TRY(crew.each([&](MemberRun& m) -> Result<void> {
        m.progress.staged = true;  // also when the call fails: the undo is harmless where nothing is staged
        return m.caller(busy_patient(crew, "stage"), m.commit.name,
                        [&m](Context& context) { return m.commit->stage(context, *m.session, m.target, m.change); });
    }));
    QKD_TRY(check_unmoved(crew, before));
    return Outcome::done;
}

}  // namespace qkd::engine
