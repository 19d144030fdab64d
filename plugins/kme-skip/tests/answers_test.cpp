// Answers of SKIP key providers, good and bad, without a network.
#include "answers.hpp"

#include <gtest/gtest.h>

using qkd::ErrorCode;
using qkd::SecretBytes;
using qkd::skip::check_entropy;
using qkd::skip::is_listed;
using qkd::skip::read_capabilities;
using qkd::skip::read_key;

namespace {

const std::string id = "1726e9aa76234fb18d4e7d9b6a3cd8f0";
const std::string hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

SecretBytes body(const std::string& text) {
    return SecretBytes(std::string_view(text));
}
SecretBytes key(const std::string& key_id, const std::string& value) {
    return body(R"({"keyId":")" + key_id + R"(","key":")" + value + R"("})");
}

TEST(SkipKey, IsReadFromHexInEitherCase) {
    const auto read = read_key(key(id, hex), 256);
    ASSERT_TRUE(read) << read.error().what;
    EXPECT_EQ(read->id, id);
    EXPECT_EQ(read->bytes.reveal()[31], 0x1f);
    EXPECT_TRUE(read_key(key("1726E9AA76234FB18D4E7D9B6A3CD8F0", "FF" + hex.substr(2)), 256));
    EXPECT_TRUE(read_key(body(R"({"keyID":"a","key":")" + hex + R"(","more":[{}]})"), 256)) << "another spelling";
    const auto wanted = read_key(key("1726E9AA76234FB18D4E7D9B6A3CD8F0", hex), 256, id);
    ASSERT_TRUE(wanted) << wanted.error().what;
    EXPECT_EQ(wanted->id, id) << "the caller knows the key by the spelling it asked with";
}

TEST(SkipKey, EverythingElseIsRefusedAndShowsNoKey) {
    for (const SecretBytes& bad :
         {body(""), body("[]"), body("<html>"), body("{}"), body(R"({"keyId":"a"})"), body(R"({"key":")" + hex + "\"}"),
          body(R"({"keyId":7,"key":")" + hex + "\"}"), body(R"({"keyId":"a","key":null})"), key("", hex),
          key("a b", hex), key(std::string(300, 'a'), hex), key(id, ""), key(id, hex.substr(2)), key(id, hex + "00"),
          key(id, hex.substr(1)), key(id, "zz" + hex.substr(2)), key(id, std::string(64, '0')),
          key(id, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")}) {
        const auto read = read_key(bad, 256);
        ASSERT_FALSE(read) << bad.reveal_text();
        EXPECT_EQ(read.error().code, ErrorCode::protocol);
        EXPECT_TRUE(read.error().maybe_consumed);
        EXPECT_EQ(read.error().what.find("0001020304"), std::string::npos) << read.error().what;
    }
    const auto other = read_key(key(id, hex), 256, "00000000000000000000000000000000");
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, ErrorCode::protocol);
}

TEST(SkipCapabilities, AreTakenAsFarAsTheyAreThere) {
    const auto told = read_capabilities(body(
        R"({"entropy":true,"key":false,"algorithm":"x","localSystemID":"Alice","remoteSystemID":["Bob",7,"C*"]})"));
    ASSERT_TRUE(told) << told.error().what;
    EXPECT_TRUE(told->entropy);
    EXPECT_FALSE(told->key);
    EXPECT_EQ(told->algorithm, "x");
    EXPECT_EQ(told->local_system, "Alice");
    EXPECT_EQ(told->remote_systems, (std::vector<std::string>{"Bob", "C*"}));
    const auto bare = read_capabilities(body(R"({"key":"yes","remoteSystemID":"Bob"})"));
    ASSERT_TRUE(bare);
    EXPECT_TRUE(bare->key) << "who says nothing clear is asked for keys";
    EXPECT_TRUE(bare->remote_systems.empty());
    for (const char* bad : {"", "[]", "null", "<html>"}) {
        const auto none = read_capabilities(body(bad));
        ASSERT_FALSE(none) << bad;
        EXPECT_FALSE(none.error().maybe_consumed);
    }
}

TEST(SkipCapabilities, SystemsMayBePatterns) {
    const std::vector<std::string> patterns{"Bob", "mx-*", "r?", "[ab]-1", "[!x]-2"};
    for (const char* known : {"Bob", "mx-", "mx-11", "r1", "a-1", "y-2"})
        EXPECT_TRUE(is_listed(patterns, known)) << known;
    for (const char* unknown : {"", "bob", "r10", "c-1", "x-2", "mx"}) {
        EXPECT_FALSE(is_listed(patterns, unknown)) << unknown;
    }
}

TEST(SkipEntropy, IsHexAndLongEnough) {
    EXPECT_TRUE(check_entropy(body(R"({"randomStr":"000102030405060708090a0b0c0d0e0f","minentropy":128})"), 128));
    for (const char* bad : {"", "{}", R"({"randomStr":7})", R"({"randomStr":""})", R"({"randomStr":"00ff"})",
                            R"({"randomStr":"00000000000000000000000000000000"})",
                            R"({"randomStr":"g00102030405060708090a0b0c0d0e0f"})"}) {
        EXPECT_FALSE(check_entropy(body(bad), 128)) << bad;
    }
}

}  // namespace
