// Junos' reversible obfuscation of secrets, the strings that start with $9$.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qkd::junossim {

// A `$9$` string for `clear`, with a new random salt each time.
std::string encode9(std::string_view clear);
// The secret behind a `$9$` string; empty when the string is not a well-formed one.
std::optional<std::string> decode9(std::string_view crypted);

}  // namespace qkd::junossim
