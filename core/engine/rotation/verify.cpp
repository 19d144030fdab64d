// Step verify: MKA on every required interface is live on the new key, and stays so. From an error here nothing is taken back: the key
// stands on all members.
#include "engine/rotation/live.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

/// A key in force with the commit was live before the confirm; a member may have gone down since. Whether it still is; if not, the
/// wait begins anew.
Result<bool> is_live_still(const Attempt& attempt, Crew& crew) {
    if (crew.read_mka(Cancel::never) && not_live(attempt, crew).empty()) return true;
    (void)crew.connect(Cancel::never);
    QKD_TRY(crew.read_clocks(Cancel::never));
    for (auto& m : crew.members()) m.commit_clock = m.clock.now;
    return false;
}

Ended arrive(Attempt& attempt, Arrival arrival) {
    attempt.verdict.arrival = arrival;
    return Outcome::done;
}

}  // namespace

Ended verify(Attempt& attempt, Crew& crew, Turns& turns, Peers& peers, RunShared& run) {
    turns.release_devices();
    if (attempt.is_immediate() && !attempt.adopted) {
        QKD_TRY(const bool live, is_live_still(attempt, crew));
        if (live) return arrive(attempt, Arrival::live);
    }
    const auto& start = attempt.key.start;
    if (attempt.pipeline.commit.verify == Verify::next_run && start && crew.latest_clock() < *start)
        return arrive(attempt, Arrival::pending);
    if (auto live = wait_until_live(attempt, crew, peers, run, Cancel::allowed); !live) {
        QKD_TRY(const auto then, peers.on_not_live(attempt, std::move(live).error()));
        if (then == NotLive::turn_round) return Outcome::too_soon;
        if (then == NotLive::pending) return arrive(attempt, Arrival::pending);
    }
    QKD_TRY(peers.on_live());
    return arrive(attempt, Arrival::live);
}

}  // namespace qkd::engine
