// ETSI GS QKD 014 V1.1.1 as kme-sim answers it: methods, parameters, limits, error bodies and scripted distortions.
#include "service.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "temp_folder.hpp"

namespace qkd::kme_sim {
namespace {

using Json = nlohmann::json;

struct NoAudit : AuditSink {
    void record(const AuditEvent&) override {}
};

class Etsi014 : public testing::Test {
  protected:
    Etsi014() {
        config_.kmes = {{.name = "k1", .limits = {.max_sae_id_count = 1}},
                        {.name = "k2", .limits = {.empty_status = 400}}};
        config_.saes = {{"a", "k1"}, {"b", "k2"}, {"c", "k2"}, {"d/e", "k2"}};
        config_.pool = {.max_key_count = 10, .initial_key_count = 10, .refill_per_second = 0};
    }

    Response get(const std::string& kme, const std::string& caller, const std::string& rest) {
        return service_->answer({kme, caller, "GET", "/api/v1/keys/" + rest, "", ""});
    }
    Response post(const std::string& kme, const std::string& caller, const std::string& rest, const std::string& body,
                  const std::string& type = "application/json") {
        return service_->answer({kme, caller, "POST", "/api/v1/keys/" + rest, type, body});
    }
    static std::string message(const Response& response) {
        return Json::parse(response.body, nullptr, false).value("message", "");
    }
    static Json keys(const Response& response) {
        EXPECT_EQ(response.status, 200) << response.body;
        return Json::parse(response.body).at("keys");
    }
    void SetUp() override { service_ = std::make_unique<Service>(config_, pool(), faults_); }
    KeyPool& pool() {
        pool_ = std::make_unique<KeyPool>(config_.pool, audit_, now);
        return *pool_;
    }

    TempFolder folder_;
    Config config_;
    NoAudit audit_;
    FaultScript faults_{folder_.file("faults.json")};
    std::unique_ptr<KeyPool> pool_;
    std::unique_ptr<Service> service_;
};

TEST_F(Etsi014, StatusHasEveryField) {
    const Json status = Json::parse(get("k1", "a", "b/status").body);
    EXPECT_EQ(status, Json::parse(R"({"source_KME_ID":"k1","target_KME_ID":"k2","master_SAE_ID":"a","slave_SAE_ID":"b",
        "key_size":256,"stored_key_count":10,"max_key_count":10,"max_key_per_request":128,"max_key_size":1024,
        "min_key_size":64,"max_SAE_ID_count":1})"));
}

TEST_F(Etsi014, GetGivesOneDefaultKeyAndTheSlaveGetsTheSame) {
    const Json issued = keys(get("k1", "a", "b/enc_keys"));
    ASSERT_EQ(issued.size(), 1U);
    EXPECT_EQ(issued[0]["key"].get<std::string>().size(), 44U) << "32 bytes in base64";
    EXPECT_EQ(issued[0]["key_ID"].get<std::string>().size(), 36U);
    const std::string fetch = "a/dec_keys?key_ID=" + issued[0]["key_ID"].get<std::string>();
    EXPECT_EQ(keys(get("k2", "b", fetch)), issued);
    const Response again = get("k2", "b", fetch);
    EXPECT_EQ(again.status, 400);
    EXPECT_EQ(message(again), "one or more keys specified are not found on KME");
    EXPECT_EQ(Json::parse(again.body)["details"][0]["key_ID"], issued[0]["key_ID"]);
    EXPECT_EQ(Json::parse(get("k1", "a", "b/status").body)["stored_key_count"], 9);
}

TEST_F(Etsi014, NumberAndSizeByGetAndPost) {
    EXPECT_EQ(keys(get("k1", "a", "b/enc_keys?number=3&size=128")).size(), 3U);
    const Json issued =
        keys(post("k1", "a", "b/enc_keys", R"({"number":2,"size":512,"extension_optional":[{"x":1}]})"));
    ASSERT_EQ(issued.size(), 2U);
    EXPECT_EQ(issued[0]["key"].get<std::string>().size(), 88U);
    const Json ids = {{"key_IDs", {{{"key_ID", issued[1]["key_ID"]}}, {{"key_ID", issued[0]["key_ID"]}}}}};
    const Json fetched = keys(post("k2", "b", "a/dec_keys", ids.dump()));
    EXPECT_EQ(fetched[0], issued[1]) << "in the order asked for";
    EXPECT_EQ(fetched[1], issued[0]);
    EXPECT_EQ(keys(post("k1", "a", "b/enc_keys", "", "")).size(), 1U) << "an empty request has every default";
}

TEST_F(Etsi014, RefusesParametersOutOfRange) {
    EXPECT_EQ(message(get("k1", "a", "b/enc_keys?size=257")), "size shall be a multiple of 8");
    for (const char* query : {"number=0", "number=-1", "number=129", "number=1x", "number=", "size=56", "size=1032",
                              "size=99999999999999999999", "number=1&number=1", "size=%zz"}) {
        EXPECT_EQ(get("k1", "a", std::string("b/enc_keys?") + query).status, 400) << query;
    }
    for (const char* body : {"{", "[]", "7", R"({"number":"1"})", R"({"number":1.5})", R"({"size":null})",
                             R"({"number":18446744073709551615})", R"({"additional_slave_SAE_IDs":"c"})",
                             R"({"additional_slave_SAE_IDs":[1]})", R"({"extension_optional":{}})",
                             R"({"extension_mandatory":["x"]})", "\xff\xfe"}) {
        EXPECT_EQ(post("k1", "a", "b/enc_keys", body).status, 400) << body;
    }
    EXPECT_EQ(post("k1", "a", "b/enc_keys", "{}", "text/plain").status, 400);
    EXPECT_EQ(Json::parse(get("k1", "a", "b/status").body)["stored_key_count"], 10) << "a refusal costs no key";
}

TEST_F(Etsi014, RefusesMandatoryExtensions) {
    const Response response = post("k1", "a", "b/enc_keys", R"({"extension_mandatory":[{"abc_route":"x"}]})");
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(message(response), "not all extension_mandatory parameters are supported");
    EXPECT_EQ(post("k1", "a", "b/enc_keys", R"({"extension_mandatory":[]})").status, 200);
}

TEST_F(Etsi014, AdditionalSlavesShareTheKey) {
    const Json issued = keys(post("k1", "a", "b/enc_keys", R"({"additional_slave_SAE_IDs":["c"]})"));
    const std::string fetch = "a/dec_keys?key_ID=" + issued[0]["key_ID"].get<std::string>();
    EXPECT_EQ(get("k2", "d/e", fetch).status, 401) << "not named";
    EXPECT_EQ(keys(get("k2", "b", fetch)), issued);
    EXPECT_EQ(keys(get("k2", "c", fetch)), issued);
    const Response many = post("k1", "a", "b/enc_keys", R"({"additional_slave_SAE_IDs":["c","d/e"]})");
    EXPECT_EQ(many.status, 400);
    EXPECT_NE(message(many).find("max_SAE_ID_count = 1"), std::string::npos);
    for (const char* list : {R"(["b"])", R"(["a"])", R"(["x"])"}) {
        const std::string body = std::string(R"({"additional_slave_SAE_IDs":)") + list + "}";
        EXPECT_EQ(post("k1", "a", "b/enc_keys", body).status, 400) << list;
    }
}

TEST_F(Etsi014, KnowsItsOwnCallersOnly) {
    for (const char* caller : {"b", "stranger", ""}) {
        const Response response = get("k1", caller, "a/status");
        EXPECT_EQ(response.status, 401) << caller;
        EXPECT_TRUE(response.body.empty()) << "401 has no body";
    }
    EXPECT_EQ(get("k1", "a", "stranger/enc_keys").status, 400);
    EXPECT_EQ(get("k1", "a", "a/enc_keys").status, 400);
}

TEST_F(Etsi014, UnescapesTheSaeOfThePath) {
    EXPECT_EQ(Json::parse(get("k1", "a", "d%2Fe/status").body)["slave_SAE_ID"], "d/e");
    EXPECT_EQ(get("k1", "a", "d%2/status").status, 400);
}

TEST_F(Etsi014, OtherMethodsAndPlaces) {
    EXPECT_EQ(post("k1", "a", "b/status", "{}").status, 405);
    const Response head = service_->answer({"k1", "a", "HEAD", "/api/v1/keys/b/enc_keys", "", ""});
    EXPECT_EQ(head.status, 405) << "HEAD must not use up a key";
    EXPECT_EQ(head.allow, "GET, POST");
    for (const char* rest : {"", "b", "b/", "b/enc", "b/enc_keys/x", "b//enc_keys"}) {
        EXPECT_EQ(get("k1", "a", rest).status, 404) << rest;
    }
    EXPECT_EQ(service_->answer({"k1", "a", "GET", "/", "", ""}).status, 404);
}

TEST_F(Etsi014, DecKeysWantsWellFormedIds) {
    for (const char* query : {"", "?key_ID=", "?key_id=x", "?key_ID=x&key_ID=y"}) {
        EXPECT_EQ(get("k2", "b", std::string("a/dec_keys") + query).status, 400) << query;
    }
    for (const char* body : {"", "{}", R"({"key_IDs":[]})", R"({"key_IDs":["x"]})", R"({"key_IDs":[{"key_ID":1}]})",
                             R"({"key_IDs":[{"key_ID":"x"},{"key_ID":"x"}]})"}) {
        EXPECT_EQ(post("k2", "b", "a/dec_keys", body).status, 400) << body;
    }
}

TEST_F(Etsi014, AnEmptyPoolAnswersAsConfigured) {
    EXPECT_EQ(get("k1", "a", "b/enc_keys?number=10").status, 200);
    const Response empty = get("k1", "a", "b/enc_keys");
    EXPECT_EQ(empty.status, 503);
    EXPECT_FALSE(message(empty).empty());
    EXPECT_EQ(get("k2", "b", "a/enc_keys").status, 400);
}

TEST_F(Etsi014, ScriptedDistortions) {
    const auto script = [&](const std::string& fault) {
        folder_.write("faults.json", R"({"faults":[{"every":true,)" + fault + "}]}");
    };
    const auto enc = [&] { return get("k1", "a", "b/enc_keys"); };
    script(R"("action":"error","status":503,"message":"no light")");
    EXPECT_EQ(enc().status, 503);
    EXPECT_EQ(message(enc()), "no light");
    script(R"("action":"error","status":401)");
    EXPECT_TRUE(enc().body.empty());
    script(R"("action":"garbage")");
    EXPECT_TRUE(Json::parse(enc().body, nullptr, false).is_discarded());
    script(R"("action":"empty")");
    EXPECT_TRUE(keys(enc()).empty());
    script(R"("action":"drop")");
    EXPECT_EQ(enc().delivery, Response::Delivery::drop);
    script(R"("action":"hang","ms":7)");
    EXPECT_EQ(enc().delivery, Response::Delivery::hang);
    EXPECT_EQ(enc().delay.count(), 7);
    EXPECT_EQ(pool_->stored("a", "b"), 10) << "none of these uses a key";

    script(R"("action":"delay","ms":3)");
    EXPECT_EQ(enc().delay.count(), 3);
    script(R"("action":"short-key")");
    EXPECT_EQ(keys(enc())[0]["key"].get<std::string>().size(), 20U);
    script(R"("action":"duplicate")");
    const Json twice = keys(enc());
    ASSERT_EQ(twice.size(), 2U);
    EXPECT_EQ(twice[0], twice[1]);
    script(R"("action":"wrong-id")");
    const Json other = keys(enc());
    EXPECT_EQ(get("k2", "b", "a/dec_keys?key_ID=" + other[0]["key_ID"].get<std::string>()).status, 400);
    script(R"("action":"consume-then-drop")");
    EXPECT_EQ(enc().delivery, Response::Delivery::drop);
    EXPECT_EQ(pool_->stored("a", "b"), 5) << "each of these uses one";
    script(R"("action":"consume-then-hang","ms":7)");
    const Response late = enc();
    EXPECT_EQ(late.delivery, Response::Delivery::hang);
    EXPECT_EQ(late.delay.count(), 7);
    EXPECT_EQ(pool_->stored("a", "b"), 4) << "this one too, though nobody is told";

    folder_.write("faults.json", "nonsense");
    EXPECT_EQ(enc().status, 500) << "a broken script must not pass for a healthy KME";
}

}  // namespace
}  // namespace qkd::kme_sim
