// Reads Key containers and Status objects without trusting them.
#include "answers.hpp"

#include <algorithm>
#include <utility>

#include "kme-common/json.hpp"
#include "kme-common/keys.hpp"
#include "kme-common/text.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::etsi014 {
namespace {

using kme::broken;
using kme::harmless;
using kme::member_like;
using kme::view;
using kme::WipedJson;

std::string text_member(const WipedJson& json, const char* name) {
    const auto* text = kme::text_of(kme::member(json, name));
    return text == nullptr ? std::string() : harmless(view(*text));
}

Result<Key> read_key(const WipedJson& entry, unsigned bits) {
    const auto* id = kme::text_of(member_like(entry, "key_ID"));
    const auto* value = kme::text_of(member_like(entry, "key"));
    if (id == nullptr || value == nullptr) return broken("an entry of the key container lacks key_ID or key");
    if (!kme::is_key_id(view(*id))) return broken("a key_ID is empty, too long or not printable");
    Key key;
    key.id = view(*id);
    auto bytes = base64_decode(view(*value));
    if (!bytes) return broken("the key of " + harmless(key.id) + " is not base64");
    QKD_TRY(key.bytes, kme::checked_key(std::move(bytes).value(), bits, key.id));
    return key;
}

/// Puts the keys into the order of `ids` under the spelling of `ids`.
Result<std::vector<Key>> in_order(std::vector<Key> keys, std::span<const std::string> ids) {
    std::vector<Key> ordered;
    for (const std::string& id : ids) {
        const auto found =
            std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return kme::same_ignoring_case(key.id, id); });
        if (found == keys.end()) return broken("the KME answered with another key than " + harmless(id));
        ordered.push_back({id, std::move(found->bytes)});
        keys.erase(found);
    }
    return ordered;
}

}  // namespace

Result<std::vector<Key>> read_container(const SecretBytes& body, std::size_t count, unsigned bits,
                                        std::span<const std::string> ids) {
    const WipedJson json = kme::parse_json(body.reveal());
    if (!json.is_object()) return broken("the answer is no JSON object");
    const WipedJson* list = member_like(json, "keys");  // table 11 of the standard spells it Keys
    if (list == nullptr || list->is_null() || (list->is_array() && list->empty())) {
        return Error::of(ids.empty() ? ErrorCode::exhausted : ErrorCode::not_found, "the KME answered without any key",
                         "is the QKD link up and the key ID right?")
            .retryable();
    }
    if (!list->is_array()) return broken("'keys' is no array");
    std::vector<Key> keys;
    for (const WipedJson& entry : *list) {
        if (keys.size() == count) return broken("the KME answered with more keys than it was asked for");
        QKD_TRY(auto key, read_key(entry, bits));
        keys.push_back(std::move(key));
    }
    QKD_TRY(kme::check_distinct(keys));
    if (keys.size() < count) {
        const std::string figures = std::to_string(keys.size()) + " of " + std::to_string(count) + " keys";
        if (!ids.empty()) return broken("the KME answered with " + figures);
        return Error::exhausted("the KME had " + figures, "wait for the pool to fill").retryable().maybe_consuming();
    }
    if (!ids.empty()) return in_order(std::move(keys), ids);
    return keys;
}

Result<Status> read_status(const SecretBytes& body) {
    const WipedJson json = kme::parse_json(body.reveal());
    if (!json.is_object()) {
        Error error = broken("the Status is no JSON object");
        error.maybe_consumed = false;
        return error;
    }
    const auto number = [&json](const char* name) { return kme::number_of(kme::member(json, name)); };
    Status status;
    status.source_kme = text_member(json, "source_KME_ID");
    status.target_kme = text_member(json, "target_KME_ID");
    status.master_sae = text_member(json, "master_SAE_ID");
    status.slave_sae = text_member(json, "slave_SAE_ID");
    status.default_size = number("key_size");
    status.stored_keys = number("stored_key_count");
    status.max_stored_keys = number("max_key_count");
    status.max_keys_per_request = number("max_key_per_request");
    status.max_additional_saes = number("max_SAE_ID_count");
    status.min_size = number("min_key_size").value_or(0);
    status.max_size = number("max_key_size").value_or(0);
    return status;
}

}  // namespace qkd::etsi014
