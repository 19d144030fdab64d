// What the ways of changing a key have in common and where they differ, as data: the rotation asks these traits, never which way it
// is. A further way is a further row.
#pragma once

#include "qkd/sdk/macsec.hpp"

namespace qkd::engine {

struct RolloverTraits {
    /// The new key waits on the device for its start-time and the old one stays in force until then; else the new key is in force
    /// with the commit.
    bool schedules;
    /// The change takes the old key's place away, so the same change keeps it as the fallback. Else a fallback that all members
    /// have must be there before the first key is scheduled.
    bool old_key_becomes_fallback;
    /// Where the key in force stands in the configuration.
    KeyPlace place;
};

constexpr RolloverTraits traits_of(Rollover rollover) noexcept {
    switch (rollover) {
        case Rollover::pre_shared_key: return {false, true, KeyPlace::pre_shared};
        case Rollover::key_chain: break;
    }
    return {true, false, KeyPlace::chain};
}

}  // namespace qkd::engine
