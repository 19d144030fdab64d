// Instants as text, for reports, the audit and messages.
#pragma once

#include <string>

#include "qkd/sdk/device.hpp"

namespace qkd::engine {

/// "2026-11-21T15:04:05Z" (RFC 3339 section 5.6, UTC); milliseconds when they are not zero.
std::string rfc3339(UtcMillis time);

}  // namespace qkd::engine
