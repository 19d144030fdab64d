// A certificate to show to a TLS library that insists on one.
#pragma once

#include <filesystem>

namespace qkd::support {

/// Writes key.pem (0600, EC P-256) and cert.pem (self-signed, for "localhost", valid for a day) into `directory`.
/// Throws when that fails.
void write_self_signed(const std::filesystem::path& directory);

}  // namespace qkd::support
