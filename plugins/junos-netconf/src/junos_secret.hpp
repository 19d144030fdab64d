// Junos "$9$" strings: an encoding, not an encryption. Whoever reads one has the secret, so they are treated as keys.
#pragma once

#include <string_view>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::junos {

/// The text behind a "$9$" string. The error never shows any of it.
Result<SecretBytes> decode_secret(std::string_view text);

/// The clear text of a secret as a device shows it: "$9$..." decoded, clear text as it is; empty when the device hides
/// it ("/* SECRET-DATA */", an "$8$" string under a master password, nothing).
SecretBytes reveal_configured(std::string_view text);

/// The octets of a CAK as a device shows it; empty when it is hidden or not an even number of hex digits.
SecretBytes configured_cak(std::string_view text);

}  // namespace qkd::junos
