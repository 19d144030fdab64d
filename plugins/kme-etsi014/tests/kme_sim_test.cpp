// The plugin against a running kme-sim: two KMEs, three SAEs, real keys over real mutual TLS.
#include "kme_bench.hpp"

using namespace qkd::kme::testing;

namespace {

TEST_F(WithKmeSim, BothEndsGetTheSameKeysOnce) {
    EXPECT_FALSE(both_ends_get_the_same_keys_once().maybe_consumed);
}

TEST_F(WithKmeSim, StatusAndShorterKeys) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    ASSERT_TRUE(a->probe(context_));
    const auto status = a->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "kme-1");
    EXPECT_EQ(status->target_kme, "kme-2");
    EXPECT_EQ(status->stored_keys, 5U);
    const auto minted = a->mint(context_, {"sae-b", {}, 1, 128});
    ASSERT_TRUE(minted) << minted.error().what;
    const auto fetched = source(sim, "sae-b", "kme-2")->fetch(context_, {"sae-a", {minted->front().id}, 128});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE(fetched->front().bytes.same_as(minted->front().bytes));
}

TEST_F(WithKmeSim, AnEmptyPoolIsExhausted) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    ASSERT_TRUE(a->mint(context_, {"sae-b", {}, 5, 256}));
    const auto dry = a->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_FALSE(dry);
    EXPECT_EQ(dry.error().code, ErrorCode::exhausted);
    EXPECT_NE(dry.error().what.find("not enough keys"), std::string::npos) << dry.error().what;
}

TEST_F(WithKmeSim, AdditionalRespondersGetTheKeyAsFarAsTheKmeAllows) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto c = source(sim, "sae-c", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {"sae-c"}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    const auto fetched = c->fetch(context_, {"sae-a", {minted->front().id}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE(fetched->front().bytes.same_as(minted->front().bytes));

    const auto too_many = a->mint(context_, {"sae-b", {"sae-c", "sae-d"}, 1, 256});
    ASSERT_FALSE(too_many);
    EXPECT_EQ(too_many.error().code, ErrorCode::rejected);
    EXPECT_NE(too_many.error().what.find("allows 1 additional SAEs"), std::string::npos) << too_many.error().what;
}

TEST_F(WithKmeSim, AKeyWhoseAnswerWasLostIsReportedAsPerhapsUsedUp) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    ASSERT_TRUE(b->status(context_, "sae-a")) << "so that the connection is a kept one";
    fault(R"({"kme":"kme-2","call":"dec_keys","nth":1,"action":"consume-then-drop"})");
    const auto lost = b->fetch(context_, {"sae-a", {minted->front().id}, 256});
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::unreachable) << lost.error().what;
    EXPECT_TRUE(lost.error().maybe_consumed);
    const auto after = b->fetch(context_, {"sae-a", {minted->front().id}, 256});
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, ErrorCode::not_found) << "it really was used up";
}

TEST_F(WithKmeSim, DistortedAnswersAreNeverTakenForKeys) {
    distorted_answers_are_never_taken_for_keys({"garbage", "short-key", "wrong-id", "duplicate"});
}

TEST_F(WithKmeSim, KeepsEveryLawForKeySources) {
    keeps_every_law();
}

TEST_F(WithKmeSim, AnSaeOfAnotherKmeIsNotAccepted) {
    a_stranger_is_not_accepted();
}

}  // namespace
