// Tables and terminal text: columns line up for any UTF-8, and nothing a device says can move the cursor.
#include <gtest/gtest.h>

#include <sstream>

#include "engine/reporting/text_table.hpp"

namespace qkd::engine {
namespace {

TEST(Display, WidthCountsColumnsNotBytes) {
    EXPECT_EQ(display_width("abc"), 3U);
    EXPECT_EQ(display_width("Zürich"), 6U);
    EXPECT_EQ(display_width("e\u0301"), 1U);  // a combining accent
    EXPECT_EQ(display_width("東京"), 4U);
    EXPECT_EQ(display_width(""), 0U);
}

TEST(Display, OneLineShowsWhatWouldDisturb) {
    EXPECT_EQ(one_line("plain Zürich 東京"), "plain Zürich 東京");
    EXPECT_EQ(one_line("a\nb\r\t\x1b[31m\x7f"), "a\\x0ab\\x0d\\x09\\x1b[31m\\x7f");
    EXPECT_EQ(one_line("\u009b2J"), "\\x9b2J");            // C1: CSI as one character
    EXPECT_EQ(one_line("abc\u202etxt"), "abc\\u202etxt");  // right-to-left override
    EXPECT_EQ(one_line("\xff|\xc3|\xed\xa0\x80|\xc0\xaf"), "\\xff|\\xc3|\\xed\\xa0\\x80|\\xc0\\xaf");
    EXPECT_EQ(one_line(std::string_view("\0x", 2)), "\\x00x");
}

TEST(Display, ClipNeverExceedsTheWidthNorCutsACharacter) {
    EXPECT_EQ(clip("abcdef", 6), "abcdef");
    EXPECT_EQ(clip("abcdefg", 6), "abcd..");
    EXPECT_EQ(clip("東京東京", 5), "東..");
    for (std::size_t width = 0; width < 10; ++width) EXPECT_LE(display_width(clip("Zürich東京é", width)), width);
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
    TextTable table({{"NAME"}, {"MS", Align::right}, {"NOTE"}});
    table.add_row({"Zürich", "1.0", "x"});
    table.add_row({"東京", "12345.0", ""});
    table.add_row({"a"});
    EXPECT_EQ(table.render(false),
              "NAME         MS  NOTE\n"
              "Zürich      1.0  x\n"
              "東京    12345.0  -\n"
              "a             -  -\n");
}

TEST(Table, ColoursDoNotMoveColumns) {
    TextTable table({{"STATE"}, {"N"}});
    table.add_row({{"secured", Style::good}, "1"});
    table.add_row({{"down", Style::bad}, "2"});
    std::string coloured = table.render(true);
    EXPECT_NE(coloured.find("\x1b[32msecured\x1b[0m"), std::string::npos);
    for (auto at = coloured.find('\x1b'); at != std::string::npos; at = coloured.find('\x1b')) {
        coloured.erase(at, coloured.find('m', at) - at + 1);
    }
    EXPECT_EQ(coloured, table.render(false));
}

TEST(Table, ACellCannotBreakOutOfItsRow) {
    TextTable table({{"A"}, {"B"}});
    table.add_row({"one\ntwo\x1b[2J", "x"});
    const std::string text = table.render(false, 2);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_TRUE(line.starts_with("  ")) << line;
}

}  // namespace
}  // namespace qkd::engine
