// Watching MKA until the new key is live everywhere.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/peers.hpp"

namespace qkd::engine {

/// From the start-time (or the commit) to MKA live on the new key. Devices were seen to need 2 s to 6 s.
inline constexpr std::chrono::seconds mka_grace{60};

/// Polls the devices until every required interface is secured on the new key and stays so for the MKA life time. All times are the
/// devices' own. conflict when the grace is over before that.
Result<void> wait_until_live(const Attempt& attempt, Crew& crew, Peers& peers, const RunShared& run, Cancel cancel);

/// Empty when all required interfaces are secured on the new key, as MKA was read last; else which are not.
std::string not_live(const Attempt& attempt, const Crew& crew);

}  // namespace qkd::engine
