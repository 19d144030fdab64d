// $9$ strings: what the simulator writes must be what Junos would read, and the other way round.
#include "secret9.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

using namespace qkd::junossim;

TEST(Secret9, RoundTripsEveryLengthAndCharacter) {
    std::string clear;
    for (char c = ' '; c < 0x7f; ++c) {
        clear += c;
        EXPECT_EQ(decode9(encode9(clear)), clear);
    }
}

TEST(Secret9, SaltIsRandom) {
    std::set<std::string> seen;
    for (int i = 0; i < 50; ++i) seen.insert(encode9("cafe"));
    EXPECT_GT(seen.size(), 40U);
}

TEST(Secret9, DecodesAStringMadeElsewhere) {
    // Known pair of the public description of the scheme.
    EXPECT_EQ(decode9("$9$LbHX-wg4Z"), "lc");
}

TEST(Secret9, RefusesWhatIsNotOne) {
    for (const char* text :
         {"", "$9$", "$9$!", "plain", "$8$abcd", "$9$LbHX-wg4", "$9$Q", "$9$LbHX-wg4Z\"", "$9$LbHX-wg4Z "}) {
        EXPECT_FALSE(decode9(text)) << text;
    }
}
