// The rotation protocol: brings one link from one key to the next, or back to where it was.
//
//   connect -> reconcile -> prepare -> reserve -> stage -> commit -> confirm -> verify -> persist
//                 |                       |         |        |          |          |
//                 |                    retract   discard   revert   withdraw    (forward only)
//                 +-- a key that all members have scheduled already: straight to verify
//
// Each arrow is a barrier for the members of the link; other links run on. Any failure runs the undo of what was done,
// in reverse. Invariant: at every instant all members share a usable CAK: the old one, the new one, or the common
// fallback.
#pragma once

#include <stop_token>
#include <string>

#include "engine/crew.hpp"
#include "engine/leases.hpp"
#include "engine/report.hpp"

namespace qkd::engine {

/// What the rotations of one run share. Thread-safe.
struct RunShared {
    const Pipeline& pipeline;
    PluginHost& host;
    Observer& observer;
    const Interruption& interruption;
    std::string run_id;
    std::function<bool(milliseconds, const std::stop_token&)> pause;
    Leases devices;    ///< all commits, commit checks and description changes of a device
    Leases sae_pairs;  ///< from mint to fetch one SAE pair is served serially
};

/// Runs the protocol for one link. Never throws; every outcome is in the report.
LinkReport rotate(RunShared& shared, const Link& link);

/// Every step the protocol can be in, in order. The journal records these words.
enum class Step : std::uint8_t { connect, reconcile, prepare, reserve, stage, commit, confirm, verify, persist, done };
const char* to_string(Step step) noexcept;

}  // namespace qkd::engine
