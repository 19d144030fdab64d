// What an earlier run left when it died: its sessions and commits on devices, and the key it was at.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/peers.hpp"
#include "engine/rotation/turns.hpp"

namespace qkd::engine {

/// Says in the log that there is something.
void report_dead_run(const LinkState& state, Crew& crew);
/// Ends sessions of the dead run that still hold a device's lock.
Result<void> break_dead_locks(Crew& crew, const LinkState& state);
/// Before a repair takes locks, its sessions go into the journal.
Result<void> note_repair(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run);
/// Does a member have an unconfirmed commit of the dead run? After read_states().
bool has_dead_commit(const Crew& crew, const LinkState& state);
/// Reverts such commits, and reads the states again: the devices would do so by themselves, but there is no need to wait.
Result<void> undo_dead_commit(const Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, const RunShared& run);

/// Is the dead run's key in force on all members? Then that rotation got there, only nobody saw it.
bool dead_key_is_in_force(const Attempt& attempt, const LinkState& state);
/// Takes the dead run's key over, or says what becomes of it.
void take_over_dead_key(Attempt& attempt, Crew& crew, LinkState& state, const Peers& peers);
void give_up_dead_key(Crew& crew, LinkState& state, const std::string& why);

}  // namespace qkd::engine
