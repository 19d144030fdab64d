// The other two doors to the key pool, SKIP and the outline API: a key that goes in at one comes out at the others.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "service.hpp"
#include "temp_folder.hpp"

namespace qkd::kme_sim {
namespace {

using Json = nlohmann::json;

struct Noted : AuditSink {
    void record(const AuditEvent& event) override { events.push_back(event); }
    std::vector<AuditEvent> events;
};

class Doors : public testing::Test {
  protected:
    Doors() {
        config_.kmes = {{.name = "k1", .limits = {.max_sae_id_count = 1}}, {.name = "k2", .limits = {}}};
        config_.saes = {{"a", "k1"}, {"b", "k2"}, {"c", "k2"}, {"d", "k2"}};
        config_.pool = {.max_key_count = 3, .initial_key_count = 3, .refill_per_second = 0};
        pool_ = std::make_unique<KeyPool>(config_.pool, audit_, now);
        service_ = std::make_unique<Service>(config_, *pool_, faults_);
    }
    /// At the caller's own KME.
    Response ask(const std::string& caller, const std::string& method, const std::string& target,
                 const Json& body = nullptr) {
        return service_->answer({caller == "a" ? "k1" : "k2", caller, method, target,
                                 body.is_null() ? "" : "application/json", body.is_null() ? "" : body.dump()});
    }
    Json get(const std::string& caller, const std::string& target) { return read(ask(caller, "GET", target)); }
    static Json read(const Response& response) {
        EXPECT_EQ(response.status / 100, 2) << response.status << response.body;
        return Json::parse(response.body);
    }
    static std::string code(const Response& response) {
        return std::to_string(response.status) + " " +
               Json::parse(response.body, nullptr, false)["error"].value("code", "");
    }
    std::string requested(const Json& more = Json::object()) {
        Json body = {{"peer", "b"}};
        body.update(more);
        return read(ask("a", "POST", "/api/v1/keys/request", body))["key_id"];
    }

    Config config_;
    Noted audit_;
    TempFolder folder_;
    FaultScript faults_{folder_.file("faults.json")};
    std::unique_ptr<KeyPool> pool_;
    std::unique_ptr<Service> service_;
};

TEST_F(Doors, SkipTellsItsCapabilities) {
    const Json told = get("b", "/capabilities");
    EXPECT_EQ(told["localSystemID"], "b");
    EXPECT_EQ(told["remoteSystemID"], Json::parse(R"(["a","c","d"])"));
    EXPECT_EQ(told["key"], true);
    EXPECT_EQ(told["entropy"], true);
    EXPECT_GE(told["algorithm"].get<std::string>().size(), 1U);
    const Json random = get("b", "/entropy?minentropy=128");
    EXPECT_EQ(random["randomStr"].get<std::string>().size(), 32U);
    EXPECT_EQ(random["minentropy"], 128);
    EXPECT_NE(random, get("b", "/entropy?minentropy=128"));
}

TEST_F(Doors, ASkipKeyIsHexAndComesOutOnceAtTheOtherEnd) {
    const Json minted = get("a", "/key?remoteSystemID=b&size=128");
    EXPECT_EQ(minted["keyId"].get<std::string>().size(), 32U);
    EXPECT_EQ(minted["key"].get<std::string>().size(), 32U);
    const std::string path = "/key/" + minted["keyId"].get<std::string>() + "?remoteSystemID=a";
    EXPECT_EQ(ask("c", "GET", path).status, 400) << "not meant for c";
    EXPECT_EQ(get("b", path), minted);
    EXPECT_EQ(ask("b", "GET", path).status, 400) << "given out once";
    EXPECT_EQ(get("a", "/key?remoteSystemID=b")["key"].get<std::string>().size(), 64U) << "256 bits by default";
}

TEST_F(Doors, SkipRefusesWithoutABody) {
    for (const auto& [method, target, status] : {std::tuple{"GET", "/key", 400},
                                                 {"GET", "/key?remoteSystemID=x", 400},
                                                 {"GET", "/key?remoteSystemID=a", 400},
                                                 {"GET", "/key?remoteSystemID=b&size=7", 400},
                                                 {"GET", "/key/0011?remoteSystemID=b", 400},
                                                 {"GET", "/key/00112233445566778899aabbccddeeff?remoteSystemID=b", 400},
                                                 {"POST", "/key?remoteSystemID=b", 405},
                                                 {"GET", "/entropy?minentropy=0", 400},
                                                 {"GET", "/keys", 404}}) {
        const Response refused = ask("a", method, target);
        EXPECT_EQ(refused.status, status) << target;
        EXPECT_EQ(refused.body.empty(), status != 404) << target;
    }
    for (int i = 0; i < 3; ++i) (void)get("a", "/key?remoteSystemID=b");
    EXPECT_EQ(ask("a", "GET", "/key?remoteSystemID=b").status, 503) << "the pool is empty";
    EXPECT_EQ(service_->answer({"k2", "a", "GET", "/capabilities", "", ""}).status, 401) << "another KME's SAE";
}

TEST_F(Doors, OneKeyThroughEveryDoor) {
    const Json minted = get("a", "/key?remoteSystemID=b");
    const std::string hex = minted["keyId"];
    EXPECT_EQ(get("b", "/api/v1/keys/" + hex + "/status")["status"], "active");
    const Json container = get("b", "/api/v1/keys/a/dec_keys?key_ID=" + hex);
    EXPECT_EQ(container["keys"][0]["key_ID"], hex) << "spelled as asked for";
    EXPECT_EQ(container["keys"][0]["key"], to_base64(*from_hex(minted["key"].get<std::string>())));

    const Json by_014 = get("a", "/api/v1/keys/b/enc_keys")["keys"][0];
    const std::string uuid = by_014["key_ID"];
    EXPECT_EQ(get("b", "/api/v1/keys/" + uuid)["key"], by_014["key"]);

    const std::string dashed = get("a", "/api/v1/keys/c/enc_keys")["keys"][0]["key_ID"];
    EXPECT_EQ(get("c", "/key/" + dashed + "?remoteSystemID=a")["keyId"], dashed);

    const std::string id = requested();
    EXPECT_EQ(get("a", "/api/v1/keys/" + id)["key"],
              get("b", "/api/v1/keys/a/dec_keys?key_ID=" + id)["keys"][0]["key"]);
}

TEST_F(Doors, AnOutlineKeyIsRequestedLookedAtAndRetrievedByBothEnds) {
    const std::string id = requested({{"key_length", 128}});
    const std::string key = "/api/v1/keys/" + id;
    EXPECT_EQ(get("b", key + "/status")["status"], "active");
    EXPECT_EQ(get("b", "/api/v1/keyids?peer=a")["key_ids"], Json::array({id}));
    EXPECT_EQ(get("a", "/api/v1/keyids?peer=b")["available"], 2);
    const Json retrieved = get("a", key);
    EXPECT_EQ(retrieved["key_length"], 128);
    EXPECT_EQ(retrieved["key"].get<std::string>().size(), 24U);
    EXPECT_EQ(code(ask("a", "GET", key)), "404 key_not_found") << "once";
    const Response raw = ask("b", "GET", key + "?encoding=raw");
    EXPECT_EQ(raw.content_type, "application/octet-stream");
    EXPECT_EQ(to_base64(Bytes(raw.body.begin(), raw.body.end())), retrieved["key"]);
    EXPECT_EQ(get("b", key + "/status")["status"], "gone");
    EXPECT_EQ(code(ask("c", "GET", key + "/status")), "403 not_entitled");
    EXPECT_EQ(code(ask("c", "GET", key)), "403 not_entitled");
}

TEST_F(Doors, AnOutlineKeyCanBeSharedAsFarAsTheKmeAllows) {
    const std::string id = requested();
    EXPECT_EQ(code(ask("b", "POST", "/api/v1/keys/exchange", {{"key_id", id}, {"to", "c"}})), "403 not_entitled");
    (void)read(ask("a", "POST", "/api/v1/keys/exchange", {{"key_id", id}, {"to", "c"}}));
    EXPECT_EQ(get("c", "/api/v1/keys/" + id), get("b", "/api/v1/keys/" + id));
    EXPECT_EQ(code(ask("a", "POST", "/api/v1/keys/exchange", {{"key_id", id}, {"to", "d"}})), "403 not_entitled")
        << "one additional SAE";
    EXPECT_EQ(code(ask("a", "POST", "/api/v1/keys/exchange", {{"to", "d"}})), "400 bad_request");
}

TEST_F(Doors, ADeletedOutlineKeyIsGoneAlsoAfterARestart) {
    const std::string id = requested();
    EXPECT_EQ(code(ask("c", "DELETE", "/api/v1/keys/" + id)), "403 not_entitled");
    EXPECT_EQ(ask("a", "DELETE", "/api/v1/keys/" + id).status, 204);
    EXPECT_EQ(code(ask("b", "GET", "/api/v1/keys/" + id)), "404 key_not_found");
    EXPECT_EQ(code(ask("a", "DELETE", "/api/v1/keys/" + id)), "404 key_not_found");
    const std::string kept = requested();
    (void)read(ask("a", "POST", "/api/v1/keys/exchange", {{"key_id", kept}, {"to", "c"}}));
    KeyPool restarted(config_.pool, audit_, now);
    restarted.replay(audit_.events);
    EXPECT_EQ(restarted.look("b", id), KeyPool::Outcome::missing);
    EXPECT_EQ(restarted.look("c", kept), KeyPool::Outcome::ok);
    EXPECT_EQ(restarted.stored("a", "b"), 1);
    EXPECT_EQ(restarted.stored("a", "c"), 2);
}

TEST_F(Doors, OutlineIdsAreMadeListedAndDeleted) {
    const Json made = read(ask("a", "POST", "/api/v1/keyids", {{"peer", "b"}, {"count", 2}}))["key_ids"];
    ASSERT_EQ(made.size(), 2U);
    EXPECT_EQ(get("b", "/api/v1/keyids")["key_ids"].size(), 2U);
    EXPECT_EQ(ask("b", "DELETE", "/api/v1/keyids?key_id=" + made[0].get<std::string>()).status, 204);
    EXPECT_EQ(get("b", "/api/v1/keyids")["key_ids"], Json::array({made[1]}));
    EXPECT_EQ(code(ask("a", "POST", "/api/v1/keyids", {{"peer", "b"}, {"count", 2}})), "409 pool_empty");
    EXPECT_EQ(code(ask("a", "POST", "/api/v1/keyids", {{"peer", "x"}})), "400 unknown_sae");
    EXPECT_EQ(ask("a", "PUT", "/api/v1/keyids").allow, "GET, POST, DELETE");
}

TEST_F(Doors, TheOutlineAuditTellsWhatHappenedToOnesKeysAndNoKey) {
    const std::string id = requested();
    const std::string key = get("b", "/api/v1/keys/" + id)["key"];
    (void)ask("c", "GET", "/api/v1/keys/" + id);
    const Response response = ask("b", "GET", "/api/v1/logs/audit?limit=10");
    const Json entries = read(response)["entries"];
    ASSERT_EQ(entries.size(), 2U) << response.body;
    EXPECT_EQ(entries[0]["event"], "issued");
    EXPECT_EQ(entries[1]["event"], "fetched");
    EXPECT_EQ(entries[1]["key_id"], id);
    EXPECT_EQ(response.body.find(key), std::string::npos);
    EXPECT_EQ(response.body.find("\"key\""), std::string::npos);
}

TEST_F(Doors, FaultsStrikeAtEveryDoor) {
    folder_.write("faults.json", R"({"faults":[{"call":"dec_keys","every":true,"action":"short-key"},
        {"call":"enc_keys","nth":1,"action":"error","status":500,"message":"no light"}]})");
    EXPECT_EQ(ask("a", "GET", "/key?remoteSystemID=b").status, 500);
    const Json minted = get("a", "/key?remoteSystemID=b");
    EXPECT_EQ(
        get("b", "/key/" + minted["keyId"].get<std::string>() + "?remoteSystemID=a")["key"].get<std::string>().size(),
        32U);
    const std::string id = requested();
    EXPECT_EQ(get("b", "/api/v1/keys/" + id)["key"].get<std::string>().size(), 20U);
}

}  // namespace
}  // namespace qkd::kme_sim
