// Parses and fills templates.
#include "template.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "qkd/sdk/net/http.hpp"

namespace qkd::rest {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::pair<std::string_view, Slot>, 10> words{{{"local_sae", Slot::local_sae},
                                                                   {"peer_sae", Slot::peer_sae},
                                                                   {"key_id", Slot::key_id},
                                                                   {"bits", Slot::bits},
                                                                   {"octets", Slot::octets},
                                                                   {"count", Slot::count},
                                                                   {"additional_sae", Slot::additional_sae},
                                                                   {"additional_saes", Slot::additional_saes},
                                                                   {"token", Slot::token},
                                                                   // The engine's word, where it was not replaced.
                                                                   {"sae", Slot::local_sae}}};

std::string braced(Slot slot) {
    return std::string("{") + to_string(slot) + "}";
}

}  // namespace

const char* to_string(Slot slot) noexcept {
    for (const auto& [word, meaning] : words) {
        if (meaning == slot) return word.data();
    }
    return "?";
}

Result<Template> Template::parse(std::string_view text, const std::vector<Slot>& known) {
    Template made;
    std::string literal;
    while (!text.empty()) {
        const auto end =
            text.front() == '{' ? text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", 1) : std::string_view::npos;
        if (end == std::string_view::npos || end == 1 || text[end] != '}') {
            literal += text.front();
            text.remove_prefix(1);
            continue;
        }
        const auto word = text.substr(1, end - 1);
        const auto* const found =
            std::find_if(words.begin(), words.end(), [word](const auto& entry) { return entry.first == word; });
        if (found == words.end() || std::find(known.begin(), known.end(), found->second) == known.end()) {
            std::string allowed;
            for (const Slot slot : known) allowed += (allowed.empty() ? "" : ", ") + braced(slot);
            return Error::config("the placeholder {" + std::string(word) +
                                     (found == words.end() ? "} is unknown" : "} means nothing here"),
                                 allowed.empty() ? "no placeholder means anything here" : "known here: " + allowed);
        }
        if (!literal.empty()) made.parts_.push_back({std::exchange(literal, {}), false, Slot::bits});
        made.parts_.push_back({"", true, found->second});
        text.remove_prefix(end + 1);
    }
    if (!literal.empty()) made.parts_.push_back({std::move(literal), false, Slot::bits});
    return made;
}

bool Template::uses(Slot slot) const noexcept {
    return std::any_of(parts_.begin(), parts_.end(),
                       [slot](const Part& part) { return part.is_slot && part.slot == slot; });
}

std::string Template::fill(const Values& values, Escape escape) const {
    std::string out;
    for (const Part& part : parts_) {
        if (!part.is_slot) {
            out += part.text;
            continue;
        }
        const auto found = values.find(part.slot);
        if (found == values.end()) continue;
        if (escape == Escape::url) {
            out += net::percent_encode(found->second);
        } else {
            out += part.slot == Slot::additional_saes ? found->second : json_escaped(found->second);
        }
    }
    return out;
}

std::string json_escaped(std::string_view text) {
    const std::string quoted = Json(std::string(text)).dump(-1, ' ', true, Json::error_handler_t::replace);
    return quoted.substr(1, quoted.size() - 2);
}

std::string json_array(const std::vector<std::string>& texts) {
    return Json(texts).dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace qkd::rest
