// The outline API: keys as resources under /api/v1, the way a vendor's REST API that is not ETSI GS QKD 014 may look. A
// key is requested for a peer, and both ends retrieve it by its ID. README.md has the table.
#include <algorithm>

#include "door.hpp"

namespace qkd::kme_sim {
namespace {

constexpr std::int64_t most_audit = 1000;

Response reply(int status, const Json& json) {
    return Response{.status = status, .body = json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

void only(const Visit& visit, std::initializer_list<const char*> methods) {
    std::string allow;
    for (const char* method : methods) {
        if (visit.request.method == method) return;
        allow += (allow.empty() ? "" : ", ") + std::string(method);
    }
    throw Refusal{405, "this method is not allowed here", nullptr, "method", allow};
}

std::string text_of(const Json& body, const char* name) {
    if (!body.contains(name) || !body[name].is_string()) throw Refusal{400, std::string(name) + " is missing"};
    return body[name];
}

/// Turns what the pool says about a key into a refusal, unless all is well.
void expect(KeyPool::Outcome outcome, const std::string& id) {
    switch (outcome) {
        case KeyPool::Outcome::ok: return;
        case KeyPool::Outcome::depleted: throw Refusal{409, "the key pool is empty", nullptr, "pool_empty"};
        case KeyPool::Outcome::forbidden: throw Refusal{403, "key " + id + " is not yours", nullptr, "not_entitled"};
        case KeyPool::Outcome::missing: throw Refusal{404, "there is no key " + id, nullptr, "key_not_found"};
    }
}

/// New keys for the caller and `peer`, to be retrieved by both.
std::vector<std::string> make_keys(const Visit& visit, const Json& body, std::int64_t count) {
    const std::string& peer = known_peer(visit, text_of(body, "peer"));
    if (count < 1 || count > visit.limits.max_key_per_request) throw Refusal{400, "count is out of range"};
    const std::int64_t bits =
        body.contains("key_length") ? integer("key_length", body["key_length"]) : visit.limits.key_size;
    const auto answer =
        visit.pool.issue(visit.request.kme, visit.request.caller, {peer}, static_cast<std::size_t>(count),
                         octets_of(bits, visit.limits), KeyPool::Pickup::later);
    expect(answer.outcome, "");
    std::vector<std::string> ids;
    for (const Key& key : answer.keys) ids.push_back(key.id);
    return ids;
}

Response request(const Visit& visit) {
    only(visit, {"POST"});
    return reply(201, {{"key_id", make_keys(visit, body_of(visit.request, false), 1).front()}, {"status", "active"}});
}

Response exchange(const Visit& visit) {
    only(visit, {"POST"});
    const Json body = body_of(visit.request, false);
    const std::string id = text_of(body, "key_id");
    const std::string& other = known_peer(visit, text_of(body, "to"));
    expect(visit.pool.share(visit.request.kme, visit.request.caller, id, other,
                            static_cast<std::size_t>(visit.limits.max_sae_id_count)),
           id);
    return reply(200, {{"key_id", id}, {"to", other}});
}

Response key(const Visit& visit) {
    only(visit, {"GET", "DELETE"});
    const std::string& caller = visit.request.caller;
    if (visit.request.method == "DELETE") {
        expect(visit.pool.remove(visit.request.kme, caller, visit.item), visit.item);
        return Response{.status = 204};
    }
    const std::string encoding = query_value(visit, "encoding").value_or("base64");
    if (encoding != "base64" && encoding != "hex" && encoding != "raw") throw Refusal{400, "encoding is unknown"};
    const auto answer = visit.pool.fetch(visit.request.kme, caller, "", {visit.item});
    expect(answer.outcome, visit.item);
    const Bytes& bytes = answer.keys.front().bytes;
    if (encoding == "raw") {
        return Response{.body = std::string(bytes.begin(), bytes.end()), .content_type = "application/octet-stream"};
    }
    return reply(200, {{"key_id", visit.item},
                       {"key_length", bytes.size() * 8},
                       {"key", encoding == "hex" ? to_hex(bytes) : to_base64(bytes)}});
}

Response status(const Visit& visit) {
    only(visit, {"GET"});
    const auto outcome = visit.pool.look(visit.request.caller, visit.item);
    if (outcome == KeyPool::Outcome::forbidden) expect(outcome, visit.item);
    return reply(200, {{"key_id", visit.item}, {"status", outcome == KeyPool::Outcome::ok ? "active" : "gone"}});
}

Response keyids(const Visit& visit) {
    only(visit, {"GET", "POST", "DELETE"});
    const Request& request = visit.request;
    if (request.method == "POST") {
        const Json body = body_of(request, false);
        const std::int64_t count = body.contains("count") ? integer("count", body["count"]) : 1;
        return reply(201, {{"key_ids", make_keys(visit, body, count)}});
    }
    if (request.method == "DELETE") {
        const auto id = query_value(visit, "key_id");
        if (!id) throw Refusal{400, "key_id is missing"};
        expect(visit.pool.remove(request.kme, request.caller, *id), *id);
        return Response{.status = 204};
    }
    const auto peer = query_value(visit, "peer");
    Json json = {{"key_ids", visit.pool.waiting(request.caller, peer ? known_peer(visit, *peer) : "")}};
    if (peer) {
        json["available"] = visit.pool.stored(request.caller, *peer);
        json["kme"] = request.kme;
        json["peer_kme"] = visit.homes.at(*peer);
        json["limits"] = {{"count", visit.limits.max_key_per_request}, {"additional", visit.limits.max_sae_id_count}};
    }
    return reply(200, json);
}

Response audit(const Visit& visit) {
    only(visit, {"GET"});
    const auto text = query_value(visit, "limit");
    const std::int64_t most = text ? integer("limit", *text) : 100;
    if (most < 0 || most > most_audit) throw Refusal{400, "limit is out of range"};
    Json entries = Json::array();
    for (const AuditEvent& event : visit.pool.trail(visit.request.caller, static_cast<std::size_t>(most))) {
        entries.push_back({{"time", to_rfc3339(event.time)},
                           {"event", to_string(event.kind)},
                           {"key_id", event.key_id},
                           {"caller", event.caller},
                           {"kme", event.kme}});
    }
    return reply(200, {{"entries", std::move(entries)}});
}

}  // namespace

Response at_outline(const Visit& visit) {
    if (visit.name == "request") return request(visit);
    if (visit.name == "exchange") return exchange(visit);
    if (visit.name == "key") return key(visit);
    if (visit.name == "status") return status(visit);
    return visit.name == "keyids" ? keyids(visit) : audit(visit);
}

}  // namespace qkd::kme_sim
