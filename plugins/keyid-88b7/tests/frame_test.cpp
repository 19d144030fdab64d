// keyid-88b7: the frame is what the README says, octet by octet, and nothing else is a frame.
#include "frame.hpp"

#include <gtest/gtest.h>

#include <random>

#include "qkd/sdk/net/notice.hpp"

namespace {

using namespace qkd;
using namespace qkd::keyid_88b7;

const SecretBytes& secret() {
    static const SecretBytes bytes(std::string_view("0123456789abcdef0123456789abcdef"));
    return bytes;
}

Frame example() {
    return {FrameType::notice, 0x0102, {0x1112131415161718, 0x2122232425262728}, "QKD2;offer;ring;1;2;r1;0;0;id;"};
}

std::string hex(std::span<const std::uint8_t> octets) {
    std::string text;
    for (const std::uint8_t octet : octets) {
        text += "0123456789abcdef"[octet >> 4U];
        text += "0123456789abcdef"[octet & 15U];
    }
    return text;
}

// The tag comes from Python: hmac.new(secret, b"qkd-macsec 88b7 1\0" + body, "sha256").hexdigest()
TEST(Frame, IsWhatTheReadmeSays) {
    const auto payload = encode(example(), secret());
    ASSERT_TRUE(payload);
    EXPECT_EQ(hex(*payload),
              "02514b0001"
              "01"
              "01"
              "0102"
              "1112131415161718"
              "2122232425262728"
              "0021"
              "01001e"
              "514b44323b6f666665723b72696e673b313b323b72313b303b303b69643b"
              "ee164e16344c0c739b466a7aeef9755bd6ed3ba913d8e3de83146f4f1109a96a");
    Frame frame;
    std::string_view link;
    EXPECT_EQ(decode(*payload, secret(), frame, link), Flaw::none);
    EXPECT_EQ(frame, example());
    EXPECT_EQ(link, "ring");
}

TEST(Frame, PaddingIsIgnoredAndNothingElse) {
    auto payload = encode(example(), secret()).value();
    const auto whole = payload;
    Frame frame;
    std::string_view link;
    payload.resize(payload.size() + 20);
    EXPECT_EQ(decode(payload, secret(), frame, link), Flaw::none);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_NE(decode(std::span(whole).first(size), secret(), frame, link), Flaw::none) << size;
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
        auto changed = whole;
        changed[i] ^= 1;
        EXPECT_NE(decode(changed, secret(), frame, link), Flaw::none) << "octet " << i;
    }
    const SecretBytes other(std::string_view("another secret of that link"));
    EXPECT_EQ(decode(whole, other, frame, link), Flaw::wrong_tag);
    EXPECT_EQ(link, "ring") << "the link is known even if the tag is not ours";
}

TEST(Frame, TooLargeIsRefusedWithTheFigures) {
    Frame frame = example();
    frame.text = std::string(1500 - 62, 'x');
    EXPECT_TRUE(encode(frame, secret()));
    EXPECT_TRUE(fits(frame, 1500));
    EXPECT_FALSE(fits(frame, 1468)) << "inside MACsec";
    frame.text += 'x';
    const auto refused = encode(frame, secret());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::rejected);
    EXPECT_NE(refused.error().what.find("1501"), std::string::npos) << refused.error().what;
}

// Whatever is on the wire: decode reads within bounds and believes nothing. Run under the sanitizers too.
TEST(Frame, RubbishIsNoFrame) {
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same run every time
    const auto whole = encode(example(), secret()).value();
    Frame frame;
    std::string_view link;
    for (int round = 0; round < 20000; ++round) {
        auto payload = whole;
        for (auto edits = random() % 6 + 1; edits > 0; --edits) {
            const std::size_t at = random() % payload.size();
            switch (random() % 3) {
                case 0: payload[at] = static_cast<std::uint8_t>(random()); break;
                case 1: payload.resize(at + 1); break;
                default: payload.insert(payload.begin() + static_cast<std::ptrdiff_t>(at), random() % 40, 0xff); break;
            }
        }
        const bool intact = payload.size() >= whole.size() && std::equal(whole.begin(), whole.end(), payload.begin());
        EXPECT_EQ(decode(payload, secret(), frame, link) == Flaw::none, intact) << hex(payload);
    }
}

}  // namespace
