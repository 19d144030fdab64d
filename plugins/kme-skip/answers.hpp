// What a SKIP key provider answers, taken apart and checked (draft-cisco-skip-02). No network here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::skip {

/// The answer to /key and /key/{keyId}: a key of exactly `bits`. `wanted_id` empty: any; else the keyId must be this one
/// in any case, and the result bears it as it was wanted. Errors: protocol, with maybe_consumed.
Result<Key> read_key(const SecretBytes& body, unsigned bits, const std::string& wanted_id = "");

/// What a provider says it can do.
struct Capabilities {
    bool key = true;
    bool entropy = false;
    std::string algorithm;
    std::string local_system;
    std::vector<std::string> remote_systems;  ///< names or patterns, those that are costly to match left out
};
/// Takes every object: what is missing or of another type stays as above.
Result<Capabilities> read_capabilities(const SecretBytes& body);

/// Checks the answer to /entropy: at least `bits` random bits in hex, not all zero.
Result<void> check_entropy(const SecretBytes& body, unsigned bits);

/// Is the system among those of the list? Entries may be POSIX patterns (* ? [abc] [!abc]).
bool is_listed(const std::vector<std::string>& patterns, const std::string& system);

}  // namespace qkd::skip
