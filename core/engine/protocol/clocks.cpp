// Clock comparison by intervals, choice of the start-time.
#include "engine/protocol/clocks.hpp"

#include <algorithm>

namespace qkd::engine {

using std::chrono::milliseconds;

Skew measure_skew(const ClockRounds& rounds) {
    Skew worst;
    bool any = false;
    for (std::size_t i = 0; i < rounds.first.size(); ++i) {
        for (std::size_t j = 0; j < rounds.first.size(); ++j) {
            if (i == j) continue;
            const milliseconds low = (rounds.first[i].now - rounds.second[j].now) - rounds.second[j].resolution;
            const milliseconds high = (rounds.second[i].now - rounds.first[j].now) + rounds.second[i].resolution;
            const milliseconds proven = std::max(low, milliseconds{0});
            const milliseconds estimate = std::max((low + high) / 2, milliseconds{0});
            if (!any || proven > worst.proven || (proven == worst.proven && estimate > worst.estimate)) {
                worst = {proven, estimate, rounds.devices[i], rounds.devices[j]};
                any = true;
            }
        }
    }
    return worst;
}

UtcSeconds choose_start(const std::vector<ClockReading>& readings, milliseconds lead) {
    UtcMillis latest{};
    for (const auto& reading : readings) latest = std::max(latest, reading.now + reading.resolution);
    auto start = std::chrono::ceil<std::chrono::seconds>(latest + lead);
    constexpr std::chrono::seconds margin = std::chrono::hours{1};
    // Moving past one change may come near another one's; each member has one change at most, so this ends.
    for (bool moved = true; moved;) {
        moved = false;
        for (const auto& reading : readings) {
            if (!reading.offset_changes) continue;
            if (start > *reading.offset_changes - margin && start < *reading.offset_changes + margin) {
                start = *reading.offset_changes + margin;
                moved = true;
            }
        }
    }
    return start;
}

}  // namespace qkd::engine
