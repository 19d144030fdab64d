// Takes requests apart, for all doors.
#include "door.hpp"

#include <charconv>

namespace qkd::kme_sim {

Json body_of(const Request& request, bool may_be_absent) {
    if (request.body.empty() && may_be_absent) return Json::object();
    if (!request.content_type.starts_with("application/json")) {
        throw Refusal{400, "the Content-Type of a request body shall be application/json"};
    }
    Json json = Json::parse(request.body, nullptr, false);
    if (!json.is_object()) throw Refusal{400, "the request body is not a JSON object"};
    return json;
}

std::int64_t integer(const std::string& name, const std::string& text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) throw Refusal{400, name + " is not an integer"};
    return value;
}

std::int64_t integer(const std::string& name, const Json& json) {
    if (!json.is_number_integer()) throw Refusal{400, name + " is not an integer"};
    if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) throw Refusal{400, name + " is too large"};
    return json.get<std::int64_t>();
}

std::optional<std::string> query_value(const Visit& visit, const std::string& name) {
    const auto& query = visit.query;
    if (query.count(name) > 1) throw Refusal{400, name + " is there more than once; use POST"};
    const auto at = query.find(name);
    if (at == query.end()) return std::nullopt;
    return at->second;
}

std::size_t octets_of(std::int64_t bits, const Limits& limits) {
    if (bits % 8 != 0) throw Refusal{400, "size shall be a multiple of 8"};
    if (bits < limits.min_key_size || bits > limits.max_key_size) {
        throw Refusal{400, "size shall be from " + std::to_string(limits.min_key_size) + " to " +
                               std::to_string(limits.max_key_size)};
    }
    return static_cast<std::size_t>(bits / 8);
}

const std::string& known_peer(const Visit& visit, const std::string& sae) {
    const auto at = visit.homes.find(sae);
    if (at == visit.homes.end()) throw Refusal{400, "SAE ID " + sae + " is not known", nullptr, "unknown_sae"};
    if (sae == visit.request.caller) throw Refusal{400, "SAE ID " + sae + " is the caller's own"};
    return at->first;
}

}  // namespace qkd::kme_sim
