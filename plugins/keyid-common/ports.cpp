// Reads "DEVICE INTERFACE=NETDEV".
#include "keyid-common/ports.hpp"

namespace qkd::keyid_common {

Result<void> Ports::configure(const ConfigView& config) {
    constexpr std::size_t longest_netdev = 15;  // IFNAMSIZ - 1
    for (const std::string& entry : config.list("ports")) {
        const auto blank = entry.find(' ');
        const auto equals = entry.rfind('=');
        const bool whole = blank != std::string::npos && equals != std::string::npos && blank > 0 && equals > blank + 1;
        const std::string netdev = whole ? entry.substr(equals + 1) : std::string();
        if (netdev.empty() || netdev.size() > longest_netdev || netdev.find_first_of(" /") != std::string::npos) {
            return Error{ErrorCode::config, Retry::never,
                         config.name() + ": '" + entry + "' in ports is no DEVICE INTERFACE=NETDEV",
                         R"(write ports = ["mx1 et-0/0/9=eth1"])"};
        }
        const std::pair place(entry.substr(0, blank), entry.substr(blank + 1, equals - blank - 1));
        if (!netdevs_.emplace(place, netdev).second) {
            return Error{ErrorCode::config, Retry::never,
                         config.name() + ": ports names " + place.first + " " + place.second + " twice",
                         "name each interface once"};
        }
    }
    return {};
}

std::string Ports::netdev(const std::string& device, const std::string& interface_name) const {
    const auto found = netdevs_.find({device, interface_name});
    return found == netdevs_.end() ? interface_name : found->second;
}

}  // namespace qkd::keyid_common
