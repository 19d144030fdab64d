// Device time: zones, the texts a Junos device prints, and the start-time of a key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "util.hpp"

namespace qkd::junossim {

Millis wall_now();

bool zone_known(const std::string& zone);
// "2026-07-09 15:50:31 CEST"; `at` is unix ms of the device's clock. An unknown zone reads as UTC.
std::string local_text(Millis at, const std::string& zone);

// The start-time of a key: when, and as it is read back, e.g. "2026-11-21.15:04:05 +0100".
struct StartTime {
    Millis at = 0;  // unix ms of the device's clock
    std::string text;
};
// "YYYY-MM-DD.HH:MM[:SS]", local in `zone`, or with a numeric zone "+0100" behind it. An hour that daylight time
// skips or repeats takes the earlier offset.
std::optional<StartTime> parse_start_time(std::string_view text, const std::string& zone);

// "00:00:26", "2d 06:30:56": how long something has been so.
std::string duration_text(Millis duration);

}  // namespace qkd::junossim
