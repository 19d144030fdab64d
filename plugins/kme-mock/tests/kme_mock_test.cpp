// The mock KME: both ends agree, nothing else is known, and faults come as scripted.
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "fault_script.hpp"
#include "qkd/sdk/encoding.hpp"
#include "qkd/sdk/key_source.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

using namespace std::chrono_literals;
using qkd::ErrorCode;
using qkd::Retry;
using qkd::mock::Call;
using qkd::mock::FaultScript;
using qkd::support::TestContext;

namespace {

using Source = qkd::support::PluginObject<qkd::KeySource>;

Source source(const qkd::support::Values& values = {}) {
    return {qkd_plugin, values};
}

TEST(KmeMock, BothEndsAgreeWithoutSharingAnything) {
    TestContext context;
    auto a = source();
    auto b = source();
    for (const unsigned bits : {128U, 256U, 1024U}) {
        const auto minted = a->mint(context, {"b", {"c"}, 2, bits});
        ASSERT_TRUE(minted) << minted.error().what;
        const auto fetched = b->fetch(context, {"a", {(*minted)[1].id, (*minted)[0].id}, bits});
        ASSERT_TRUE(fetched) << fetched.error().what;
        EXPECT_EQ((*fetched)[0].bytes.size() * 8, bits);
        EXPECT_TRUE((*fetched)[0].bytes.same_as((*minted)[1].bytes));
        EXPECT_TRUE((*fetched)[1].bytes.same_as((*minted)[0].bytes));
        EXPECT_FALSE((*minted)[0].bytes.same_as((*minted)[1].bytes));
        EXPECT_EQ((*minted)[0].id.size(), 36U);
        EXPECT_EQ((*minted)[0].id[14], '4');
    }
}

TEST(KmeMock, TheKeyIsTheHmacOfSeedAndId) {
    // So that tests elsewhere can tell which key belongs to an ID: printf %s ID | openssl dgst -sha256 -hmac lab
    TestContext context;
    auto a = source({{"seed", "lab"}});
    const auto minted = a->mint(context, {"b", {}, 1, 256});
    ASSERT_TRUE(minted);
    const std::string command = "printf %s " + minted->front().id + " | openssl dgst -sha256 -hmac lab -r";
    std::FILE* out = ::popen(command.c_str(), "r");  // NOLINT(cert-env33-c): a fixed program in a test
    ASSERT_NE(out, nullptr);
    char text[65] = {};
    EXPECT_EQ(std::fread(text, 1, 64, out), 64U);
    ::pclose(out);
    EXPECT_EQ(std::string(text), qkd::hex_encode(minted->front().bytes).reveal_text());
}

TEST(KmeMock, KnowsWhatItNeverMinted) {
    TestContext context;
    auto a = source();
    auto other = source({{"seed", "another"}});
    const auto minted = a->mint(context, {"b", {}, 1, 256});
    ASSERT_TRUE(minted);
    for (const std::string& id :
         {std::string("00000000-0000-4000-8000-000000000000"), std::string("x"), std::string()}) {
        const auto keys = a->fetch(context, {"b", {minted->front().id, id}, 256});
        ASSERT_FALSE(keys) << id;
        EXPECT_EQ(keys.error().code, ErrorCode::not_found);
    }
    const auto foreign = other->fetch(context, {"a", {minted->front().id}, 256});
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().code, ErrorCode::not_found);
}

TEST(KmeMock, OnceMeansOnceForEachResponder) {
    TestContext context;
    const qkd::support::Values once{{"once", "true"}};
    auto a = source(once);
    auto b = source(once);
    auto c = source(once);
    auto d = source(once);
    const auto minted = a->mint(context, {"b", {"c"}, 1, 256});
    ASSERT_TRUE(minted);
    const qkd::FetchRequest request{"a", {minted->front().id}, 256};
    EXPECT_TRUE(b->fetch(context, request));
    const auto again = b->fetch(context, request);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::not_found);
    EXPECT_TRUE(c->fetch(context, request)) << "the second responder still gets its copy";
    EXPECT_FALSE(d->fetch(context, request)) << "two were entitled";
    const auto elsewhere = source()->mint(context, {"b", {}, 1, 256});
    ASSERT_TRUE(elsewhere);
    EXPECT_FALSE(b->fetch(context, {"a", {elsewhere->front().id}, 256}))
        << "minted without `once`, so not in the books";
}

TEST(KmeMock, FailsAsScripted) {
    TestContext context;
    auto a = source({{"fail", "mint:exhausted:2, fetch:lost:1,status:auth"}});
    for (int i = 0; i < 2; ++i) {
        const auto keys = a->mint(context, {"b", {}, 1, 256});
        ASSERT_FALSE(keys);
        EXPECT_EQ(keys.error().code, ErrorCode::exhausted);
        EXPECT_EQ(keys.error().retry, Retry::safe);
    }
    const auto minted = a->mint(context, {"b", {}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    const auto lost = a->fetch(context, {"b", {minted->front().id}, 256});
    ASSERT_FALSE(lost);
    EXPECT_TRUE(lost.error().maybe_consumed);
    EXPECT_TRUE(a->fetch(context, {"b", {minted->front().id}, 256}));
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(a->status(context, "b")) << "without a number: always";
}

TEST(KmeMock, ALostAnswerUsesTheKeyUpWhenKeysComeOnce) {
    TestContext context;
    auto a = source({{"once", "true"}});
    auto b = source({{"once", "true"}, {"fail", "fetch:lost:1"}});
    const auto minted = a->mint(context, {"b", {}, 1, 256});
    ASSERT_TRUE(minted);
    EXPECT_FALSE(b->fetch(context, {"a", {minted->front().id}, 256}));
    const auto after = b->fetch(context, {"a", {minted->front().id}, 256});
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, ErrorCode::not_found);
}

TEST(KmeMock, ADelayEndsWithTheDeadlineOrTheInterruption) {
    auto a = source({{"fail", "mint:delay=20s,fetch:delay=30ms"}});
    TestContext brief(50ms);
    const auto late = a->mint(brief, {"b", {}, 1, 256});
    EXPECT_LT(std::chrono::steady_clock::now() - brief.deadline(), qkd::support::promptly);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::timeout);

    TestContext stopped;
    std::chrono::steady_clock::time_point at;
    std::thread stopper([&] {
        at = std::chrono::steady_clock::now();
        stopped.request_stop();
    });
    const auto cancelled = a->mint(stopped, {"b", {}, 1, 256});
    const auto returned = std::chrono::steady_clock::now();
    stopper.join();
    EXPECT_LT(returned - at, qkd::support::promptly);
    ASSERT_FALSE(cancelled);
    EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);

    TestContext patient;
    const auto begin = std::chrono::steady_clock::now();
    (void)a->fetch(patient, {"b", {"x"}, 256});
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
}

TEST(FaultScript, TakesTurnsAndAddsDelays) {
    auto script = FaultScript::parse("mint:timeout:1,mint:delay=2s:1,mint:not_found:1,mint:delay=100ms");
    ASSERT_TRUE(script) << script.error().what;
    const auto first = script->next(Call::mint);
    EXPECT_EQ(first.code, ErrorCode::timeout);
    EXPECT_EQ(first.delay, 2100ms);
    const auto second = script->next(Call::mint);
    EXPECT_EQ(second.code, ErrorCode::not_found);
    EXPECT_EQ(second.delay, 100ms);
    EXPECT_FALSE(script->next(Call::mint).code);
    EXPECT_FALSE(script->next(Call::fetch).code);
    EXPECT_EQ(script->next(Call::fetch).delay, 0ms);
}

TEST(FaultScript, RefusesWhatItDoesNotKnow) {
    for (const char* text : {"mint", "mint:", "mint:exhausted:", "mint:exhausted:0", "mint:exhausted:-1",
                             "mint:exhausted:1:2", "burn:exhausted", "mint:internal", "mint:delay=", "mint:delay=5",
                             "mint:delay=5m", "mint:delay=s", "mint:exhausted;fetch:lost", ",mint:lost"}) {
        const auto script = FaultScript::parse(text);
        ASSERT_FALSE(script) << text;
        EXPECT_EQ(script.error().code, ErrorCode::config);
    }
    EXPECT_TRUE(FaultScript::parse(""));
    EXPECT_THROW((void)source({{"fail", "nonsense"}}), std::runtime_error);
    EXPECT_THROW((void)source({{"seed", ""}}), std::runtime_error);
}

}  // namespace
