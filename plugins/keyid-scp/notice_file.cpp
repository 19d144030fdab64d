// Notice <-> file. Nothing is believed that was not checked: other users of the device may write there too.
#include "notice_file.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace qkd::keyid_scp {
namespace {

using nlohmann::json;

constexpr int schema = 1;
constexpr std::size_t generation_digits = 20;  // as many as the largest 64-bit number has
constexpr std::size_t most_key_ids = 64;
constexpr std::size_t longest_word = 128;
constexpr std::size_t largest_file = 16384;
constexpr std::int64_t last_second = 253402300799;  // 9999-12-31T23:59:59Z
constexpr std::string_view suffix = ".json";
constexpr std::string_view ack_suffix = ".ack";

bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

std::string safe(const std::string& link) {
    constexpr char digits[] = "0123456789abcdef";
    std::string name;
    for (const char c : link) {
        if (is_alphanumeric(c) || c == '-') {
            name += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        name += {'_', digits[byte >> 4U], digits[byte & 15U]};
    }
    return name;
}

bool good_key_id(const std::string& id) {
    return !id.empty() && id.size() <= longest_word && std::all_of(id.begin(), id.end(), [](char c) {
        return is_alphanumeric(c) || std::string_view("-_.:+/=@~").find(c) != std::string_view::npos;
    });
}

bool good_name(const std::string& name) {
    return !name.empty() && name.size() <= longest_word && safe(name).size() <= 200 &&
           std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool good_time(UtcSeconds time) {
    const auto seconds = time.time_since_epoch().count();
    return seconds >= 0 && seconds <= last_second;
}

/// nullptr when the notice may travel, else what is wrong with it.
const char* flaw(const KeyIdNotice& notice) {
    if (!good_name(notice.link)) return "the link's name is empty, too long or not printable ASCII";
    if (!good_name(notice.sender)) return "the sender's name is empty, too long or not printable ASCII";
    if (notice.generation == 0) return "the generation is 0";
    if (notice.key_ids.empty() || notice.key_ids.size() > most_key_ids) return "there must be 1 to 64 key_IDs";
    if (!std::all_of(notice.key_ids.begin(), notice.key_ids.end(), good_key_id)) {
        return "a key_ID is empty, longer than 128 characters or has other characters than A-Z a-z 0-9 - _ . : + / = @ "
               "~";
    }
    if (!good_time(notice.start) || !good_time(notice.expires)) return "a time is out of range";
    return nullptr;
}

}  // namespace

std::string file_name(const std::string& link, std::uint64_t generation) {
    const std::string number = std::to_string(generation);
    return safe(link) + "." + std::string(generation_digits - number.size(), '0') + number + std::string(suffix);
}

std::optional<FileName> parse_file_name(const std::string& name, const std::string& link) {
    FileName parsed;
    std::string_view rest = name;
    if (rest.ends_with(ack_suffix)) {
        parsed.acknowledgement = true;
        rest.remove_suffix(ack_suffix.size());
    }
    const std::string prefix = safe(link) + ".";
    if (!rest.starts_with(prefix) || !rest.ends_with(suffix)) return std::nullopt;
    rest.remove_prefix(prefix.size());
    if (rest.size() != generation_digits + suffix.size()) return std::nullopt;
    rest.remove_suffix(suffix.size());
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), parsed.generation);
    if (error != std::errc() || end != rest.data() + rest.size()) return std::nullopt;
    return parsed;
}

Result<std::string> encode(const KeyIdNotice& notice) {
    if (const char* wrong = flaw(notice)) {
        return Error{ErrorCode::rejected, Retry::never, "notice of link " + notice.link + " cannot be sent: " + wrong,
                     "give the link a plain name; if the key_ID is at fault, ask the KME's vendor"};
    }
    const json object{{"schema", schema},
                      {"link", notice.link},
                      {"generation", notice.generation},
                      {"sequence", notice.sequence},
                      {"sender", notice.sender},
                      {"key_ids", notice.key_ids},
                      {"start", notice.start.time_since_epoch().count()},
                      {"expires", notice.expires.time_since_epoch().count()}};
    std::string text = object.dump(1) + "\n";
    if (text.size() > largest_file) {
        return Error{ErrorCode::rejected, Retry::never, "notice of link " + notice.link + " is larger than 16 KiB",
                     "mint fewer keys at once"};
    }
    return text;
}

Result<KeyIdNotice> decode(std::string_view text, const std::string& link, std::uint64_t generation,
                           const std::string& place) {
    const auto refuse = [&](const std::string& why) {
        return Error{ErrorCode::protocol, Retry::never, place + " is no valid notice: " + why,
                     "find out who else writes into that directory, then remove the file and run again"};
    };
    if (text.size() > largest_file) return refuse("larger than 16 KiB");
    const json object = json::parse(text, nullptr, false);
    if (!object.is_object()) return refuse("not a JSON object");
    if (object.value("schema", json()) != json(schema)) return refuse("schema is not 1");
    if (object.size() != 8) return refuse("members are missing or unknown");

    KeyIdNotice notice;
    const auto read_text = [&](const char* key, std::string& value) {
        const auto found = object.find(key);
        if (found == object.end() || !found->is_string()) return false;
        value = found->get<std::string>();
        return true;
    };
    const auto read_number = [&](const char* key, std::uint64_t& value) {
        const auto found = object.find(key);
        if (found == object.end() || !found->is_number_unsigned()) return false;
        value = found->get<std::uint64_t>();
        return true;
    };
    std::uint64_t start = 0;
    std::uint64_t expires = 0;
    if (!read_text("link", notice.link) || !read_text("sender", notice.sender))
        return refuse("link or sender is no text");
    if (!read_number("generation", notice.generation) || !read_number("sequence", notice.sequence) ||
        !read_number("start", start) || !read_number("expires", expires)) {
        return refuse("generation, sequence, start or expires is no whole number");
    }
    constexpr auto limit = static_cast<std::uint64_t>(last_second);
    if (start > limit || expires > limit) return refuse("a time is out of range");
    notice.start = UtcSeconds{std::chrono::seconds{start}};
    notice.expires = UtcSeconds{std::chrono::seconds{expires}};
    const auto ids = object.find("key_ids");
    if (ids == object.end() || !ids->is_array()) return refuse("key_ids is no array");
    for (const json& id : *ids) {
        if (!id.is_string()) return refuse("a key_ID is no text");
        notice.key_ids.push_back(id.get<std::string>());
    }
    if (notice.link != link || notice.generation != generation)
        return refuse("it is about something else than its name says");
    if (const char* wrong = flaw(notice)) return refuse(wrong);
    return notice;
}

std::string acknowledgement(const KeyIdNotice& notice, const std::string& device) {
    const json object{{"schema", schema}, {"link", notice.link}, {"generation", notice.generation}, {"device", device}};
    return object.dump(1, ' ', true, json::error_handler_t::replace) + "\n";
}

}  // namespace qkd::keyid_scp
