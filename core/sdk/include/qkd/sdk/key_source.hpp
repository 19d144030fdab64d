// The key-source stage: a KME, or whatever else gives both ends of a link the same key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/secret.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

/// A key and the ID under which the other SAE gets the same key from its own KME.
struct Key {
    std::string id;  ///< key_ID exactly as the KME spelled it; it goes back byte for byte
    SecretBytes bytes;
};

struct MintRequest {
    std::string peer_sae;                      ///< slave_SAE_ID
    std::vector<std::string> additional_saes;  ///< additional_slave_SAE_IDs
    unsigned count = 1;
    unsigned bits = 256;
};

struct FetchRequest {
    std::string peer_sae;  ///< master_SAE_ID: the SAE that minted
    std::vector<std::string> ids;
    unsigned bits = 256;  ///< what the initiator asked for; another length is an error
};

/// What a KME tells about itself. Advisory at best: nothing is refused because of it.
struct SourceStatus {
    std::string source_kme;
    std::string target_kme;
    std::optional<std::uint64_t> stored_keys;
    std::optional<std::uint64_t> max_keys_per_request;
    std::optional<std::uint64_t> max_additional_saes;
};

/// key-source: one object per KME and local SAE, configured with the [kme.NAME] table.
/// Errors of mint and fetch: unreachable, auth, timeout, cancelled, protocol, exhausted (mint), not_found (fetch),
/// rejected. Error::maybe_consumed is set whenever a one-shot key may have been used up by a call that failed.
class KeySource : public Stage {
  public:
    static constexpr StageKind kind = StageKind::key_source;

    virtual Result<SourceStatus> status(Context& context, const std::string& peer_sae) = 0;
    /// New keys: exactly `count`, each of exactly `bits`, with distinct IDs. (ETSI GS QKD 014 V1.1.1 clause 5.2)
    virtual Result<std::vector<Key>> mint(Context& context, const MintRequest& request) = 0;
    /// The keys with these IDs, in the order asked, all or nothing. (ETSI GS QKD 014 V1.1.1 clause 5.3)
    /// Never repeated by the plugin itself.
    virtual Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) = 0;
};

}  // namespace qkd
