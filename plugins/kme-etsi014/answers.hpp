// What a KME answers, taken apart and checked (ETSI GS QKD 014 V1.1.1 clause 6). No network here.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::etsi014 {

/// The keys of a Key container: exactly `count`, each of exactly `bits`, under distinct IDs, none of them twice.
/// With `ids`: just these keys, in this order and spelling (servers may answer in any order).
/// Tolerated: other members, and members spelled key_id, keyID, Keys and the like.
/// Errors: exhausted (fewer keys than wanted, no `ids`), not_found (none of the `ids`), protocol. maybe_consumed is set
/// unless the container is empty.
Result<std::vector<Key>> read_container(const SecretBytes& body, std::size_t count, unsigned bits,
                                        std::span<const std::string> ids = {});

/// A Status object (clause 6.1); empty stands for what is missing or of another type. Sizes in the KME's unit.
struct Status {
    std::string source_kme;
    std::string target_kme;
    std::string master_sae;
    std::string slave_sae;
    std::optional<std::uint64_t> default_size;
    std::optional<std::uint64_t> stored_keys;
    std::optional<std::uint64_t> max_stored_keys;
    std::optional<std::uint64_t> max_keys_per_request;
    std::optional<std::uint64_t> max_additional_saes;
    std::uint64_t min_size = 0;
    std::uint64_t max_size = 0;
};
/// Takes every object for a Status: servers leave out members and change their types.
Result<Status> read_status(const SecretBytes& body);

}  // namespace qkd::etsi014
