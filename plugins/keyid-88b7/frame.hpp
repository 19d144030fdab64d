// The frame of keyid-88b7, octet by octet as README.md describes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::keyid_88b7 {

inline constexpr std::uint16_t ethertype = 0x88b7;  ///< OUI Extended EtherType, IEEE Std 802-2014 clause 9.2.4
inline constexpr std::size_t largest_payload = 1500;

enum class FrameType : std::uint8_t {
    notice = 1,        ///< initiator: text is a notice
    arrived = 2,       ///< responder: text is an acknowledgement; the frame was received, nothing more
    acknowledged = 3,  ///< responder: text is an acknowledgement; what the notice asks for is done
    heard = 4          ///< initiator: text is the acknowledgement that it heard
};

struct Frame {
    FrameType type = FrameType::notice;
    std::uint16_t attempt = 0;  ///< grows with every copy that its origin sends
    NoticeMark mark{0, 0};      ///< epoch and sequence
    std::string text;           ///< in the wire form of qkd/sdk/net/notice.hpp, without a tag: the frame has one
    bool operator==(const Frame&) const = default;
};

/// rejected/never when the payload would have more than `limit` octets.
Result<void> fits(const Frame& frame, std::size_t limit);
/// The payload behind the EtherType. rejected/never when it does not fit any interface.
Result<std::vector<std::uint8_t>> encode(const Frame& frame, const SecretBytes& secret);

enum class Flaw : std::uint8_t { none, foreign_protocol, malformed, wrong_tag };
/// Strict; padding behind the tag is ignored. `link` is set as soon as the text tells it, verified or not.
Flaw decode(std::span<const std::uint8_t> payload, const SecretBytes& secret, Frame& frame, std::string_view& link);

}  // namespace qkd::keyid_88b7
