// `plugins inspect --sample`: required fields stand there to be filled in, the others as comments with their defaults.
#include <gtest/gtest.h>

#include <array>

#include "cli/sample.hpp"

namespace qkd::cli {
namespace {

constexpr std::array stages = {StageInfo{StageKind::connect, {Capability::files}, {}, nullptr, nullptr},
                               StageInfo{StageKind::persist, {}, {}, nullptr, nullptr}};
constexpr std::array fields = {
    Field{Scope::device, FieldType::string, "host", true, nullptr, nullptr, "Name of the router."},
    Field{Scope::device, FieldType::integer, "port", false, "830", "1..65535", "TCP port."},
    Field{Scope::device, FieldType::secret, "ssh_key", true, nullptr, nullptr, "Private key."},
    Field{Scope::device, FieldType::duration, "wait", false, nullptr, "100ms..5m", "How long."},
    Field{Scope::device, FieldType::one_of, "mode", true, nullptr, "a|b", "Which."},
    Field{Scope::device, FieldType::url, "url", true, nullptr, "https", "Where."},
    Field{Scope::device, FieldType::string, "quote", false, "a\"b\\", nullptr, "Odd."},
    Field{Scope::device, FieldType::boolean, "on", false, "true", nullptr, "Whether."},
};
constexpr PluginDescriptor descriptor = {plugin_magic,  QKD_ABI_MAJOR, QKD_ABI_MINOR, QKD_FINGERPRINT, "acme",
                                         "1.0.0",       "ACME",        "Does it all", "stable",        stages.data(),
                                         stages.size(), fields.data(), fields.size()};

bool has_line(const std::string& text, const std::string& start) {
    return text.starts_with(start) || text.find("\n" + start) != std::string::npos;
}

TEST(Sample, RequiredFieldsStandThereOthersAreComments) {
    const auto text = sample_toml(descriptor);
    for (const char* line :
         {"# acme 1.0.0: Does it all", "[device.NAME]", "plugin = \"acme\"", "host = \"HOST\" ", "# port = 830 ",
          "ssh_key = \"file:PATH\" ", "# wait = \"100ms\" ", "mode = \"a\" ", "url = \"https://HOST\" ",
          "# quote = \"a\\\"b\\\\\" ", "# on = true ", "[[stage]]", "kind = \"persist\""}) {
        EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
    }
    EXPECT_NE(text.find("# integer 1..65535, default: TCP port."), std::string::npos) << text;
}

TEST(Sample, EveryTableOfThePluginIsNamed) {
    EXPECT_EQ(scopes_of(descriptor), (std::vector<Scope>{Scope::device, Scope::persist}));
}

}  // namespace
}  // namespace qkd::cli
