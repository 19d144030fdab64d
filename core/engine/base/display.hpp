// Text as a terminal shows it: how wide it is, cut to a width, freed of what would disturb the screen, coloured.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qkd::engine {

/// Columns that a UTF-8 text takes on a terminal: combining marks take none, East Asian wide characters two.
std::size_t display_width(std::string_view text) noexcept;

/// The text on one line of valid UTF-8, whatever a device or server put into it: control characters (C0, DEL, C1) and
/// marks that change the direction of writing become visible (\x1b, \u202e), and so does every byte that is no UTF-8.
std::string one_line(std::string_view text);

/// At most `columns` columns of a one-line text; what was cut off shows as "..".
std::string clip(std::string_view text, std::size_t columns);

enum class Style : unsigned char { plain, good, bad, warn, dim, strong };

/// The text in the colours of an ANSI terminal, or as it is.
std::string styled(std::string_view text, Style style, bool colour);

}  // namespace qkd::engine
