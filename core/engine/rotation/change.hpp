// The change that each member gets, and the word of it that goes before: what a later run must know of our keys and our commit.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/peers.hpp"

namespace qkd::engine {

/// Fills MemberRun::change of all members.
Result<void> make_changes(Attempt& attempt, Crew& crew, const LinkState& state, const Peers& peers);
/// Written before any device is touched.
Result<void> remember_intent(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run);
/// The key will not be used.
void forget_intent(Crew& crew, LinkState& state);

}  // namespace qkd::engine
