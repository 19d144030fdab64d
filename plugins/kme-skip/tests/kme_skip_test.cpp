// The plugin against scripted servers: what it sends, and what it makes of answers and refusals.
#include "kme_bench.hpp"

using namespace std::chrono_literals;
using namespace qkd::kme::testing;

namespace {

const std::string id_a = "1726e9aa76234fb18d4e7d9b6a3cd8f0";
const std::string id_b = "00112233445566778899aabbccddeeff";
const std::string hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const MintRequest mint_one{"sae-b", {}, 1, 256};
const FetchRequest fetch_one{"sae-b", {id_a}, 256};

Reply key(const std::string& id, const std::string& value = hex) {
    return answer(200, R"({"keyId":")" + id + R"(","key":")" + value + R"("})");
}

class Skip : public WithServers {};

TEST_F(Skip, AsksAsTheDraftSays) {
    auto server = serve([](const SeenRequest& request) {
        if (request.target == "/capabilities") {
            return answer(200, R"({"key":true,"localSystemID":"A","remoteSystemID":["kp-*"]})");
        }
        return key(id_a);
    });
    auto source = bench_.source(server.url() + "/", {{"remote_systems", "sae-b=kp b/1\n*=kp-x"}});
    const auto minted = source->mint(context_, mint_one);
    ASSERT_TRUE(minted) << minted.error().what;
    EXPECT_EQ(minted->front().id, id_a);
    const auto fetched = source->fetch(context_, {"sae-c", {id_a}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE(fetched->front().bytes.same_as(minted->front().bytes));
    const auto status = source->status(context_, "sae-c");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "A");
    EXPECT_EQ(status->target_kme, "kp-x");
    EXPECT_EQ(status->max_additional_saes, 0U);
    const auto seen = server.requests();
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0].method + seen[0].target, "GET/key?remoteSystemID=kp%20b%2F1&size=256");
    EXPECT_EQ(seen[1].method + seen[1].target, "GET/key/" + id_a + "?remoteSystemID=kp-x");
    EXPECT_EQ(seen[2].method + seen[2].target, "GET/capabilities");
    EXPECT_EQ(server.connections(), 1) << "the connection is kept";
    for (const auto& line : context_.lines()) {
        EXPECT_EQ(line.find("does not list"), std::string::npos) << line;
    }
}

TEST_F(Skip, SeveralKeysAreAskedForOneByOne) {
    int asked = 0;
    auto server = serve([&](const SeenRequest& request) {
        if (request.target.starts_with("/key/")) {
            const std::string id = request.target.substr(5, 32);
            return key(id, id == id_a ? hex : "ff" + hex.substr(2));
        }
        return ++asked == 1 ? key(id_a) : key(id_b, "ff" + hex.substr(2));
    });
    auto source = bench_.source(server.url());
    const auto minted = source->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    const auto fetched = source->fetch(context_, {"sae-b", {id_b, id_a}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_EQ((*fetched)[0].id, id_b);
    EXPECT_TRUE((*fetched)[1].bytes.same_as((*minted)[0].bytes));

    const auto equal = source->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_FALSE(equal) << "the same key twice";
    EXPECT_EQ(equal.error().code, ErrorCode::protocol);
}

TEST_F(Skip, NonsenseAndWhatSkipCannotDoIsNotSent) {
    auto server = serve(key(id_a));
    auto source = bench_.source(server.url());
    EXPECT_FALSE(source->mint(context_, {"", {}, 1, 256}));
    EXPECT_FALSE(source->mint(context_, {"sae-b", {}, 1, 7}));
    EXPECT_FALSE(source->fetch(context_, {"sae-b", {}, 256}));
    EXPECT_FALSE(source->fetch(context_, {"sae-b", {"a b"}, 256}));
    EXPECT_FALSE(source->status(context_, ""));
    const auto third = source->mint(context_, {"sae-b", {"sae-c"}, 1, 256});
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, ErrorCode::rejected);
    EXPECT_NE(third.error().what.find("this link has 3"), std::string::npos) << third.error().what;
    EXPECT_TRUE(server.requests().empty());
}

TEST_F(Skip, MintIsRefusedForNowOrForGood) {
    for (const Refused& row : {
             Refused{"400", answer(400, ""), ErrorCode::rejected, Retry::safe, false},
             {"401", answer(401, ""), ErrorCode::auth, Retry::never, false},
             {"404", answer(404, "no such path", "Content-Type: text/plain\r\n"), ErrorCode::rejected, Retry::safe,
              false},
             {"405", answer(405, ""), ErrorCode::protocol, Retry::never, false},
             {"500", answer(500, ""), ErrorCode::unreachable, Retry::safe, true},
             {"503", answer(503, "", "Retry-After: 9\r\n"), ErrorCode::exhausted, Retry::safe, false},
             {"redirect", answer(302, "", "Location: /x\r\n"), ErrorCode::protocol, Retry::never, false},
             {"a short key", key(id_a, hex.substr(32)), ErrorCode::protocol, Retry::never, true},
             {"lost", {.bytes = "", .close = true}, ErrorCode::unreachable, Retry::safe, true},
             {"huge", answer(200, std::string(std::size_t{2} << 20U, ' ')), ErrorCode::protocol, Retry::never, true},
         }) {
        auto server = serve(row.reply);
        expect_refused(row, bench_.source(server.url())->mint(context_, mint_one));
        EXPECT_EQ(server.requests().size(), 1U) << row.name;
    }
}

TEST_F(Skip, FetchFindsNoKeyAndIsNeverRepeated) {
    for (const Refused& row : {
             Refused{"400", answer(400, ""), ErrorCode::not_found, Retry::safe, false},
             {"401", answer(401, ""), ErrorCode::not_found, Retry::safe, false},
             {"404", answer(404, ""), ErrorCode::not_found, Retry::safe, false},
             {"500", answer(500, ""), ErrorCode::not_found, Retry::safe, true},
             {"503", answer(503, ""), ErrorCode::unreachable, Retry::safe, false},
             {"another key", key(id_b), ErrorCode::protocol, Retry::never, true},
             {"lost", {.bytes = "", .close = true}, ErrorCode::unreachable, Retry::never, true},
         }) {
        auto server = serve(row.reply);
        expect_refused(row, bench_.source(server.url())->fetch(context_, fetch_one));
        EXPECT_EQ(server.requests().size(), 1U) << row.name;
    }
}

TEST_F(Skip, KeysThatCameBeforeAFailureAreUsedUp) {
    int asked = 0;
    auto server = serve([&](const SeenRequest&) { return ++asked == 1 ? key(id_a) : answer(400, ""); });
    const auto fetched = bench_.source(server.url())->fetch(context_, {"sae-b", {id_a, id_b}, 256});
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, ErrorCode::not_found);
    EXPECT_EQ(fetched.error().retry, Retry::never);
    EXPECT_TRUE(fetched.error().maybe_consumed);
}

TEST_F(Skip, ProbeAsksForNoKeyAndTakesTheProviderAtItsWord) {
    struct Row {
        const char* capabilities;
        Reply entropy;
        bool good;
        std::size_t requests;
    };
    for (const Row& row : {
             Row{R"({"key":true,"entropy":true})", answer(200, R"({"randomStr":")" + hex + "\"}"), true, 2},
             {R"({"key":true,"entropy":true})", answer(503, ""), true, 2},
             {R"({"key":true,"entropy":true})", answer(200, R"({"randomStr":"00"})"), false, 2},
             {R"({"key":true,"entropy":true})", answer(400, ""), false, 2},
             {R"({"key":true,"entropy":false})", answer(500, ""), true, 1},
             {R"({"key":false})", answer(500, ""), false, 1},
             {"<html>", answer(500, ""), false, 1},
         }) {
        auto server = serve([&](const SeenRequest& request) {
            return request.target == "/capabilities" ? answer(200, row.capabilities) : row.entropy;
        });
        const auto probed = bench_.source(server.url())->probe(context_);
        EXPECT_EQ(probed.ok(), row.good) << row.capabilities << (probed ? "" : probed.error().what);
        EXPECT_EQ(server.requests().size(), row.requests);
        for (const auto& seen : server.requests()) EXPECT_FALSE(seen.target.starts_with("/key")) << seen.target;
    }
}

TEST_F(Skip, CapabilitiesRefuseNothing) {
    auto server = serve([](const SeenRequest& request) {
        return request.target == "/capabilities" ? answer(200, R"({"key":false,"remoteSystemID":["other"]})")
                                                 : key(id_a);
    });
    auto source = bench_.source(server.url());
    EXPECT_TRUE(source->status(context_, "sae-b"));
    EXPECT_TRUE(source->mint(context_, mint_one));
    bool told = false;
    for (const auto& line : context_.lines()) told = told || line.find("gives no keys") != std::string::npos;
    EXPECT_TRUE(told);
}

TEST_F(Skip, AnotherAddressIsTriedOnlyWhenNothingWasDelivered) {
    auto good = serve(key(id_a));
    auto lost = serve(Reply{.bytes = "", .close = true});
    auto source = bench_.source("https://127.0.0.1:1", {{"standby_urls", good.url()}});
    EXPECT_TRUE(source->fetch(context_, fetch_one));
    auto careful = bench_.source(lost.url(), {{"standby_urls", good.url()}});
    EXPECT_FALSE(careful->fetch(context_, fetch_one));
    EXPECT_EQ(good.requests().size(), 1U);
}

TEST_F(Skip, SpeaksTlsAsItIsTold) {
    obeys_tls_settings(fetch_one, key(id_a));
}

TEST_F(Skip, RefusesSettingsThatCannotBe) {
    for (const char* bad : {"sae-b", "=x", "sae-b=", "a=x\na=y"}) {
        EXPECT_THROW((void)bench_.source("https://kp", {{"remote_systems", bad}}), std::runtime_error) << bad;
    }
    EXPECT_THROW((void)bench_.source("https://kp?x=1"), std::runtime_error);
}

}  // namespace
