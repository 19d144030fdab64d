// The initial-config stage: everything around the keys.
#pragma once

#include "config_model.hpp"
#include "qkd/sdk/initial_config.hpp"

namespace qkd::junos {

class JunosInitialConfig final : public InitialConfig {
  public:
    Result<void> configure(const ConfigView& config) override;
    /// Nothing to prove: what it needs, the connect stage proves.
    Result<void> probe(Context& context) override;
    Result<std::unique_ptr<ConfigEdits>> difference(Context& context, DeviceSession& session,
                                                    const MemberTarget& target) override;

  private:
    InitialOptions options_;
    std::string own_address_;  ///< of the router, where the pipeline has it in figures
};

}  // namespace qkd::junos
