// The plugin against a running kme-sim: two KMEs, three SAEs, real keys over real mutual TLS.
#include "kme_bench.hpp"

using namespace qkd::kme::testing;
using qkd::ErrorCode;

namespace {

TEST_F(WithKmeSim, BothEndsGetTheSameKeysOnce) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    ASSERT_TRUE(a->probe(context_));
    const auto status = a->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "kme-1");
    EXPECT_EQ(status->target_kme, "kme-2");
    EXPECT_EQ(status->stored_keys, 5U);

    const auto minted = a->mint(context_, {"sae-b", {}, 2, 128});
    ASSERT_TRUE(minted) << minted.error().what;
    const std::vector<std::string> ids{(*minted)[1].id, (*minted)[0].id};
    const auto fetched = b->fetch(context_, {"sae-a", ids, 128});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE((*fetched)[0].bytes.same_as((*minted)[1].bytes));
    EXPECT_TRUE((*fetched)[1].bytes.same_as((*minted)[0].bytes));
    const auto again = b->fetch(context_, {"sae-a", {ids[0]}, 128});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::not_found);
    EXPECT_FALSE(again.error().maybe_consumed);
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
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, 4, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    std::size_t next = 0;
    for (const char* action : {"garbage", "short-key", "wrong-id", "duplicate"}) {
        fault(R"({"kme":"kme-2","call":"dec_keys","nth":1,"action":")" + std::string(action) + R"("})");
        const auto fetched = b->fetch(context_, {"sae-a", {(*minted)[next++].id}, 256});
        ASSERT_FALSE(fetched) << action;
        EXPECT_EQ(fetched.error().code, ErrorCode::protocol) << action << ": " << fetched.error().what;
        EXPECT_TRUE(fetched.error().maybe_consumed) << action;
    }
}

TEST_F(WithKmeSim, KeepsEveryLawForKeySources) {
    keeps_every_law();
}

TEST_F(WithKmeSim, AnSaeOfAnotherKmeIsNotAccepted) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto stranger = source(sim, "sae-b", "kme-1");
    const auto keys = stranger->mint(context_, {"sae-a", {}, 1, 256});
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code, ErrorCode::auth) << keys.error().what;
}

}  // namespace
