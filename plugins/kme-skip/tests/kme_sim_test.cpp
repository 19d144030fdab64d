// The plugin against a running kme-sim: real keys over real mutual TLS.
#include "kme_bench.hpp"

using namespace qkd::kme::testing;

namespace {

TEST_F(WithKmeSim, BothEndsGetTheSameKeysOnce) {
    (void)both_ends_get_the_same_keys_once();
}

TEST_F(WithKmeSim, CapabilitiesAndAnEmptyPool) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    const auto probed = a->probe(context_);
    EXPECT_TRUE(probed) << probed.error().what;
    const auto status = a->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "sae-a");
    const auto dry = a->mint(context_, {"sae-b", {}, 6, 256});
    ASSERT_FALSE(dry);
    EXPECT_EQ(dry.error().code, ErrorCode::exhausted);
    EXPECT_TRUE(dry.error().maybe_consumed) << "five of the six came";
}

TEST_F(WithKmeSim, DistortedAnswersAreNeverTakenForKeys) {
    distorted_answers_are_never_taken_for_keys({"garbage", "short-key", "wrong-id", "empty", "consume-then-drop"});
}

TEST_F(WithKmeSim, KeepsEveryLawForKeySources) {
    keeps_every_law();
}

TEST_F(WithKmeSim, AStrangersCertificateIsNotAccepted) {
    a_stranger_is_not_accepted();
}

}  // namespace
