// The initial-config stage: what a device needs before its first key.
#pragma once

#include <memory>

#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

/// initial-config: one object per device, configured with its [device.NAME] table.
class InitialConfig : public Stage {
  public:
    static constexpr StageKind kind = StageKind::initial_config;

    /// The difference between what the device has and what the member needs, apart from keys. Reads, changes nothing:
    /// the edits take effect in the same commit as the keys, because a connectivity association without keys is
    /// refused. Empty edits when nothing is missing.
    virtual Result<std::unique_ptr<ConfigEdits>> difference(Context& context, DeviceSession& session,
                                                            const MemberTarget& target) = 0;
};

}  // namespace qkd
