// Cleans texts of KMEs.
#include "kme-common/text.hpp"

#include <algorithm>

#include "kme-common/json.hpp"

namespace qkd::kme {
namespace {

constexpr std::size_t longest_key_id = 256;
constexpr std::size_t longest_text = 300;
constexpr std::size_t shortest_key_text = 22;  // a 128-bit key in base64 without padding

}  // namespace

std::string harmless(std::string_view text) {
    const auto key_like = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
               c == '=';
    };
    std::string out;
    for (std::size_t i = 0; i < text.size() && out.size() < longest_text;) {
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
    if (out.size() > longest_text) out.resize(longest_text);
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
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
        const auto* plain = text_of(value);
        const WipedString dumped =
            plain != nullptr ? *plain : value->dump(-1, ' ', false, WipedJson::error_handler_t::replace);
        if (dumped.empty()) continue;
        if (!text.empty()) text += "; ";
        text += harmless(view(dumped));
    }
    return harmless(text);
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_key_id(std::string_view text) {
    return !text.empty() && text.size() <= longest_key_id &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace qkd::kme
