// The certificates with which the members' SAEs speak to their KMEs.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {

/// Valid certificates at all members. A new one is tried on its KME before a key depends on it.
Result<void> ensure_certificates(const Attempt& attempt, Crew& crew, const RunShared& run);
/// Ends the trial of a new certificate, if there is one at this member.
void conclude_certificate(Crew& crew, const RunShared& run, MemberRun& m, bool accepted);

}  // namespace qkd::engine
