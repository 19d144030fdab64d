// The number of a rotation among those of its link.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "qkd/sdk/persist.hpp"

namespace qkd::engine {

/// Grows even when the remembered record was lost: never below the seconds of the calendar.
inline std::uint64_t next_generation(const LinkRecord& record) {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    return std::max(record.generation + 1, static_cast<std::uint64_t>(now.time_since_epoch().count()));
}

}  // namespace qkd::engine
