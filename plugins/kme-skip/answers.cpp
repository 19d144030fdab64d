// Reads SKIP answers without trusting them.
#include "answers.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

#include "kme-common/json.hpp"
#include "kme-common/keys.hpp"
#include "kme-common/text.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::skip {
namespace {

constexpr std::size_t most_systems = 10000;
constexpr std::size_t longest_system = 256;
constexpr std::ptrdiff_t most_stars = 3;  // each multiplies the time that fnmatch may take

using kme::broken;
using kme::harmless;
using kme::member_like;
using kme::view;
using kme::WipedJson;

Error not_consumed(Error error) {
    error.maybe_consumed = false;
    return error;
}

bool flag(const WipedJson& json, const char* name, bool otherwise) {
    const WipedJson* value = member_like(json, name);
    return value == nullptr || !value->is_boolean() ? otherwise : value->get<bool>();
}

std::string text(const WipedJson& json, const char* name) {
    const auto* value = kme::text_of(member_like(json, name));
    return value == nullptr ? std::string() : harmless(view(*value));
}

}  // namespace

Result<Key> read_key(const SecretBytes& body, unsigned bits, const std::string& wanted_id) {
    const WipedJson json = kme::parse_json(body.reveal());
    if (!json.is_object()) return broken("the answer is no JSON object");
    const auto* id = kme::text_of(member_like(json, "keyId"));
    const auto* value = kme::text_of(member_like(json, "key"));
    if (id == nullptr || value == nullptr) return broken("the answer lacks keyId or key");
    if (!kme::is_key_id(view(*id))) return broken("the keyId is empty, too long or not printable");
    Key key;
    key.id = view(*id);
    if (!wanted_id.empty()) {
        if (!kme::same_ignoring_case(key.id, wanted_id)) {
            return broken("the key provider answered with another key than " + harmless(wanted_id));
        }
        key.id = wanted_id;
    }
    auto bytes = hex_decode(view(*value));
    if (!bytes) return broken("the key of " + harmless(key.id) + " is not hexadecimal");
    QKD_TRY(key.bytes, kme::checked_key(std::move(bytes).value(), bits, key.id));
    return key;
}

Result<Capabilities> read_capabilities(const SecretBytes& body) {
    const WipedJson json = kme::parse_json(body.reveal());
    if (!json.is_object()) return not_consumed(broken("the capabilities are no JSON object"));
    Capabilities told;
    told.key = flag(json, "key", true);
    told.entropy = flag(json, "entropy", false);
    told.algorithm = text(json, "algorithm");
    told.local_system = text(json, "localSystemID");
    const WipedJson* remotes = member_like(json, "remoteSystemID");
    if (remotes != nullptr && remotes->is_array()) {
        for (const WipedJson& remote : *remotes) {
            const auto* name = kme::text_of(&remote);
            if (name == nullptr || name->size() > longest_system || told.remote_systems.size() == most_systems)
                continue;
            told.remote_systems.emplace_back(view(*name));
        }
    }
    return told;
}

Result<void> check_entropy(const SecretBytes& body, unsigned bits) {
    const WipedJson json = kme::parse_json(body.reveal());
    const auto* value = json.is_object() ? kme::text_of(member_like(json, "randomStr")) : nullptr;
    if (value == nullptr) return not_consumed(broken("the entropy is no JSON object with a randomStr"));
    const auto bytes = hex_decode(view(*value));
    if (!bytes || bytes->size() * 8 < bits) {
        return not_consumed(broken("the randomStr is not hexadecimal, or shorter than asked for"));
    }
    const auto revealed = bytes->reveal();
    if (std::all_of(revealed.begin(), revealed.end(), [](std::uint8_t octet) { return octet == 0; })) {
        return not_consumed(broken("the randomStr is all zero"));
    }
    return {};
}

bool is_listed(const std::vector<std::string>& patterns, const std::string& system) {
    return std::any_of(patterns.begin(), patterns.end(), [&system](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), system.c_str(), FNM_NOESCAPE) == 0;
    });
}

}  // namespace qkd::skip
