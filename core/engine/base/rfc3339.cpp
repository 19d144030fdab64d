// Civil time of UTC by the standard library's calendar.
#include "engine/base/rfc3339.hpp"

#include <chrono>
#include <cstdio>

namespace qkd::engine {

std::string rfc3339(UtcMillis time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    char text[64];
    int length = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                               static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                               static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                               static_cast<int>(clock.seconds().count()));
    std::string shown(text, static_cast<std::size_t>(length));
    if (const auto ms = clock.subseconds().count(); ms != 0) {
        length = std::snprintf(text, sizeof text, ".%03d", static_cast<int>(ms));
        shown.append(text, static_cast<std::size_t>(length));
    }
    return shown + "Z";
}

}  // namespace qkd::engine
