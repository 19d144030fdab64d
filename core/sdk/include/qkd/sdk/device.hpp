// The connect stage: a session with one device, and what a session may offer.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/secret.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

using UtcSeconds = std::chrono::sys_seconds;
using UtcMillis = std::chrono::sys_time<std::chrono::milliseconds>;

/// Files of the device. Relative paths count from the login user's home directory.
class FileAccess {
  public:
    virtual ~FileAccess() = default;
    /// Writes a new file beside `path` and renames it: a reader sees the old file or the whole new one.
    virtual Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) = 0;
    /// not_found when there is no such file. Files above 1 MiB are refused.
    virtual Result<SecretBytes> get(Context& context, const std::string& path) = 0;
    /// Names (not paths) in a directory; an absent directory is an empty list.
    virtual Result<std::vector<std::string>> list(Context& context, const std::string& directory) = 0;
    /// Removing what is not there is success.
    virtual Result<void> remove(Context& context, const std::string& path) = 0;
    /// Like mkdir -p for the last component; an existing directory is success. auth/never when everybody may replace files
    /// in it (writable by others and not sticky).
    virtual Result<void> make_directory(Context& context, const std::string& path, unsigned mode) = 0;
};

/// What a device hears of its neighbour on one interface (IEEE 802.1AB).
struct LldpNeighbour {
    std::string interface_name;  ///< local interface
    std::string system_name;
    std::string port_id;
    std::string port_description;  ///< IEEE 802.1AB-2016 clause 8.5.5: at most 255 characters
};

class LldpAccess {
  public:
    virtual ~LldpAccess() = default;
    /// The operator's description of an interface; empty when there is none.
    virtual Result<std::string> description(Context& context, const std::string& interface_name) = 0;
    /// Sets (or, when empty, deletes) the description: a lock, an edit and a commit. The caller holds the device lease.
    virtual Result<void> describe(Context& context, const std::string& interface_name, const std::string& text) = 0;
    /// The neighbour on one interface; not_found when none is heard.
    virtual Result<LldpNeighbour> neighbour(Context& context, const std::string& interface_name) = 0;
};

/// A device's clock at one moment.
struct ClockReading {
    UtcMillis now;                               ///< the device's own idea of UTC
    std::chrono::milliseconds resolution{1000};  ///< the true value lies in [now, now + resolution)
    std::chrono::minutes utc_offset{0};          ///< local time = UTC + offset, now
    std::string zone;                            ///< "Europe/Berlin" or what the device calls it
    std::optional<UtcSeconds> offset_changes;    ///< next change of the offset within 48 hours, where it is known
};

class ClockAccess {
  public:
    virtual ~ClockAccess() = default;
    virtual Result<ClockReading> read(Context& context) = 0;
};

struct DeviceFacts {
    std::string host_name;
    std::string model;
    std::string software;
};

/// An open, authenticated session. One thread at a time. The destructor closes without waiting for the far end.
/// An accessor that returns nullptr says that this device cannot do it; the objects belong to the session.
class DeviceSession {
  public:
    virtual ~DeviceSession() = default;
    DeviceSession(const DeviceSession&) = delete;
    DeviceSession& operator=(const DeviceSession&) = delete;

    virtual const DeviceFacts& facts() const = 0;
    /// The device's own name for this session, as it stands in what others are told while this one holds the lock; empty
    /// when the device has none. Still valid when alive() is false.
    [[nodiscard]] virtual std::string id() const = 0;
    virtual FileAccess* files() noexcept = 0;
    virtual LldpAccess* lldp() noexcept = 0;
    virtual ClockAccess* clock() noexcept = 0;
    /// Takes leave in the protocol's way; the session is of no use afterwards whatever the result.
    virtual Result<void> close(Context& context) = 0;
    /// False once the transport broke; then open a new session.
    [[nodiscard]] virtual bool alive() const noexcept = 0;

  protected:
    DeviceSession() = default;
};

/// connect: one object per device, configured with its [device.NAME] table.
class Connector : public Stage {
  public:
    static constexpr StageKind kind = StageKind::connect;

    /// Connects, verifies the host key, authenticates, and says hello. Errors: unreachable, auth, timeout, cancelled,
    /// protocol.
    virtual Result<std::unique_ptr<DeviceSession>> open(Context& context) = 0;
};

}  // namespace qkd
