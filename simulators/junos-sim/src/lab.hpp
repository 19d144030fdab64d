// The lab a device lives in: its clock, its wires, its neighbours. Read from lab.json each time, never cached.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "util.hpp"

namespace qkd::junossim {

struct WireEnd {
    std::string device;
    std::string interface;
};

struct Wire {
    WireEnd a;
    WireEnd b;
    std::string name() const;  // also its file name: "mx304-11_et-0-0-9--mx304-12_et-0-0-9"
};

struct Lab {
    std::filesystem::path root;  // empty: a lone device on the real clock
    double speed = 1.0;
    Millis epoch_wall = 0;
    Millis epoch_lab = 0;
    Millis advanced = 0;
    bool skip_waits = false;  // see skip_to_next_start()
    std::vector<Wire> wires;
    std::map<std::string, std::filesystem::path> devices;  // state folders

    Millis now() const;  // lab clock
    std::vector<Wire> wires_of(const std::string& device) const;
};

// `file` may be empty (a lone device). Throws SimError when it cannot be read.
Lab read_lab(const std::filesystem::path& file);

// Moves the clock of the lab, and so all devices, forward to `instant` (lab clock); nothing happens when that is past.
void advance_to(const Lab& lab, Millis instant);

// device.json: what kind of device this is.
struct DeviceInfo {
    std::string name;
    std::string model = "mx304";
    std::string version = "23.4R1.10";
    std::string serial = "SIM0001";
    std::string zone = "UTC";  // until the configuration sets system time-zone
    Millis skew = 0;           // device clock minus lab clock
    std::filesystem::path lab_file;
    bool preceding_key = true;
    bool timer_survives_reboot = true;  // a confirmed commit's timer; without it the commit stays
    long linger = 0;                    // device seconds that a session outlives its connection
    int routing_engines = 1;
    std::string user_class = "j-super-user";
    std::vector<std::string> deny;  // RPCs (local names) this user may not call
    // The login class: permission flags, and regular expressions for statements that may be changed besides. Unset: all.
    std::optional<std::vector<std::string>> permissions;
    std::vector<std::string> allow_configuration;
    bool rfc_compliant = false;
    bool version_1_1 = false;
    bool start_time_suffix = true;  // read start-times back with their numeric zone
    bool bare_commit_ok = false;    // answer a commit with <ok/> alone, as smaller models do

    bool may(std::string_view permission) const;
    bool read_only() const { return user_class.find("read-only") != std::string::npos; }
};
DeviceInfo read_device_info(const std::filesystem::path& state);

}  // namespace qkd::junossim
