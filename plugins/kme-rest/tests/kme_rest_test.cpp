// The plugin against scripted servers: other vendors' ways of doing it, and what goes wrong.
#include <nlohmann/json.hpp>

#include "kme_bench.hpp"

using namespace std::chrono_literals;
using namespace qkd::kme::testing;

namespace {

const std::string key_a = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const std::string key_b = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const std::string hex_a = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Two steps: a new key's ID, then the key by its ID.
const Values two_steps{{"mint", "POST /keys"},
                       {"mint_body", R"({"peer":"{peer_sae}","bits":{bits}})"},
                       {"mint_key_id", "/id"},
                       {"fetch", "GET /keys/{key_id}?for={local_sae}"},
                       {"fetch_key", "/key"},
                       {"delete", "DELETE /keys/{key_id}"},
                       {"error_code", "/error/code"},
                       {"error_message", "/error/text"},
                       {"exhausted_codes", "409\nEMPTY"},
                       {"not_found_codes", "410\nNO_KEY"},
                       {"auth_codes", "418\nWHO"}};

class Rest : public WithServers {
  protected:
    Source source(const TlsServer& server, Values more = {}, Values base = two_steps) {
        more.merge(base);
        more.merge(Values{{"sae", "sae a"}});
        return bench_.source(server.url(), more);
    }
};

TEST_F(Rest, AnIdFirstAndTheKeyByIt) {
    auto server = serve([](const SeenRequest& request) {
        return request.method == "POST" ? answer(201, R"({"id":42})") : answer(200, R"({"key":")" + key_a + "\"}");
    });
    auto rest = source(server);
    const auto minted = rest->mint(context_, {"sae \"b", {}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    EXPECT_EQ(minted->front().id, "42") << "numbers are IDs as well";
    EXPECT_EQ(minted->front().bytes.reveal()[31], 0x1f);
    const auto fetched = rest->fetch(context_, {"sae-b", {"a/b"}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    const auto seen = server.requests();
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(nlohmann::json::parse(seen[0].body), nlohmann::json::parse(R"({"peer":"sae \"b","bits":256})"));
    EXPECT_NE(seen[0].head.find("Content-Type: application/json\r\n"), std::string::npos);
    EXPECT_EQ(seen[1].target, "/keys/42?for=sae%20a");
    EXPECT_EQ(seen[2].target, "/keys/a%2Fb?for=sae%20a");
    EXPECT_EQ(server.connections(), 1);
}

TEST_F(Rest, AListOfKeysInOneReply) {
    Values base = two_steps;
    base.erase("mint_body");
    auto server = serve(answer(
        200, R"({"result":{"keys":[{"i":"a","k":")" + hex_a + R"("},{"i":"b","k":"ff)" + hex_a.substr(2) + R"("}]}})"));
    auto rest = source(server,
                       {{"mint", "GET /new?n={count}&octets={octets}&to={peer_sae}"},
                        {"mint_list", "/result/keys"},
                        {"mint_key_id", "/i"},
                        {"mint_key", "/k"},
                        {"encoding", "hex"}},
                       base);
    const auto minted = rest->mint(context_, {"sae-b", {}, 2, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    EXPECT_EQ((*minted)[1].id, "b");
    EXPECT_EQ((*minted)[1].bytes.reveal()[0], 0xff);
    EXPECT_EQ(server.requests()[0].target, "/new?n=2&octets=32&to=sae-b");
    EXPECT_EQ(server.requests().size(), 1U);
    const auto too_many = rest->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_FALSE(too_many);
    EXPECT_EQ(too_many.error().code, ErrorCode::protocol);
    const auto too_few = rest->mint(context_, {"sae-b", {}, 3, 256});
    ASSERT_FALSE(too_few);
    EXPECT_EQ(too_few.error().code, ErrorCode::exhausted);
    EXPECT_TRUE(too_few.error().maybe_consumed);
    EXPECT_EQ(server.requests().back().method + server.requests().back().target, "DELETE/keys/b");
}

TEST_F(Rest, RawKeysAndFormsAndTokens) {
    const std::string octets("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
    auto server = serve([&](const SeenRequest& request) {
        return request.target == "/new" ? answer(200, R"("id 7")") : answer(200, octets, "");
    });
    qkd::support::write_file(bench_.dir.path() / "token", "t0p-secret\r\n");
    auto rest = source(server,
                       {{"body_type", "form"},
                        {"encoding", "raw"},
                        {"headers", "Authorization: Bearer {token}\nX-SAE: {local_sae}"},
                        {"token", "file:" + (bench_.dir.path() / "token").string()}},
                       {{"mint", "PUT /new"},
                        {"mint_body", "peer={peer_sae}&bits={bits}"},
                        {"mint_key_id", "/0"},
                        {"fetch", "POST /get"},
                        {"fetch_body", "id={key_id}"}});
    auto wrong = rest->mint(context_, {"sae b", {}, 1, 128});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::protocol) << "a text has no member 0";
    const auto fetched = rest->fetch(context_, {"sae-b", {"a&b=c"}, 128});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_EQ(fetched->front().bytes.reveal_text(), octets);
    const auto seen = server.requests();
    EXPECT_EQ(seen[0].method + " " + seen[0].body, "PUT peer=sae%20b&bits=128");
    EXPECT_NE(seen[0].head.find("Content-Type: application/x-www-form-urlencoded\r\n"), std::string::npos);
    EXPECT_NE(seen[0].head.find("Authorization: Bearer t0p-secret\r\n"), std::string::npos) << seen[0].head;
    EXPECT_NE(seen[0].head.find("X-SAE: sae a\r\n"), std::string::npos);
    EXPECT_NE(seen[1].head.find("Accept: */*\r\n"), std::string::npos);
    EXPECT_EQ(seen[1].body, "id=a%26b%3Dc");
    const auto longer = rest->fetch(context_, {"sae-b", {"x"}, 256});
    ASSERT_FALSE(longer);
    EXPECT_EQ(longer.error().code, ErrorCode::protocol);
    for (const auto& line : context_.lines()) EXPECT_EQ(line.find("t0p-secret"), std::string::npos) << line;
    EXPECT_EQ(longer.error().what.find("t0p-secret"), std::string::npos);
}

TEST_F(Rest, ATokenWithoutAClientCertificateWillDo) {
    TlsServer server({.identity = bench_.kme},
                     [](const SeenRequest&) { return answer(200, R"({"key":")" + key_a + "\"}"); });
    Values values = two_steps;
    values.merge(Values{{"url", server.url()},
                        {"ca", bench_.pki.ca()},
                        {"headers", "Authorization: Bearer {token}"},
                        {"token", "text:abc"}});
    Source rest(qkd_plugin, values, "", "sae-a");
    const auto fetched = rest->fetch(context_, {"sae-b", {"x"}, 256});
    EXPECT_TRUE(fetched) << fetched.error().what;
}

TEST_F(Rest, AnUnusableTokenIsNotSent) {
    auto server = serve(answer(200, "{}"));
    for (const char* token : {"text:", "text:\r\n", "text:a\nb"}) {
        auto rest = source(server, {{"headers", "Authorization: Bearer {token}"}, {"token", token}});
        const auto keys = rest->fetch(context_, {"sae-b", {"x"}, 256});
        ASSERT_FALSE(keys);
        EXPECT_EQ(keys.error().code, ErrorCode::config) << keys.error().what;
        EXPECT_EQ(keys.error().what.find("a\nb"), std::string::npos);
    }
    EXPECT_TRUE(server.requests().empty());
}

TEST_F(Rest, MintIsRefusedAsTheDescriptionSays) {
    for (const Refused& row : {
             Refused{"pool empty, as the description names the status",
                     answer(409, R"({"error":{"code":7,"text":"nothing left"}})"), ErrorCode::exhausted, Retry::safe,
                     false, "409 7: nothing left"},
             {"pool empty, as it names the code", answer(200, R"({"error":{"code":"EMPTY"},"id":"x"})"),
              ErrorCode::exhausted, Retry::safe, false, "EMPTY"},
             {"a 2xx with another code", answer(200, R"({"error":{"code":"OTHER","text":"why"}})"), ErrorCode::rejected,
              Retry::safe, false, "OTHER: why"},
             {"a code decides, whatever the status", answer(500, R"({"error":{"code":"EMPTY"}})"), ErrorCode::exhausted,
              Retry::safe, false, "EMPTY"},
             {"not our SAE, as the description says", answer(418, ""), ErrorCode::auth, Retry::never, false, "418"},
             {"not our SAE", answer(401, R"({"error":{"code":"x"}})"), ErrorCode::auth, Retry::never, false, "401"},
             {"peer unknown", answer(404, R"({"message":"no peer"})"), ErrorCode::rejected, Retry::safe, false,
              "no peer"},
             {"later", answer(503, "", "Retry-After: 9\r\n"), ErrorCode::exhausted, Retry::safe, false, "503"},
             {"crash", answer(500, "oops", "Content-Type: text/plain\r\n"), ErrorCode::unreachable, Retry::safe, true,
              "oops"},
             {"redirect", answer(302, "", "Location: /x\r\n"), ErrorCode::protocol, Retry::never, false, "302"},
             {"not yet", answer(202, ""), ErrorCode::rejected, Retry::safe, false, "202"},
             {"no ID", answer(200, "{}"), ErrorCode::protocol, Retry::never, true, "no usable key ID at '/id'"},
             {"an ID that is none", answer(200, R"({"id":"a b"})"), ErrorCode::protocol, Retry::never, true,
              "no usable key ID"},
             {"a page", answer(200, "<html>"), ErrorCode::protocol, Retry::never, true, "no JSON"},
             {"lost", {.bytes = "", .close = true}, ErrorCode::unreachable, Retry::safe, true, "/keys"},
         }) {
        auto server = serve(row.reply);
        expect_refused(row, source(server)->mint(context_, {"sae-b", {}, 1, 256}));
        EXPECT_EQ(server.requests().size(), 1U) << row.name;
    }
}

TEST_F(Rest, FetchFindsNoKeyAndIsNeverRepeated) {
    for (const Refused& row : {
             Refused{"gone, as the description names the status", answer(410, ""), ErrorCode::not_found, Retry::safe,
                     false, "410"},
             {"unknown", answer(404, R"({"error":{"text":"no such key"}})"), ErrorCode::not_found, Retry::safe, false,
              "no such key"},
             {"gone, as it names the code", answer(200, R"({"error":{"code":"NO_KEY"}})"), ErrorCode::not_found,
              Retry::safe, false, "NO_KEY"},
             {"not our SAE, as it names the code", answer(200, R"({"error":{"code":"WHO"}})"), ErrorCode::auth,
              Retry::never, false, "WHO"},
             {"not yet", answer(202, ""), ErrorCode::not_found, Retry::safe, false, "202"},
             {"refused", answer(401, ""), ErrorCode::not_found, Retry::safe, false, "401"},
             {"crash", answer(500, ""), ErrorCode::not_found, Retry::safe, true, "500"},
             {"a short key", answer(200, R"({"key":"AAEC"})"), ErrorCode::protocol, Retry::never, true,
              "24 bits instead of 256"},
             {"no text", answer(200, R"({"key":7})"), ErrorCode::protocol, Retry::never, true, "no key at '/key'"},
             {"another encoding", answer(200, R"({"key":")" + hex_a + "\"}"), ErrorCode::protocol, Retry::never, true,
              "bits instead of"},
             {"lost", {.bytes = "", .close = true}, ErrorCode::unreachable, Retry::never, true, "/keys"},
         }) {
        auto server = serve(row.reply);
        expect_refused(row, source(server)->fetch(context_, {"sae-b", {"x"}, 256}));
        EXPECT_EQ(server.requests().size(), 1U) << row.name;
    }
}

TEST_F(Rest, AnotherIdInTheReplyIsAnotherKey) {
    auto server = serve(answer(200, R"({"id":"Y","key":")" + key_a + "\"}"));
    auto rest = source(server, {{"fetch_key_id", "/id"}});
    const auto same = rest->fetch(context_, {"sae-b", {"y"}, 256});
    ASSERT_TRUE(same) << same.error().what;
    EXPECT_EQ(same->front().id, "y");
    EXPECT_FALSE(rest->fetch(context_, {"sae-b", {"z"}, 256}));
}

TEST_F(Rest, SuccessMayHaveACodeToo) {
    auto server = serve(answer(200, R"({"error":{"code":"OK"},"key":")" + key_a + "\"}"));
    EXPECT_FALSE(source(server)->fetch(context_, {"sae-b", {"y"}, 256}));
    EXPECT_TRUE(source(server, {{"success_codes", "OK"}})->fetch(context_, {"sae-b", {"y"}, 256}));
}

TEST_F(Rest, AKeyThatIsNotReadyIsNotFetched) {
    std::string state = "pending";
    auto server = serve([&](const SeenRequest& request) {
        return request.target.ends_with("/state") ? answer(200, R"({"s":")" + state + "\"}")
                                                  : answer(200, R"({"key":")" + key_a + "\"}");
    });
    auto rest =
        source(server, {{"check", "GET /keys/{key_id}/state"}, {"check_state", "/s"}, {"check_ready", "up\nhot"}});
    const auto early = rest->fetch(context_, {"sae-b", {"y"}, 256});
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::not_found);
    EXPECT_EQ(early.error().retry, Retry::safe);
    EXPECT_FALSE(early.error().maybe_consumed);
    EXPECT_EQ(server.requests().size(), 1U) << "the key itself was not asked for";
    state = "hot";
    EXPECT_TRUE(rest->fetch(context_, {"sae-b", {"y"}, 256}));
}

TEST_F(Rest, ANewKeyThatCannotBeUsedIsDeleted) {
    auto server = serve([&](const SeenRequest& request) {
        if (request.method == "POST") return answer(200, R"({"id":"n1"})");
        return request.method == "DELETE" ? answer(204, "") : answer(404, "");
    });
    const auto minted = source(server)->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_FALSE(minted);
    EXPECT_EQ(minted.error().code, ErrorCode::rejected) << minted.error().what;
    EXPECT_EQ(minted.error().retry, Retry::safe);
    EXPECT_TRUE(minted.error().maybe_consumed);
    EXPECT_EQ(server.requests().back().method + server.requests().back().target, "DELETE/keys/n1");
}

TEST_F(Rest, AdditionalSaesAreNamedOrRefused) {
    auto server = serve([](const SeenRequest& request) {
        return request.method == "POST" ? answer(200, R"({"id":"n1"})") : answer(200, R"({"key":")" + key_a + "\"}");
    });
    const qkd::MintRequest three{"sae-b", {"sae-c", "d\"e"}, 1, 256};
    const auto refused = source(server)->mint(context_, three);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::rejected);
    EXPECT_TRUE(server.requests().empty());
    ASSERT_TRUE(source(server, {{"mint_body", R"({"all":{additional_saes}})"}})->mint(context_, three));
    EXPECT_EQ(server.requests()[0].body, R"({"all":["sae-c","d\"e"]})");
    ASSERT_TRUE(source(server, {{"share", "POST /share/{key_id}"}, {"share_body", R"({"to":"{additional_sae}"})"}})
                    ->mint(context_, three));
    EXPECT_EQ(server.requests()[3].target + server.requests()[3].body, R"(/share/n1{"to":"sae-c"})");
    EXPECT_EQ(server.requests()[4].target + server.requests()[4].body, R"(/share/n1{"to":"d\"e"})");
}

TEST_F(Rest, SpeaksTlsAsItIsTold) {
    obeys_tls_settings({"sae-b", {"y"}, 256}, answer(200, R"({"key":")" + key_a + "\"}"), two_steps);
}

TEST_F(Rest, StatusAndProbeAreWhatTheyAreSaidToBe) {
    auto server = serve([](const SeenRequest& request) {
        if (request.target == "/pool?with=sae-b") {
            return answer(200, R"({"n":[{"left":12}],"me":"K1","max":"x","additional":3})");
        }
        return request.target == "/alive" ? answer(204, "") : answer(404, "");
    });
    auto bare = source(server);
    EXPECT_TRUE(bare->probe(context_)) << "any answer will do";
    EXPECT_TRUE(bare->status(context_, "sae-b"));
    auto rest = source(server, {{"status", "GET /pool?with={peer_sae}"},
                                {"status_stored", "/n/0/left"},
                                {"status_source", "/me"},
                                {"status_max_keys", "/max"},
                                {"status_max_additional", "/additional"},
                                {"probe", "GET /alive"}});
    EXPECT_TRUE(rest->probe(context_));
    const auto status = rest->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->stored_keys, 12U);
    EXPECT_EQ(status->source_kme, "K1");
    EXPECT_FALSE(status->max_keys_per_request) << "not a number";
    EXPECT_EQ(status->max_additional_saes, 3U);
    EXPECT_FALSE(source(server, {{"probe", "GET /dead"}})->probe(context_));
    auto stranger = serve(answer(403, ""));
    EXPECT_FALSE(source(stranger)->probe(context_));
}

}  // namespace
