// The worked example: the description of the outline API in pipelines/offbox-rest.toml, taken from that file, against a
// running kme-sim over mutual TLS.
#include <fstream>

#include "kme_bench.hpp"

using namespace qkd::kme::testing;

namespace {

/// The table [defaults.kme] of the example without what depends on the place: one key a line, texts and lists of texts.
Values example() {
    std::ifstream file(QKD_EXAMPLE);
    Values values;
    bool inside = false;
    for (std::string text; std::getline(file, text);) {
        if (text.starts_with("[")) inside = text == "[defaults.kme]";
        const auto equals = text.find(" = ");
        if (!inside || text.starts_with("#") || equals == std::string::npos) continue;
        const std::string key = text.substr(0, equals);
        text = text.substr(equals + 3);
        if (!text.starts_with("[")) {
            values[key] = text.substr(1, text.size() - 2);
            continue;
        }
        for (auto at = text.find('"'); at != std::string::npos; at = text.find('"', at + 1)) {
            const auto end = text.find('"', at + 1);
            values[key] += (values[key].empty() ? "" : "\n") + text.substr(at + 1, end - at - 1);
            at = end;
        }
    }
    for (const char* place : {"plugin", "ca", "cert", "key"}) values.erase(place);
    return values;
}

class Outline : public WithKmeSim {
  protected:
    Outline() { bench_.quiet = example(); }
};

TEST_F(Outline, TheExampleIsWhole) {
    const Values values = example();
    for (const char* key : {"mint", "mint_body", "share", "check", "check_ready", "fetch", "delete", "status", "probe",
                            "error_code", "not_found_codes"}) {
        EXPECT_TRUE(values.contains(key)) << key;
    }
    EXPECT_EQ(values.at("not_found_codes"), "key_not_found\nnot_entitled");
}

TEST_F(Outline, BothEndsGetTheSameKeysOnce) {
    const auto again = both_ends_get_the_same_keys_once();
    EXPECT_NE(again.what.find("'gone'"), std::string::npos) << again.what;
}

TEST_F(Outline, StatusIsReadWhereTheDescriptionSays) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    const auto probed = a->probe(context_);
    EXPECT_TRUE(probed) << probed.error().what;
    const auto status = a->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->stored_keys, 5U);
    EXPECT_EQ(status->source_kme, "kme-1");
    EXPECT_EQ(status->target_kme, "kme-2");
    EXPECT_EQ(status->max_keys_per_request, 128U);
    EXPECT_EQ(status->max_additional_saes, 1U);
}

TEST_F(Outline, EveryEncodingGivesTheSameKey) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    const auto minted = a->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    auto hex =
        source(sim, "sae-b", "kme-2", {{"fetch", "GET /api/v1/keys/{key_id}?encoding=hex"}, {"encoding", "hex"}});
    const auto by_hex = hex->fetch(context_, {"sae-a", {(*minted)[0].id}, 256});
    ASSERT_TRUE(by_hex) << by_hex.error().what;
    EXPECT_TRUE(by_hex->front().bytes.same_as((*minted)[0].bytes));
    bench_.quiet.erase("fetch_key");
    bench_.quiet.erase("fetch_key_id");
    auto raw =
        source(sim, "sae-b", "kme-2", {{"fetch", "GET /api/v1/keys/{key_id}?encoding=raw"}, {"encoding", "raw"}});
    const auto by_raw = raw->fetch(context_, {"sae-a", {(*minted)[1].id}, 256});
    ASSERT_TRUE(by_raw) << by_raw.error().what;
    EXPECT_TRUE(by_raw->front().bytes.same_as((*minted)[1].bytes));
}

TEST_F(Outline, KeyIdsCanBeMadeSeveralAtATime) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1",
                    {{"mint", "POST /api/v1/keyids"},
                     {"mint_body", R"({"peer": "{peer_sae}", "count": {count}, "key_length": {bits}})"},
                     {"mint_list", "/key_ids"},
                     {"mint_key_id", ""}});
    const auto minted = a->mint(context_, {"sae-b", {}, 3, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    ASSERT_EQ(minted->size(), 3U);
    const auto dry = a->mint(context_, {"sae-b", {}, 3, 256});
    ASSERT_FALSE(dry);
    EXPECT_EQ(dry.error().code, ErrorCode::exhausted);
    EXPECT_NE(dry.error().what.find("pool_empty"), std::string::npos) << dry.error().what;
}

TEST_F(Outline, AdditionalRespondersGetTheKeyAsFarAsTheKmeAllows) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    auto c = source(sim, "sae-c", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {"sae-c"}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    for (auto* responder : {&b, &c}) {
        const auto fetched = (*responder)->fetch(context_, {"sae-a", {minted->front().id}, 256});
        ASSERT_TRUE(fetched) << fetched.error().what;
        EXPECT_TRUE(fetched->front().bytes.same_as(minted->front().bytes));
    }
    const auto alone = a->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_TRUE(alone);
    const auto foreign = c->fetch(context_, {"sae-a", {alone->front().id}, 256});
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().code, ErrorCode::not_found) << foreign.error().what;
}

TEST_F(Outline, AKeyThatCouldNotBeSharedIsDeleted) {
    write_config("max_key_count = 9\nrefill_per_second = 0\n");
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    const auto refused = a->mint(context_, {"sae-b", {"sae-c", "sae-d"}, 1, 256});
    ASSERT_FALSE(refused);
    bool deleted = false;
    for (const auto& line : context_.lines()) deleted = deleted || line.find("is deleted") != std::string::npos;
    EXPECT_TRUE(deleted) << refused.error().what;
}

TEST_F(Outline, DistortedAnswersAreNeverTakenForKeys) {
    distorted_answers_are_never_taken_for_keys({"garbage", "short-key", "wrong-id", "empty", "consume-then-drop"});
}

TEST_F(Outline, KeepsEveryLawForKeySources) {
    keeps_every_law();
}

}  // namespace
