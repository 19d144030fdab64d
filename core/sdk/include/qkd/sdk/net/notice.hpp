// The wire form of key_ID notices and of their acknowledgements, one for all transports. Link qkd::sdk-notice.
//
// A text of printable ASCII, so that it can stand in a file, in an interface description and in a frame alike:
//
//   QKD2;KIND;LINK;GENERATION;SEQUENCE;SENDER;ROUND;ISSUED;START;EXPIRES;KEY_ID[,KEY_ID...];TAG
//   QKA1;LINK;GENERATION;SEQUENCE;DEVICE;TAG
//
// KIND is offer, armed, withdrawn, live or in-use, ROUND schedule, fallback or first. LINK, SENDER, DEVICE and KEY_ID are 1 to 128 of A-Z a-z 0-9 - _ . : + / = @ ~.
// Numbers are decimal without leading zeros, up to 2^64-1. ISSUED, START and EXPIRES are seconds of UTC since 1970, at most
// 253402300799; 0 = none. 1 to 64 key_IDs. The whole is 8192 octets at most. Nothing else is allowed anywhere, so there
// is exactly one text for a notice, and a text that differs in one octet is another notice or none.
// TAG is HMAC-SHA256 (RFC 2104, FIPS 198-1) under the link's secret over all octets before the last ';', written in 43
// digits of base64url without padding (RFC 4648 section 5); or nothing, where the link has no secret. QKD2 and QKA1 are
// the versions; they also keep the tags of the two apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "qkd/sdk/config.hpp"
#include "qkd/sdk/key_id_transport.hpp"

namespace qkd::notice {

inline constexpr std::size_t longest_word = 128;  ///< of a name or a key_ID
inline constexpr std::size_t most_key_ids = 64;
inline constexpr std::size_t longest_text = 8192;
inline constexpr std::size_t shortest_secret = 16;  ///< octets; 32 random ones are recommended
inline constexpr std::size_t tag_octets = 32;

/// For the field table of a transport: the link's secret. Off-box it may be left out, the engine compares notices itself.
inline constexpr Field secret_field{
    Scope::key_ids,
    FieldType::secret,
    "secret",
    false,
    nullptr,
    nullptr,
    "Shared by the members of the link, authenticates notices and acknowledgements; 16 octets or "
    "more, 32 random ones are best."};
/// Reads that field: empty when it is not given, config/never when it is too short.
Result<SecretBytes> link_secret(const ConfigView& config, Context& context);

/// The text of a notice, with a tag when `secret` is not empty. rejected/never when it has what may not travel.
Result<std::string> seal(const KeyIdNotice& notice, const SecretBytes& secret);
/// The notice of a text, its tag verified. protocol/never: this is no notice. auth/never: the tag is wrong, or missing
/// although there is a secret, or there although there is none. `place` says in errors where the text was found.
Result<KeyIdNotice> open(std::string_view text, const SecretBytes& secret, const std::string& place);
/// May `notice` be delivered to one who waits for `wanted` of `link`? rejected/never: of another link or sender.
/// not_found/safe: not newer than what is known, or expired.
Result<void> judge(const KeyIdNotice& notice, const std::string& link, const NoticeFilter& wanted,
                   const std::string& place);

/// What a device says when it has done what a notice asks for.
struct Acknowledgement {
    std::string link;
    NoticeMark mark{0, 0};
    std::string device;
    bool operator==(const Acknowledgement&) const = default;
};
Result<std::string> seal(const Acknowledgement& acknowledgement, const SecretBytes& secret);
Result<Acknowledgement> open_acknowledgement(std::string_view text, const SecretBytes& secret,
                                             const std::string& place);

/// HMAC-SHA256, for transports that authenticate more than notices.
void hmac(const SecretBytes& secret, std::span<const std::uint8_t> message, std::span<std::uint8_t, tag_octets> tag);
/// The same, compared in constant time.
bool hmac_matches(const SecretBytes& secret, std::span<const std::uint8_t> message, std::span<const std::uint8_t> tag);

}  // namespace qkd::notice
