// Small text codings that the protocol and the audit file need.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qkd::kme_sim {

using Bytes = std::vector<std::uint8_t>;
using TimePoint = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

std::string to_hex(const Bytes& bytes);
/// Empty on anything but an even number of hex digits.
std::optional<Bytes> from_hex(std::string_view text);
/// Standard alphabet, padded (RFC 4648 clause 4).
std::string to_base64(const Bytes& bytes);
/// Undoes %XX; empty on a broken escape. '+' stays '+': it is an ordinary character in a path.
std::optional<std::string> percent_decode(std::string_view text);
/// `count` bytes of OpenSSL's generator; ends the process if it cannot give any, for a guessable key is worse.
Bytes random_bytes(std::size_t count);
/// A version 4 UUID in lower case.
std::string random_uuid();
/// RFC 3339 in UTC with milliseconds.
std::string to_rfc3339(TimePoint time);
TimePoint now();

}  // namespace qkd::kme_sim
