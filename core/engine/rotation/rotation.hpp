// The rotation protocol: brings one link from one key to the next, or back to where it was.
//
// The order of its steps is the table in protocol/steps.hpp. Each step is a barrier for the members of the link; other links run
// on. Any failure runs the undo of what was done. Invariant: at every instant all members share a usable CAK: the old one,
// the new one, or the common fallback. What a run leaves when it dies is in the journal, and the next run begins with it.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "engine/host/plugin_host.hpp"
#include "engine/members/call.hpp"
#include "engine/members/leases.hpp"
#include "engine/members/session_pool.hpp"
#include "engine/reporting/events.hpp"
#include "engine/reporting/report.hpp"
#include "engine/state/store.hpp"

namespace qkd::engine {

/// What the rotations of one run share. Thread-safe.
struct RunShared {
    const Pipeline& pipeline;
    PluginHost& host;
    Observer& observer;
    const Interruption& interruption;
    std::string run_id;
    std::function<bool(milliseconds, const std::stop_token&)> pause;
    Store& store;
    SessionPool* sessions;                        ///< null: sessions end with their rotation
    Leases devices;                               ///< all commits, commit checks and description changes of a device
    Leases sae_pairs;                             ///< from mint to fetch one SAE pair is served serially
    std::optional<UtcSeconds> renew_made_before;  ///< certificates made before are renewed, however good
};

/// Runs the protocol for one link. Never throws; every outcome is in the report.
LinkReport rotate(RunShared& shared, const Link& link);

/// Takes the link's pending keys away again, on all members, and what an earlier run left unconfirmed. The report says
/// `reverted` when something was taken away, `unchanged` when there was nothing. Never throws.
LinkReport withdraw(RunShared& shared, const Link& link);

}  // namespace qkd::engine
