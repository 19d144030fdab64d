// The three methods of ETSI GS QKD 014 V1.1.1, clauses 5 and 6.
#include "service.hpp"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>

namespace qkd::kme_sim {
namespace {

using Json = nlohmann::json;

/// A request that cannot be served; thrown inside this file only, where it saves every parser a branch.
struct Refusal {
    int status;
    std::string message;
    Json details = nullptr;
};

std::string error_body(const std::string& message, const Json& details = nullptr) {
    Json json = {{"message", message}};
    if (!details.is_null()) json["details"] = details;
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Response refuse(const Refusal& refusal) {
    return Response{.status = refusal.status, .body = error_body(refusal.message, refusal.details)};
}

/// Clause 6.5 gives 401 no body.
Response unauthorized() {
    return Response{.status = 401};
}

Response container(const std::vector<Key>& keys) {
    Json list = Json::array();
    for (const Key& key : keys) list.push_back({{"key_ID", key.id}, {"key", to_base64(key.bytes)}});
    return Response{.body = Json{{"keys", std::move(list)}}.dump()};
}

/// The body as an object; an absent body is the empty object, for every item of a Key request is optional.
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

/// The only value of a query parameter, if it is there.
std::optional<std::string> query_value(const std::multimap<std::string, std::string>& query, const std::string& name) {
    if (query.count(name) > 1) throw Refusal{400, name + " is there more than once; use POST"};
    const auto at = query.find(name);
    if (at == query.end()) return std::nullopt;
    return at->second;
}

/// The objects of an extension item (clause 6.2), which must be an array of objects.
const Json& objects(const Json& json, const std::string& name) {
    if (!json.is_array()) throw Refusal{400, name + " is not an array"};
    for (const Json& item : json) {
        if (!item.is_object()) throw Refusal{400, name + " is not an array of objects"};
    }
    return json;
}

void distort(Response& response, const Fault& fault) {
    switch (fault.action) {
        case FaultAction::delay:
            response.delay = fault.delay;
            return;
        case FaultAction::consume_then_drop:
            response.delivery = Response::Delivery::drop;
            return;
        case FaultAction::consume_then_hang:
            response.delay = fault.delay;
            response.delivery = Response::Delivery::hang;
            return;
        case FaultAction::short_key:
        case FaultAction::wrong_id:
        case FaultAction::duplicate:
            break;
        default:
            return;
    }
    Json json = Json::parse(response.body, nullptr, false);
    if (response.status != 200 || !json.is_object() || !json.contains("keys") || json["keys"].empty()) return;
    Json& keys = json["keys"];
    if (fault.action == FaultAction::duplicate) {
        keys.push_back(keys[0]);
    } else {
        for (Json& key : keys) {
            if (fault.action == FaultAction::wrong_id) {
                key["key_ID"] = random_uuid();
            } else {
                // Half of the key: 4 base64 characters carry 3 bytes, so a cut at a multiple of 4 stays well-formed.
                const std::string text = key["key"];
                key["key"] = text.substr(0, text.size() / 8 * 4);
            }
        }
    }
    response.body = json.dump();
}

}  // namespace

Service::Service(const Config& config, KeyPool& pool, FaultScript& faults)
    : pool_settings_(config.pool), pool_(pool), faults_(faults) {
    for (const KmeSettings& kme : config.kmes) limits_[kme.name] = kme.limits;
    for (const SaeSettings& sae : config.saes) homes_[sae.name] = sae.kme;
}

Response Service::answer(const Request& request) {
    // /api/v1/keys/{SAE ID}/{method}[?query]
    constexpr std::string_view prefix = "/api/v1/keys/";
    const std::string_view target = request.target;
    const std::string_view path = target.substr(0, target.find('?'));
    const std::string_view rest = path.starts_with(prefix) ? path.substr(prefix.size()) : std::string_view{};
    const std::size_t slash = rest.find('/');
    Call call;
    call.name = slash == std::string_view::npos ? "" : std::string(rest.substr(slash + 1));
    if (call.name != "status" && call.name != "enc_keys" && call.name != "dec_keys") {
        return refuse({404, "there is no such resource"});
    }
    const Result<std::optional<Fault>> due = faults_.next(request.kme, call.name, request.caller);
    if (!due) return refuse({500, due.error().what});
    const std::optional<Fault>& fault = *due;
    if (fault) {
        switch (fault->action) {
            case FaultAction::drop:
                return Response{.delivery = Response::Delivery::drop};
            case FaultAction::hang:
                return Response{.delay = fault->delay, .delivery = Response::Delivery::hang};
            case FaultAction::error:
                if (fault->status == 401) return unauthorized();
                return refuse({fault->status, fault->message});
            case FaultAction::garbage:
                return Response{.body = "<html>\x01\x02 this is no JSON {\"keys\":["};
            case FaultAction::empty:
                return Response{.body = call.name == "status" ? "{}" : R"({"keys":[]})"};
            default:
                break;
        }
    }

    Response response;
    try {
        const auto home = homes_.find(request.caller);
        if (home == homes_.end() || home->second != request.kme) {
            response = unauthorized();
        } else {
            auto peer = percent_decode(rest.substr(0, slash));
            if (!peer || peer->empty()) throw Refusal{400, "the SAE ID of the path is not well-formed"};
            call.peer = std::move(*peer);
            std::string_view query = path.size() == target.size() ? "" : target.substr(path.size() + 1);
            while (!query.empty()) {
                const std::string_view item = query.substr(0, query.find('&'));
                query.remove_prefix(std::min(query.size(), item.size() + 1));
                const std::size_t equals = std::min(item.find('='), item.size());
                auto name = percent_decode(item.substr(0, equals));
                auto value = percent_decode(item.substr(std::min(item.size(), equals + 1)));
                if (!name || !value) throw Refusal{400, "the query is not well-formed"};
                call.query.emplace(std::move(*name), std::move(*value));
            }
            response = carry_out(request, call);
        }
    } catch (const Refusal& refusal) {
        response = refuse(refusal);
    }
    if (fault) distort(response, *fault);
    return response;
}

Response Service::carry_out(const Request& request, const Call& call) {
    const std::string allow = call.name == "status" ? "GET" : "GET, POST";
    if (request.method != "GET" && (request.method != "POST" || call.name == "status")) {
        return Response{.status = 405, .body = error_body("this method is not allowed here"), .allow = allow};
    }
    if (!homes_.contains(call.peer)) throw Refusal{400, "SAE ID " + call.peer + " is not known"};
    if (call.peer == request.caller) throw Refusal{400, "the SAE ID of the path is the caller's own"};
    const Limits& limits = limits_.at(request.kme);
    if (call.name == "status") return status(request, call, limits);
    return call.name == "enc_keys" ? enc_keys(request, call, limits) : dec_keys(request, call);
}

Response Service::status(const Request& request, const Call& call, const Limits& limits) {
    const Json json = {{"source_KME_ID", request.kme},
                       {"target_KME_ID", homes_.at(call.peer)},
                       {"master_SAE_ID", request.caller},
                       {"slave_SAE_ID", call.peer},
                       {"key_size", limits.key_size},
                       {"stored_key_count", pool_.stored(request.caller, call.peer)},
                       {"max_key_count", pool_settings_.max_key_count},
                       {"max_key_per_request", limits.max_key_per_request},
                       {"max_key_size", limits.max_key_size},
                       {"min_key_size", limits.min_key_size},
                       {"max_SAE_ID_count", limits.max_sae_id_count}};
    return Response{.body = json.dump()};
}

Response Service::enc_keys(const Request& request, const Call& call, const Limits& limits) {
    std::int64_t number = 1;
    std::int64_t size = limits.key_size;
    std::vector<std::string> slaves = {call.peer};
    if (request.method == "GET") {
        if (auto text = query_value(call.query, "number")) number = integer("number", *text);
        if (auto text = query_value(call.query, "size")) size = integer("size", *text);
    } else {
        const Json body = body_of(request, true);
        if (body.contains("number")) number = integer("number", body["number"]);
        if (body.contains("size")) size = integer("size", body["size"]);
        if (body.contains("extension_mandatory") &&
            !objects(body["extension_mandatory"], "extension_mandatory").empty()) {
            throw Refusal{400, "not all extension_mandatory parameters are supported"};
        }
        if (body.contains("extension_optional")) objects(body["extension_optional"], "extension_optional");
        if (body.contains("additional_slave_SAE_IDs")) {
            const Json& list = body["additional_slave_SAE_IDs"];
            if (!list.is_array()) throw Refusal{400, "additional_slave_SAE_IDs is not an array"};
            if (list.size() > static_cast<std::size_t>(limits.max_sae_id_count)) {
                throw Refusal{400, "additional_slave_SAE_IDs has more than max_SAE_ID_count = " +
                                       std::to_string(limits.max_sae_id_count) + " entries"};
            }
            std::set<std::string> known = {call.peer, request.caller};
            for (const Json& item : list) {
                if (!item.is_string()) throw Refusal{400, "additional_slave_SAE_IDs is not an array of strings"};
                const std::string slave = item;
                if (!homes_.contains(slave)) throw Refusal{400, "SAE ID " + slave + " is not known"};
                if (!known.insert(slave).second) throw Refusal{400, "SAE ID " + slave + " is there more than once"};
                slaves.push_back(slave);
            }
        }
    }
    if (number < 1 || number > limits.max_key_per_request) {
        throw Refusal{400, "number shall be from 1 to " + std::to_string(limits.max_key_per_request)};
    }
    if (size % 8 != 0) throw Refusal{400, "size shall be a multiple of 8"};
    if (size < limits.min_key_size || size > limits.max_key_size) {
        throw Refusal{400, "size shall be from " + std::to_string(limits.min_key_size) + " to " +
                               std::to_string(limits.max_key_size)};
    }
    const KeyPool::Answer answer = pool_.issue(request.kme, request.caller, slaves, static_cast<std::size_t>(number),
                                               static_cast<std::size_t>(size / 8));
    if (answer.outcome == KeyPool::Outcome::depleted) {
        throw Refusal{limits.empty_status, "not enough keys are stored for this request"};
    }
    return container(answer.keys);
}

Response Service::dec_keys(const Request& request, const Call& call) {
    std::vector<std::string> ids;
    if (request.method == "GET") {
        const auto id = query_value(call.query, "key_ID");
        if (!id || id->empty()) throw Refusal{400, "key_ID is missing"};
        ids.push_back(*id);
    } else {
        const Json body = body_of(request, false);
        if (!body.contains("key_IDs") || !body["key_IDs"].is_array() || body["key_IDs"].empty()) {
            throw Refusal{400, "key_IDs shall be an array of at least one object"};
        }
        std::set<std::string> seen;
        for (const Json& item : body["key_IDs"]) {
            if (!item.is_object() || !item.contains("key_ID") || !item["key_ID"].is_string()) {
                throw Refusal{400, "each of key_IDs shall be an object with a key_ID"};
            }
            const std::string id = item["key_ID"];
            if (!seen.insert(id).second) throw Refusal{400, "key_ID " + id + " is there more than once"};
            ids.push_back(id);
        }
    }
    const KeyPool::Answer answer = pool_.fetch(request.kme, request.caller, call.peer, ids);
    if (answer.outcome == KeyPool::Outcome::forbidden) return unauthorized();
    if (answer.outcome == KeyPool::Outcome::missing) {
        Json details = Json::array();
        for (const std::string& id : answer.missing) details.push_back({{"key_ID", id}});
        throw Refusal{400, "one or more keys specified are not found on KME", std::move(details)};
    }
    return container(answer.keys);
}

}  // namespace qkd::kme_sim
