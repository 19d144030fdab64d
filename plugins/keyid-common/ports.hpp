// Which network interface of this machine belongs to a member's interface.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "qkd/sdk/config.hpp"

namespace qkd::keyid_common {

/// For the field table of a transport.
inline constexpr Field ports_field{Scope::key_ids,
                                   FieldType::string_list,
                                   "ports",
                                   false,
                                   nullptr,
                                   nullptr,
                                   "Network interfaces of this machine, as \"DEVICE INTERFACE=NETDEV\" for each "
                                   "interface of the link that has another "
                                   "name here."};

class Ports {
  public:
    /// Reads that field. config/never when an entry is malformed or given twice.
    Result<void> configure(const ConfigView& config);
    /// The interface's own name where nothing else is said.
    [[nodiscard]] std::string netdev(const std::string& device, const std::string& interface_name) const;

  private:
    std::map<std::pair<std::string, std::string>, std::string> netdevs_;
};

}  // namespace qkd::keyid_common
