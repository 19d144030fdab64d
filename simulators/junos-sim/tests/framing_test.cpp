// Framing: messages come out whole however the bytes arrive, and a peer that breaks the rules is noticed.
#include "framing.hpp"

#include <gtest/gtest.h>

using namespace qkd::junossim;

namespace {

std::vector<std::string> feed_bytewise(Deframer& deframer, const std::string& bytes) {
    std::vector<std::string> messages;
    for (const char c : bytes) {
        deframer.feed(std::string(1, c));
        while (auto m = deframer.next()) messages.push_back(*m);
    }
    return messages;
}

}  // namespace

TEST(Framing, MarkerSplitAnywhere) {
    Deframer deframer;
    EXPECT_EQ(feed_bytewise(deframer, "<a/>]]>]]>\n<b>]]></b>]]>]]>"),
              (std::vector<std::string>{"<a/>", "\n<b>]]></b>"}));
    EXPECT_FALSE(deframer.broken());
}

TEST(Framing, SeveralMessagesInOneRead) {
    Deframer deframer;
    deframer.feed("<a/>]]>]]><b/>]]>]]><c");
    EXPECT_EQ(deframer.next(), "<a/>");
    EXPECT_EQ(deframer.next(), "<b/>");
    EXPECT_FALSE(deframer.next());
}

TEST(Framing, ChunksSplitAnywhere) {
    Deframer deframer;
    deframer.use_chunks();
    EXPECT_EQ(feed_bytewise(deframer, "\n#3\n<a>\n#4\n</a>\n##\n\n#4\n<b/>\n##\n"),
              (std::vector<std::string>{"<a></a>", "<b/>"}));
    EXPECT_FALSE(deframer.broken());
}

TEST(Framing, ChunkMayHoldTheOldMarker) {
    Deframer deframer;
    deframer.use_chunks();
    deframer.feed(framed("<a>]]>]]></a>", true));
    EXPECT_EQ(deframer.next(), "<a>]]>]]></a>");
}

TEST(Framing, FramingChangesBetweenMessages) {
    Deframer deframer;
    deframer.feed("<hello/>]]>]]>\n\n#4\n<b/>\n##\n");
    EXPECT_EQ(deframer.next(), "<hello/>");
    deframer.use_chunks();
    EXPECT_EQ(deframer.next(), "<b/>");
}

TEST(Framing, BrokenChunksEndTheSession) {
    for (const char* bytes : {"<rpc/>]]>]]>", "\n#0\n", "\n#01\nx", "\n#-1\n", "\n#x\n", "\n##\n", "\n#99999999999\n",
                              "\n#123456789012345678", "\n#3\n<a>x"}) {
        Deframer deframer;
        deframer.use_chunks();
        deframer.feed(bytes);
        EXPECT_FALSE(deframer.next()) << bytes;
        EXPECT_TRUE(deframer.broken()) << bytes;
    }
}

TEST(Framing, EndlessMessageEndsTheSession) {
    Deframer deframer;
    deframer.feed(std::string(max_message + 1, 'x'));
    EXPECT_FALSE(deframer.next());
    EXPECT_TRUE(deframer.broken());
}
