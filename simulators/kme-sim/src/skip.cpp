// SKIP, the Secure Key Integration Protocol (draft-cisco-skip-02). Each SAE has a key provider of its own,
// which bears the SAE's name.
#include "door.hpp"

namespace qkd::kme_sim {
namespace {

constexpr std::int64_t most_entropy = 8192;  // bits

/// A new keyId is a UUID without its dashes; who asks for a key may write them.
std::string key_id_of(std::string uuid) {
    std::erase(uuid, '-');
    return uuid;
}

Response ok(const Json& json) {
    return Response{.body = json.dump()};
}

Response capabilities(const Visit& visit) {
    Json remotes = Json::array();
    for (const auto& [sae, kme] : visit.homes) {
        if (sae != visit.request.caller) remotes.push_back(sae);
    }
    return ok({{"entropy", true},
               {"key", true},
               {"algorithm", "simulated QKD of kme-sim"},
               {"localSystemID", visit.request.caller},
               {"remoteSystemID", std::move(remotes)}});
}

Response entropy(const Visit& visit) {
    const auto text = query_value(visit, "minentropy");
    const std::int64_t bits = text ? integer("minentropy", *text) : 256;
    if (bits < 1 || bits > most_entropy) throw Refusal{400, "minentropy"};
    return ok({{"randomStr", to_hex(random_bytes(static_cast<std::size_t>((bits + 7) / 8)))}, {"minentropy", bits}});
}

Response container(const std::string& id, const Key& key) {
    return ok({{"keyId", id}, {"key", to_hex(key.bytes)}});
}

}  // namespace

Response at_skip(const Visit& visit) {
    const Request& request = visit.request;
    if (request.method != "GET") throw Refusal{405, "", nullptr, "", "GET"};
    if (visit.name == "capabilities") return capabilities(visit);
    if (visit.name == "entropy") return entropy(visit);
    const auto remote = query_value(visit, "remoteSystemID");
    if (!remote) throw Refusal{400, "remoteSystemID is missing"};
    const std::string& peer = known_peer(visit, *remote);
    if (visit.name == "new") {
        const auto text = query_value(visit, "size");
        const std::int64_t bits = text ? integer("size", *text) : visit.limits.key_size;
        const auto answer = visit.pool.issue(request.kme, request.caller, {peer}, 1, octets_of(bits, visit.limits));
        if (answer.outcome != KeyPool::Outcome::ok) throw Refusal{visit.limits.empty_status, "no keys"};
        return container(key_id_of(answer.keys.front().id), answer.keys.front());
    }
    if (visit.item.size() != 32 && visit.item.size() != 36) throw Refusal{400, "malformed keyId"};
    const auto answer = visit.pool.fetch(request.kme, request.caller, peer, {visit.item});
    if (answer.outcome != KeyPool::Outcome::ok) throw Refusal{400, "key not found"};
    return container(visit.item, answer.keys.front());
}

}  // namespace qkd::kme_sim
