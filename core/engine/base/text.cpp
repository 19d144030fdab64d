// Small readers of configuration words.
#include "engine/base/text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace qkd::engine {
namespace {

using std::chrono::milliseconds;

struct Unit {
    std::string_view word;
    std::int64_t ms;
};
constexpr Unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr std::int64_t longest = 36'525LL * 86'400'000;

template <class Parse>
auto parse_range(std::string_view text, Parse parse) -> std::optional<Range> {
    const auto dots = text.find("..");
    if (dots == std::string_view::npos) return std::nullopt;
    const auto min = parse(text.substr(0, dots));
    const auto max = parse(text.substr(dots + 2));
    if (!min || !max || *min > *max) return std::nullopt;
    return Range{*min, *max};
}

/// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> now(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = std::min(now[j], before[j - 2] + 1);
            }
        }
        std::swap(before, last);
        std::swap(last, now);
    }
    return last[b.size()];
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, number);
    if (text.empty() || failure != std::errc{} || stop != end) return std::nullopt;
    return number;
}

std::optional<milliseconds> parse_duration(std::string_view text) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_integer(text.substr(0, digits));
    if (!number) return std::nullopt;
    for (const Unit& unit : units) {
        if (text.substr(digits) != unit.word) continue;
        if (*number > longest / unit.ms) return std::nullopt;
        return milliseconds{*number * unit.ms};
    }
    return std::nullopt;
}

std::string format_duration(milliseconds duration) {
    const Unit* best = &units[0];
    for (const Unit& unit : units) {
        if (duration.count() != 0 && duration.count() % unit.ms == 0) best = &unit;
    }
    if (duration.count() == 0) best = &units[1];
    return std::to_string(duration.count() / best->ms) + std::string(best->word);
}

std::optional<Range> parse_integer_range(std::string_view text) {
    return parse_range(text, parse_integer);
}

std::optional<Range> parse_duration_range(std::string_view text) {
    return parse_range(text, [](std::string_view part) -> std::optional<std::int64_t> {
        const auto duration = parse_duration(part);
        if (!duration) return std::nullopt;
        return duration->count();
    });
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = std::min(text.find(separator), text.size());
        if (end > 0) parts.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

std::string join(std::span<const std::string> words, std::string_view separator) {
    std::string text;
    for (const auto& word : words) {
        if (!text.empty()) text += separator;
        text += word;
    }
    return text;
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
    std::string best;
    if (word.size() > 64) return best;
    std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const auto& candidate : candidates) {
        if (candidate.size() > word.size() + least || word.size() > candidate.size() + least) continue;
        const std::size_t d = distance(word, candidate);
        if (d < least) {
            least = d;
            best = candidate;
        }
    }
    return best;
}

std::string printable(std::string_view text) {
    constexpr char hex[] = "0123456789abcdef";
    constexpr std::size_t longest_quote = 120;
    std::string shown;
    for (const char c : text.substr(0, longest_quote)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte != 0x7f) {
            shown += c;
        } else {
            shown += "\\x";
            shown += hex[byte >> 4U];
            shown += hex[byte & 15U];
        }
    }
    if (text.size() > longest_quote) shown += "...";
    return shown;
}

std::string check_url(std::string_view url, std::span<const std::string> schemes) {
    for (const char c : url) {
        if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return "a URL holds no white space";
    }
    const auto colon = url.find("://");
    if (colon == std::string_view::npos) return "a URL begins with its scheme";
    const auto scheme = url.substr(0, colon);
    if (!schemes.empty() && std::find(schemes.begin(), schemes.end(), scheme) == schemes.end()) {
        return "scheme '" + printable(scheme) + "' is not possible here";
    }
    if (url.find('#') != std::string_view::npos) return "a fragment ('#') has no meaning here";
    auto authority = url.substr(colon + 3);
    authority = authority.substr(0, authority.find_first_of("/?"));
    if (authority.find('@') != std::string_view::npos) return "user name and password do not belong into a URL";
    auto host = authority;
    std::string_view port;
    bool has_port = false;
    if (!authority.empty() && authority.front() == '[') {
        const auto end = authority.find(']');
        if (end == std::string_view::npos) return "'[' without ']'";
        host = authority.substr(1, end - 1);
        const auto rest = authority.substr(end + 1);
        if (!rest.empty() && rest.front() != ':') return "unexpected text behind ']'";
        has_port = !rest.empty();
        port = has_port ? rest.substr(1) : rest;
    } else if (const auto at = authority.find(':'); at != std::string_view::npos) {
        host = authority.substr(0, at);
        port = authority.substr(at + 1);
        has_port = true;
    }
    if (host.empty()) return "the host name is missing";
    if (has_port) {
        const auto number = parse_integer(port);
        if (!number || *number < 1 || *number > 65535) return "the port must be 1..65535";
    }
    return {};
}

}  // namespace qkd::engine
