// Frame <-> octets.
#include "frame.hpp"

#include <algorithm>
#include <array>

#include "qkd/sdk/net/notice.hpp"

namespace qkd::keyid_88b7 {
namespace {

using Octets = std::vector<std::uint8_t>;

// A locally administered prefix: no registered one of this project exists.
constexpr std::array<std::uint8_t, 5> protocol{0x02, 0x51, 0x4b, 0x00, 0x01};
constexpr std::uint8_t version = 1;
constexpr std::size_t header_octets = 27;
constexpr std::uint8_t text_tlv = 1;
constexpr std::size_t tlv_header_octets = 3;
constexpr std::string_view tag_domain{"qkd-macsec 88b7 1\0", 18};

template <class Number>
void put(Octets& out, Number number) {
    for (std::size_t i = sizeof number; i-- > 0;) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}

template <class Number>
Number get(std::span<const std::uint8_t> in, std::size_t at) {
    Number number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) number = static_cast<Number>(number << 8U | in[at + i]);
    return number;
}

Octets tagged_octets(std::span<const std::uint8_t> body) {
    Octets all(tag_domain.size() + body.size());
    std::copy(body.begin(), body.end(), std::copy(tag_domain.begin(), tag_domain.end(), all.begin()));
    return all;
}

/// The part of the text that names the link: the third of a notice, the second of an acknowledgement.
std::string_view link_of(std::string_view text) {
    for (int parts = text.starts_with("QKD2;") ? 2 : 1; parts > 0; --parts) {
        const auto end = text.find(';');
        if (end == std::string_view::npos) return {};
        text.remove_prefix(end + 1);
    }
    return text.substr(0, text.find(';'));
}

}  // namespace

Result<void> fits(const Frame& frame, std::size_t limit) {
    const std::size_t size = header_octets + tlv_header_octets + frame.text.size() + notice::tag_octets;
    if (size <= std::min(limit, largest_payload)) return {};
    return Error{ErrorCode::rejected, Retry::never,
                 "a frame of " + std::to_string(size) + " octets would be needed, the interface takes " +
                     std::to_string(std::min(limit, largest_payload)),
                 "mint fewer keys at once, or use another transport such as keyid-scp"};
}

Result<std::vector<std::uint8_t>> encode(const Frame& frame, const SecretBytes& secret) {
    if (auto good = fits(frame, largest_payload); !good) return std::move(good).error();
    Octets out(protocol.begin(), protocol.end());
    out.push_back(version);
    out.push_back(static_cast<std::uint8_t>(frame.type));
    put(out, frame.attempt);
    put(out, frame.mark.generation);
    put(out, frame.mark.sequence);
    put(out, static_cast<std::uint16_t>(tlv_header_octets + frame.text.size()));
    out.push_back(text_tlv);
    put(out, static_cast<std::uint16_t>(frame.text.size()));
    out.insert(out.end(), frame.text.begin(), frame.text.end());
    std::array<std::uint8_t, notice::tag_octets> tag{};
    notice::hmac(secret, tagged_octets(out), tag);
    out.insert(out.end(), tag.begin(), tag.end());
    return out;
}

Flaw decode(std::span<const std::uint8_t> payload, const SecretBytes& secret, Frame& frame, std::string_view& link) {
    link = {};
    if (payload.size() < protocol.size() || !std::equal(protocol.begin(), protocol.end(), payload.begin())) {
        return Flaw::foreign_protocol;
    }
    if (payload.size() < header_octets + tlv_header_octets + notice::tag_octets || payload.size() > largest_payload ||
        payload[5] != version) {
        return Flaw::malformed;
    }
    const std::size_t tlvs = get<std::uint16_t>(payload, 25);
    const std::size_t text_size = get<std::uint16_t>(payload, 28);
    const std::size_t end = header_octets + tlvs;
    const bool fits =
        end + notice::tag_octets <= payload.size() && payload[27] == text_tlv && tlvs == tlv_header_octets + text_size;
    if (!fits) return Flaw::malformed;
    const auto text = payload.subspan(header_octets + tlv_header_octets, text_size);
    link = link_of({reinterpret_cast<const char*>(text.data()), text.size()});
    if (!notice::hmac_matches(secret, tagged_octets(payload.first(end)), payload.subspan(end, notice::tag_octets))) {
        return Flaw::wrong_tag;
    }
    if (payload[6] < 1 || payload[6] > 4) return Flaw::malformed;
    frame.type = static_cast<FrameType>(payload[6]);
    frame.attempt = get<std::uint16_t>(payload, 7);
    frame.mark = {get<std::uint64_t>(payload, 9), get<std::uint64_t>(payload, 17)};
    frame.text.assign(text.begin(), text.end());
    return Flaw::none;
}

}  // namespace qkd::keyid_88b7
