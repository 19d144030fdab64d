// Zone rules come from the system's time-zone database through the date library (C++20's own is not in GCC 12).
#include "junos_time.hpp"

#include <date/tz.h>

#include <array>
#include <cstdio>
#include <exception>
#include <vector>

#include "xml.hpp"

namespace qkd::junos {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const date::time_zone* find_zone(const std::string& name) {
    try {
        return date::locate_zone(name);
    } catch (const std::exception&) {
        return nullptr;
    }
}

std::optional<date::sys_info> rules_at(const std::string& name, UtcSeconds instant) {
    const auto* zone = find_zone(name);
    if (zone == nullptr) return std::nullopt;
    try {
        return zone->get_info(date::sys_seconds(instant.time_since_epoch()));
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

// Takes a number of 1 to `digits` digits off the front.
bool take_number(std::string_view& text, std::size_t digits, int& value) {
    std::size_t count = 0;
    value = 0;
    while (count < digits && count < text.size() && text[count] >= '0' && text[count] <= '9')
        value = value * 10 + (text[count++] - '0');
    text.remove_prefix(count);
    return count != 0;
}

bool take(std::string_view& text, char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
}

// "Y-M-D<separator>h:m[:s]" as seconds of civil time since 1970.
std::optional<seconds> take_civil(std::string_view& text, char separator) {
    int year = 0;
    int month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    if (!take_number(text, 4, year) || !take(text, '-') || !take_number(text, 2, month) || !take(text, '-') ||
        !take_number(text, 2, day) || !take(text, separator) || !take_number(text, 2, hour) || !take(text, ':') ||
        !take_number(text, 2, minute))
        return std::nullopt;
    if (take(text, ':') && !take_number(text, 2, second)) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
    return std::chrono::sys_days{date}.time_since_epoch() + std::chrono::hours{hour} + minutes{minute} +
           seconds{second};
}

}  // namespace

DeviceZone::DeviceZone(const std::string& name, minutes offset, UtcSeconds now)
    : name_(name.empty() ? "UTC" : name), offset_(offset) {
    const auto rules = rules_at(name_, now);
    // A device with rules of its own, or with a zone like "GMT+2" that means the opposite elsewhere: believe its clock.
    rules_known_ = rules && std::chrono::duration_cast<minutes>(rules->offset) == offset_;
    if (rules_known_ || !name.empty()) return;
    // Nothing configured and not UTC: only the offset is known.
    const auto minutes_east = std::chrono::abs(offset_).count();
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "UTC%c%02d:%02d", offset_.count() < 0 ? '-' : '+',
                  static_cast<int>(minutes_east / 60), static_cast<int>(minutes_east % 60));
    name_ = text.data();
}

minutes DeviceZone::offset_at(UtcSeconds instant) const {
    if (rules_known_) {
        if (const auto rules = rules_at(name_, instant)) return std::chrono::duration_cast<minutes>(rules->offset);
    }
    return offset_;
}

std::optional<UtcSeconds> DeviceZone::next_change(UtcSeconds after, std::chrono::hours within) const {
    if (!rules_known_) return std::nullopt;
    UtcSeconds at = after;
    // An entry of the rules may end without a change of the offset.
    for (int i = 0; i < 8; ++i) {
        const auto rules = rules_at(name_, at);
        if (!rules) return std::nullopt;
        const UtcSeconds end{rules->end.time_since_epoch()};
        if (end > after + within) return std::nullopt;
        const auto then = rules_at(name_, end);
        if (!then) return std::nullopt;
        if (then->offset != rules->offset) return end;
        at = end;
    }
    return std::nullopt;
}

std::string DeviceZone::start_time(UtcSeconds instant) const {
    const auto local = instant + offset_at(instant);
    const auto day = std::chrono::floor<std::chrono::days>(local);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss time{local - day};
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%04d-%02u-%02u.%02d:%02d:%02d", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()));
    return text.data();
}

std::optional<UtcSeconds> DeviceZone::read_start_time(std::string_view text) const {
    text = trim(text);
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = trim(text.substr(1, text.size() - 2));
    const auto civil = take_civil(text, '.');
    if (!civil) return std::nullopt;
    text = trim(text);
    if (text.empty()) {
        // Without an offset: local time. The offset is the one of that instant; where the guess is off by a change in
        // between, the second look is right.
        UtcSeconds instant{*civil - offset_at(UtcSeconds{*civil})};
        return UtcSeconds{*civil - offset_at(instant)};
    }
    const bool negative = text.front() == '-';
    if (!take(text, '+') && !take(text, '-')) return std::nullopt;
    if (text.size() == 5 && text[2] == ':') {
        // "+02:00"
        int hours = 0;
        int mins = 0;
        if (!take_number(text, 2, hours) || !take(text, ':') || !take_number(text, 2, mins)) return std::nullopt;
        const minutes shift{hours * 60 + mins};
        return UtcSeconds{*civil - (negative ? -shift : shift)};
    }
    if (text.size() != 4) return std::nullopt;
    int digits = 0;
    if (!take_number(text, 4, digits) || !text.empty()) return std::nullopt;
    const minutes shift{digits / 100 * 60 + digits % 100};
    return UtcSeconds{*civil - (negative ? -shift : shift)};
}

std::optional<seconds> read_local_time(std::string_view text) {
    text = trim(text);
    return take_civil(text, ' ');
}

}  // namespace qkd::junos
