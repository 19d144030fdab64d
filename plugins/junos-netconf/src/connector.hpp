// The connect stage: SSH or a local command, NETCONF, facts.
#pragma once

#include "qkd/sdk/device.hpp"

namespace qkd::junos {

class JunosConnector final : public Connector {
  public:
    Result<void> configure(const ConfigView& config) override;
    /// Opens a session and closes it again.
    Result<void> probe(Context& context) override;
    Result<std::unique_ptr<DeviceSession>> open(Context& context) override;

  private:
    const ConfigView* config_ = nullptr;
};

}  // namespace qkd::junos
