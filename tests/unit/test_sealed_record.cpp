// What is remembered of a link can rest sealed, and a rotation finds its way with it all the same.
#include "engine/state/sealed_record.hpp"

#include "engine/secrets/seal.hpp"
#include "rotation_test.hpp"

namespace qkd {
namespace {

using test::LinkResult;
using test::RotationTest;
using test::World;

SecretBytes key(char fill = 'k') {
    return SecretBytes(std::string_view(std::string(32, fill)));
}

LinkRecord record() {
    LinkRecord record;
    record.link = "a--b";
    record.generation = 7;
    record.key_id = "id-now";
    record.previous_key_id = "id-before";
    record.ckn = std::string(64, 'a');
    record.rollover = "key-chain";
    record.own_ckns = {std::string(64, 'a'), std::string(64, 'b')};
    record.pending_key_id = "id-next";
    return record;
}

TEST(SealedRecord, HidesNamesAndOpensAgain) {
    const auto sealed = engine::seal_record(key(), record());
    ASSERT_TRUE(sealed) << sealed.error().what;
    EXPECT_TRUE(engine::is_sealed(*sealed));
    EXPECT_FALSE(engine::is_sealed(record()));
    for (const std::string* text : {&sealed->key_id, &sealed->previous_key_id, &sealed->ckn, &sealed->pending_key_id,
                                    &sealed->own_ckns[0], &sealed->own_ckns[1]})
        EXPECT_TRUE(text->starts_with("sealed:")) << *text;
    EXPECT_EQ(sealed->pending_ckn, "") << "what is empty stays empty";
    EXPECT_EQ(sealed->generation, 7U);
    const auto opened = engine::open_record(key(), *sealed);
    ASSERT_TRUE(opened) << opened.error().what;
    EXPECT_EQ(*opened, record());
    const auto plain = engine::open_record(key(), record());
    ASSERT_TRUE(plain);
    EXPECT_EQ(*plain, record()) << "a record from before sealing was switched on";
}

TEST(SealedRecord, OpensInItsPlaceAndUnderItsKeyOnly) {
    const auto sealed = *engine::seal_record(key(), record());
    EXPECT_FALSE(engine::open_record(key('x'), sealed));
    auto moved = sealed;
    moved.link = "c--d";
    EXPECT_FALSE(engine::open_record(key(), moved));
    auto swapped = sealed;
    std::swap(swapped.key_id, swapped.previous_key_id);
    EXPECT_FALSE(engine::open_record(key(), swapped));
    auto cut = sealed;
    cut.ckn.resize(cut.ckn.size() - 4);
    const auto failed = engine::open_record(key(), cut);
    ASSERT_FALSE(failed);
    EXPECT_NE(failed.error().what.find("a--b"), std::string::npos);
}

class SealedRotations : public RotationTest, public ::testing::WithParamInterface<Rollover> {};

TEST_P(SealedRotations, GoOnFromWhatTheySealed) {
    ASSERT_EQ(rotate(GetParam()).result, LinkResult::rotated);
    EXPECT_FALSE(engine::is_sealed(World::get().records.begin()->second));
    adjust_ = [](engine::Pipeline& pipeline) { pipeline.seal_records = true; };
    for (int i = 2; i <= 4; ++i) {
        const auto report = rotate(GetParam());
        ASSERT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
        EXPECT_EQ(report.previous_key_id, "key-" + std::to_string(i - 1));
        const LinkRecord& kept = World::get().records.begin()->second;
        EXPECT_TRUE(kept.key_id.starts_with("sealed:"));
        EXPECT_TRUE(kept.ckn.starts_with("sealed:"));
        for (const auto& ckn : kept.own_ckns) EXPECT_TRUE(ckn.starts_with("sealed:"));
    }
    for (const auto& [name, device] : World::get().devices) EXPECT_LE(device.running.keys.size(), 4U) << name;
    // Switched off again: the next record is in clear.
    adjust_ = nullptr;
    const auto report = rotate(GetParam());
    ASSERT_EQ(report.result, LinkResult::rotated);
    EXPECT_EQ(report.previous_key_id, "key-4");
    EXPECT_EQ(World::get().records.begin()->second.key_id, "key-5");
}

INSTANTIATE_TEST_SUITE_P(Both, SealedRotations, ::testing::Values(Rollover::key_chain, Rollover::pre_shared_key),
                         [](const auto& parameter) {
                             return parameter.param == Rollover::key_chain ? "key_chain" : "pre_shared_key";
                         });

}  // namespace
}  // namespace qkd
