// Scheduled keys that are taken away again before they become active.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/rotation.hpp"
#include "engine/rotation/turns.hpp"

namespace qkd::engine {

/// Attempt::found by what was read last.
void look_at_members(Attempt& attempt, Crew& crew, const LinkState& state);
/// Deletes the keys of Reconciliation::withdrawals on their members.
Result<void> withdraw_leftovers(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, const RunShared& run);

}  // namespace qkd::engine
