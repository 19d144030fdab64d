// Answers of KMEs, good and bad, without a network. The odd ones are what real servers have been seen to send.
#include "answers.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "kme-common/text.hpp"

using qkd::ErrorCode;
using qkd::SecretBytes;
using qkd::etsi014::read_container;
using qkd::etsi014::read_status;
using qkd::kme::harmless;
using qkd::kme::refusal_text;

namespace {

constexpr const char* watched_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
bool watching = false;
int keys_left_behind = 0;

bool holds_key(const void* block, std::size_t size) {
    const std::size_t length = std::strlen(watched_key) / 2;  // half of it is bad enough
    return ::memmem(block, size, watched_key, length) != nullptr;
}

}  // namespace

// Looks into every block that goes back to the heap. Aligned forms call these. Not inlined: GCC 12 takes an inlined free()
// for a mismatch with new.
[[gnu::noinline]] void operator delete(void* block) noexcept {
    if (watching && block != nullptr && holds_key(block, ::malloc_usable_size(block))) ++keys_left_behind;
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept {
    ::operator delete(block);
}
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc();
}

namespace {

const std::string id_a = "bc490419-7d60-487f-adc1-4ddcc177c139";
const std::string id_b = "0a782fb5-3434-48fe-aa4d-14f41d46cf92";

SecretBytes body(const std::string& text) {
    return SecretBytes(std::string_view(text));
}

std::string entry(const std::string& id, const std::string& key) {
    return R"({"key_ID":")" + id + R"(","key":")" + key + R"("})";
}
const std::string key_a = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const std::string key_b = "/////////////////////////////////////////v4=";

TEST(Container, GivesKeysAndIds) {
    const auto keys =
        read_container(body(R"({"keys":[)" + entry(id_a, key_a) + "," + entry(id_b, key_b) + "]}"), 2, 256);
    ASSERT_TRUE(keys) << keys.error().what;
    EXPECT_EQ((*keys)[0].id, id_a);
    EXPECT_EQ((*keys)[0].bytes.reveal()[31], 0x1f);
    EXPECT_EQ((*keys)[1].id, id_b);
    EXPECT_EQ((*keys)[1].bytes.reveal()[0], 0xff);
}

TEST(Container, ToleratesWhatDoesNoHarm) {
    for (const std::string& text : {
             R"({"Keys":[)" + entry(id_a, key_a) + "]}",
             R"({"keys":[{"key_id":")" + id_a + R"(","key":")" + key_a + R"("}]})",
             R"({"keys":[{"keyID":")" + id_a + R"(","Key":")" + key_a + R"("}],"key_container_extension":{"a":{}}})",
             R"({"keys":[{"key_ID":")" + id_a + R"(","key":")" + key_a +
                 R"(","key_ID_extension":"","key_extension":{"x":[1]},"surplus":null}],"key_container_extension":{}})",
             "\n {\"keys\" :\t[" + entry(id_a, key_a) + " ] }\r\n",
             R"({"keys":[{"key_ID":")" + id_a + R"(","key":"\u002f////////////////////////////////////////v4="}]})",
         }) {
        const auto keys = read_container(body(text), 1, 256);
        EXPECT_TRUE(keys) << text << ": " << keys.error().what;
    }
}

struct BadAnswer {
    const char* name;
    std::string text;
    ErrorCode minting;
    bool consumed = true;
};

std::vector<BadAnswer> bad_answers() {
    const auto one = [](const std::string& inside) { return R"({"keys":[)" + inside + "]}"; };
    return {
        {"nothing", "", ErrorCode::protocol},
        {"no JSON", "<html>hello</html>", ErrorCode::protocol},
        {"cut short", one(entry(id_a, key_a)).substr(0, 80), ErrorCode::protocol},
        {"surplus behind it", one(entry(id_a, key_a)) + "x", ErrorCode::protocol},
        {"no UTF-8", one(entry("\xff\xfe", key_a)), ErrorCode::protocol},
        {"an array", "[]", ErrorCode::protocol},
        {"deep nesting", std::string(100000, '['), ErrorCode::protocol},
        {"keys absent", "{}", ErrorCode::exhausted, false},
        {"keys null", R"({"keys":null})", ErrorCode::exhausted, false},
        {"keys empty", R"({"keys":[]})", ErrorCode::exhausted, false},
        {"keys of another type", R"({"keys":"none"})", ErrorCode::protocol},
        {"an entry of another type", one("null"), ErrorCode::protocol},
        {"key null", one(R"({"key_ID":"a","key":null})"), ErrorCode::protocol},
        {"key absent", one(R"({"key_ID":"a"})"), ErrorCode::protocol},
        {"key empty", one(entry(id_a, "")), ErrorCode::protocol},
        {"key too short", one(entry(id_a, "AAECAwQFBgcICQoLDA0ODw==")), ErrorCode::protocol},
        {"key too long", one(entry(id_a, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g")), ErrorCode::protocol},
        {"key no base64", one(entry(id_a, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh!=")), ErrorCode::protocol},
        {"key in base64 for URLs", one(entry(id_a, "_________________________________________v4=")),
         ErrorCode::protocol},
        {"key all zero", one(entry(id_a, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")), ErrorCode::protocol},
        {"key_ID absent", one(R"({"key":")" + key_a + R"("})"), ErrorCode::protocol},
        {"two members that may be the key_ID", one(R"({"key_id":"a","keyID":"b","key":")" + key_a + R"("})"),
         ErrorCode::protocol},
        {"key_ID empty", one(entry("", key_a)), ErrorCode::protocol},
        {"key_ID a number", one(R"({"key_ID":7,"key":")" + key_a + R"("})"), ErrorCode::protocol},
        {"key_ID with a line end", one(entry("a\\nb", key_a)), ErrorCode::protocol},
        {"key_ID too long", one(entry(std::string(300, 'a'), key_a)), ErrorCode::protocol},
        {"more than asked for", one(entry(id_a, key_a) + "," + entry(id_b, key_b)), ErrorCode::protocol},
    };
}

TEST(Container, RefusesEverythingElseAndShowsNoKey) {
    for (const BadAnswer& bad : bad_answers()) {
        const auto keys = read_container(body(bad.text), 1, 256);
        ASSERT_FALSE(keys) << bad.name;
        EXPECT_EQ(keys.error().code, bad.minting) << bad.name << ": " << keys.error().what;
        EXPECT_EQ(keys.error().maybe_consumed, bad.consumed) << bad.name;
        EXPECT_EQ(keys.error().what.find("AAECAwQF"), std::string::npos) << keys.error().what;
    }
}

TEST(Container, RefusesDuplicatesAndPartOfWhatWasAskedFor) {
    const auto code = [](const std::string& inside, std::size_t count) {
        const auto keys = read_container(body(R"({"keys":[)" + inside + "]}"), count, 256);
        return keys ? "ok" : std::string(to_string(keys.error().code)) + (keys.error().maybe_consumed ? "+" : "");
    };
    EXPECT_EQ(code(entry(id_a, key_a) + "," + entry(id_a, key_b), 2), "protocol+");
    EXPECT_EQ(code(entry("ab", key_a) + "," + entry("AB", key_b), 2), "protocol+");
    EXPECT_EQ(code(entry(id_a, key_a) + "," + entry(id_b, key_a), 2), "protocol+");
    EXPECT_EQ(code(entry(id_a, key_a), 2), "exhausted+");
}

TEST(Container, GivesWhatWasAskedForByIdAndNothingElse) {
    const std::string both = R"({"keys":[)" + entry(id_a, key_a) + "," + entry(id_b, key_b) + "]}";
    const std::vector<std::string> reversed{id_b, id_a};
    const auto keys = read_container(body(both), 2, 256, reversed);
    ASSERT_TRUE(keys) << keys.error().what;
    EXPECT_EQ((*keys)[0].id, id_b);
    EXPECT_EQ((*keys)[1].bytes.reveal()[31], 0x1f);

    const std::vector<std::string> upper{"BC490419-7D60-487F-ADC1-4DDCC177C139"};
    const auto spelled = read_container(body(R"({"keys":[)" + entry(id_a, key_a) + "]}"), 1, 256, upper);
    ASSERT_TRUE(spelled) << spelled.error().what;
    EXPECT_EQ((*spelled)[0].id, upper[0]) << "the caller knows the key by the spelling it asked with";

    const std::vector<std::string> other{id_b};
    const auto wrong = read_container(body(R"({"keys":[)" + entry(id_a, key_a) + "]}"), 1, 256, other);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::protocol);
    const auto none = read_container(body(R"({"keys":[]})"), 1, 256, other);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, ErrorCode::not_found);
    EXPECT_FALSE(none.error().maybe_consumed);
}

TEST(Container, LeavesNoKeyBehindOnTheHeap) {
    const SecretBytes text = body(R"({"keys":[)" + entry(id_a, watched_key) + "]}");
    // First that the watch works at all.
    watching = true;
    { const std::string careless(watched_key); }
    EXPECT_EQ(keys_left_behind, 1);
    keys_left_behind = 0;
    const auto keys = read_container(text, 1, 256);
    const auto short_of = read_container(text, 2, 256);
    const auto too_short = read_container(text, 1, 512);
    watching = false;
    EXPECT_TRUE(keys);
    EXPECT_FALSE(short_of);
    EXPECT_FALSE(too_short);
    EXPECT_EQ(keys_left_behind, 0);
}

TEST(Status, TakesWhatThereIs) {
    const auto status = read_status(body(
        R"({"source_KME_ID":"A","target_KME_ID":0,"master_SAE_ID":"m","slave_SAE_ID":"s","key_size":256,"stored_key_count":12,"max_key_count":50,)"
        R"("max_key_per_request":-1,"max_key_size":1024,"min_key_size":"64","max_SAE_ID_count":0,"status_extension":7})"));
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "A");
    EXPECT_EQ(status->target_kme, "");
    EXPECT_EQ(status->stored_keys, 12U);
    EXPECT_FALSE(status->max_keys_per_request);
    EXPECT_EQ(status->max_additional_saes, 0U);
    EXPECT_EQ(status->max_size, 1024U);
    EXPECT_EQ(status->min_size, 0U);
    EXPECT_EQ(status->default_size, 256U);
    EXPECT_EQ(status->master_sae, "m");
    EXPECT_EQ(status->max_stored_keys, 50U);
    EXPECT_TRUE(read_status(body("{}")));
    for (const char* text : {"", "[]", "null", "{", "<html>"}) EXPECT_FALSE(read_status(body(text))) << text;
}

TEST(Refusal, IsSaidInOneHarmlessLine) {
    const auto said = [](const std::string& text, const char* type = "application/json") {
        return refusal_text(body(text), type);
    };
    EXPECT_EQ(said(R"({"message":"Key not found","details":[{"key_ID":")" + id_a + R"("}]})"),
              R"(Key not found; [{"key_ID":")" + id_a + R"("}])");
    EXPECT_EQ(said(R"({"title":"Bad","description":"no such thing","details":{"a":1}})"),
              R"(Bad; no such thing; {"a":1})");
    EXPECT_EQ(said(R"({"message":"x","details":"plain"})"), "x; plain");
    EXPECT_EQ(said(R"({"message":null,"details":null})"), "");
    EXPECT_EQ(said(R"({"message":7})"), "7");
    EXPECT_EQ(said("", ""), "");
    EXPECT_EQ(said("unknown SAE\r\n", "text/plain"), "unknown SAE");
    EXPECT_EQ(said("<html><h1>Unauthorized</h1></html>", "text/html; charset=utf-8"), "(an HTML page)");
    EXPECT_EQ(said("{\"message\":\"a\\u001b[31m\\nb\"}"), "a [31m b");
    EXPECT_LE(said(R"({"message":")" + std::string(5000, '.') + R"("})").size(), 300U);
}

TEST(Refusal, NeverShowsWhatCouldBeAKey) {
    for (const std::string& key : {key_a, std::string("AAECAwQFBgcICQoLDA0ODw=="), std::string(64, 'c')}) {
        for (const std::string& text :
             {R"({"message":"the key )" + key + R"( is bad"})", R"({"details":[{"key":")" + key + R"("}]})",
              "oops: " + key, R"({"keys":[{"key":")" + key + R"("}]})"}) {
            const auto said = refusal_text(body(text), "application/json");
            EXPECT_EQ(said.find(key.substr(0, 10)), std::string::npos) << said;
        }
    }
    EXPECT_EQ(harmless(id_a), id_a) << "key_IDs must stay readable";
}

}  // namespace
