// Size, zeros, duplicates; and requests that make no sense.
#include "kme-common/keys.hpp"

#include <algorithm>
#include <utility>

#include "kme-common/text.hpp"

namespace qkd::kme {
namespace {

constexpr unsigned long_enough = 64;  // bits; shorter keys may be zero or equal by chance

}  // namespace

Error broken(std::string what) {
    return Error::protocol(std::move(what), "the KME does not answer as its API demands; report it to its vendor")
        .maybe_consuming();
}

Result<SecretBytes> checked_key(SecretBytes key, unsigned bits, const std::string& id) {
    if (key.size() * 8 != bits) {
        return broken("the key of " + harmless(id) + " has " + std::to_string(key.size() * 8) + " bits instead of " +
                      std::to_string(bits));
    }
    const auto revealed = key.reveal();
    if (bits >= long_enough &&
        std::all_of(revealed.begin(), revealed.end(), [](std::uint8_t octet) { return octet == 0; })) {
        return broken("the key of " + harmless(id) + " is all zero");
    }
    return key;
}

Result<void> check_distinct(std::span<const Key> keys) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            if (same_ignoring_case(keys[i].id, keys[k].id)) {
                return broken("key_ID " + harmless(keys[i].id) + " is there twice");
            }
            if (keys[i].bytes.size() * 8 >= long_enough && keys[i].bytes.same_as(keys[k].bytes)) {
                return broken("the keys of " + harmless(keys[k].id) + " and " + harmless(keys[i].id) + " are equal");
            }
        }
    }
    return {};
}

Error after_some(Error error, std::size_t delivered) {
    if (delivered == 0) return error;
    error.retry = Retry::never;
    error.maybe_consumed = true;
    error.hint += "; other keys of this request were delivered already: use new keys";
    return error;
}

Result<void> check_request(const MintRequest& request) {
    if (!request.peer_sae.empty() && request.count != 0 && request.bits != 0 && request.bits % 8 == 0) return {};
    return Error::rejected("a request for " + std::to_string(request.count) + " keys of " +
                               std::to_string(request.bits) + " bits for SAE '" + harmless(request.peer_sae) + "'",
                           "ask for at least one key of whole octets, for a named SAE");
}

Result<void> check_request(const FetchRequest& request) {
    auto sorted = request.ids;
    std::sort(sorted.begin(), sorted.end());
    if (!request.peer_sae.empty() && request.bits != 0 && request.bits % 8 == 0 && !request.ids.empty() &&
        std::all_of(request.ids.begin(), request.ids.end(), is_key_id) &&
        std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end()) {
        return {};
    }
    return Error::rejected("a request for keys that cannot be: no SAE, no or unusable or repeated key_IDs, or odd bits",
                           "ask for distinct key_IDs of 1 to 256 printable characters and for whole octets");
}

}  // namespace qkd::kme
