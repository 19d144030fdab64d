// The reader of foreign YAML: places, limits, and what it refuses.
#include <gtest/gtest.h>

#include "import/yaml.hpp"

namespace qkd::inventory {
namespace {

std::variant<Node, Problem> read(std::string_view text) {
    return read_yaml({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

Node good(std::string_view text) {
    auto result = read(text);
    if (const auto* problem = std::get_if<Problem>(&result)) {
        ADD_FAILURE() << problem->what;
        return {};
    }
    return std::get<Node>(result);
}

Problem bad(std::string_view text) {
    auto result = read(text);
    if (std::holds_alternative<Node>(result)) {
        ADD_FAILURE() << "was taken: " << text;
        return {};
    }
    return std::get<Problem>(result);
}

TEST(Yaml, KnowsPlacesTypesAndQuotes) {
    const Node root = good("a: 1\nb:\n  - x\n  - 'y'\nc: {d: \"\", e: ~}\n");
    ASSERT_EQ(root.children.size(), 3U);
    EXPECT_EQ(root.find("a")->view(), "1");
    EXPECT_EQ(root.find("b")->key_place, (FilePlace{0, 2, 1}));
    ASSERT_EQ(root.find("b")->children.size(), 2U);
    EXPECT_FALSE(root.find("b")->children[0].quoted);
    EXPECT_TRUE(root.find("b")->children[1].quoted);
    EXPECT_EQ(root.find("b")->children[1].place, (FilePlace{0, 4, 5}));
    EXPECT_EQ(root.find("c")->find("d")->type, Node::Type::scalar);
    EXPECT_EQ(root.find("c")->find("e")->type, Node::Type::nothing);
    EXPECT_EQ(root.find("f"), nullptr);
}

TEST(Yaml, JsonIsYaml) {
    const Node root = good("{\"a\": {\"b\": [true, \"x\\u00e9\\/\"]}}");
    EXPECT_EQ(root.find("a")->find("b")->children[1].view(), "x\u00e9/");
}

TEST(Yaml, NothingIsNothing) {
    for (const char* text : {"", "   \n", "# only this\n", "---\n...\n", "~"}) {
        EXPECT_EQ(good(text).type, Node::Type::nothing) << text;
    }
}

TEST(Yaml, KeysThatAreThereTwiceAreBothThere) {
    const Node root = good("a: 1\na: 2\n");
    ASSERT_EQ(root.children.size(), 2U);
    EXPECT_EQ(root.children[1].view(), "2");
}

TEST(Yaml, AnAliasIsWhatItStandsFor) {
    const Node root = good("a: &x [1, 2]\nb: *x\n");
    ASSERT_EQ(root.find("b")->children.size(), 2U);
    EXPECT_EQ(root.find("b")->place, (FilePlace{0, 2, 4}));
}

TEST(Yaml, WhatIsNoPlainDataIsRefusedWithItsPlace) {
    EXPECT_EQ(bad("a: [1\n").place.line, 2U);
    EXPECT_EQ(bad("a: *b\n").place, (FilePlace{0, 1, 4}));
    bad("a: &a [*a]\n");  // would hold itself
    EXPECT_NE(bad("a: !!python/object:os.system x\n").what.find("tag"), std::string::npos);
    EXPECT_NE(bad("x: &x {a: 1}\ny:\n  <<: *x\n").what.find("merge key"), std::string::npos);
    EXPECT_NE(bad("a: 1\n---\nb: 2\n").what.find("second document"), std::string::npos);
    bad("? [a]\n: b\n");
    bad("\"\": b\n");
    bad("a: \x01\n");
    bad("a: \xff\xfe\n");
    bad("\tx: y\n");
}

TEST(Yaml, WhatGrowsWithoutEndIsCutOff) {
    EXPECT_NE(bad(std::string(200'000, '[')).what.find("too deep"), std::string::npos);
    std::string deep;
    for (std::size_t i = 0; i < 200; ++i) deep += std::string(i, ' ') + "a:\n";
    EXPECT_NE(bad(deep).what.find("too deep"), std::string::npos);
    std::string wide = "a: [";
    for (std::size_t i = 0; i < most_nodes; ++i) wide += "1,";
    EXPECT_NE(bad(wide + "]").what.find("more than"), std::string::npos);
    // Each level ten times the one before: 10^9 values out of a few lines.
    std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 9; ++i) {
        const std::string before = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
        for (int n = 0; n < 9; ++n) bomb += "," + before;
        bomb += "]\n";
    }
    EXPECT_NE(bad(bomb).what.find("more than"), std::string::npos);
    EXPECT_NE(bad(std::string(most_octets + 1, ' ')).what.find("1 MiB"), std::string::npos);
}

}  // namespace
}  // namespace qkd::inventory
