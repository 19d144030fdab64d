// Finds the door that a request knocks at, plays the fault script, and words refusals as that door does.
#include "service.hpp"

#include <algorithm>
#include <string_view>

#include "door.hpp"

namespace qkd::kme_sim {
namespace {

enum class Door { etsi014, skip, outline };

struct Route {
    Door door = Door::etsi014;
    std::string name{};   ///< empty: there is no such resource
    std::string fault{};  ///< the word of the fault script: status, enc_keys or dec_keys
    std::string item{};   ///< still escaped
};

/// A UUID, with its dashes or without.
bool looks_like_key_id(std::string_view text) {
    return (text.size() == 36 || text.size() == 32) &&
           text.find_first_not_of("0123456789abcdefABCDEF-") == std::string_view::npos;
}

Route route(std::string_view path, const std::string& method, const std::map<std::string, std::string>& homes) {
    if (path == "/capabilities") return {Door::skip, "capabilities", "status"};
    if (path == "/entropy") return {Door::skip, "entropy", "status"};
    if (path == "/key") return {Door::skip, "new", "enc_keys"};
    if (path.starts_with("/key/")) return {Door::skip, "key", "dec_keys", std::string(path.substr(5))};
    if (path == "/api/v1/logs/audit") return {Door::outline, "audit", "status"};
    if (path == "/api/v1/keyids") return {Door::outline, "keyids", method == "POST" ? "enc_keys" : "status"};
    constexpr std::string_view prefix = "/api/v1/keys/";
    if (!path.starts_with(prefix)) return {};
    const std::string_view rest = path.substr(prefix.size());
    const std::size_t slash = rest.find('/');
    std::string item(rest.substr(0, slash));
    if (slash == std::string_view::npos) {
        if (item.empty()) return {};
        if (item == "request") return {Door::outline, "request", "enc_keys"};
        if (item == "exchange") return {Door::outline, "exchange", "status"};
        return {Door::outline, "key", method == "GET" ? "dec_keys" : "status", std::move(item)};
    }
    const std::string name(rest.substr(slash + 1));
    if (name != "status" && name != "enc_keys" && name != "dec_keys") return {};
    // The only path that two of the APIs have in common.
    const bool of_key = name == "status" && looks_like_key_id(item) && !homes.contains(item);
    return {of_key ? Door::outline : Door::etsi014, name, name, std::move(item)};
}

/// As the API words it: 014 with a message (but a 401 has no body, clause 6.5), SKIP without a body.
Response refuse(Door door, const Refusal& refusal) {
    Response response{.status = refusal.status};
    response.allow = refusal.allow;
    const auto dump = [](const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
    if (door == Door::outline) {
        const std::string code = refusal.code.empty() ? "bad_request" : refusal.code;
        response.body = dump({{"error", {{"code", code}, {"message", refusal.message}}}});
    } else if (door == Door::etsi014 && refusal.status != 401) {
        Json json = {{"message", refusal.message}};
        if (!refusal.details.is_null()) json["details"] = refusal.details;
        response.body = dump(json);
    }
    return response;
}

void distort(Response& response, const Fault& fault) {
    switch (fault.action) {
        case FaultAction::delay: response.delay = fault.delay; return;
        case FaultAction::consume_then_drop: response.delivery = Response::Delivery::drop; return;
        case FaultAction::consume_then_hang:
            response.delay = fault.delay;
            response.delivery = Response::Delivery::hang;
            return;
        case FaultAction::short_key:
        case FaultAction::wrong_id:
        case FaultAction::duplicate: break;
        default: return;
    }
    Json json = Json::parse(response.body, nullptr, false);
    if (response.status / 100 != 2 || !json.is_object()) return;
    // Half of the key: 4 base64 characters carry 3 bytes, so a cut at a multiple of 4 stays well-formed; hex does so too.
    const auto distort_one = [&fault](Json& key) {
        for (const char* name : {"key_ID", "keyId", "key_id"}) {
            if (fault.action == FaultAction::wrong_id && key.contains(name)) key[name] = random_uuid();
        }
        if (fault.action == FaultAction::short_key && key.contains("key") && key["key"].is_string()) {
            const std::string text = key["key"];
            key["key"] = text.substr(0, text.size() / 8 * 4);
        }
    };
    if (!json.contains("keys")) {
        distort_one(json);
    } else if (fault.action == FaultAction::duplicate && !json["keys"].empty()) {
        json["keys"].push_back(json["keys"][0]);
    } else {
        for (Json& key : json["keys"]) distort_one(key);
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
    const std::string_view target = request.target;
    const std::string_view path = target.substr(0, target.find('?'));
    const Route route_taken = route(path, request.method, homes_);
    const Door door = route_taken.door;
    if (route_taken.name.empty()) return refuse(door, {404, "there is no such resource"});
    const Result<std::optional<Fault>> due = faults_.next(request.kme, route_taken.fault, request.caller);
    if (!due) return refuse(door, {500, due.error().what});
    const std::optional<Fault>& fault = *due;
    if (fault) {
        switch (fault->action) {
            case FaultAction::drop: return Response{.delivery = Response::Delivery::drop};
            case FaultAction::hang: return Response{.delay = fault->delay, .delivery = Response::Delivery::hang};
            case FaultAction::error: return refuse(door, {fault->status, fault->message, nullptr, "scripted"});
            case FaultAction::garbage: return Response{.body = "<html>\x01\x02 this is no JSON {\"keys\":["};
            case FaultAction::empty:
                return Response{.body =
                                    route_taken.name == "status" || door != Door::etsi014 ? "{}" : R"({"keys":[]})"};
            default: break;
        }
    }

    Response response;
    try {
        const auto home = homes_.find(request.caller);
        if (home == homes_.end() || home->second != request.kme)
            throw Refusal{401, "not an SAE of this KME", nullptr, "unknown_sae"};
        auto item = percent_decode(route_taken.item);
        if (!item || (item->empty() && !route_taken.item.empty()) || (item->empty() && door == Door::etsi014)) {
            throw Refusal{400, "the path is not well-formed"};
        }
        Visit visit{request, limits_.at(request.kme), homes_,           pool_settings_,
                    pool_,   route_taken.name,        std::move(*item), {}};
        std::string_view query = path.size() == target.size() ? "" : target.substr(path.size() + 1);
        while (!query.empty()) {
            const std::string_view part = query.substr(0, query.find('&'));
            query.remove_prefix(std::min(query.size(), part.size() + 1));
            const std::size_t equals = std::min(part.find('='), part.size());
            auto name = percent_decode(part.substr(0, equals));
            auto value = percent_decode(part.substr(std::min(part.size(), equals + 1)));
            if (!name || !value) throw Refusal{400, "the query is not well-formed"};
            visit.query.emplace(std::move(*name), std::move(*value));
        }
        response = door == Door::etsi014 ? at_etsi014(visit) : door == Door::skip ? at_skip(visit) : at_outline(visit);
    } catch (const Refusal& refusal) {
        response = refuse(door, refusal);
    }
    if (fault) distort(response, *fault);
    return response;
}

}  // namespace qkd::kme_sim
