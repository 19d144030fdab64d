// Calls and figures of the members that several steps need.
#pragma once

#include "engine/rotation/attempt.hpp"

namespace qkd::engine {

/// A call of the commit stage that waits while somebody else holds the device.
CallSpec busy_patient(const Crew& crew, const char* step, Cancel cancel = Cancel::allowed);

TransportEnd end_of(MemberRun& m);

/// May the link's transport write on devices?
bool transport_writes(Crew& crew);
/// May it commit there?
bool transport_commits(Crew& crew);

/// The sessions that may hold a device's lock go into the entry. `only`: from a member's own thread, which may look at no other
/// member's session.
void note_sessions(JournalEntry& entry, const Crew& crew, const MemberRun* only = nullptr);

/// Stops a link whose members' clocks are proven to differ by more than max_clock_skew.
Result<void> gate_clocks(Attempt& attempt, Crew& crew);

/// Is there time to take the key away on every member before it becomes active, if that takes `needed`? Asks the devices.
bool is_before_start(const Attempt& attempt, Crew& crew, const LinkState& state, milliseconds needed);

/// The start-time by the members' clocks, read for it.
Result<void> choose_start_time(Attempt& attempt, Crew& crew, const LinkState& state);

/// `cancelled` once the run is to end.
Result<void> check_interruption(const Crew& crew, const char* when);

}  // namespace qkd::engine
