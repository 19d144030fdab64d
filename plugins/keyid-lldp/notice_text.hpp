// A notice or an acknowledgement behind an interface description: "OPERATOR'S TEXT|QKD2;...".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "qkd/sdk/result.hpp"

namespace qkd::keyid_lldp {

/// What the Port Description TLV carries at most (IEEE 802.1AB-2016 clause 8.5.5).
inline constexpr std::size_t longest_description = 255;

/// A description taken apart.
struct Description {
    std::string own;     ///< the operator's text, byte for byte
    std::string sealed;  ///< what follows it, see qkd/sdk/net/notice.hpp; empty when nothing does

    [[nodiscard]] bool has_notice() const { return sealed.starts_with("QKD2;"); }
    [[nodiscard]] bool has_acknowledgement() const { return sealed.starts_with("QKA1;"); }
};
/// Ours is what follows the last "|QKD2;" or "|QKA1;" if it has only characters of the wire form; else all of the text is
/// the operator's. A damaged notice is still known as ours.
Description split(std::string_view text);

/// The link that `sealed` is about, unverified; empty when it does not say.
std::string_view link_of(std::string_view sealed);

/// The operator's text with `sealed` behind it. rejected/never when that is longer than a description may be; `place`
/// names the interface in the error.
Result<std::string> join(const std::string& own, const std::string& sealed, const std::string& place);

}  // namespace qkd::keyid_lldp
