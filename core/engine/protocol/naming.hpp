// Names and random material: CKNs, run IDs, bootstrap and fallback keys.
#pragma once

#include <string>
#include <string_view>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

/// The CKN of a minted key, 64 lower-case hex digits: SHA-256("qkd-macsec ckn v1" 0x00 link 0x00 key_ID), with the
/// key_ID as the initiator's KME spelled it. With a `prefix` (hex) instead prefix + the key_ID's hex digits without
/// dashes, cut to 64; an error when the key_ID is no UUID then. (IEEE 802.1X-2020 clause 9.3.1: a CKN has 1..32 octets)
Result<std::string> derive_ckn(std::string_view link, std::string_view key_id, std::string_view prefix);

/// A key that comes from no KME: to start a link with, or as the fallback of all its members. Its name is a CKN of 64 lower-case hex
/// digits, random as well.
Result<NamedSecret> random_key(std::size_t octets);

/// 16 lower-case hex digits.
std::string new_run_id();

}  // namespace qkd::engine
