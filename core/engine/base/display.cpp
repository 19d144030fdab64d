// Width, cutting and cleaning of text for terminals.
#include "engine/base/display.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>

namespace qkd::engine {
namespace {

struct Decoded {
    std::uint32_t point = 0;
    std::size_t length = 1;
    bool valid = false;
};

/// The first character of a text that is not empty. Refuses overlong forms and surrogates (RFC 3629 section 3).
Decoded decode(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    const std::uint32_t first = byte(0);
    if (first < 0x80) return {first, 1, true};
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return {first, 1, false};
    std::uint32_t point = first & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0U) != 0x80U) return {first, 1, false};
        point = (point << 6U) | (byte(i) & 0x3fU);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return {first, 1, false};
    return {point, length, true};
}

struct Interval {
    std::uint32_t first;
    std::uint32_t last;
};
/// Marks without a width of their own (Unicode categories Mn, Me, Cf), as far as names and messages use them.
constexpr Interval zero_width[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},
                                   {0x064b, 0x065f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},
                                   {0x20d0, 0x20ff}, {0x2060, 0x2064}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
/// Unicode Standard Annex 11, classes W and F.
constexpr Interval double_width[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},  {0xac00, 0xd7a3},
                                     {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6},
                                     {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

template <std::size_t N>
bool in(const Interval (&intervals)[N], std::uint32_t point) noexcept {
    return std::any_of(std::begin(intervals), std::end(intervals),
                       [point](const Interval& i) { return i.first <= point && point <= i.last; });
}

std::size_t width_of(std::uint32_t point) noexcept {
    if (point < 0x300) return 1;
    if (in(zero_width, point)) return 0;
    return in(double_width, point) ? 2 : 1;
}

bool disturbs(std::uint32_t point) noexcept {
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0x200e || point == 0x200f || point == 0xfeff;
}

}  // namespace

std::size_t display_width(std::string_view text) noexcept {
    std::size_t width = 0;
    while (!text.empty()) {
        const Decoded c = decode(text);
        width += width_of(c.valid ? c.point : '?');
        text.remove_prefix(c.length);
    }
    return width;
}

std::string one_line(std::string_view text) {
    std::string shown;
    shown.reserve(text.size());
    while (!text.empty()) {
        const Decoded c = decode(text);
        if (c.valid && !disturbs(c.point)) {
            shown += text.substr(0, c.length);
        } else {
            char code[16];
            std::snprintf(code, sizeof code, c.point > 0xff ? "\\u%04x" : "\\x%02x", c.point);
            shown += code;
        }
        text.remove_prefix(c.length);
    }
    return shown;
}

std::string clip(std::string_view text, std::size_t columns) {
    if (display_width(text) <= columns) return std::string(text);
    constexpr std::string_view cut = "..";
    const std::size_t room = columns > cut.size() ? columns - cut.size() : 0;
    std::size_t width = 0;
    std::size_t end = 0;
    while (end < text.size()) {
        const Decoded c = decode(text.substr(end));
        const std::size_t more = width_of(c.valid ? c.point : '?');
        if (width + more > room) break;
        width += more;
        end += c.length;
    }
    return std::string(text.substr(0, end)) + std::string(cut.substr(0, std::min(columns, cut.size())));
}

std::string styled(std::string_view text, Style style, bool colour) {
    if (!colour || style == Style::plain || text.empty()) return std::string(text);
    const char* code = "";
    switch (style) {
        case Style::plain: break;
        case Style::good: code = "32"; break;
        case Style::bad: code = "31"; break;
        case Style::warn: code = "33"; break;
        case Style::dim: code = "2"; break;
        case Style::strong: code = "1"; break;
    }
    return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace qkd::engine
