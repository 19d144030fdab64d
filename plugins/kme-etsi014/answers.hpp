// What a KME answers, taken apart and checked (ETSI GS QKD 014 V1.1.1 clause 6). No network here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::etsi014 {

/// The keys of a Key container: exactly `count`, each of exactly `bits`, under distinct IDs, none of them twice.
/// With `ids`: just these keys, in this order and spelling (servers may answer in any order).
/// Errors: exhausted (fewer keys than wanted, no `ids`), not_found (none of the `ids`), protocol. maybe_consumed is set
/// unless the container is empty.
Result<std::vector<Key>> read_container(const SecretBytes& body, std::size_t count, unsigned bits,
                                        std::span<const std::string> ids = {});

/// Limits and names in a Status object; 0 and empty stand for what is missing or of another type.
struct Status {
    std::string source_kme;
    std::string target_kme;
    std::string slave_sae;
    std::optional<std::uint64_t> stored_keys;
    std::optional<std::uint64_t> max_keys_per_request;
    std::optional<std::uint64_t> max_additional_saes;
    std::uint64_t min_bits = 0;
    std::uint64_t max_bits = 0;
};
/// Takes every object for a Status: servers leave out members and change their types.
Result<Status> read_status(const SecretBytes& body);

/// What the body of a refusal says, in one line: `message`, `title`, `description` and `details`, or the text itself
/// when it is no JSON. Free of control characters, of anything that could be a key, and at most 300 characters long.
std::string refusal_text(const SecretBytes& body, std::string_view content_type);

/// Makes text of the other side fit for a log line; see refusal_text().
std::string harmless(std::string_view text);

}  // namespace qkd::etsi014
