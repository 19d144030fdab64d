// What a KME's refusals mean. KMEs differ so much in their status codes that these only choose between "later", "not
// there" and "never".
#pragma once

#include <string>

#include "qkd/sdk/net/http.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::kme {

enum class Call : std::uint8_t { status, mint, fetch };

/// An answer that is no success as an error. `where`: the request's URL; `said`: the KME's own words, harmless.
Error refusal(Call call, const std::string& where, const net::HttpResponse& response, const std::string& said);

}  // namespace qkd::kme
