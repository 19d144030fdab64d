// A real OpenSSH sshd on loopback with junos-sim behind it: one simulated device for a test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "support/map_config.hpp"
#include "support/temp_dir.hpp"

namespace qkd::junos::test {

struct SshdOptions {
    bool ssh = true;  ///< false: no sshd, only local_values() work
    bool sftp = true;
    std::string host_key_type = "ed25519";
    /// Merged over a default device.json of the simulator.
    std::string zone = "UTC";
    bool rfc_compliant = false;
    bool version_1_1 = false;
    int routing_engines = 1;
    bool lab = false;  ///< the device's clock can be advanced
};

/// Starts sshd on a free port and ends exactly that process. Throws when it does not come up.
class SimulatedDevice {
  public:
    explicit SimulatedDevice(const SshdOptions& options = {});
    ~SimulatedDevice();
    SimulatedDevice(const SimulatedDevice&) = delete;
    SimulatedDevice& operator=(const SimulatedDevice&) = delete;

    /// What the [device.NAME] table would say.
    [[nodiscard]] support::Values values() const;
    /// The same where the program runs on the device: transport local.
    [[nodiscard]] support::Values local_values() const;
    [[nodiscard]] std::string host_key_line() const;  ///< type and base64, as in a .pub file
    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] std::filesystem::path folder() const { return temp_.path(); }
    [[nodiscard]] std::filesystem::path state() const { return temp_.path() / "device"; }
    /// The simulator's own view, secrets in clear.
    [[nodiscard]] std::string show() const;
    /// Only in a lab: moves the device's clock.
    void advance(std::chrono::seconds time);
    /// One scripted fault of the simulator as JSON; empty takes it away.
    void fault(const std::string& json);
    /// A session of another user that makes these two calls and closes.
    void as_user(const std::string& user, const std::string& first, const std::string& second) const;
    /// From now on the device's user may not make this call.
    void deny(const std::string& rpc);
    /// From now on the user's login class has these permission flags, and may change what these expressions match.
    void login_class(const std::vector<std::string>& permissions, const std::vector<std::string>& allow_configuration);

  private:
    void write_lab() const;
    void write_device(const std::string& more) const;

    SshdOptions options_;
    support::TempDir temp_;
    std::chrono::milliseconds epoch_{};
    std::chrono::milliseconds advanced_{};
    int port_ = 0;
    pid_t pid_ = -1;
};

/// A port that was free a moment ago.
int free_port();
std::string user_name();
/// Runs a program, waits, gives its standard output. Throws when it fails.
std::string run_program(const std::vector<std::string>& arguments);

}  // namespace qkd::junos::test
