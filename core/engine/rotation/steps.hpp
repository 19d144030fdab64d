// The steps of the rotation, a file each: rotation.cpp walks along the table in protocol/steps.hpp and calls them. What a step may
// touch is what its signature names.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/peers.hpp"
#include "engine/rotation/rotation.hpp"
#include "engine/rotation/turns.hpp"

namespace qkd::engine {

/// Sessions to all members, their clocks compared. Without a commit stage: certificates, and no more.
Ended connect(Attempt& attempt, Crew& crew, RunShared& run);
/// Resolves what an earlier run left, then reads what all members have.
Ended reconcile(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers, RunShared& run);
/// Certificates, and what initial-config wants. Nothing is committed.
Ended prepare(Attempt& attempt, Crew& crew, LinkState& state, Peers& peers, RunShared& run);
/// Lock, load, check on all members.
Ended stage(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers, RunShared& run);
/// Commit confirmed on all members, read back.
Ended commit(Attempt& attempt, Crew& crew, LinkState& state);
/// Confirm on all members, read back again.
Ended confirm(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers, RunShared& run);
/// MKA live on the new key everywhere.
Ended verify(Attempt& attempt, Crew& crew, Turns& turns, Peers& peers, RunShared& run);
/// Remembers the key.
Ended persist(Attempt& attempt, Crew& crew, LinkState& state, Peers& peers);
/// Takes back what was done on each member.
Ended undo(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers);
/// Takes the notices away. Where a KME failed, says what that means for the link.
Ended retract(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers);
/// Pending keys of ours go from all members.
Ended withdraw(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, RunShared& run);
/// Every member gets keys that nobody else has.
Ended close(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, const RunShared& run);

/// How long the present key has been in force, by the devices; nullopt when that is not known.
std::optional<std::chrono::seconds> key_age(const Attempt& attempt, const Crew& crew);

}  // namespace qkd::engine
