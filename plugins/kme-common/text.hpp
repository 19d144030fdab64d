// Text of the other side, made fit for people to read.
#pragma once

#include <string>
#include <string_view>

#include "qkd/sdk/secret.hpp"

namespace qkd::kme {

/// Fit for a log line: no control characters, nothing that could be a key, at most 300 characters.
std::string harmless(std::string_view text);

/// What the body of a refusal says, in one harmless line: `message`, `title`, `description` and `details`, or the text
/// itself when it is no JSON.
std::string refusal_text(const SecretBytes& body, std::string_view content_type);

bool same_ignoring_case(std::string_view a, std::string_view b);

/// 1 to 256 printable characters without spaces: what goes back to a KME byte for byte.
bool is_key_id(std::string_view text);

}  // namespace qkd::kme
