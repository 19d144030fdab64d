// keyid-lldpd between two real lldpd in network namespaces: what one tells the other delivers, and nothing else.
#include <gtest/gtest.h>

#include <array>
#include <future>

#include "keyid-lldpd/tests/two_lldpd.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using namespace std::chrono_literals;
using Transport = support::PluginObject<KeyIdTransport>;

const TransportEnd r1{"r1", {"ll0"}, nullptr};
const TransportEnd r2{"r2", {"et-0/0/9"}, nullptr};
const std::array responders{r2};

KeyIdNotice notice(std::uint64_t generation, std::uint64_t sequence = 1, NoticeKind kind = NoticeKind::offer) {
    KeyIdNotice made;
    made.link = "ring";
    made.generation = generation;
    made.sequence = sequence;
    made.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-" + std::to_string(100000000000 + generation)};
    made.sender = "r1";
    made.kind = kind;
    return made;
}

/// One pair of daemons for all tests: they take half a second to meet. Every test has a link state of its own.
class KeyidLldpd : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (support::TwoLldpd::impossible().empty()) daemons = std::make_unique<support::TwoLldpd>();
    }
    static void TearDownTestSuite() { daemons.reset(); }
    void SetUp() override {
        if (!daemons) GTEST_SKIP() << support::TwoLldpd::impossible();
        one.emplace(qkd_plugin, values(0));
        other.emplace(qkd_plugin, values(1));
    }
    void TearDown() override {
        if (!daemons) return;
        for (const auto& retracted : {(*one)->retract(context, r1, "ring"), (*other)->retract(context, r2, "ring")})
            EXPECT_TRUE(retracted) << retracted.error().what;
    }
    static support::Values values(int end, const std::string& secret = "text:0123456789abcdef0123456789abcdef") {
        return {{"secret", secret}, {"socket", daemons->socket(end)}, {"ports", "r2 et-0/0/9=ll1"}};
    }
    Result<KeyIdNotice> receive(const NoticeFilter& wanted, std::chrono::milliseconds time = 20s) {
        support::TestContext waiting(time);
        return (*other)->receive(waiting, r2, "ring", wanted);
    }
    /// A frame takes its time: asks again and again until the refusal is `expected`, or time is up.
    Result<KeyIdNotice> ask_until(ErrorCode expected, const NoticeFilter& wanted) {
        const auto until = std::chrono::steady_clock::now() + 20s;
        for (;;) {
            auto received = receive(wanted, 200ms);
            const bool met = !received && received.error().code == expected;
            if (met || std::chrono::steady_clock::now() > until) return received;
        }
    }
    Result<std::vector<std::string>> answers(const KeyIdNotice& about, std::chrono::milliseconds time = 20s) {
        support::TestContext waiting(time);
        return (*one)->acknowledgements(waiting, r1, responders, about);
    }

    static inline std::unique_ptr<support::TwoLldpd> daemons;
    std::optional<Transport> one, other;
    support::TestContext context;
};

TEST_F(KeyidLldpd, ARotationCrossesTheWire) {
    NoticeMark last{0, 0};
    for (const auto& next :
         {notice(7), notice(7, 2, NoticeKind::armed), notice(8), notice(8, 2, NoticeKind::withdrawn)}) {
        ASSERT_TRUE((*one)->announce(context, r1, responders, next));
        const auto received = receive({last, "r1", {}});
        ASSERT_TRUE(received) << received.error().what;
        EXPECT_EQ(*received, next);
        last = received->mark();
        if (next == notice(7)) {
            EXPECT_TRUE(answers(next, 500ms).value().empty()) << "before it is given";
        }
        ASSERT_TRUE((*other)->acknowledge(context, r2, next));
        EXPECT_EQ(answers(next).value(), std::vector<std::string>{"r2"});
    }
    const auto nothing = receive({last, "r1", {}}, 500ms);
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().code, ErrorCode::not_found);
}

// The responder asks first and sleeps until lldpd wakes it.
TEST_F(KeyidLldpd, AWaitingResponderIsWoken) {
    auto waiting = std::async(std::launch::async, [&] { return receive({{0, 0}, "r1", {}}); });
    ASSERT_TRUE((*one)->announce(context, r1, responders, notice(9)));
    const auto received = waiting.get();
    ASSERT_TRUE(received) << received.error().what;
    EXPECT_EQ(*received, notice(9));
    auto asking = std::async(std::launch::async, [&] { return answers(notice(9)); });
    ASSERT_TRUE((*other)->acknowledge(context, r2, notice(9)));
    EXPECT_EQ(asking.get().value(), std::vector<std::string>{"r2"});
}

TEST_F(KeyidLldpd, RetractTakesItBack) {
    ASSERT_TRUE((*one)->announce(context, r1, responders, notice(7)));
    const auto received = receive({});
    ASSERT_TRUE(received) << received.error().what;
    ASSERT_TRUE((*one)->retract(context, r1, "other"));
    EXPECT_TRUE(receive({})) << "another link's retract";
    ASSERT_TRUE((*one)->retract(context, r1, "ring"));
    // The neighbour forgets it with the next frame, which comes at once.
    const auto gone = ask_until(ErrorCode::not_found, {});
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, ErrorCode::not_found) << gone.error().what;
}

TEST_F(KeyidLldpd, OthersAreNotBelieved) {
    const Transport stranger(qkd_plugin, values(0, "text:another secret of 29 octets"));
    ASSERT_TRUE(stranger->announce(context, r1, responders, notice(11)));
    const auto forged = ask_until(ErrorCode::auth, {{0, 0}, "r1", {}});
    ASSERT_FALSE(forged);
    EXPECT_EQ(forged.error().code, ErrorCode::auth) << forged.error().what;
    ASSERT_TRUE((*one)->announce(context, r1, responders, notice(12)));
    EXPECT_TRUE(receive({{0, 0}, "r1", {}})) << "the wait goes on until a good one comes";
    const auto foreign = receive({{0, 0}, "r9", {}});
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().code, ErrorCode::rejected);
}

TEST_F(KeyidLldpd, WhatDoesNotFitIsRefusedBeforeItIsCut) {
    KeyIdNotice large = notice(7);
    large.key_ids.assign(13, large.key_ids.front());
    const auto sent = (*one)->announce(context, r1, responders, large);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::rejected);
    large.key_ids.assign(11, large.key_ids.front());
    ASSERT_TRUE((*one)->announce(context, r1, responders, large));
    EXPECT_EQ(receive({}).value(), large);
}

TEST_F(KeyidLldpd, AStopEndsTheWait) {
    support::TestContext stopped(60s);
    auto waiting =
        std::async(std::launch::async, [&] { return (*other)->receive(stopped, r2, "ring", {NoticeMark(1000)}); });
    stopped.request_stop();
    const auto received = waiting.get();
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code, ErrorCode::cancelled);
}

TEST_F(KeyidLldpd, SaysWhatIsMissing) {
    const Transport nowhere(qkd_plugin, {{"socket", "/nowhere/lldpd.socket"}});
    EXPECT_EQ(nowhere->probe(context).error().code, ErrorCode::unreachable);
    EXPECT_TRUE((*one)->probe(context));
    const auto unknown = (*one)->announce(context, {"r1", {"eth77"}, nullptr}, responders, notice(7));
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, ErrorCode::config);
    EXPECT_NE(unknown.error().hint.find("ports"), std::string::npos);
}

}  // namespace
