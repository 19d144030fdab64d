// Sealing: what was sealed opens again, and nothing else does.
#include <gtest/gtest.h>

#include "engine/secrets/seal.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

constexpr std::string_view purpose = "test";

SecretBytes key(char fill = 'k') {
    return SecretBytes(std::string_view(std::string(32, fill)));
}

TEST(Seal, OpensAgain) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{32}, std::size_t{100'000}}) {
        const SecretBytes plain(std::string_view(std::string(size, 'p')));
        const auto sealed = seal(key(), plain, purpose);
        ASSERT_TRUE(sealed);
        EXPECT_EQ(sealed->size(), size + 1 + 12 + 16);
        EXPECT_EQ(sealed->front(), 1);
        const auto opened = unseal(key(), *sealed, purpose);
        ASSERT_TRUE(opened) << opened.error().what;
        EXPECT_TRUE(opened->same_as(plain));
    }
}

TEST(Seal, NeverGivesTheSameTwice) {
    const SecretBytes plain(std::string_view("the same"));
    EXPECT_NE(*seal(key(), plain, purpose), *seal(key(), plain, purpose));
}

TEST(Seal, DoesNotOpenWhenAnyOctetIsChanged) {
    const auto sealed = *seal(key(), SecretBytes(std::string_view("secret")), purpose);
    for (std::size_t i = 0; i < sealed.size(); ++i) {
        auto changed = sealed;
        changed[i] ^= 1U;
        EXPECT_FALSE(unseal(key(), changed, purpose)) << "octet " << i;
    }
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        EXPECT_FALSE(unseal(key(), std::span(sealed).first(size), purpose)) << size << " octets";
    }
}

TEST(Seal, DoesNotOpenUnderAnotherKeyOrPurpose) {
    const auto sealed = *seal(key(), SecretBytes(std::string_view("secret")), purpose);
    EXPECT_FALSE(unseal(key('x'), sealed, purpose));
    EXPECT_FALSE(unseal(key(), sealed, "tests"));
    EXPECT_FALSE(unseal(SecretBytes(std::string_view("short")), sealed, purpose));
}

TEST(Seal, SaysThatALaterFormatIsUnknown) {
    auto sealed = *seal(key(), SecretBytes(std::string_view("secret")), purpose);
    sealed[0] = 2;
    EXPECT_EQ(unseal(key(), sealed, purpose).error().code, ErrorCode::unsupported);
}

TEST(Seal, OpensWhatWasSealedByAnotherProgram) {
    // Made with Python's cryptography: AESGCM(b"k" * 32).encrypt(bytes(12), b"hello", b"test\0\1"), behind 01 and the
    // nonce. Holds the stored format to what is documented.
    const auto sealed = hex_decode("01000000000000000000000000880b9cc5a8c650c5d0a674f84488a29c0b29f2ecba");
    ASSERT_TRUE(sealed);
    const auto opened = unseal(key(), sealed->reveal(), purpose);
    ASSERT_TRUE(opened) << opened.error().what;
    EXPECT_EQ(opened->reveal_text(), "hello");
}

TEST(SealKey, IsReadFromOctetsOrHex) {
    EXPECT_TRUE(parse_seal_key(key())->same_as(key()));
    const std::string hex(64, 'b');
    for (const std::string& text : {hex, hex + "\n", hex + "\r\n"}) {
        const auto parsed = parse_seal_key(SecretBytes(std::string_view(text)));
        ASSERT_TRUE(parsed) << text.size();
        EXPECT_EQ(parsed->size(), seal_key_octets);
        EXPECT_EQ(parsed->reveal()[0], 0xbb);
    }
    for (const std::string& wrong : {std::string(), std::string(31, 'b'), std::string(63, 'b'), std::string(64, 'z'),
                                     hex + "\n\n", std::string(128, 'b')}) {
        EXPECT_FALSE(parse_seal_key(SecretBytes(std::string_view(wrong)))) << wrong.size();
    }
}

TEST(SealKey, IsRandom) {
    const auto one = new_seal_key();
    const auto two = new_seal_key();
    ASSERT_TRUE(one && two);
    EXPECT_EQ(one->size(), seal_key_octets);
    EXPECT_FALSE(one->same_as(*two));
}

}  // namespace
}  // namespace qkd::engine
