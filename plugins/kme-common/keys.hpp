// The checks that every key must stand before it counts as one, whatever the API it came through.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "qkd/sdk/key_source.hpp"

namespace qkd::kme {

/// An answer that cannot be trusted: protocol, never to be repeated, a key may have been used up.
Error broken(std::string what);

/// `key`, when it has exactly `bits` and is not all zero. `id` is for the message.
Result<SecretBytes> checked_key(SecretBytes key, unsigned bits, const std::string& id);

/// No ID and no key twice.
Result<void> check_distinct(std::span<const Key> keys);

/// The error of a fetch of several keys of which `delivered` came before it: those are gone, so it cannot be repeated.
Error after_some(Error error, std::size_t delivered);

/// Could such a request be answered at all? Errors: rejected.
Result<void> check_request(const MintRequest& request);
Result<void> check_request(const FetchRequest& request);

}  // namespace qkd::kme
