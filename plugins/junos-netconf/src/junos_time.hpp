// Times as a Junos device writes them: its own zone, with or without saying which, never quite ISO 8601.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "qkd/sdk/device.hpp"

namespace qkd::junos {

/// The device's zone: its name, when the time-zone database here knows it and agrees with the device's clock, else
/// only the offset that the device has now.
class DeviceZone {
  public:
    DeviceZone() = default;
    /// `name` as configured ("Europe/Berlin", "GMT+2"; empty = UTC); `offset` as measured at `now`.
    DeviceZone(const std::string& name, std::chrono::minutes offset, UtcSeconds now);

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] std::chrono::minutes offset_at(UtcSeconds instant) const;
    /// The first change of the offset in (after, after + within]; nullopt when there is none or the rules are unknown.
    [[nodiscard]] std::optional<UtcSeconds> next_change(UtcSeconds after, std::chrono::hours within) const;

    /// "2026-10-06.04:58:34": a start-time in the device's local time.
    [[nodiscard]] std::string start_time(UtcSeconds instant) const;
    /// Reads a start-time back: "2026-10-6.04:58:34 -0700", "2026-1-1.00:01 +0000", "2026-07-05.16:45".
    [[nodiscard]] std::optional<UtcSeconds> read_start_time(std::string_view text) const;

  private:
    std::string name_ = "UTC";
    std::chrono::minutes offset_{0};
    bool rules_known_ = true;
};

/// Local civil time "2026-11-21 13:06:01 CET" as seconds, without any zone applied; nullopt when it is none.
std::optional<std::chrono::seconds> read_local_time(std::string_view text);

}  // namespace qkd::junos
