// Looks for keys, IDs and errors in a reply, by JSON pointers. No network here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kme-common/json.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::rest {

/// A JSON pointer (RFC 6901).
class Pointer {
  public:
    /// Errors: config.
    static Result<Pointer> parse(std::string_view text);
    /// Null when there is nothing. "-" is never there.
    [[nodiscard]] const kme::WipedJson* find(const kme::WipedJson& json) const;
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

  private:
    std::string text_;
    std::vector<std::string> tokens_;
};

/// How keys are written.
enum class Encoding : std::uint8_t {
    base64,     ///< RFC 4648 section 4, padded
    base64url,  ///< RFC 4648 section 5, padded or not
    hex,
    raw  ///< the body of the reply is the key
};

/// The error does not show the text.
Result<SecretBytes> decode(Encoding encoding, std::string_view text);

/// A text, or a whole number as text; nothing else counts.
std::optional<std::string> word_at(const kme::WipedJson& json, const Pointer& pointer);

/// Where a key stands in a reply.
struct KeyPlace {
    std::optional<Pointer> id;
    std::optional<Pointer> key;
    Encoding encoding = Encoding::base64;
};

/// A key, or only its ID when `place.key` is not set, out of an object of a reply. Exactly `bits`, under a usable ID.
/// `wanted_id` not empty: the key gets this ID, and an ID in the reply must be the same in any case.
/// Errors: protocol, with maybe_consumed.
struct Found {
    std::string id;
    std::optional<SecretBytes> key;
};
Result<Found> read_key(const kme::WipedJson& json, const KeyPlace& place, unsigned bits,
                       const std::string& wanted_id = "");

}  // namespace qkd::rest
