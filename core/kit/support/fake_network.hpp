// Devices in memory, wired to each other: files, interface descriptions that neighbours hear by LLDP, and clocks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "qkd/sdk/device.hpp"

namespace qkd::support {

struct FakeFile {
    std::string content;
    unsigned mode = 0;
    bool operator==(const FakeFile&) const = default;
};

/// What a device holds. Comparable, so that a test can say "nothing changed".
struct FakeDevice {
    std::map<std::string, FakeFile> files;  ///< absolute path -> file
    std::set<std::string> directories{"/var/tmp", "/var/home/lab"};
    std::map<std::string, std::string> descriptions;  ///< interface -> description, absent when there is none
    std::optional<ClockReading> clock = ClockReading{UtcMillis{std::chrono::seconds{1795000000}}, {}, {}, "UTC", {}};
    bool offers_files = true;
    bool offers_lldp = true;
};

/// Who calls what: device and operation ("files.put", "lldp.describe", ...).
struct FakeCall {
    std::string device;
    std::string operation;
    std::string argument;  ///< path or interface
};

/// All devices and wires. Thread-safe as far as sessions go; device() and calls() are for quiet moments.
class FakeNetwork {
  public:
    FakeDevice& device(const std::string& name) { return devices_[name]; }
    /// Both ends hear each other's description on that interface, at once.
    void wire(const std::string& device_a, const std::string& interface_a, const std::string& device_b,
              const std::string& interface_b);
    std::unique_ptr<DeviceSession> session(const std::string& device);

    /// Asked before every operation; an Error is the operation's answer. May block to play a stalled device.
    std::function<std::optional<Error>(Context&, const FakeCall&)> intercept;

    /// Every operation since the last clear(), in order.
    [[nodiscard]] const std::vector<FakeCall>& calls() const noexcept { return calls_; }
    [[nodiscard]] std::size_t count(const std::string& operation) const;
    void clear_calls() { calls_.clear(); }

    struct State {
        std::map<std::string, std::map<std::string, FakeFile>> files;
        std::map<std::string, std::map<std::string, std::string>> descriptions;
        bool operator==(const State&) const = default;
    };
    /// Files and descriptions of all devices.
    [[nodiscard]] State state() const;

  private:
    friend class FakeSession;
    struct End {
        std::string device, interface_name;
        auto operator<=>(const End&) const = default;
    };

    std::mutex mutex_;
    std::map<std::string, FakeDevice> devices_;
    std::map<End, End> wires_;
    std::vector<FakeCall> calls_;
};

}  // namespace qkd::support
