// The notice as a piece of text behind an interface description: "OPERATOR'S TEXT|{"id":"...",...}".
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "qkd/sdk/key_id_transport.hpp"

namespace qkd::keyid_lldp {

/// What the Port Description TLV carries at most (IEEE 802.1AB-2016 clause 8.5.5).
inline constexpr std::size_t longest_description = 255;

/// A description taken apart.
struct Description {
    std::string own;  ///< the operator's text, byte for byte
    std::optional<KeyIdNotice> notice;
};
/// The notice is what follows the last "|{" of the text, if it is one; else all of the text is the operator's.
Description split(std::string_view text);

/// The operator's text with the notice behind it. rejected/never when the notice has characters that cannot travel, or
/// when the whole is longer than a description may be; `place` names the interface in the error.
Result<std::string> join(const std::string& own, const KeyIdNotice& notice, const std::string& place);

}  // namespace qkd::keyid_lldp
