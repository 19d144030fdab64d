// Capability words are printed from one table; a set holds what it was given and nothing else.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "qkd/sdk/capability.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"

namespace qkd {
namespace {

TEST(Capabilities, HaveWordsOfTheirOwn) {
    std::set<std::string> words;
    for (const auto& one : capability_table) {
        EXPECT_TRUE(words.insert(one.word).second) << one.word;
        EXPECT_EQ(std::string(one.word).find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string::npos);
        EXPECT_EQ(qualified_name(one.capability), std::string(to_string(one.stage)) + ":" + one.word);
        EXPECT_TRUE(capabilities_of(one.stage).has(one.capability));
    }
    EXPECT_EQ(qualified_name(Capability::files), "connect:files");
    EXPECT_EQ(words_of({Capability::pre_shared_key, Capability::confirmed}),
              (std::vector<std::string>{"confirmed", "pre-shared-key"}));
}

TEST(Capabilities, BelongToOneKindOfStage) {
    for (int kind = 0; kind < stage_kind_count; ++kind) {
        for (const auto& one : capability_table) {
            const auto of = static_cast<StageKind>(kind);
            EXPECT_EQ(capabilities_of(of).has(one.capability), of == one.stage) << one.word;
        }
    }
    EXPECT_TRUE(device_capabilities.has(Capability::clock));
    EXPECT_FALSE(device_capabilities.has(Capability::once));
    EXPECT_FALSE(device_capabilities.has_all({Capability::clock, Capability{63}})) << "a number of a later SDK";
}

class Abstract : public KeySource {};
class Whole : public KeySource {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }
    Result<SourceStatus> status(Context&, const std::string&) override { return SourceStatus{}; }
    Result<std::vector<Key>> mint(Context&, const MintRequest&) override { return std::vector<Key>(); }
    Result<std::vector<Key>> fetch(Context&, const FetchRequest&) override { return std::vector<Key>(); }
};
class Demanding : public Whole {
  public:
    explicit Demanding(int) {}
};
static_assert(Implements<Whole, KeySource>);
static_assert(!Implements<Whole, Stage>, "Stage itself is no kind");
static_assert(!Implements<Whole, Whole>);
static_assert(!Implements<Abstract, KeySource>);
static_assert(!Implements<Demanding, KeySource>);

TEST(Stages, AreMadeAsTheirKind) {
    constexpr StageInfo info = stage<KeySource, Whole>({Capability::once});
    EXPECT_EQ(info.kind, StageKind::key_source);
    EXPECT_TRUE(info.provides == CapabilitySet{Capability::once});
    EXPECT_TRUE(info.needs.empty());
    Stage* const made = info.create();
    EXPECT_NE(dynamic_cast<Whole*>(made), nullptr);
    info.destroy(made);
}

}  // namespace
}  // namespace qkd
