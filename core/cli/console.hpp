// Where commands write: answers to standard output, everything else to standard error.
#pragma once

#include <string>
#include <string_view>

#include "cli/arguments.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::cli {

/// Are colours wanted on this descriptor? --color decides; auto: a terminal that is not dumb, and NO_COLOR is not set.
bool colour_wanted(const Arguments& arguments, int fd);
/// A terminal on which lines can be drawn again.
bool is_live_terminal(int fd);

/// To standard output, at once. Failures show up in answer_arrived().
void answer(std::string_view text);
/// false when something written to standard output got lost, except when its reader went away by itself.
bool answer_arrived();

/// "qkd-macsec: what" and the hint, to standard error.
void complain(const Error& error);

/// "2 errors", "1 error".
std::string counted(std::size_t number, std::string_view noun);

}  // namespace qkd::cli
