// The plugin against scripted servers: what it sends, and what it makes of each way in which KMEs are known to differ.
#include <nlohmann/json.hpp>

#include "kme_bench.hpp"

using namespace std::chrono_literals;
using namespace qkd::kme::testing;

namespace {

const std::string id_a = "bc490419-7d60-487f-adc1-4ddcc177c139";
const std::string id_b = "0A782FB5-3434-48fe-aa4d-14f41d46cf92";
const std::string key_a = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const std::string key_b = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const std::string entry_a = R"({"key_ID":")" + id_a + R"(","key":")" + key_a + R"("})";
const std::string entry_b = R"({"key_ID":")" + id_b + R"(","key":")" + key_b + R"("})";
const std::string one_key = R"({"keys":[)" + entry_a + "]}";
const std::string two_keys = R"({"keys":[)" + entry_b + "," + entry_a + "]}";

const MintRequest mint_one{"sae-b", {}, 1, 256};
const FetchRequest fetch_one{"sae-b", {id_a}, 256};

class Etsi014 : public WithServers {
  protected:
    Etsi014() { bench_.quiet = {{"low_stock", "0"}}; }  // so that the requests are those of the call alone
};

TEST_F(Etsi014, OneKeyGoesByGetWithNumberAndSize) {
    auto server = serve(answer(200, one_key));
    auto source = bench_.source(server.url() + "/");
    const auto minted = source->mint(context_, {"CN=sae b/1", {}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    ASSERT_EQ(minted->size(), 1U);
    EXPECT_EQ(minted->front().id, id_a);
    EXPECT_EQ(minted->front().bytes.reveal()[31], 0x1f);
    const auto fetched = source->fetch(context_, fetch_one);
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE(fetched->front().bytes.same_as(minted->front().bytes));
    ASSERT_TRUE(source->status(context_, "sae-b"));
    const auto seen = server.requests();
    EXPECT_EQ(seen[0].method + seen[0].target, "GET/api/v1/keys/CN%3Dsae%20b%2F1/enc_keys?number=1&size=256");
    EXPECT_EQ(seen[1].method + seen[1].target, "GET/api/v1/keys/sae-b/dec_keys?key_ID=" + id_a);
    EXPECT_EQ(seen[2].method + seen[2].target, "GET/api/v1/keys/sae-b/status");
    EXPECT_EQ(server.connections(), 1) << "the connection is kept";
}

TEST_F(Etsi014, MoreThanGetCanSayGoesByPost) {
    auto server = serve(answer(200, two_keys));
    auto source = bench_.source(server.url());
    ASSERT_TRUE(source->mint(context_, {"sae-b", {"sae-c", "sae-\"d"}, 2, 256}));
    const auto fetched = source->fetch(context_, {"sae-b", {id_a, id_b}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_EQ((*fetched)[0].id, id_a) << "the order asked for, not the server's";
    EXPECT_EQ((*fetched)[0].bytes.reveal()[0], 0);
    EXPECT_EQ((*fetched)[1].bytes.reveal()[0], 0x20);
    auto seen = server.requests();
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0].target, "/api/v1/keys/sae-b/status") << "how many keys go into one request, asked once";
    seen.erase(seen.begin());
    EXPECT_EQ(seen[0].method + seen[0].target, "POST/api/v1/keys/sae-b/enc_keys");
    EXPECT_EQ(nlohmann::json::parse(seen[0].body),
              nlohmann::json::parse(R"({"number":2,"size":256,"additional_slave_SAE_IDs":["sae-c","sae-\"d"]})"));
    EXPECT_NE(seen[0].head.find("Content-Type: application/json\r\n"), std::string::npos);
    EXPECT_EQ(seen[1].method + seen[1].target, "POST/api/v1/keys/sae-b/dec_keys");
    EXPECT_EQ(nlohmann::json::parse(seen[1].body),
              nlohmann::json::parse(R"({"key_IDs":[{"key_ID":")" + id_a + R"("},{"key_ID":")" + id_b + R"("}]})"));
}

TEST_F(Etsi014, TheFormCanBeChosen) {
    auto server = serve(answer(200, one_key));
    auto post = bench_.source(server.url(), {{"request_form", "post"}});
    ASSERT_TRUE(post->mint(context_, mint_one));
    ASSERT_TRUE(post->fetch(context_, fetch_one));
    for (const auto& seen : server.requests()) EXPECT_EQ(seen.method, "POST");
    EXPECT_EQ(nlohmann::json::parse(server.requests()[0].body), nlohmann::json::parse(R"({"number":1,"size":256})"));

    auto get = bench_.source(server.url(), {{"request_form", "get"}});
    EXPECT_FALSE(get->mint(context_, {"sae-b", {"sae-c"}, 1, 256}));
    EXPECT_EQ(server.requests().size(), 2U) << "what GET cannot say is not sent";
    (void)get->mint(context_, {"sae-b", {}, 3, 256});
    EXPECT_EQ(server.requests().back().target, "/api/v1/keys/sae-b/enc_keys?number=3&size=256");
}

TEST_F(Etsi014, NonsenseIsNotSent) {
    auto server = serve(answer(200, one_key));
    auto source = bench_.source(server.url());
    EXPECT_FALSE(source->mint(context_, {"", {}, 1, 256}));
    EXPECT_FALSE(source->mint(context_, {"sae-b", {}, 0, 256}));
    EXPECT_FALSE(source->mint(context_, {"sae-b", {}, 1, 0}));
    EXPECT_FALSE(source->mint(context_, {"sae-b", {}, 1, 7}));
    EXPECT_FALSE(source->fetch(context_, {"sae-b", {}, 256}));
    EXPECT_FALSE(source->fetch(context_, {"sae-b", {""}, 256}));
    EXPECT_FALSE(source->fetch(context_, {"sae-b", {id_a, id_a}, 256}));
    EXPECT_FALSE(source->fetch(context_, {"", {id_a}, 256}));
    EXPECT_FALSE(source->status(context_, ""));
    EXPECT_TRUE(server.requests().empty());
}

const std::string html = "Content-Type: text/html\r\n";
const std::string problem = R"({"message":"Something","details":[{"key_ID":"x"}]})";

TEST_F(Etsi014, MintIsRefusedForNowOrForGood) {
    const Refused rows[] = {
        {"pool empty, as most say it", answer(400, R"({"message":"Not enough key material available"})"),
         ErrorCode::exhausted, Retry::safe, false, "Not enough key material available"},
        {"pool empty, as the standard comes nearest", answer(503, problem, "Retry-After: 30\r\n"), ErrorCode::exhausted,
         Retry::safe, false, "Something"},
        {"rate limit", answer(429, ""), ErrorCode::exhausted, Retry::safe, false, "429"},
        {"not our SAE, without a body", answer(401, ""), ErrorCode::auth, Retry::never, false, "401"},
        {"not our SAE", answer(403, problem), ErrorCode::auth, Retry::never, false, "Something"},
        {"a proxy that wants a certificate",
         answer(400, "<html><title>400 No required SSL certificate was sent</title></html>", html), ErrorCode::auth,
         Retry::never, false, "HTML"},
        {"peer unknown, or pool empty", answer(404, R"({"message":"Element not found"})"), ErrorCode::rejected,
         Retry::safe, false, "Element not found"},
        {"peer KME out of step", answer(409, problem), ErrorCode::rejected, Retry::safe, false, "Something"},
        {"validation", answer(422, R"({"message":"Validation error","details":[{"loc":["query"]}]})"),
         ErrorCode::protocol, Retry::never, false, "Validation error"},
        {"method", answer(405, "", html), ErrorCode::protocol, Retry::never, false, "405"},
        {"redirect", answer(307, "", "Location: https://127.0.0.1:1/\r\n"), ErrorCode::protocol, Retry::never, false,
         "307"},
        {"created", answer(201, one_key), ErrorCode::protocol, Retry::never, false, "201"},
        {"crash", answer(500, "Internal Server Error", "Content-Type: text/plain\r\n"), ErrorCode::unreachable,
         Retry::safe, true, "Internal Server Error"},
        {"peer KME gone", answer(504, problem), ErrorCode::unreachable, Retry::safe, true, "504"},
        {"other errors", answer(400, R"({"title":"Bad","description":"why"})"), ErrorCode::exhausted, Retry::safe,
         false, "Bad; why"},
        {"no key", answer(200, R"({"keys":null})"), ErrorCode::exhausted, Retry::safe, false, "without any key"},
        {"a wrong size", answer(200, R"({"keys":[{"key_ID":"a","key":"AAECAw=="}]})"), ErrorCode::protocol,
         Retry::never, true, "32 bits instead of 256"},
        {"too many", answer(200, two_keys), ErrorCode::protocol, Retry::never, true, "more keys"},
        {"a page", answer(200, "<html>", html), ErrorCode::protocol, Retry::never, true, "JSON"},
        {"lost", {.bytes = "", .close = true}, ErrorCode::unreachable, Retry::safe, true, "enc_keys"},
        {"half",
         {.bytes = answer(200, one_key).bytes.substr(0, 150), .close = true},
         ErrorCode::unreachable,
         Retry::safe,
         true,
         "enc_keys"},
        {"huge", answer(200, std::string(std::size_t{2} << 20U, ' ')), ErrorCode::protocol, Retry::never, true,
         "larger"},
    };
    for (const Refused& row : rows) {
        auto server = serve([&](const SeenRequest& request) {
            return request.target.ends_with("/status") ? answer(200, R"({"max_SAE_ID_count":0})") : row.reply;
        });
        const auto keys = bench_.source(server.url())->mint(context_, mint_one);
        expect_refused(row, keys);
        ASSERT_FALSE(keys);
        EXPECT_NE(keys.error().what.find(server.url()), std::string::npos) << keys.error().what;
        const bool waits = row.reply.bytes.find("Retry-After") != std::string::npos;
        EXPECT_EQ(keys.error().retry_after, waits ? 30s : 0s) << row.name;
    }
}

TEST_F(Etsi014, FetchFindsNoKeyWhateverTheStatusAndNeverBlamesTheCertificate) {
    const Refused rows[] = {
        {"as the standard says", answer(400, R"({"message":"one or more keys specified are not found on KME"})"),
         ErrorCode::not_found, Retry::safe, false, "not found on KME"},
        {"not ours, or fetched before", answer(401, ""), ErrorCode::not_found, Retry::safe, false, "401"},
        {"expired", answer(403, R"({"message":"Key expired"})"), ErrorCode::not_found, Retry::safe, false,
         "Key expired"},
        {"consumed", answer(404, R"({"message":"Key not found","details":[{"key_ID":"x"}]})"), ErrorCode::not_found,
         Retry::safe, false, "Key not found"},
        {"plain text", answer(404, "unknown SAE", "Content-Type: text/plain\r\n"), ErrorCode::not_found, Retry::safe,
         false, "unknown SAE"},
        {"crash", answer(500, ""), ErrorCode::not_found, Retry::safe, true, "500"},
        {"trouble", answer(503, problem, "Retry-After: 30\r\n"), ErrorCode::unreachable, Retry::safe, false, "503"},
        {"no key", answer(200, R"({"keys":[]})"), ErrorCode::not_found, Retry::safe, false, "without any key"},
        {"null", answer(200, R"({"keys":null})"), ErrorCode::not_found, Retry::safe, false, "without any key"},
        {"validation", answer(422, problem), ErrorCode::protocol, Retry::never, false, "422"},
        {"another key", answer(200, R"({"keys":[)" + entry_b + "]}"), ErrorCode::protocol, Retry::never, true,
         "another key"},
        {"a wrong size", answer(200, R"({"keys":[{"key_ID":")" + id_a + R"(","key":"AAECAw=="}]})"),
         ErrorCode::protocol, Retry::never, true, "32 bits"},
        {"an empty key", answer(200, R"({"keys":[{"key_ID":")" + id_a + R"(","key":""}]})"), ErrorCode::protocol,
         Retry::never, true, "0 bits"},
        {"lost", {.bytes = "", .close = true}, ErrorCode::unreachable, Retry::never, true, "dec_keys"},
        {"half",
         {.bytes = answer(200, one_key).bytes.substr(0, 150), .close = true},
         ErrorCode::unreachable,
         Retry::never,
         true,
         "dec_keys"},
    };
    for (const Refused& row : rows) {
        auto server = serve(row.reply);
        expect_refused(row, bench_.source(server.url())->fetch(context_, fetch_one));
        EXPECT_EQ(server.requests().size(), 1U) << row.name << ": a fetch is never repeated";
    }
}

TEST_F(Etsi014, ARefusalThatTheLimitsExplainNamesLimitAndRemedy) {
    struct Row {
        const char* status;
        MintRequest request;
        const char* says;  ///< null: not explained
    };
    const Row rows[] = {
        {R"({"max_SAE_ID_count":1})",
         {"sae-b", {"sae-c", "sae-d"}, 1, 256},
         "allows 1 additional SAEs, this link has 2"},
        {R"({"max_SAE_ID_count":0})", {"sae-b", {"sae-c"}, 1, 256}, "allows 0 additional SAEs, this link has 1"},
        {R"({"min_key_size":64,"max_key_size":128})", {"sae-b", {}, 1, 256}, "64 to 128 bits"},
        {R"({"min_key_size":512,"max_key_size":128})", {"sae-b", {}, 1, 256}, nullptr},
        {R"({"min_key_size":0,"max_key_size":0,"max_key_per_request":0})", {"sae-b", {}, 1, 256}, nullptr},
        {"<html>", {"sae-b", {"sae-c"}, 1, 256}, nullptr},
    };
    for (const Row& row : rows) {
        auto server = serve([&](const SeenRequest& request) {
            return request.target.ends_with("/status") ? answer(200, row.status)
                                                       : answer(400, R"({"message":"refused"})");
        });
        auto source = bench_.source(server.url());
        const auto keys = source->mint(context_, row.request);
        ASSERT_FALSE(keys);
        EXPECT_NE(keys.error().what.find("400 refused"), std::string::npos) << "the KME's own words stay";
        if (row.says == nullptr) {
            EXPECT_EQ(keys.error().code, ErrorCode::exhausted) << row.status;
            EXPECT_EQ(keys.error().retry, Retry::safe);
        } else {
            EXPECT_EQ(keys.error().code, ErrorCode::rejected) << row.status;
            EXPECT_EQ(keys.error().retry, Retry::never);
            EXPECT_NE(keys.error().what.find(row.says), std::string::npos) << keys.error().what;
        }
    }
}

/// A server that gives the keys it is asked for by ID, all different.
Reply keys_by_id(const SeenRequest& request) {
    nlohmann::json ids = nlohmann::json::array();
    if (request.method == "GET") {
        ids.push_back({{"key_ID", request.target.substr(request.target.find("key_ID=") + 7)}});
    } else {
        ids = nlohmann::json::parse(request.body)["key_IDs"];
    }
    std::string entries;
    for (const auto& id : ids) {
        const bool first = id["key_ID"] == id_a;
        entries += (entries.empty() ? "" : ",") + (first ? entry_a : entry_b);
    }
    return answer(200, R"({"keys":[)" + entries + "]}");
}

TEST_F(Etsi014, SeveralKeysGoInAsManyRequestsAsTheKmeWants) {
    int minted = 0;
    auto server = serve([&](const SeenRequest& request) {
        if (request.target.ends_with("/status")) return answer(200, R"({"max_key_per_request":1})");
        if (request.target.find("dec_keys") != std::string::npos) return keys_by_id(request);
        return answer(200, R"({"keys":[)" + (minted++ == 0 ? entry_a : entry_b) + "]}");
    });
    auto source = bench_.source(server.url());
    const auto keys = source->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_TRUE(keys) << keys.error().what;
    EXPECT_EQ(keys->size(), 2U);
    const auto fetched = source->fetch(context_, {"sae-b", {id_b, id_a}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_EQ((*fetched)[0].id, id_b);
    EXPECT_TRUE((*fetched)[1].bytes.same_as((*keys)[0].bytes));
    std::string sent;
    for (const auto& seen : server.requests()) sent += seen.method + seen.target.substr(18) + " ";
    EXPECT_EQ(sent, "GET/status GET/enc_keys?number=1&size=256 GET/enc_keys?number=1&size=256 GET/dec_keys?key_ID=" +
                        id_b + " GET/dec_keys?key_ID=" + id_a + " ");

    auto get = bench_.source(server.url(), {{"request_form", "get"}});
    const auto one_by_one = get->fetch(context_, {"sae-b", {id_a, id_b}, 256});
    EXPECT_TRUE(one_by_one) << one_by_one.error().what;
}

TEST_F(Etsi014, ARequestIsAsLargeAsTheKmeAllows) {
    int answered = 0;
    auto server = serve([&](const SeenRequest& request) {
        if (request.target.ends_with("/status")) return answer(200, R"({"max_key_per_request":2})");
        std::string third = entry_a;
        third.replace(third.find(id_a), 4, "ffff").replace(third.find("AAEC"), 4, "/wEC");
        return answered++ == 0 ? answer(200, two_keys) : answer(200, R"({"keys":[)" + third + "]}");
    });
    const auto keys = bench_.source(server.url())->mint(context_, {"sae-b", {}, 3, 256});
    ASSERT_TRUE(keys) << keys.error().what;
    EXPECT_EQ(keys->size(), 3U);
    const auto seen = server.requests();
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(nlohmann::json::parse(seen[1].body)["number"], 2);
    EXPECT_EQ(seen[2].target, "/api/v1/keys/sae-b/enc_keys?number=1&size=256");
}

TEST_F(Etsi014, WhatCameBeforeALostPartIsUsedUp) {
    int asked = 0;
    auto server = serve([&](const SeenRequest& request) {
        if (request.target.ends_with("/status")) return answer(200, R"({"max_key_per_request":1})");
        return ++asked % 2 == 1 ? answer(200, one_key) : answer(400, R"({"message":"no more"})");
    });
    auto source = bench_.source(server.url());
    const auto keys = source->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code, ErrorCode::exhausted);
    EXPECT_TRUE(keys.error().maybe_consumed);
    const auto fetched = source->fetch(context_, {"sae-b", {id_a, id_b}, 256});
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, ErrorCode::not_found);
    EXPECT_EQ(fetched.error().retry, Retry::never) << "the first of them is gone";
    EXPECT_TRUE(fetched.error().maybe_consumed);
}

TEST_F(Etsi014, KmesThatCountBytesAreAskedInBytes) {
    auto server = serve([](const SeenRequest& request) {
        return request.target.ends_with("/status") ? answer(200, R"({"min_key_size":8,"max_key_size":16})")
                                                   : answer(400, "");
    });
    auto source = bench_.source(server.url(), {{"size_unit", "bytes"}});
    const auto keys = source->mint(context_, mint_one);
    EXPECT_EQ(server.requests()[0].target, "/api/v1/keys/sae-b/enc_keys?number=1&size=32");
    ASSERT_FALSE(keys);
    EXPECT_NE(keys.error().what.find("64 to 128 bits"), std::string::npos) << keys.error().what;
}

TEST_F(Etsi014, ExtensionsGoByPost) {
    auto server = serve(answer(200, one_key));
    auto source = bench_.source(
        server.url(), {{"extension_mandatory", "abc_route=direct\nabc_hops=1=2"}, {"extension_optional", "abc_x="}});
    ASSERT_TRUE(source->mint(context_, mint_one));
    EXPECT_EQ(nlohmann::json::parse(server.requests()[0].body),
              nlohmann::json::parse(R"({"number":1,"size":256,"extension_mandatory":[{"abc_route":"direct"},)"
                                    R"({"abc_hops":"1=2"}],"extension_optional":[{"abc_x":""}]})"));
    for (const char* bad : {"abc", "=x"}) {
        EXPECT_THROW((void)bench_.source(server.url(), {{"extension_optional", bad}}), std::runtime_error) << bad;
    }
    EXPECT_THROW((void)bench_.source(server.url(), {{"extension_optional", "a=b"}, {"request_form", "get"}}),
                 std::runtime_error);
}

TEST_F(Etsi014, WithoutAContentTypeAnAnswerStillCounts) {
    auto server = serve(answer(200, one_key, ""));
    EXPECT_TRUE(bench_.source(server.url())->mint(context_, mint_one));
}

TEST_F(Etsi014, ALowStockIsToldAndRefusesNothing) {
    std::string stock = R"({"stored_key_count":3,"max_key_count":100})";
    auto server = serve([&](const SeenRequest& request) {
        return request.target.ends_with("/status") ? answer(200, stock) : answer(200, one_key);
    });
    const auto told = [&] {
        TestContext context;
        auto source = bench_.source(server.url(), {{"low_stock", "10"}});
        const auto asked = server.requests().size();
        EXPECT_TRUE(source->mint(context, mint_one));
        EXPECT_TRUE(source->mint(context, mint_one));
        EXPECT_EQ(server.requests().size() - asked, 3U) << "the Status is asked once, after the key";
        EXPECT_TRUE(server.requests()[asked + 1].target.ends_with("/status"));
        int lines = 0;
        for (const auto& line : context.lines()) lines += line.find("3 keys are left") != std::string::npos ? 1 : 0;
        return lines;
    };
    EXPECT_EQ(told(), 1);
    for (const char* quiet :
         {R"({"stored_key_count":10})", R"({"stored_key_count":0,"max_key_count":0})", "{}", "<html>"}) {
        stock = quiet;
        EXPECT_EQ(told(), 0) << quiet;
    }
}

TEST_F(Etsi014, AnEmptyPoolSlowsRequestsDown) {
    auto server = serve([](const SeenRequest& request) {
        return request.target.ends_with("/status") ? answer(200, R"({"stored_key_count":0,"max_key_count":9})")
                                                   : answer(503, R"({"message":"no keys"})");
    });
    const auto keys = bench_.source(server.url())->mint(context_, mint_one);
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code, ErrorCode::exhausted);
    EXPECT_EQ(keys.error().retry, Retry::safe);
    EXPECT_EQ(keys.error().retry_after, 5s);
    EXPECT_NE(keys.error().what.find("0 keys left"), std::string::npos) << keys.error().what;
}

TEST_F(Etsi014, AnotherAddressIsTriedWhenNothingWasDelivered) {
    int closed_port = 0;
    {
        const auto gone = serve(answer(200, one_key));
        closed_port = gone.port();
    }
    const qkd::support::Pki other(bench_.dir.path(), "other");
    TlsServer strange({.identity = other.issue("strange-kme", "IP:127.0.0.1"), .client_ca = bench_.pki.ca()},
                      [](const SeenRequest&) { return answer(200, one_key); });
    auto good = serve(answer(200, one_key));
    const std::string closed = "https://127.0.0.1:" + std::to_string(closed_port);
    auto source = bench_.source(closed, {{"standby_urls", strange.url() + "\n" + good.url()}});
    for (const auto& keys : {source->mint(context_, mint_one), source->fetch(context_, fetch_one)}) {
        EXPECT_TRUE(keys) << keys.error().what;
    }
    EXPECT_EQ(good.requests().size(), 2U);
    EXPECT_TRUE(strange.requests().empty()) << "its certificate is not trusted";
    EXPECT_EQ(good.connections(), 1) << "what works is kept";
    EXPECT_EQ(strange.connections(), 1);

    auto nowhere = bench_.source(closed, {{"standby_urls", closed + "/b"}});
    const auto none = nowhere->fetch(context_, fetch_one);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, ErrorCode::unreachable);
    EXPECT_FALSE(none.error().maybe_consumed);
    EXPECT_EQ(none.error().retry, Retry::safe);
    EXPECT_NE(none.error().what.find(closed + "/b/api"), std::string::npos) << none.error().what;
    EXPECT_NE(none.error().what.find(closed + "/api"), std::string::npos) << "every address is named";
}

TEST_F(Etsi014, WhatMayHaveBeenDeliveredGoesToNoOtherAddress) {
    auto standby = serve(answer(200, one_key));
    for (const Reply& reply : {Reply{.bytes = "", .close = true}, answer(500, ""), answer(503, ""), answer(404, "")}) {
        auto first = serve(reply);
        auto source = bench_.source(first.url(), {{"standby_urls", standby.url()}});
        EXPECT_FALSE(source->fetch(context_, fetch_one));
        EXPECT_EQ(first.requests().size(), 1U);
        EXPECT_TRUE(standby.requests().empty()) << "the key may be on its way";
    }
    // The next call is another matter: the engine decided on it.
    auto broken = serve(answer(503, ""));
    auto source = bench_.source(broken.url(), {{"standby_urls", standby.url()}});
    EXPECT_FALSE(source->fetch(context_, fetch_one));
    EXPECT_TRUE(source->fetch(context_, fetch_one));
    EXPECT_EQ(standby.requests().size(), 1U);
}

TEST_F(Etsi014, AnAddressThatSaysNothingLeavesTimeForTheOthers) {
    // The kernel completes TCP; TLS never begins.
    TlsServer silent({.plain = true}, [](const SeenRequest&) { return Reply{}; });
    auto good = serve(answer(200, one_key));
    auto source = bench_.source(silent.url(), {{"standby_urls", good.url()}});
    TestContext context(5s);
    const auto keys = source->fetch(context, fetch_one);
    EXPECT_TRUE(keys) << keys.error().what;
}

TEST_F(Etsi014, StatusIsAdviceOnly) {
    auto server = serve([](const SeenRequest& request) {
        return request.target.ends_with("/status")
                   ? answer(200,
                            R"({"source_KME_ID":"A","target_KME_ID":0,"slave_SAE_ID":"other","stored_key_count":0,)"
                            R"("max_key_per_request":0,"max_key_size":0,"min_key_size":0,"max_SAE_ID_count":0})")
                   : answer(200, one_key);
    });
    auto source = bench_.source(server.url());
    const auto status = source->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "A");
    EXPECT_EQ(status->stored_keys, 0U);
    EXPECT_EQ(status->max_additional_saes, 0U);
    bool told = false;
    for (const auto& line : context_.lines()) told = told || line.find("speaks of other") != std::string::npos;
    EXPECT_TRUE(told) << "another SAE in the Status is worth a line";
    EXPECT_TRUE(source->mint(context_, {"sae-b", {"sae-c"}, 1, 256})) << "zeros in a Status refuse nothing";
}

TEST_F(Etsi014, AForeignCertificateIsAuthAndNothingWasConsumed) {
    const qkd::support::Pki other(bench_.dir.path(), "other");
    TlsServer server({.identity = bench_.kme, .client_ca = other.ca()},
                     [](const SeenRequest&) { return answer(200, one_key); });
    auto source = bench_.source(server.url());
    for (const auto& keys : {source->mint(context_, mint_one), source->fetch(context_, fetch_one)}) {
        ASSERT_FALSE(keys);
        EXPECT_EQ(keys.error().code, ErrorCode::auth) << keys.error().what;
        EXPECT_FALSE(keys.error().maybe_consumed);
    }
    const auto probed = source->probe(context_);
    ASSERT_FALSE(probed);
    EXPECT_EQ(probed.error().code, ErrorCode::auth);
}

TEST_F(Etsi014, ProbeMintsNothingAndIsContentWithAnyAnswer) {
    for (const int status : {200, 307, 400, 404, 405, 500}) {
        auto server = serve(answer(status, ""));
        EXPECT_EQ(bench_.source(server.url())->probe(context_).ok(), status != 500) << status;
        ASSERT_EQ(server.requests().size(), 1U);
        EXPECT_EQ(server.requests()[0].target.find("enc_keys"), std::string::npos);
    }
    for (const int status : {401, 403, 502, 503}) {
        auto server = serve(answer(status, ""));
        EXPECT_FALSE(bench_.source(server.url())->probe(context_)) << status;
    }
}

TEST_F(Etsi014, ARenewedCertificateIsTakenWithItsKey) {
    Reply reply = answer(200, one_key, "Connection: close\r\n");
    reply.close = true;
    auto server = serve(reply);
    auto source = bench_.source(server.url());
    ASSERT_TRUE(source->mint(context_, mint_one));
    (void)bench_.pki.issue("sae-a");  // overwrites both files
    const auto after = source->mint(context_, mint_one);
    EXPECT_TRUE(after) << after.error().what;
    EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(Etsi014, ComesBackInTimeAndSaysThatAKeyMayBeLost) {
    TestContext stopped;
    std::chrono::steady_clock::time_point stop_time;
    auto server = serve([&](const SeenRequest& request) {
        if (request.target.find("dec_keys") != std::string::npos) {
            stop_time = std::chrono::steady_clock::now();
            stopped.request_stop();
        }
        return Reply{.bytes = "", .hang = true};
    });
    auto source = bench_.source(server.url());
    TestContext brief(2s);  // enough for the handshake and the request
    const auto minted = source->mint(brief, mint_one);
    EXPECT_LT(std::chrono::steady_clock::now() - brief.deadline(), qkd::support::promptly);
    ASSERT_FALSE(minted);
    EXPECT_EQ(minted.error().code, ErrorCode::timeout);
    EXPECT_TRUE(minted.error().maybe_consumed);
    const auto fetched = source->fetch(stopped, fetch_one);
    EXPECT_LT(std::chrono::steady_clock::now() - stop_time, qkd::support::promptly);
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, ErrorCode::cancelled);
    EXPECT_TRUE(fetched.error().maybe_consumed);
    EXPECT_EQ(fetched.error().retry, Retry::never);
}

TEST_F(Etsi014, SpeaksTlsAsItIsTold) {
    obeys_tls_settings(fetch_one, answer(200, one_key));
}

TEST_F(Etsi014, RefusesUrlsThatCannotBeUsed) {
    EXPECT_THROW((void)bench_.source("https://kme", {{"standby_urls", "http://kme2"}}), std::runtime_error);
    EXPECT_THROW((void)bench_.source("https://kme", {{"standby_urls", "https://KME/"}}), std::runtime_error);
    for (const char* url :
         {"http://kme:1", "https://", "https://user@kme", "https://kme/?x=1", "https://kme/#a", "https://k me"}) {
        EXPECT_THROW((void)bench_.source(url), std::runtime_error) << url;
    }
}

}  // namespace
