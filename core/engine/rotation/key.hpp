// The key from its KMEs: minted at one end, fetched at the others, compared. No device's MACsec is touched.
#pragma once

#include "engine/rotation/attempt.hpp"
#include "engine/rotation/peers.hpp"

namespace qkd::engine {

/// A journal entry for the key of this attempt, with what a dead run noted of it. `asks`: for a new key, next.
Result<void> begin_entry(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run, bool asks);
/// The dead run's key, or a new one from the KME of the first member.
Result<void> take_key(Attempt& attempt, Crew& crew, LinkState& state, const Peers& peers, const RunShared& run);
/// Every responder here gets the key by its ID from its own KME.
Result<void> fetch_key(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run);
/// All members' KMEs gave the same octets.
Result<void> compare_keys(const Attempt& attempt, Crew& crew);
/// The device's own word that its KME is to be asked although the key_ID is not new: does it have the same key?
Result<void> compare_with_kme(const Attempt& attempt, Crew& crew, const ConfiguredKey& active);
/// Another key will be taken: nothing of this one stays with the members.
void forget_key(Attempt& attempt, Crew& crew);
/// Was it a KME that failed?
bool lost_kme(const Crew& crew);

}  // namespace qkd::engine
