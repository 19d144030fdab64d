// A seal key made of a passphrase: scrypt (RFC 7914), with its parameters and salt as a text that stands beside the passphrase's
// reference in the pipeline file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

inline constexpr std::size_t least_passphrase_octets = 12;

/// The defaults take 128 MiB and about half a second.
struct Scrypt {
    unsigned log2_n = 17;  ///< 14..20; N = 2 to this power
    unsigned r = 8;        ///< 8..16
    unsigned p = 1;        ///< 1..16
    std::vector<std::uint8_t> salt;
};

/// "1,LOG2N,R,P,BASE64SALT"; 1 is the version of this text. unsupported for a later version, config for the rest.
Result<Scrypt> parse_scrypt(std::string_view text);
std::string to_string(const Scrypt& scrypt);
/// The defaults and 16 octets of salt from the system's random generator.
Result<Scrypt> new_scrypt();

/// 32 octets. The latest one is kept in memory, so that many sealed values cost one derivation. Safe to call from several
/// threads; it cannot be interrupted. config when the passphrase is shorter than 12 octets.
Result<SecretBytes> derive_seal_key(const Scrypt& scrypt, const SecretBytes& passphrase);

}  // namespace qkd::engine
