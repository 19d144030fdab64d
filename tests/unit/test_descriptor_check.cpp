// Descriptors that are wrong in one way each: what the SDK promises about the table must hold before it is relied on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "engine/host/descriptor_check.hpp"

namespace qkd::engine {
namespace {

using testing::HasSubstr;

Stage* make_none() {
    return nullptr;
}
void drop(Stage* stage) {
    delete stage;
}

constexpr std::array good_stages = {StageInfo{StageKind::key_source, {}, {}, make_none, drop}};

Field good_field() {
    return {Scope::kme, FieldType::integer, "key_size", false, "256", "128..1024", "Bits of a key."};
}

PluginDescriptor descriptor(std::span<const StageInfo> stages, std::span<const Field> fields) {
    return {plugin_magic, QKD_ABI_MAJOR, QKD_ABI_MINOR, QKD_FINGERPRINT, "test",        "1",          "us",
            "a test",     "stable",      stages.data(), stages.size(),   fields.data(), fields.size()};
}

/// The refusal of one field.
std::string field_refusal(const Field& field) {
    const auto result = check_descriptor(descriptor(good_stages, {&field, 1}), "test");
    return result ? "" : result.error().what;
}

TEST(DescriptorCheck, TakesACompleteTable) {
    const Field field = good_field();
    EXPECT_TRUE(check_descriptor(descriptor(good_stages, {&field, 1}), "test"));
    EXPECT_TRUE(check_descriptor(descriptor(good_stages, {}), "test"));
}

TEST(DescriptorCheck, WantsEveryText) {
    for (const char* PluginDescriptor::*text :
         {&PluginDescriptor::version, &PluginDescriptor::vendor, &PluginDescriptor::summary, &PluginDescriptor::status,
          &PluginDescriptor::name, &PluginDescriptor::fingerprint}) {
        for (const char* value : {static_cast<const char*>(nullptr), ""}) {
            auto wrong = descriptor(good_stages, {});
            wrong.*text = value;
            const auto result = check_descriptor(wrong, "test");
            ASSERT_FALSE(result);
            EXPECT_FALSE(result.error().hint.empty());
        }
    }
    auto wrong = descriptor(good_stages, {});
    wrong.status = "perfect";
    EXPECT_FALSE(check_descriptor(wrong, "test"));
}

TEST(DescriptorCheck, WantsProperStages) {
    EXPECT_FALSE(check_descriptor(descriptor({}, {}), "test"));
    const StageInfo twice[] = {good_stages[0], good_stages[0]};
    EXPECT_THAT(check_descriptor(descriptor(twice, {}), "test").error().what, HasSubstr("twice"));
    for (const StageInfo& wrong : {StageInfo{static_cast<StageKind>(9), {}, {}, make_none, drop},
                                   StageInfo{StageKind::key_source, {Capability{63}}, {}, make_none, drop},
                                   StageInfo{StageKind::key_source, {Capability::files}, {}, make_none, drop},
                                   StageInfo{StageKind::key_source, {}, {Capability{63}}, make_none, drop},
                                   StageInfo{StageKind::key_source, {}, {Capability::once}, make_none, drop},
                                   StageInfo{StageKind::key_source, {}, {}, nullptr, drop},
                                   StageInfo{StageKind::key_source, {}, {}, make_none, nullptr}}) {
        EXPECT_FALSE(check_descriptor(descriptor({&wrong, 1}, {}), "test"));
    }
    auto none = descriptor(good_stages, {});
    none.field_count = 1;
    none.fields = nullptr;
    EXPECT_FALSE(check_descriptor(none, "test"));
}

TEST(DescriptorCheck, WantsProperFields) {
    EXPECT_EQ(field_refusal(good_field()), "");
    const auto changed = [](auto change) {
        Field field = good_field();
        change(field);
        return field_refusal(field);
    };
    EXPECT_THAT(changed([](Field& f) { f.required = true; }), HasSubstr("required and has a default"));
    EXPECT_THAT(changed([](Field& f) { f.doc = ""; }), HasSubstr("not documented"));
    EXPECT_THAT(changed([](Field& f) { f.doc = nullptr; }), HasSubstr("not documented"));
    EXPECT_THAT(changed([](Field& f) { f.key = nullptr; }), HasSubstr("proper key"));
    EXPECT_THAT(changed([](Field& f) { f.key = "Key"; }), HasSubstr("proper key"));
    EXPECT_THAT(changed([](Field& f) { f.key = "plugin"; }), HasSubstr("belongs to the core"));
    EXPECT_THAT(changed([](Field& f) { f.allowed = "many"; }), HasSubstr("unreadable range"));
    EXPECT_THAT(changed([](Field& f) { f.default_value = "64"; }), HasSubstr("default that is not allowed"));
    EXPECT_THAT(changed([](Field& f) { f.default_value = "x"; }), HasSubstr("default that is not allowed"));
    EXPECT_THAT(changed([](Field& f) { f.scope = Scope::device; }), HasSubstr("none of its stages reads"));
    EXPECT_THAT(changed([](Field& f) { f.scope = Scope{7}; }), HasSubstr("no known type"));
    EXPECT_THAT(changed([](Field& f) { f.type = FieldType{99}; }), HasSubstr("no known type"));
    EXPECT_THAT(changed([](Field& f) {
                    f.type = FieldType::secret;
                    f.default_value = "env:X";
                    f.allowed = nullptr;
                }),
                HasSubstr("secret and has a default"));
    EXPECT_THAT(changed([](Field& f) {
                    f.type = FieldType::one_of;
                    f.default_value = nullptr;
                    f.allowed = nullptr;
                }),
                HasSubstr("no words"));
    EXPECT_THAT(changed([](Field& f) {
                    f.type = FieldType::duration;
                    f.default_value = "5";
                    f.allowed = "1s..10s";
                }),
                HasSubstr("default that is not allowed"));
    const Field twice[] = {good_field(), good_field()};
    EXPECT_THAT(check_descriptor(descriptor(good_stages, twice), "test").error().what, HasSubstr("twice"));
}

TEST(PluginName, IsLowerCaseWordsJoinedByDashes) {
    for (const char* good : {"a", "kme-etsi014", "keyid-scp", "x1-2-y"}) EXPECT_TRUE(is_plugin_name(good)) << good;
    for (const char* wrong : {"", "1a", "-a", "a-", "a--b", "A", "a_b", "a/b", "a.b", "a b"}) {
        EXPECT_FALSE(is_plugin_name(wrong)) << wrong;
    }
    EXPECT_FALSE(is_plugin_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace qkd::engine
