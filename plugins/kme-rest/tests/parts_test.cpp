// The parts of kme-rest without a network: pointers, encodings, templates, and descriptions that cannot work.
#include <gtest/gtest.h>

#include "reply.hpp"
#include "settings.hpp"
#include "support/map_config.hpp"
#include "template.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

using qkd::SecretBytes;
using namespace qkd::rest;

namespace {

qkd::kme::WipedJson json(std::string_view text) {
    return qkd::kme::parse_json(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

TEST(JsonPointer, FindsWhatRfc6901Says) {
    // The document and the answers of RFC 6901 section 5.
    const auto document =
        json(R"({"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8})");
    const std::pair<const char*, const char*> rows[] = {
        {"/foo/0", "bar"}, {"/foo/1", "baz"}, {"/", "0"},     {"/a~1b", "1"}, {"/c%d", "2"}, {"/e^f", "3"},
        {"/g|h", "4"},     {"/i\\j", "5"},    {"/k\"l", "6"}, {"/ ", "7"},    {"/m~0n", "8"}};
    for (const auto& [pointer, value] : rows) {
        EXPECT_EQ(word_at(document, *Pointer::parse(pointer)), value) << pointer;
    }
    EXPECT_EQ(Pointer::parse("")->find(document), &document);
    for (const char* nowhere : {"/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/+1", "/foo/-1", "/foo/1x", "/foo/",
                                "/foo/99999999999999999999", "/x", "/foo/0/y", "/a~1b/z"}) {
        EXPECT_EQ(Pointer::parse(nowhere)->find(document), nullptr) << nowhere;
    }
    for (const char* bad : {"foo", "#/foo", "/~", "/~2", "/a~", "/~~"}) EXPECT_FALSE(Pointer::parse(bad)) << bad;
    EXPECT_FALSE(word_at(document, *Pointer::parse("/foo"))) << "an array is no word";
}

TEST(Encodings, AreReadStrictly) {
    const auto octets = [](Encoding encoding, const char* text) -> std::string {
        const auto bytes = decode(encoding, text);
        return bytes ? std::string(bytes->reveal_text()) : "(refused)";
    };
    EXPECT_EQ(octets(Encoding::base64, "+/+/"), "\xfb\xff\xbf");
    EXPECT_EQ(octets(Encoding::base64url, "-_-_"), "\xfb\xff\xbf");
    EXPECT_EQ(octets(Encoding::base64url, "QQ"), "A");
    EXPECT_EQ(octets(Encoding::base64url, "QQ=="), "A");
    EXPECT_EQ(octets(Encoding::hex, "4aFf"), "J\xff");
    EXPECT_EQ(octets(Encoding::raw, "\x01 x"), "\x01 x");
    for (const char* bad : {"-_-_", "QQ", "QQ=", "Q Q=", "QR=="}) EXPECT_EQ(octets(Encoding::base64, bad), "(refused)");
    for (const char* bad : {"+/+/", "Q", "QQ===", "=", "QR"}) EXPECT_EQ(octets(Encoding::base64url, bad), "(refused)");
    for (const char* bad : {"4", "4g", "0x41"}) EXPECT_EQ(octets(Encoding::hex, bad), "(refused)");
}

TEST(Templates, EscapeWhatIsFilledIn) {
    const std::vector<Slot> known{Slot::peer_sae, Slot::bits, Slot::additional_saes};
    const Values values{
        {Slot::peer_sae, "a/b \"{bits}\n"}, {Slot::bits, "256"}, {Slot::additional_saes, json_array({"x", "y\"z"})}};
    EXPECT_EQ(Template::parse("/k/{peer_sae}?n={bits}", known)->fill(values, Escape::url),
              "/k/a%2Fb%20%22%7Bbits%7D%0A?n=256");
    EXPECT_EQ(Template::parse(R"({"p":"{peer_sae}","n":{bits},"m":{additional_saes},"e":{}})", known)
                  ->fill(values, Escape::json),
              R"({"p":"a/b \"{bits}\n","n":256,"m":["x","y\"z"],"e":{}})");
    for (const char* bad : {"{peer}", "{key_id}", "x{token}", "{_}"}) {
        const auto made = Template::parse(bad, known);
        ASSERT_FALSE(made) << bad;
        EXPECT_NE(made.error().hint.find("{peer_sae}, {bits}"), std::string::npos) << made.error().hint;
    }
    for (const char* plain : {"{", "{}", "}{", "{ bits }", "{bits", "{Bits}", "{\"bits\": 1}"}) {
        EXPECT_EQ(Template::parse(plain, known)->fill(values, Escape::json), plain);
    }
}

class Description : public testing::Test {
  protected:
    /// What configure() says against the good description with these changes; empty: nothing. "-": without it.
    std::string against(const qkd::support::Values& changes) {
        qkd::support::Values values{{"url", "https://kme"}, {"ca", "ca.crt"},
                                    {"mint", "POST /keys"}, {"mint_body", R"({"peer":"{peer_sae}","bits":{bits}})"},
                                    {"mint_key_id", "/id"}, {"fetch", "GET /keys/{key_id}"},
                                    {"fetch_key", "/key"}};
        for (const auto& [key, value] : changes) values[key] = value;
        std::erase_if(values, [](const auto& entry) { return entry.second == "-"; });
        const qkd::support::MapConfig config(qkd_plugin, qkd::Scope::kme, values, "", "sae-a");
        const auto settings = Settings::read(config);
        if (settings) return "";
        EXPECT_EQ(settings.error().code, qkd::ErrorCode::config);
        EXPECT_FALSE(settings.error().hint.empty());
        return settings.error().what;
    }
    void refuses(const qkd::support::Values& changes, const std::string& because) {
        const std::string what = against(changes);
        EXPECT_NE(what.find(because), std::string::npos) << "'" << what << "' should say: " << because;
    }
};

TEST_F(Description, TheSmallestOneIsAccepted) {
    EXPECT_EQ(against({}), "");
}

TEST_F(Description, RequestsMustBeRequests) {
    for (const char* bad : {"", "/keys", "post /keys", "FETCH /keys", "POST keys", "POST  /keys", "POST", "POST "}) {
        refuses({{"mint", bad}}, "mint: '");
    }
    refuses({{"mint", "POST /a b"}}, "' b' cannot stand in a URL");
    refuses({{"mint", "POST /a#b"}}, "cannot stand in a URL");
    refuses({{"mint", "POST /a%2"}}, "cannot stand in a URL");
    refuses({{"mint", "POST /a/{peer"}}, "cannot stand in a URL");
    refuses({{"mint", "POST /a/{bit}"}}, "mint: the placeholder {bit} is unknown");
    refuses({{"mint", "POST /a/{key_id}"}}, "mint: the placeholder {key_id} means nothing here");
    refuses({{"mint", "POST /a/{token}"}}, "{token} means nothing here");
    refuses({{"mint", "POST /a/{additional_saes}"}}, "JSON array");
    EXPECT_EQ(against({{"mint", "PUT /a%20b;c=1/{peer_sae}?x={bits}&y=$(1)"}}), "");
}

TEST_F(Description, BodiesMustBeBodies) {
    refuses({{"mint", "GET /keys"}}, "mint_body: a GET request has no body");
    refuses({{"mint_body", "{"}}, "mint_body: this is no JSON");
    refuses({{"mint_body", R"({"peer":{peer_sae}})"}}, "mint_body: this is no JSON");
    refuses({{"mint_body", R"({"peers":"{additional_saes}"})"}}, "mint_body: this is no JSON");
    refuses({{"mint_body", "peer={peer_sae}"}}, "mint_body: this is no JSON");
    EXPECT_EQ(against({{"mint_body", "peer={peer_sae}&bits={bits}"}, {"body_type", "form"}}), "");
    refuses({{"mint_body", "peer={peer_sae} x"}, {"body_type", "form"}}, "cannot stand in a URL");
    refuses({{"share_body", "{}"}}, "share_body: there is a body but no request");
}

TEST_F(Description, PointersMustBePointersAndFitTogether) {
    for (const char* key : {"mint_key_id", "mint_key", "fetch_key", "fetch_key_id", "status_stored", "error_message"}) {
        refuses({{key, "key"}}, std::string(key) + ": 'key' is no JSON pointer");
    }
    refuses({{"mint_key_id", "-"}}, "mint_key_id: is missing");
    refuses({{"fetch_key", "-"}}, "fetch_key: is missing");
    EXPECT_EQ(against({{"fetch_key", "-"}, {"encoding", "raw"}}), "");
    refuses({{"encoding", "raw"}}, "fetch_key: with encoding");
    refuses({{"fetch_key", "-"}, {"encoding", "raw"}, {"mint_key", "/key"}}, "mint_key: with encoding");
    refuses({{"mint_list", "/keys"}}, "mint does not say how many");
    refuses({{"mint", "POST /keys?n={count}"}}, "{count} needs a list");
    EXPECT_EQ(against({{"mint", "POST /keys?n={count}"}, {"mint_list", "/keys"}}), "");
    refuses({{"success_codes", "OK"}}, "success_codes: there is no error_code");
}

TEST_F(Description, EveryRequestMustSayWhichKey) {
    refuses({{"fetch", "GET /keys"}}, "fetch: does not say which key");
    EXPECT_EQ(against({{"fetch", "POST /keys"}, {"fetch_body", R"({"id":"{key_id}"})"}}), "");
    refuses({{"delete", "DELETE /keys"}}, "delete: does not say which key");
    refuses({{"share", "POST /share/{key_id}"}}, "share: does not say with whom");
    refuses({{"check", "GET /keys/{key_id}/status"}}, "belong together");
    refuses({{"check_state", "/status"}}, "belong together");
    refuses({{"check", "DELETE /keys/{key_id}"}, {"check_state", "/s"}, {"check_ready", "a"}}, "only looks");
    EXPECT_EQ(against({{"check", "GET /keys/{key_id}/status"}, {"check_state", "/s"}, {"check_ready", "a\nb"}}), "");
    refuses({{"share", "POST /share/{key_id}/{additional_sae}"}, {"mint_body", R"({"m":{additional_saes}})"}},
            "names the additional SAEs already");
}

TEST_F(Description, SecretsAreNamedAndNeverWrittenDown) {
    refuses({{"headers", "Authorization: Bearer c2VjcmV0"}}, "Authorization holds a secret");
    refuses({{"headers", "X-API-Key: c2VjcmV0"}}, "X-API-Key holds a secret");
    refuses({{"headers", "Cookie: c2VjcmV0"}}, "Cookie holds a secret");
    EXPECT_EQ(against({{"headers", "Authorization: Bearer c2VjcmV0"}}).find("c2VjcmV0"), std::string::npos);
    refuses({{"headers", "Authorization c2VjcmV0"}}, "not \"NAME: VALUE\"");
    EXPECT_EQ(against({{"headers", "Authorization c2VjcmV0"}}).find("c2VjcmV0"), std::string::npos);
    refuses({{"headers", "Authorization: Bearer {token}"}}, "there is no token");
    refuses({{"token", "env:X"}}, "token: no header uses it");
    EXPECT_EQ(against({{"headers", "Authorization: Bearer {token}\nX-SAE: {local_sae}"}, {"token", "env:X"}}), "");
    refuses({{"headers", "Host: x"}}, "Host is set by this program");
    refuses({{"headers", "content-type: x"}}, "content-type is set by this program");
    refuses({{"headers", "A: x\na: y"}}, "a is there twice");
    refuses({{"headers", "A: {peer_sae}"}}, "{peer_sae} means nothing here");
    refuses({{"headers", "A b: x"}}, "NAME: VALUE");
    refuses({{"cert", "a.crt"}}, "key: a client certificate and its private key belong together");
}

}  // namespace
