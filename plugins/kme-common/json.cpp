// Parses JSON of a KME and looks into it.
#include "kme-common/json.hpp"

#include <algorithm>

namespace qkd::kme {

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

const WipedJson* member(const WipedJson& json, const char* name) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(name);
    return found == json.end() ? nullptr : &*found;
}

const WipedJson* member_like(const WipedJson& json, std::string_view name) {
    const auto plain = [](std::string_view text) {
        std::string out;
        for (const char c : text) {
            if (c != '_') out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        return out;
    };
    if (!json.is_object()) return nullptr;
    const std::string wanted = plain(name);
    const WipedJson* only = nullptr;
    for (const auto& [key, value] : json.items()) {
        if (view(key) == name) return &value;
        if (plain(view(key)) != wanted) continue;
        if (only != nullptr) return nullptr;
        only = &value;
    }
    return only;
}

const WipedString* text_of(const WipedJson* value) {
    return value == nullptr ? nullptr : value->get_ptr<const WipedString*>();
}

std::optional<std::uint64_t> number_of(const WipedJson* value) {
    if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
    return value->get<std::uint64_t>();
}

}  // namespace qkd::kme
