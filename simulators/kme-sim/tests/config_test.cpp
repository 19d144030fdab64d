// The configuration file: what is taken, and that every mistake is named with its line.
#include "config.hpp"

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace qkd::kme_sim {
namespace {

constexpr const char* good = R"(ca = "root.crt"
[limits]
max_SAE_ID_count = 3
[pool]
max_key_count = 7
keys = "retained"
ttl_seconds = 60
[[kme]]
name = "k1"
cert = "k1.crt"
key = "k1.key"
[[kme]]
name = "k2"
cert = "/abs/k2.crt"
key = "k2.key"
max_SAE_ID_count = 0
empty_status = 400
[[sae]]
name = "a"
kme = "k1"
)";

TEST(Config, TakesTheWholeFile) {
    const TempFolder folder;
    const auto config = load_config(folder.write("kme.toml", good));
    ASSERT_TRUE(config.ok()) << config.error().what;
    EXPECT_EQ(config->ca, folder.file("root.crt"));
    EXPECT_EQ(config->kmes[1].cert, "/abs/k2.crt");
    EXPECT_EQ(config->kmes[0].limits.max_sae_id_count, 3);
    EXPECT_EQ(config->kmes[1].limits.max_sae_id_count, 0);
    EXPECT_EQ(config->kmes[1].limits.empty_status, 400);
    EXPECT_EQ(config->pool.initial_key_count, 7) << "full unless said otherwise";
    EXPECT_FALSE(config->pool.one_shot);
}

TEST(Config, NamesEveryMistakeWithItsLine) {
    const TempFolder folder;
    const auto config = load_config(folder.write("kme.toml", R"(ca = 5
colour = "red"
[[kme]]
name = "k1"
cert = "k1.crt"
key_size = 12
[[sae]]
name = "a"
kme = "k9"
)"));
    ASSERT_FALSE(config.ok());
    for (const char* part : {"line 1: 'ca'", "line 2: unknown key 'colour'", "line 3: 'key' is missing",
                             "'key_size' must be a multiple of 8", "there is no KME 'k9'"}) {
        EXPECT_NE(config.error().what.find(part), std::string::npos) << part << " in " << config.error().what;
    }
}

TEST(Config, RefusesWhatIsNoTomlOrNotThere) {
    const TempFolder folder;
    EXPECT_FALSE(load_config(folder.write("kme.toml", "ca = \n")).ok());
    EXPECT_FALSE(load_config(folder.file("none.toml")).ok());
}

}  // namespace
}  // namespace qkd::kme_sim
