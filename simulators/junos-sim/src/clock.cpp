// Device time: zones, the texts a Junos device prints, and the start-time of a key.
#include "clock.hpp"

#include <date/tz.h>

#include <cstdio>

namespace qkd::junossim {

namespace {

using std::chrono::milliseconds;
using SysMillis = date::sys_time<milliseconds>;

const date::time_zone* find_zone(const std::string& name) {
    try {
        return date::locate_zone(name.empty() ? "UTC" : name);
    } catch (const std::runtime_error&) {
        return nullptr;
    }
}

const date::time_zone* zone_or_utc(const std::string& name) {
    const auto* zone = find_zone(name);
    return zone != nullptr ? zone : date::locate_zone("UTC");
}

std::optional<std::chrono::seconds> parse_offset(std::string_view text) {
    int hours = 0;
    int minutes = 0;
    char sign = 0;
    char rest = 0;
    const std::string copy(text);
    if (text.size() != 5 || std::sscanf(copy.c_str(), "%c%2d%2d%c", &sign, &hours, &minutes, &rest) != 3) return {};
    if ((sign != '+' && sign != '-') || hours < 0 || hours > 14 || minutes < 0 || minutes > 59) return {};
    const auto offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
    return sign == '-' ? -offset : offset;
}

}  // namespace

Millis wall_now() {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool zone_known(const std::string& zone) {
    return find_zone(zone) != nullptr;
}

std::string local_text(Millis at, const std::string& zone) {
    const auto seconds = date::floor<std::chrono::seconds>(SysMillis(milliseconds(at)));
    return date::format("%Y-%m-%d %H:%M:%S %Z", date::make_zoned(zone_or_utc(zone), seconds));
}

std::optional<StartTime> parse_start_time(std::string_view text, const std::string& zone) {
    const std::string copy = trim(text);
    int year = 0;
    unsigned month = 0;
    unsigned day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    int used = 0;
    if (std::sscanf(copy.c_str(), "%4d-%2u-%2u.%2d:%2d%n", &year, &month, &day, &hour, &minute, &used) != 5) return {};
    std::string_view rest = std::string_view(copy).substr(static_cast<std::size_t>(used));
    if (rest.starts_with(':')) {
        int more = 0;
        if (std::sscanf(copy.c_str() + used, ":%2d%n", &second, &more) != 1) return {};
        rest.remove_prefix(static_cast<std::size_t>(more));
    }
    const auto ymd = date::year(year) / static_cast<int>(month) / static_cast<int>(day);
    if (!ymd.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return {};
    const auto local =
        date::local_days(ymd) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
    const std::string suffix = trim(rest);
    if (!suffix.empty()) {
        const auto offset = parse_offset(suffix);
        if (!offset) return {};
        const auto text_part = date::format("%Y-%m-%d.%H:%M:%S", date::local_seconds(local));
        return StartTime{milliseconds(local.time_since_epoch() - *offset).count(), text_part + " " + suffix};
    }
    const auto* in = zone_or_utc(zone);
    const auto utc = in->to_sys(date::local_seconds(local), date::choose::earliest);
    return StartTime{milliseconds(utc.time_since_epoch()).count(),
                     date::format("%Y-%m-%d.%H:%M:%S %z", date::make_zoned(in, utc))};
}

std::string duration_text(Millis duration) {
    const long long s = duration < 0 ? 0 : duration / 1000;
    char text[64];
    std::snprintf(text, sizeof text, "%02lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
    return s >= 86400 ? std::to_string(s / 86400) + "d " + text : text;
}

}  // namespace qkd::junossim
