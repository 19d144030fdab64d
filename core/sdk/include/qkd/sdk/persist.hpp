// The persist stage: remembers key_IDs and generations. Never keys.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/device.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

/// What is remembered of a link. A cache with an age: the router is the truth.
struct LinkRecord {
    std::string link;
    std::uint64_t generation = 0;
    std::string key_id;
    std::string previous_key_id;  ///< empty when there was none
    std::string ckn;
    std::string rollover;
    /// CKNs that this program wrote for the link and that may still stand on a device, newest first, at most 128. Chain keys
    /// that are not listed here are somebody else's and left alone.
    std::vector<std::string> own_ckns;
    std::optional<UtcSeconds> start;  ///< key-chain: when the key becomes active
    UtcSeconds saved{};
    /// The key that is scheduled but not active yet, written before any device is touched; empty when none is.
    std::string pending_key_id;
    std::string pending_ckn;
    /// On-box: the fallback key that all members were heard to have; empty when that is not known.
    std::string fallback_ckn;
    /// How long a commit took at the slowest member, in device time: the latest figure, or the fading largest one.
    std::chrono::milliseconds commit_time{0};

    bool operator==(const LinkRecord&) const = default;
};

/// persist: one object per link, configured with the [[stage]] table.
class Persist : public Stage {
  public:
    static constexpr StageKind kind = StageKind::persist;

    /// nullopt when nothing is remembered of this link. A damaged record is an error that names the file.
    virtual Result<std::optional<LinkRecord>> load(Context& context, const std::string& link) = 0;
    /// Atomic and durable: after a crash the old or the new record is there.
    virtual Result<void> save(Context& context, const LinkRecord& record) = 0;
};

}  // namespace qkd
