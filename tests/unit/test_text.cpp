// Durations, ranges, words and URLs: a misread one would change timing or trust silently.
#include <gtest/gtest.h>

#include "engine/base/text.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;

TEST(Duration, TakesWholeNumbersWithUnits) {
    EXPECT_EQ(parse_duration("500ms"), 500ms);
    EXPECT_EQ(parse_duration("20s"), 20s);
    EXPECT_EQ(parse_duration("2m"), 2min);
    EXPECT_EQ(parse_duration("1h"), 1h);
    EXPECT_EQ(parse_duration("3d"), 72h);
    EXPECT_EQ(parse_duration("0s"), 0s);
}

TEST(Duration, RefusesEverythingElse) {
    for (const char* wrong : {"", "20", "s", "-1s", "1.5s", "20 s", " 20s", "20S", "20sec", "99999999999999999999s",
                              "9223372036854775807d", "+1s"}) {
        EXPECT_FALSE(parse_duration(wrong)) << wrong;
    }
}

TEST(Duration, IsSpelledShort) {
    EXPECT_EQ(format_duration(60s), "1m");
    EXPECT_EQ(format_duration(90s), "90s");
    EXPECT_EQ(format_duration(1500ms), "1500ms");
    EXPECT_EQ(format_duration(0ms), "0s");
}

TEST(Ranges, NeedBothEndsInOrder) {
    ASSERT_TRUE(parse_integer_range("1..65535"));
    EXPECT_EQ(parse_integer_range("1..65535")->max, 65535);
    EXPECT_EQ(parse_integer_range("-5..5")->min, -5);
    EXPECT_EQ(parse_duration_range("1s..1m")->max, 60000);
    EXPECT_FALSE(parse_integer_range("5..1"));
    EXPECT_FALSE(parse_integer_range("1.."));
    EXPECT_FALSE(parse_duration_range("1..2"));
}

TEST(Nearest, FindsSlipsOfTheFingerOnly) {
    const std::vector<std::string> words = {"ssh_key", "host", "host_key", "port", "user"};
    EXPECT_EQ(nearest("ssh_kye", words), "ssh_key");
    EXPECT_EQ(nearest("hots", words), "host");
    EXPECT_EQ(nearest("hostkey", words), "host_key");
    EXPECT_EQ(nearest("colour", words), "");
    EXPECT_EQ(nearest(std::string(100000, 'x'), words), "");
}

TEST(Split, LeavesNoEmptyParts) {
    EXPECT_EQ(split("a|b|c", '|'), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(split("  files  clock ", ' '), (std::vector<std::string>{"files", "clock"}));
    EXPECT_TRUE(split("", ' ').empty());
}

TEST(Printable, ShowsControlCharacters) {
    EXPECT_EQ(printable("a\x1b[31mb\n"), "a\\x1b[31mb\\x0a");
    EXPECT_LT(printable(std::string(5000, 'a')).size(), 200U);
}

TEST(Url, IsCheckedPartByPart) {
    const std::vector<std::string> https = {"https"};
    EXPECT_EQ(check_url("https://kme.example:443/api", https), "");
    EXPECT_EQ(check_url("https://[2001:db8::1]:8443", https), "");
    EXPECT_EQ(check_url("https://192.0.2.1", https), "");
    for (const char* wrong : {"kme.example", "http://kme.example", "https://", "https://:443", "https://a b",
                              "https://a:0", "https://a:65536", "https://a:", "https://[::1", "https://u:p@a",
                              "https://a/#x", "https://[::1]x", "https://a\n"}) {
        EXPECT_NE(check_url(wrong, https), "") << wrong;
    }
}

}  // namespace
}  // namespace qkd::engine
