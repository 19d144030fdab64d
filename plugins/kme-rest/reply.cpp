// Reads replies without trusting them.
#include "reply.hpp"

#include <charconv>
#include <utility>

#include "kme-common/keys.hpp"
#include "kme-common/text.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::rest {

using kme::broken;
using kme::harmless;
using kme::WipedJson;

Result<Pointer> Pointer::parse(std::string_view text) {
    const auto bad = [text](const char* why) {
        return Error::config("'" + harmless(text) + "' is no JSON pointer: " + why,
                             "write it as RFC 6901 does: \"/data/0/key\"; ~1 is a slash, ~0 a tilde inside a name");
    };
    Pointer made;
    made.text_ = text;
    if (!text.empty() && text.front() != '/') return bad("it does not begin with a slash");
    for (const char c : text) {
        if (c == '/') {
            made.tokens_.emplace_back();
        } else {
            made.tokens_.back() += c;
        }
    }
    for (std::string& token : made.tokens_) {
        std::string plain;
        for (std::size_t i = 0; i < token.size(); ++i) {
            if (token[i] != '~') {
                plain += token[i];
                continue;
            }
            if (++i == token.size() || (token[i] != '0' && token[i] != '1'))
                return bad("~ is followed by neither 0 nor 1");
            plain += token[i] == '0' ? '~' : '/';
        }
        token = std::move(plain);
    }
    return made;
}

const WipedJson* Pointer::find(const WipedJson& json) const {
    const WipedJson* at = &json;
    for (const std::string& token : tokens_) {
        if (at->is_object()) {
            at = kme::member(*at, token.c_str());
            if (at == nullptr) return nullptr;
        } else if (at->is_array()) {
            std::size_t index = 0;
            const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
            const bool number = error == std::errc() && end == token.data() + token.size();
            if (!number || (token.size() > 1 && token.front() == '0') || index >= at->size()) return nullptr;
            at = &(*at)[index];
        } else {
            return nullptr;
        }
    }
    return at;
}

Result<SecretBytes> decode(Encoding encoding, std::string_view text) {
    switch (encoding) {
        case Encoding::base64: return base64_decode(text);
        case Encoding::hex: return hex_decode(text);
        case Encoding::raw: return SecretBytes(text);
        case Encoding::base64url: break;
    }
    SecretBytes standard(text);
    for (std::uint8_t& octet : standard.writable()) {
        // The marks of the standard alphabet do not belong to this one.
        octet = octet == '-' ? '+' : octet == '_' ? '/' : octet == '+' || octet == '/' ? '!' : octet;
    }
    while (standard.size() % 4 != 0) standard.append(std::string_view("="));
    return base64_decode(standard.reveal_text());
}

std::optional<std::string> word_at(const WipedJson& json, const Pointer& pointer) {
    const WipedJson* value = pointer.find(json);
    if (value == nullptr) return std::nullopt;
    if (const auto* text = kme::text_of(value)) return std::string(kme::view(*text));
    if (value->is_number_unsigned()) return std::to_string(value->get<std::uint64_t>());
    if (value->is_number_integer()) return std::to_string(value->get<std::int64_t>());
    return std::nullopt;
}

Result<Found> read_key(const WipedJson& json, const KeyPlace& place, unsigned bits, const std::string& wanted_id) {
    Found found;
    found.id = wanted_id;
    if (place.id) {
        const auto id = word_at(json, *place.id);
        if (!id || !kme::is_key_id(*id)) return broken("there is no usable key ID at '" + place.id->text() + "'");
        if (!wanted_id.empty() && !kme::same_ignoring_case(*id, wanted_id)) {
            return broken("the KME answered with another key than " + harmless(wanted_id));
        }
        if (wanted_id.empty()) found.id = *id;
    }
    if (!place.key) return found;
    const auto* text = kme::text_of(place.key->find(json));
    if (text == nullptr) return broken("there is no key at '" + place.key->text() + "'");
    auto bytes = decode(place.encoding, kme::view(*text));
    if (!bytes) return broken("the key of " + harmless(found.id) + " is not in the encoding that was agreed");
    QKD_TRY(found.key, kme::checked_key(std::move(bytes).value(), bits, found.id));
    return found;
}

}  // namespace qkd::rest
