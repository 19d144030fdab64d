// Small readers of configuration words: durations, ranges, lists of words, and the nearest known word to a wrong one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qkd::engine {

/// A whole number with a unit ms, s, m, h or d: "500ms", "20s", "2m". Not negative, at most about 100 years.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// The shortest exact spelling: 60000 ms is "1m".
std::string format_duration(std::chrono::milliseconds duration);
/// Decimal digits with an optional minus sign, nothing else.
std::optional<std::int64_t> parse_integer(std::string_view text);

struct Range {
    std::int64_t min = 0;
    std::int64_t max = 0;  ///< included
};
/// "1..65535".
std::optional<Range> parse_integer_range(std::string_view text);
/// "1s..10m", in milliseconds.
std::optional<Range> parse_duration_range(std::string_view text);

/// Parts between separators; no part is empty ("a  b" has two).
std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> words, std::string_view separator);

/// The candidate with the fewest typing errors (swaps count one), or empty when none is near.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// The text, cut to a readable length, with control characters made visible (\x1b): for messages that quote a file.
std::string printable(std::string_view text);

/// URL without what does not belong into a configuration: checks scheme, host and port, refuses user information,
/// white space and fragments. Returns what is wrong, or an empty string.
std::string check_url(std::string_view url, std::span<const std::string> schemes);

}  // namespace qkd::engine
