// Local calendar arithmetic by the C library, which knows this machine's zone.
#include "schedule.hpp"

#include <ctime>

namespace qkd::certs {
namespace {

std::tm local(std::chrono::sys_seconds time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm fields{};
    ::localtime_r(&seconds, &fields);
    return fields;
}

bool is_day(const std::tm& fields) {
    return fields.tm_mday % 5 == 1;
}

}  // namespace

bool in_window(std::chrono::sys_seconds now) {
    const std::tm fields = local(now);
    return is_day(fields) && fields.tm_hour * 60 + fields.tm_min <= 60;
}

std::chrono::sys_seconds window_closes(std::chrono::sys_seconds now) {
    const std::tm today = local(now);
    for (int ahead = 0;; ++ahead) {  // ends: one day in six at the latest
        std::tm close = today;
        close.tm_mday += ahead;
        close.tm_hour = 1;
        close.tm_min = 1;
        close.tm_sec = 0;
        close.tm_isdst = -1;
        const auto time =
            std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::from_time_t(::mktime(&close)));
        if (time > now && is_day(close)) return time;
    }
}

}  // namespace qkd::certs
