// NETCONF framing: messages survive every way of being cut into pieces, and nonsense is refused.
#include "netconf_framing.hpp"

#include <gtest/gtest.h>

#include <random>

namespace qkd::junos {
namespace {

std::span<const std::uint8_t> bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// All messages of `stream`, fed in pieces of `piece` octets. "!" marks an error.
std::vector<std::string> messages(Framing framing, std::string_view stream, std::size_t piece,
                                  std::size_t limit = 1000) {
    FrameReader reader(limit);
    reader.use(framing);
    std::vector<std::string> out;
    while (!stream.empty()) {
        reader.feed(bytes(stream.substr(0, piece)));
        stream.remove_prefix(std::min(piece, stream.size()));
        for (;;) {
            auto next = reader.next();
            if (!next) {
                out.emplace_back("!");
                return out;
            }
            if (!*next) break;
            out.emplace_back((*next)->reveal_text());
        }
    }
    return out;
}

using Texts = std::vector<std::string>;

TEST(Framing, EndOfMessageSurvivesEveryCut) {
    const std::string stream = "<a/>]]>]]>\n<b>]]></b>]]>]]>\n  \n]]>]]><c/>]]>]]><d";
    for (std::size_t piece = 1; piece <= stream.size(); ++piece)
        EXPECT_EQ(messages(Framing::end_of_message, stream, piece), (Texts{"<a/>", "<b>]]></b>", "<c/>"})) << piece;
}

TEST(Framing, ChunksSurviveEveryCut) {
    // As after a hello: a line end too many; then two chunks, then one that holds what looks like the end.
    const std::string stream = "\n\n#3\nabc\n#10\n0123456789\n##\n\n#4\n\n##\n\n##\n\n#1\nx";
    for (std::size_t piece = 1; piece <= stream.size(); ++piece)
        EXPECT_EQ(messages(Framing::chunked, stream, piece), (Texts{"abc0123456789", "\n##\n"})) << piece;
}

TEST(Framing, RefusesWhatIsNoChunk) {
    for (const char* wrong : {"<rpc-reply/>", "\n#0\n", "\n#03\nabc", "\n#-1\n", "\n#x\n", "\n##\n", "\n#\n",
                              "\n#99999999999999\n", "\n#3\nabc<x", "\n#4294967295\n", "\n#3\nabc\n#12345678901234"}) {
        for (const std::size_t piece : {1U, 64U})
            EXPECT_EQ(messages(Framing::chunked, wrong, piece), Texts{"!"}) << wrong;
    }
}

TEST(Framing, RefusesWhatIsTooLarge) {
    EXPECT_EQ(messages(Framing::end_of_message, std::string(2000, 'x'), 100), Texts{"!"});
    EXPECT_EQ(messages(Framing::end_of_message, std::string(1001, 'x') + "]]>]]>", 4000), Texts{"!"});
    EXPECT_EQ(messages(Framing::end_of_message, std::string(1000, 'x') + "]]>]]>", 4000),
              Texts{std::string(1000, 'x')});
    EXPECT_EQ(messages(Framing::chunked, "\n#600\n" + std::string(600, 'x') + "\n#401\n", 100), Texts{"!"});
}

TEST(Framing, WhatIsFramedIsReadBack) {
    std::mt19937 random(4711);
    for (int round = 0; round < 200; ++round) {
        std::string text(1 + random() % 300, 'x');
        for (char& c : text) c = "]>#\n<a1"[random() % 7];
        const auto framed = frame(SecretBytes(std::string_view(text)), Framing::chunked);
        EXPECT_EQ(messages(Framing::chunked, framed.reveal_text(), 1 + random() % 40), Texts{text});
    }
    EXPECT_EQ(frame(SecretBytes(std::string_view("<x/>")), Framing::end_of_message).reveal_text(), "<x/>]]>]]>");
}

}  // namespace
}  // namespace qkd::junos
