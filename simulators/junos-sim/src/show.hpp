// Identifiers that several replies share, and the simulator's own view of a device.
#pragma once

#include <filesystem>
#include <string>

namespace qkd::junossim {

// "02:1a:..": made from the device's and, if given, the interface's name, so every process tells the same.
std::string mac_address(const std::string& device, const std::string& interface = {});

// What --show prints: the running configuration with clear secrets, then the state of each MACsec interface.
std::string device_view(const std::filesystem::path& state);

}  // namespace qkd::junossim
