// The wire form: one text for a notice, limits, tags by an independent implementation, and what is never believed.
#include <gtest/gtest.h>

#include "qkd/sdk/net/notice.hpp"

namespace {

using namespace qkd;
using namespace std::chrono_literals;

const SecretBytes& secret() {
    static const SecretBytes bytes(std::string_view("0123456789abcdef0123456789abcdef"));
    return bytes;
}

KeyIdNotice example() {
    KeyIdNotice notice;
    notice.link = "mx1--mx2";
    notice.generation = 1795000000;
    notice.sequence = 2;
    notice.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f"};
    notice.issued = UtcSeconds{1795000060s};
    notice.start = UtcSeconds{1795000240s};
    notice.expires = UtcSeconds{1795000840s};
    notice.sender = "mx1";
    notice.kind = NoticeKind::offer;
    return notice;
}
constexpr std::string_view body =
    "QKD2;offer;mx1--mx2;1795000000;2;mx1;schedule;1795000060;1795000240;1795000840;"
    "2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f";

// The tags come from Python's hmac: base64.urlsafe_b64encode(hmac.new(secret, body, 'sha256').digest()).rstrip(b'=')
TEST(NoticeWire, TheTextAndItsTagAreWhatTheDocumentSays) {
    EXPECT_EQ(notice::seal(example(), {}).value(), std::string(body) + ";");
    EXPECT_EQ(notice::seal(example(), secret()).value(),
              std::string(body) + ";s4k3yrlQ2IL_IoAQ1nDg300WXEa5v_oY7nW4Or3etAk");
    const notice::Acknowledgement answer{"mx1--mx2", {1795000000, 2}, "mx2"};
    EXPECT_EQ(notice::seal(answer, secret()).value(),
              "QKA1;mx1--mx2;1795000000;2;mx2;y6XMhhQtprYGSEPd9cn9Qo4JlvV0B2g2f2uSf2tVlOs");
    EXPECT_EQ(notice::seal(answer, {}).value(), "QKA1;mx1--mx2;1795000000;2;mx2;");
}

TEST(NoticeWire, EverythingComesBack) {
    KeyIdNotice notice = example();
    using enum NoticeKind;
    for (const NoticeKind kind : {offer, armed, withdrawn, live, in_use}) {
        notice.kind = kind;
        notice.round = kind == armed ? KeyRound::fallback : kind == withdrawn ? KeyRound::first : KeyRound::schedule;
        notice.sequence = ~0ULL;
        notice.start = {};
        notice.key_ids.assign(64, std::string(100, 'a'));
        for (const SecretBytes* one : {&secret()}) {
            const auto text = notice::seal(notice, *one);
            ASSERT_TRUE(text) << text.error().what;
            const auto read = notice::open(*text, *one, "f");
            ASSERT_TRUE(read) << read.error().what;
            EXPECT_EQ(*read, notice);
        }
    }
    const notice::Acknowledgement answer{"l", {1, 2}, "d"};
    EXPECT_EQ(notice::open_acknowledgement(*notice::seal(answer, secret()), secret(), "f").value(), answer);
}

TEST(NoticeWire, OneOctetChangedIsAnotherTag) {
    const std::string good = *notice::seal(example(), secret());
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string text = good;
        text[i] = text[i] == '1' ? '2' : '1';
        if (text == good) continue;
        EXPECT_FALSE(notice::open(text, secret(), "f")) << text;
    }
    const SecretBytes other(std::string_view("another secret of the link"));
    EXPECT_EQ(notice::open(good, other, "f").error().code, ErrorCode::auth);
    EXPECT_EQ(notice::open(std::string(body) + ";", secret(), "f").error().code, ErrorCode::auth)
        << "the tag is missing";
    EXPECT_EQ(notice::open(good, {}, "f").error().code, ErrorCode::auth) << "this end was given no secret";
    EXPECT_EQ(notice::open(good.substr(0, good.size() - 1), secret(), "f").error().code, ErrorCode::auth);
}

// A notice must not pass for an acknowledgement, nor the other way round, whatever the names are.
TEST(NoticeWire, TheTwoDoNotPassForEachOther) {
    const std::string text = *notice::seal(example(), secret());
    EXPECT_EQ(notice::open_acknowledgement(text, secret(), "f").error().code, ErrorCode::protocol);
    const std::string answer = *notice::seal(notice::Acknowledgement{"l", {1, 2}, "d"}, secret());
    EXPECT_EQ(notice::open(answer, secret(), "f").error().code, ErrorCode::protocol);
}

TEST(NoticeWire, WhatMayNotTravelIsNotSent) {
    const auto refused = [](auto change) {
        KeyIdNotice notice = example();
        change(notice);
        const auto text = notice::seal(notice, secret());
        return !text && text.error().code == ErrorCode::rejected && text.error().retry == Retry::never;
    };
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.link = ""; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.link = "a;b"; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.link = std::string(129, 'a'); }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.sender = "two words"; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.sender = "\xc3\xbc"; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.generation = 0; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.key_ids.clear(); }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.key_ids = {"a,b"}; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.key_ids = {""}; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.key_ids.assign(65, "id"); }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.key_ids.assign(64, std::string(128, 'x')); }))
        << "longer than a text may be";
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.expires = UtcSeconds{-1s}; }));
    EXPECT_TRUE(refused([](KeyIdNotice& n) { n.start = UtcSeconds{253402300800s}; }));
    EXPECT_FALSE(refused([](KeyIdNotice&) {}));
    EXPECT_EQ(notice::seal(notice::Acknowledgement{"l", {1, 2}, ""}, {}).error().code, ErrorCode::rejected);
}

TEST(NoticeWire, NothingElseIsANotice) {
    const auto with = [](std::string_view from, std::string_view to) {
        std::string text = std::string(body) + ";";
        text.replace(text.find(from), from.size(), to);
        return text;
    };
    const std::string texts[] = {"",
                                 ";",
                                 "QKD2;",
                                 "QKD1" + std::string(body.substr(4)) + ";",
                                 std::string(body),
                                 std::string(body) + ";;",
                                 " " + std::string(body) + ";",
                                 std::string(body) + "\n;",
                                 with("offer", "Offer"),
                                 with("offer", ""),
                                 with("schedule", "schedules"),
                                 with("schedule", ""),
                                 with("1795000060", "-1"),
                                 with("mx1--mx2", "mx1 mx2"),
                                 with(";2;", ";02;"),
                                 with(";2;", ";+2;"),
                                 with(";2;", ";;"),
                                 with(";2;", ";18446744073709551616;"),
                                 with(";1795000000;", ";0;"),
                                 with("1795000840", "253402300800"),
                                 with("1795000840", "-1"),
                                 with("2d8a7c2e", "2d8a7c2e,,"),
                                 with("2d8a7c2e", "2d8a|7c2e"),
                                 with("2d8a7c2e", std::string(1, '\0')),
                                 std::string(body) + "," + std::string(9000, 'x') + ";"};
    for (const std::string& text : texts) {
        const auto read = notice::open(text, {}, "mx2:/f");
        ASSERT_FALSE(read) << text;
        EXPECT_TRUE(read.error().code == ErrorCode::protocol || read.error().code == ErrorCode::auth) << text;
        EXPECT_TRUE(read.error().what.starts_with("mx2:/f ")) << read.error().what;
        EXPECT_FALSE(read.error().hint.empty());
    }
}

TEST(NoticeJudgement, OnlyWhatIsWantedIsDelivered) {
    const KeyIdNotice notice = example();
    const UtcSeconds before{1795000839s};
    const auto judge = [&](const NoticeFilter& wanted, const std::string& link = "mx1--mx2") {
        return notice::judge(notice, link, wanted, "f");
    };
    EXPECT_TRUE(judge({{1795000000, 1}, "mx1", before}));
    EXPECT_TRUE(judge(1794999999));
    const auto is = [](const Result<void>& result, ErrorCode code, const char* word) {
        return !result && result.error().code == code && result.error().what.find(word) != std::string::npos;
    };
    EXPECT_TRUE(is(judge({{1795000000, 2}, "mx1", before}), ErrorCode::not_found, "old"));
    EXPECT_TRUE(is(judge(1795000000), ErrorCode::not_found, "old")) << "a generation stands for all of its notices";
    EXPECT_TRUE(is(judge({{0, 0}, "mx1", UtcSeconds{1795000840s}}), ErrorCode::not_found, "expired"));
    EXPECT_TRUE(is(judge({{0, 0}, "mx9", before}), ErrorCode::rejected, "mx9"));
    EXPECT_TRUE(is(judge({}, "other"), ErrorCode::rejected, "other"));
}

TEST(NoticeMarks, LaterGenerationsAreNewer) {
    EXPECT_LT(NoticeMark(7, 9), NoticeMark(8, 0));
    EXPECT_LT(NoticeMark(7, 8), NoticeMark(7, 9));
    EXPECT_LT(NoticeMark(7, 9), NoticeMark(7)) << "a generation alone stands behind all of it";
}

}  // namespace
