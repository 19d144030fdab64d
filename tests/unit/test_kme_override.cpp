// What a device says about its KME: understood, refused, or laid over the pipeline's values.
#include <gtest/gtest.h>

#include <array>

#include "engine/members/kme_override.hpp"
#include "support/map_config.hpp"

namespace qkd::engine {
namespace {

KmeOverride at(const std::string& interface_name) {
    KmeOverride one;
    one.interface_name = interface_name;
    return one;
}

TEST(KmeOverride, AResponderTakesMethodPortAndKeyCheckAnInitiatorThePortOnly) {
    auto one = at("et-0/0/1");
    one.method = "post";
    one.port = "8443";
    one.keyid_check = "false";
    auto choice = choose_kme({one}, "mx1", Role::responder);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->text(), "port 8443, method post");
    EXPECT_FALSE(choice->check_key_id);
    EXPECT_TRUE(choice->warnings.empty());
    choice = choose_kme({one}, "mx1", Role::initiator);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->text(), "port 8443");
    EXPECT_TRUE(choice->check_key_id);
}

TEST(KmeOverride, VerificationCannotBeSwitchedOff) {
    auto one = at("et-0/0/1");
    one.ca = "false";
    auto choice = choose_kme({one}, "mx1", Role::responder);
    ASSERT_TRUE(choice);
    EXPECT_TRUE(choice->empty());
    ASSERT_EQ(choice->warnings.size(), 1U);
    EXPECT_NE(choice->warnings[0].find("not obeyed"), std::string::npos);
    one.ca = "true";
    choice = choose_kme({one}, "mx1", Role::responder);
    ASSERT_TRUE(choice);
    EXPECT_TRUE(choice->warnings.empty());
}

TEST(KmeOverride, WordsThatMeanNothingAndContradictionsAreErrors) {
    for (const char* port : {"0", "65536", "abc", "443 ", "-1", "8443/path"}) {
        auto one = at("et-0/0/1");
        one.port = port;
        const auto choice = choose_kme({one}, "mx1", Role::responder);
        ASSERT_FALSE(choice) << port;
        EXPECT_EQ(choice.error().code, ErrorCode::config);
        EXPECT_NE(choice.error().what.find("et-0/0/1"), std::string::npos);
    }
    for (const auto word : {&KmeOverride::method, &KmeOverride::ca, &KmeOverride::keyid_check}) {
        auto one = at("et-0/0/1");
        one.*word = "perhaps";
        EXPECT_FALSE(choose_kme({one}, "mx1", Role::initiator));
    }
    auto one = at("et-0/0/1");
    auto two = at("et-0/0/2");
    one.port = "443";
    EXPECT_TRUE(choose_kme({one, two}, "mx1", Role::responder)) << "one of them says nothing";
    two.port = "8443";
    const auto choice = choose_kme({one, two}, "mx1", Role::responder);
    ASSERT_FALSE(choice);
    EXPECT_NE(choice.error().what.find("et-0/0/2"), std::string::npos);
}

constexpr std::array fields{
    Field{Scope::kme, FieldType::url, "url", true, nullptr, "https", "Address."},
    Field{Scope::kme, FieldType::one_of, "request_form", false, "auto", "auto|get|post", "Form."},
};
constexpr PluginDescriptor with_fields(std::size_t count) {
    return {plugin_magic,  QKD_ABI_MAJOR, QKD_ABI_MINOR, QKD_FINGERPRINT, "kme-x", "1", "", "", "", nullptr, 0,
            fields.data(), count};
}

TEST(KmeOverride, IsLaidOverTheValuesOfTheKme) {
    const PluginDescriptor plugin = with_fields(2);
    const std::pair<const char*, const char*> rows[] = {
        {"https://kme.example", "https://kme.example:8443"},
        {"https://kme.example:443", "https://kme.example:8443"},
        {"https://kme.example/a:b/c", "https://kme.example:8443/a:b/c"},
        {"https://[2001:db8::1]", "https://[2001:db8::1]:8443"},
        {"https://[2001:db8::1]:443/x", "https://[2001:db8::1]:8443/x"}};
    for (const auto& [url, wanted] : rows) {
        KmeChoice choice;
        choice.port = 8443;
        choice.method = "post";
        auto view = overridden(std::make_unique<support::MapConfig>(plugin, Scope::kme, support::Values{{"url", url}}),
                               choice, plugin);
        ASSERT_TRUE(view);
        EXPECT_EQ((*view)->string("url"), wanted);
        EXPECT_EQ((*view)->string("request_form"), "post");
    }
}

TEST(KmeOverride, NeedsAPluginThatKnowsTheField) {
    const PluginDescriptor plugin = with_fields(1);
    KmeChoice choice;
    choice.method = "post";
    const auto view =
        overridden(std::make_unique<support::MapConfig>(plugin, Scope::kme, support::Values{{"url", "https://x"}}),
                   choice, plugin);
    ASSERT_FALSE(view);
    EXPECT_NE(view.error().what.find("request_form"), std::string::npos);
}

}  // namespace
}  // namespace qkd::engine
