// The three methods of ETSI GS QKD 014 V1.1.1, clauses 5 and 6.
#include "door.hpp"

#include <set>

namespace qkd::kme_sim {
namespace {

Response container(const std::vector<Key>& keys) {
    Json list = Json::array();
    for (const Key& key : keys) list.push_back({{"key_ID", key.id}, {"key", to_base64(key.bytes)}});
    return Response{.body = Json{{"keys", std::move(list)}}.dump()};
}

/// The objects of an extension item (clause 6.2), which must be an array of objects.
const Json& objects(const Json& json, const std::string& name) {
    if (!json.is_array()) throw Refusal{400, name + " is not an array"};
    for (const Json& item : json) {
        if (!item.is_object()) throw Refusal{400, name + " is not an array of objects"};
    }
    return json;
}

Response status(const Visit& visit) {
    const Request& request = visit.request;
    const Limits& limits = visit.limits;
    const Json json = {{"source_KME_ID", request.kme},
                       {"target_KME_ID", visit.homes.at(visit.item)},
                       {"master_SAE_ID", request.caller},
                       {"slave_SAE_ID", visit.item},
                       {"key_size", limits.key_size},
                       {"stored_key_count", visit.pool.stored(request.caller, visit.item)},
                       {"max_key_count", visit.pool_settings.max_key_count},
                       {"max_key_per_request", limits.max_key_per_request},
                       {"max_key_size", limits.max_key_size},
                       {"min_key_size", limits.min_key_size},
                       {"max_SAE_ID_count", limits.max_sae_id_count}};
    return Response{.body = json.dump()};
}

Response enc_keys(const Visit& visit) {
    const Request& request = visit.request;
    const Limits& limits = visit.limits;
    std::int64_t number = 1;
    std::int64_t size = limits.key_size;
    std::vector<std::string> slaves = {visit.item};
    if (request.method == "GET") {
        if (auto text = query_value(visit, "number")) number = integer("number", *text);
        if (auto text = query_value(visit, "size")) size = integer("size", *text);
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
            std::set<std::string> known = {visit.item, request.caller};
            for (const Json& item : list) {
                if (!item.is_string()) throw Refusal{400, "additional_slave_SAE_IDs is not an array of strings"};
                const std::string slave = item;
                if (!visit.homes.contains(slave)) throw Refusal{400, "SAE ID " + slave + " is not known"};
                if (!known.insert(slave).second) throw Refusal{400, "SAE ID " + slave + " is there more than once"};
                slaves.push_back(slave);
            }
        }
    }
    if (number < 1 || number > limits.max_key_per_request) {
        throw Refusal{400, "number shall be from 1 to " + std::to_string(limits.max_key_per_request)};
    }
    const KeyPool::Answer answer = visit.pool.issue(request.kme, request.caller, slaves,
                                                    static_cast<std::size_t>(number), octets_of(size, limits));
    if (answer.outcome == KeyPool::Outcome::depleted) {
        throw Refusal{limits.empty_status, "not enough keys are stored for this request"};
    }
    return container(answer.keys);
}

Response dec_keys(const Visit& visit) {
    const Request& request = visit.request;
    std::vector<std::string> ids;
    if (request.method == "GET") {
        const auto id = query_value(visit, "key_ID");
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
    const KeyPool::Answer answer = visit.pool.fetch(request.kme, request.caller, visit.item, ids);
    if (answer.outcome == KeyPool::Outcome::forbidden) throw Refusal{401, ""};
    if (answer.outcome == KeyPool::Outcome::missing) {
        Json details = Json::array();
        for (const std::string& id : answer.missing) details.push_back({{"key_ID", id}});
        throw Refusal{400, "one or more keys specified are not found on KME", std::move(details)};
    }
    return container(answer.keys);
}

}  // namespace

Response at_etsi014(const Visit& visit) {
    const std::string& method = visit.request.method;
    if (method != "GET" && (method != "POST" || visit.name == "status")) {
        throw Refusal{405, "this method is not allowed here", nullptr, "",
                      visit.name == "status" ? "GET" : "GET, POST"};
    }
    if (!visit.homes.contains(visit.item)) throw Refusal{400, "SAE ID " + visit.item + " is not known"};
    if (visit.item == visit.request.caller) throw Refusal{400, "the SAE ID of the path is the caller's own"};
    if (visit.name == "status") return status(visit);
    return visit.name == "enc_keys" ? enc_keys(visit) : dec_keys(visit);
}

}  // namespace qkd::kme_sim
