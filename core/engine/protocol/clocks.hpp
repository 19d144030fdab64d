// The clocks of a link's members: how far they are apart, and the start-time that fits all of them.
// No clock of the machine that runs this takes part.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "engine/pipeline/model.hpp"
#include "qkd/sdk/device.hpp"

namespace qkd::engine {

/// Two readings of every member. All first readings ended before any second one began.
struct ClockRounds {
    std::vector<std::string> devices;
    std::vector<ClockReading> first;
    std::vector<ClockReading> second;
};

struct Skew {
    std::chrono::milliseconds proven{0};    ///< the two clocks that differ most differ by at least this
    std::chrono::milliseconds estimate{0};  ///< middle of what the readings allow, for the same two
    std::string ahead, behind;              ///< devices
};

/// For members i, j with clock offsets o: first readings precede second ones, so o_i - o_j lies between
/// first_i - second_j and second_i - first_j, each widened by the clock's resolution.
Skew measure_skew(const ClockRounds& rounds);

/// The start-time: the latest member's clock + lead, on a whole second, moved to an hour after any change of a member's
/// UTC offset that would be within an hour of it (such a local time may be ambiguous or missing).
UtcSeconds choose_start(const std::vector<ClockReading>& readings, std::chrono::milliseconds lead);

}  // namespace qkd::engine
