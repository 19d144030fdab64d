// Reads Key containers, Status and error bodies without trusting them.
#include "answers.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "qkd/sdk/encoding.hpp"
#include "wiped_json.hpp"

namespace qkd::etsi014 {
namespace {

constexpr std::size_t longest_key_id = 256;
constexpr std::size_t longest_refusal = 300;
constexpr std::size_t shortest_key_text = 22;  // a 128-bit key in base64 without padding

const char* const report_hint = "the KME does not keep to ETSI GS QKD 014; report it to its vendor";

Error broken(std::string what) {
    return {ErrorCode::protocol, Retry::never, std::move(what), report_hint, {}, true};
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view view(const WipedString& text) {
    return {text.data(), text.size()};
}

/// A member of an object; null when `json` is no object or has no such member.
const WipedJson* member(const WipedJson& json, const char* name) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(name);
    return found == json.end() ? nullptr : &*found;
}

std::string text_member(const WipedJson& json, const char* name) {
    const WipedJson* value = member(json, name);
    const auto* text = value == nullptr ? nullptr : value->get_ptr<const WipedString*>();
    return text == nullptr ? std::string() : harmless(view(*text));
}

std::optional<std::uint64_t> number_member(const WipedJson& json, const char* name) {
    const WipedJson* value = member(json, name);
    if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
    return value->get<std::uint64_t>();
}

Result<Key> read_key(const WipedJson& entry, unsigned bits) {
    const WipedJson* id = member(entry, "key_ID");
    const WipedJson* value = member(entry, "key");
    const auto* id_text = id == nullptr ? nullptr : id->get_ptr<const WipedString*>();
    const auto* key_text = value == nullptr ? nullptr : value->get_ptr<const WipedString*>();
    if (id_text == nullptr || key_text == nullptr) return broken("an entry of the key container lacks key_ID or key");
    const auto printable = [](char c) { return c > ' ' && c <= '~'; };
    if (id_text->empty() || id_text->size() > longest_key_id ||
        !std::all_of(id_text->begin(), id_text->end(), printable)) {
        return broken("a key_ID is empty, too long or not printable");
    }
    Key key;
    key.id = view(*id_text);
    // What is no key_ID may be anything, so it is not shown before this point either.
    const std::string of = " of " + harmless(key.id);
    auto bytes = base64_decode(view(*key_text));
    if (!bytes) return broken("the key" + of + " is not base64");
    if (bytes->size() * 8 != bits) {
        return broken("the key" + of + " has " + std::to_string(bytes->size() * 8) + " bits instead of " +
                      std::to_string(bits));
    }
    const auto revealed = bytes->reveal();
    if (bits >= 64 && std::all_of(revealed.begin(), revealed.end(), [](std::uint8_t octet) { return octet == 0; })) {
        return broken("the key" + of + " is all zero");
    }
    key.bytes = std::move(bytes).value();
    return key;
}

/// Puts the keys into the order of `ids` under the spelling of `ids`.
Result<std::vector<Key>> in_order(std::vector<Key> keys, std::span<const std::string> ids) {
    std::vector<Key> ordered;
    for (const std::string& id : ids) {
        const auto found =
            std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return same_ignoring_case(key.id, id); });
        if (found == keys.end()) return broken("the KME answered with another key than " + harmless(id));
        ordered.push_back({id, std::move(found->bytes)});
        keys.erase(found);
    }
    return ordered;
}

}  // namespace

WipedJson parse_json(std::span<const std::uint8_t> octets, int max_depth) {
    // Depth first: values that nest a million deep cost memory and time before anything could be checked.
    int depth = 0;
    bool in_text = false;
    for (std::size_t i = 0; i < octets.size(); ++i) {
        const std::uint8_t c = octets[i];
        if (in_text) {
            if (c == '\\') ++i;
            if (c == '"') in_text = false;
        } else if (c == '"') {
            in_text = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth) return WipedJson::value_t::discarded;
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return WipedJson::parse(AnswerIterator(octets.data()), AnswerIterator(octets.data() + octets.size()), nullptr,
                            false);
}

Result<std::vector<Key>> read_container(const SecretBytes& body, std::size_t count, unsigned bits,
                                        std::span<const std::string> ids) {
    const WipedJson json = parse_json(body.reveal());
    if (!json.is_object()) return broken("the answer is no JSON object");
    const WipedJson* list = member(json, "keys");
    if (list == nullptr) list = member(json, "Keys");  // as table 11 of the standard spells it
    if (list == nullptr || list->is_null() || (list->is_array() && list->empty())) {
        Error none{ids.empty() ? ErrorCode::exhausted : ErrorCode::not_found, Retry::safe,
                   "the KME answered without any key", "is the QKD link up and the key ID right?"};
        return none;
    }
    if (!list->is_array()) return broken("'keys' is no array");
    std::vector<Key> keys;
    for (const WipedJson& entry : *list) {
        auto key = read_key(entry, bits);
        if (!key) return std::move(key).error();
        for (const Key& other : keys) {
            if (same_ignoring_case(other.id, key->id)) return broken("key_ID " + harmless(key->id) + " is there twice");
            // A short key may well come twice by chance.
            if (bits >= 64 && other.bytes.same_as(key->bytes)) {
                return broken("the keys of " + harmless(other.id) + " and " + harmless(key->id) + " are equal");
            }
        }
        keys.push_back(std::move(key).value());
        if (keys.size() > count) break;
    }
    if (keys.size() > count) return broken("the KME answered with more keys than it was asked for");
    if (keys.size() < count) {
        const std::string figures = std::to_string(keys.size()) + " of " + std::to_string(count) + " keys";
        if (!ids.empty()) return broken("the KME answered with " + figures);
        return Error{ErrorCode::exhausted,        Retry::safe, "the KME had " + figures,
                     "wait for the pool to fill", {},          true};
    }
    if (!ids.empty()) return in_order(std::move(keys), ids);
    return keys;
}

Result<Status> read_status(const SecretBytes& body) {
    const WipedJson json = parse_json(body.reveal());
    if (!json.is_object()) {
        return Error{ErrorCode::protocol, Retry::never, "the Status is no JSON object", report_hint};
    }
    Status status;
    status.source_kme = text_member(json, "source_KME_ID");
    status.target_kme = text_member(json, "target_KME_ID");
    status.slave_sae = text_member(json, "slave_SAE_ID");
    status.stored_keys = number_member(json, "stored_key_count");
    status.max_keys_per_request = number_member(json, "max_key_per_request");
    status.max_additional_saes = number_member(json, "max_SAE_ID_count");
    status.min_bits = number_member(json, "min_key_size").value_or(0);
    status.max_bits = number_member(json, "max_key_size").value_or(0);
    return status;
}

std::string refusal_text(const SecretBytes& body, std::string_view content_type) {
    const WipedJson json = parse_json(body.reveal());
    if (!json.is_object()) {
        // Pages of proxies and frameworks: the text is for eyes, not for logs.
        if (content_type.find("html") != std::string_view::npos) return "(an HTML page)";
        return harmless(body.reveal_text());
    }
    std::string text;
    for (const char* name : {"message", "title", "description", "details"}) {
        const WipedJson* value = member(json, name);
        if (value == nullptr || value->is_null()) continue;
        const auto* plain = value->get_ptr<const WipedString*>();
        const WipedString dumped =
            plain != nullptr ? *plain : value->dump(-1, ' ', false, WipedJson::error_handler_t::replace);
        if (dumped.empty()) continue;
        if (!text.empty()) text += "; ";
        text += harmless(view(dumped));
    }
    return harmless(text);
}

std::string harmless(std::string_view text) {
    const auto key_like = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
               c == '=';
    };
    std::string out;
    for (std::size_t i = 0; i < text.size() && out.size() < longest_refusal;) {
        std::size_t end = i;
        while (end < text.size() && key_like(text[end])) ++end;
        if (end - i >= shortest_key_text) {
            out += "[...]";
        } else {
            out += text.substr(i, end - i);
        }
        if (end < text.size()) {
            const auto octet = static_cast<unsigned char>(text[end]);
            out += octet < 0x20 || octet >= 0x7f ? ' ' : text[end];
            ++end;
        }
        i = end;
    }
    if (out.size() > longest_refusal) out.resize(longest_refusal);
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

}  // namespace qkd::etsi014
