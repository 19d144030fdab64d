// Hexadecimal and base64 between secrets and text, without leaving copies behind.
#pragma once

#include <string>
#include <string_view>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd {

/// Lower-case hex of the bytes, as secret text.
SecretBytes hex_encode(const SecretBytes& bytes);
/// Strict: even number of hex digits of either case, nothing else. The error does not show the text.
Result<SecretBytes> hex_decode(std::string_view text);
/// Standard alphabet with padding, RFC 4648 section 4.
SecretBytes base64_encode(const SecretBytes& bytes);
/// Strict: standard alphabet, padded, no white space, canonical trailing bits.
Result<SecretBytes> base64_decode(std::string_view text);

/// Lower-case copy of a public hex name such as a CKN, so that names compare equal whoever spelled them.
std::string canonical_hex(std::string_view text);

}  // namespace qkd
