// What happens on the wires: the MKA model applied to the lab's devices, with its checkpoints and logs in LAB/wires/.
//
// LAB/wires/WIRE.json is the checkpoint. LAB/wires/WIRE.log has a JSON line for each transition:
//   {"at":<lab unix ms>,"state":"secured|preceding|fallback|init|down|off","apart":false,"ckn":"..",
//    "ends":[{"device":"..","interface":"..","state":"..","role":"primary|preceding|fallback|none"},{..}]}
// state is the worse of both ends; off: MACsec is not configured at both; apart: it is, but no usable key is shared.
// A log that passes 4 MiB is renamed to WIRE.log.1. Wires are worked out when somebody looks: run --show on one of the
// two devices before reading a log. Keys never appear in the log.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "device.hpp"
#include "lab.hpp"
#include "mka.hpp"

namespace qkd::junossim {

// One MACsec interface as its device sees it now.
struct PortView {
    std::string interface;
    std::string ca;
    std::optional<WireEnd> peer;  // empty: not wired
    WireState wire;
    std::size_t which = 0;  // this device's end of `wire`
    Millis now = 0;         // lab clock

    LinkState state() const { return wire.state_at(which); }
    const EndState& end() const { return wire.end[which]; }
};

// Brings all wires of the device up to date and tells the state of each interface with MACsec, by name.
// Opens devices: the caller must hold none.
std::vector<PortView> look_at_ports(const std::filesystem::path& state);

}  // namespace qkd::junossim
