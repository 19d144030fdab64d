// Sealing: AES-256-GCM over small secrets that have to rest in a file, such as `sealed:` values and the journal.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

inline constexpr std::size_t seal_key_octets = 32;

/// What a sealed text is for; it opens under the same purpose only, so that a journal entry cannot be passed off as a
/// password. Part of the stored format: never change these words.
inline constexpr std::string_view seal_purpose_secret = "qkd-macsec secret";

/// The key in the content of a key file: 32 raw octets, or 64 hex digits with or without a line end.
Result<SecretBytes> parse_seal_key(const SecretBytes& content);
/// 32 octets from the system's random generator.
Result<SecretBytes> new_seal_key();

/// Version octet 1, 12 random octets of nonce, ciphertext, 16 octets of tag (NIST SP 800-38D). At most 16 MiB.
Result<std::vector<std::uint8_t>> seal(const SecretBytes& key, const SecretBytes& plain, std::string_view purpose);
/// Fails without saying why the text does not open: another key, another purpose or a changed octet.
Result<SecretBytes> unseal(const SecretBytes& key, std::span<const std::uint8_t> sealed, std::string_view purpose);

/// "sealed:BASE64", as it stands in a pipeline file.
Result<std::string> sealed_reference(const SecretBytes& key, const SecretBytes& plain);

}  // namespace qkd::engine
