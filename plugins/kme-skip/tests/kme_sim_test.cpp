// The plugin against a running kme-sim: real keys over real mutual TLS.
#include "kme_bench.hpp"

using namespace qkd::kme::testing;
using qkd::ErrorCode;

namespace {

TEST_F(WithKmeSim, BothEndsGetTheSameKeyOnce) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto probed = a->probe(context_);
    EXPECT_TRUE(probed) << probed.error().what;
    const auto status = a->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "sae-a");
    const auto minted = a->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    const std::vector<std::string> ids{(*minted)[1].id, (*minted)[0].id};
    const auto fetched = b->fetch(context_, {"sae-a", ids, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE((*fetched)[0].bytes.same_as((*minted)[1].bytes));
    EXPECT_TRUE((*fetched)[1].bytes.same_as((*minted)[0].bytes));
    const auto again = b->fetch(context_, {"sae-a", {ids[0]}, 256});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::not_found);
    const auto dry = a->mint(context_, {"sae-b", {}, 4, 256});
    ASSERT_FALSE(dry);
    EXPECT_EQ(dry.error().code, ErrorCode::exhausted);
    EXPECT_TRUE(dry.error().maybe_consumed) << "three of the four came";
}

TEST_F(WithKmeSim, DistortedAnswersAreNeverTakenForKeys) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, 4, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    std::size_t next = 0;
    for (const char* action : {"garbage", "short-key", "wrong-id", "empty"}) {
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

TEST_F(WithKmeSim, AStrangersCertificateIsNotAccepted) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    const auto keys = source(sim, "sae-b", "kme-1")->mint(context_, {"sae-a", {}, 1, 256});
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code, ErrorCode::auth) << keys.error().what;
}

}  // namespace
