// After a commit and after a confirm the device's own word counts, not that the call succeeded.
#pragma once

#include "engine/rotation/attempt.hpp"

namespace qkd::engine {

/// The members' configuration must hold what was written: names, octets, start-times.
Result<void> read_back(Crew& crew, const char* when);

/// A new session in place of one that did not answer, noted in the journal.
Result<void> renew_session(Crew& crew, LinkState& state, MemberRun& m);

}  // namespace qkd::engine
