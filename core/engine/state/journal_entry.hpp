// What the journal says of a rotation under way: all that the next run needs when this one dies at any instant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/protocol/steps.hpp"
#include "qkd/sdk/device.hpp"
#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

/// One member in a journal entry.
struct JournalMember {
    std::string device;
    std::vector<std::string> sessions;  ///< ids of sessions that may hold the device's lock
    bool asked = false;                 ///< its KME was asked for the key (the initiator's: to make one)
    bool maybe_consumed = false;        ///< an answer was lost that may have used the key up
    SecretBytes key;                    ///< empty until its KME delivered it
};

/// A rotation under way. Move-only: it holds keys.
struct JournalEntry {
    std::string run_id;
    Step step = Step::connect;
    bool ended = false;  ///< the step was done when this was written; else it was about to begin
    std::uint64_t generation = 0;
    Rollover rollover = Rollover::key_chain;
    std::string key_id;                 ///< empty until minted
    std::string ckn;                    ///< of the key
    std::string comment;                ///< of the confirmed commits
    std::vector<std::string> own_ckns;  ///< names of all keys that this rotation writes
    std::optional<UtcSeconds> start;
    std::vector<JournalMember> members;  ///< the initiator first

    /// Null when the device has none.
    [[nodiscard]] JournalMember* member(const std::string& device) noexcept;
    [[nodiscard]] const JournalMember* member(const std::string& device) const noexcept;
};

/// An entry as octets, before sealing. Fails on no input.
SecretBytes encode(const JournalEntry& entry);
/// nullopt for anything that encode() does not write.
std::optional<JournalEntry> decode_entry(const SecretBytes& octets);

}  // namespace qkd::engine
