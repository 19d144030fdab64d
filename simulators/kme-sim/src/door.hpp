// What the three front doors of a KME share: a visit, and the ways to take a request apart. A door is an API (ETSI GS QKD
// 014, SKIP, or the outline API) over the one key pool.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "config.hpp"
#include "pool.hpp"
#include "service.hpp"

namespace qkd::kme_sim {

using Json = nlohmann::json;

/// A request that cannot be served; thrown inside the doors only, where it saves every parser a branch.
struct Refusal {
    int status;
    std::string message;
    Json details = nullptr;  ///< 014 only
    std::string code{};      ///< outline API only; empty: "bad_request"
    std::string allow{};     ///< of 405: the methods there are
};

/// One request of a known caller at its own KME.
struct Visit {
    const Request& request;
    const Limits& limits;
    const std::map<std::string, std::string>& homes;  ///< KME of each SAE
    const PoolSettings& pool_settings;
    KeyPool& pool;
    std::string name;  ///< what is called, as the door's table says
    std::string item;  ///< the SAE or key of the path, unescaped; empty if there is none
    std::multimap<std::string, std::string> query;
};

/// The doors. Each answers or throws a Refusal.
Response at_etsi014(const Visit& visit);
Response at_skip(const Visit& visit);
Response at_outline(const Visit& visit);

/// The only value of a query parameter, if it is there.
std::optional<std::string> query_value(const Visit& visit, const std::string& name);
std::int64_t integer(const std::string& name, const std::string& text);
std::int64_t integer(const std::string& name, const Json& json);
/// The body as an object; where it may be absent, an absent one is the empty object.
Json body_of(const Request& request, bool may_be_absent);
/// A size in bits that the KME can make.
std::size_t octets_of(std::int64_t bits, const Limits& limits);
/// A peer that this KME knows and that is not the caller.
const std::string& known_peer(const Visit& visit, const std::string& sae);

}  // namespace qkd::kme_sim
