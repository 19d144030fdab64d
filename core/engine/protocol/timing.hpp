// What a rotation decides by the clock: how far ahead a key is scheduled, whether a step still fits, whether a key may be taken
// away again. Pure functions of device clocks and of a link's terms; the rotation asks them, and so does the model check.
// No clock of the machine that runs this takes part. A `clock` is a member's own, rounded up by its resolution.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "engine/pipeline/model.hpp"
#include "qkd/sdk/device.hpp"
#include "qkd/sdk/macsec.hpp"

namespace qkd::engine {

/// A confirm later than this before the device's own timer ends is not risked.
inline constexpr std::chrono::seconds confirm_margin{10};
/// The confirm comes at least so long before the start-time.
inline constexpr std::chrono::seconds start_margin{1};

/// The figures by which the rotation of one link decides.
struct TimingTerms {
    bool schedules = true;  ///< RolloverTraits::schedules
    milliseconds confirm{0};
    milliseconds assumed_commit{0};
    milliseconds measured_commit{0};  ///< 0 = nothing was measured yet
    milliseconds max_clock_skew{0};
    std::optional<milliseconds> lead;  ///< as given in the file
    /// Commits that follow one another until all members have made theirs: 1 where they commit side by side, 3 where the
    /// responders wait for the initiator and the initiator for their answers.
    int commits_in_turn = 1;
};
TimingTerms timing_terms(const CommitPolicy& policy, milliseconds measured_commit, int commits_in_turn);

/// How long a commit takes on these devices: measured, else assumed.
milliseconds commit_time(const TimingTerms& terms);
/// The figure to remember after a commit took `longest`: that, or the fading one before it.
milliseconds remembered_commit_time(milliseconds longest, milliseconds before);

/// From staging to the start-time: as given, else confirm + 2 commits + skew + 30 s, and room for commits in turn.
milliseconds lead_of(const TimingTerms& terms);

/// Can these terms work out at all with a commit time that was measured?
enum class Misfit : std::uint8_t {
    none,
    confirm_too_short,  ///< a commit and the confirm margin do not fit into the device's timer
    lead_too_short      ///< the given lead is shorter than least_lead()
};
Misfit misfit_of(const TimingTerms& terms);
milliseconds least_lead(const TimingTerms& terms);

/// Before the commit: does the device's timer end before the start-time, however long the commit takes?
bool commit_fits(UtcMillis latest_clock, UtcSeconds start, const TimingTerms& terms);

/// Before the confirm, at one member. `commit_clock`: its clock just before its commit; `start` unset: nothing is scheduled.
enum class ConfirmTime : std::uint8_t { fits, timer_near, start_near };
ConfirmTime confirm_time(UtcMillis clock, UtcMillis commit_clock, std::optional<UtcSeconds> start,
                         const TimingTerms& terms);

/// Is there time to take a key away on every member before it becomes active, if that takes `needed`?
bool before_start(UtcMillis latest_clock, std::optional<UtcSeconds> start, milliseconds needed,
                  const TimingTerms& terms);
/// The same at one member, just before it is taken away there.
bool may_withdraw(UtcMillis clock, UtcSeconds start, const TimingTerms& terms);

/// Is what waits for its confirm on a device the commit that the journal of a dead run names?
bool is_commit_of_dead_run(const std::optional<PendingCommit>& pending, const std::string& journalled_comment);

/// May the key of a dead run be scheduled again, although a member's chain has it? Where it stands in a chain it is in force there
/// already, and not everywhere.
bool may_schedule_again(Rollover rollover, const std::vector<ConfiguredKey>& configured, const std::string& ckn);

}  // namespace qkd::engine
