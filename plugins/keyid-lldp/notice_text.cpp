// Notice <-> text. The text comes from a neighbour that anybody may have configured, so every member is checked.
#include "notice_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace qkd::keyid_lldp {
namespace {

using nlohmann::json;

constexpr std::size_t longest_text = 1024;          // more than any device keeps as a description
constexpr std::int64_t last_second = 253402300799;  // 9999-12-31T23:59:59Z

bool good_word(const std::string& word) {
    // Without quotes, bars and braces the text stays readable, and the last "|{" stays the border of the notice.
    return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
        return c > ' ' && c <= '~' && std::string_view("\"\\|{}").find(c) == std::string_view::npos;
    });
}

bool good_link(std::string name) {
    std::replace(name.begin(), name.end(), ' ', '_');
    return good_word(name);
}

bool good(const KeyIdNotice& notice) {
    const auto in_range = [](UtcSeconds time) {
        const auto seconds = time.time_since_epoch().count();
        return seconds >= 0 && seconds <= last_second;
    };
    return good_link(notice.link) && good_word(notice.sender) && notice.generation > 0 && !notice.key_ids.empty() &&
           std::all_of(notice.key_ids.begin(), notice.key_ids.end(), good_word) && in_range(notice.start) &&
           in_range(notice.expires);
}

std::optional<KeyIdNotice> parse(std::string_view text) {
    const json object = json::parse(text, nullptr, false);
    if (!object.is_object() || object.size() != 7) return std::nullopt;
    const auto text_of = [&](const char* key) {
        const auto found = object.find(key);
        return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    bool numbers = true;
    const auto number_of = [&](const char* key) {
        const auto found = object.find(key);
        if (found != object.end() && found->is_number_unsigned()) return found->get<std::uint64_t>();
        numbers = false;
        return std::uint64_t{0};
    };
    const auto time_of = [&](const char* key) {
        const std::uint64_t seconds = number_of(key);
        if (seconds > static_cast<std::uint64_t>(last_second)) numbers = false;
        return UtcSeconds{std::chrono::seconds{numbers ? seconds : 0}};
    };
    KeyIdNotice notice;
    notice.link = text_of("link");
    notice.sender = text_of("from");
    notice.generation = number_of("gen");
    notice.sequence = number_of("seq");
    notice.start = time_of("start");
    notice.expires = time_of("exp");
    const auto id = object.find("id");
    if (id != object.end() && id->is_array()) {
        for (const json& one : *id) notice.key_ids.push_back(one.is_string() ? one.get<std::string>() : std::string());
    } else {
        notice.key_ids.push_back(text_of("id"));
    }
    if (!numbers || !good(notice)) return std::nullopt;
    return notice;
}

}  // namespace

Description split(std::string_view text) {
    const auto border = text.rfind("|{");
    if (border != std::string_view::npos && text.ends_with('}') && text.size() - border <= longest_text) {
        if (auto notice = parse(text.substr(border + 1)))
            return {std::string(text.substr(0, border)), std::move(notice)};
    }
    return {std::string(text), std::nullopt};
}

Result<std::string> join(const std::string& own, const KeyIdNotice& notice, const std::string& place) {
    if (!good(notice)) {
        return Error{ErrorCode::rejected, Retry::never,
                     place + ": the notice of link " + notice.link + " cannot stand in an interface description",
                     "use printable ASCII without quotes, bars and braces for names, or another transport such as "
                     "keyid-scp"};
    }
    nlohmann::ordered_json object;
    if (notice.key_ids.size() == 1) {
        object["id"] = notice.key_ids.front();
    } else {
        object["id"] = notice.key_ids;
    }
    object["link"] = notice.link;
    object["gen"] = notice.generation;
    object["start"] = notice.start.time_since_epoch().count();
    object["seq"] = notice.sequence;
    object["from"] = notice.sender;
    object["exp"] = notice.expires.time_since_epoch().count();
    std::string text = own + "|" + object.dump();
    if (text.size() <= longest_description) return text;
    const std::size_t excess = text.size() - longest_description;
    std::string hint = "shorten the interface's own description";
    if (excess <= own.size()) hint += " by " + std::to_string(excess) + " characters";
    if (notice.key_ids.size() > 1) hint += ", mint fewer keys at once";
    return Error{ErrorCode::rejected, Retry::never,
                 place + ": description with the notice of link " + notice.link + " would have " +
                     std::to_string(text.size()) + " characters, LLDP carries 255",
                 hint + ", or use another transport such as keyid-scp"};
}

}  // namespace qkd::keyid_lldp
