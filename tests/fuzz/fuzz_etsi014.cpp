// Feeds the reader of KME answers with rubbish; mutate.cpp has the main.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "answers.hpp"
#include "kme-common/text.hpp"
#include "mutate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const qkd::SecretBytes body(std::span(data, size));
    const auto fail = [](const char* what) {
        std::fprintf(stderr, "fuzz_etsi014: %s\n", what);
        std::abort();
    };
    static const std::vector<std::string> ids{"bc490419-7d60-487f-adc1-4ddcc177c139"};
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}}) {
        if (const auto keys = qkd::etsi014::read_container(body, count, 256)) {
            if (keys->size() != count) fail("another number of keys than asked for");
            for (const auto& key : *keys) {
                if (key.bytes.size() != 32 || key.id.empty()) fail("a key of another size, or without key_ID");
            }
        }
    }
    if (const auto keys = qkd::etsi014::read_container(body, 1, 256, ids)) {
        if (keys->size() != 1 || keys->front().id != ids.front()) fail("another key than asked for");
    }
    (void)qkd::etsi014::read_status(body);
    const std::string text = qkd::kme::refusal_text(body, "application/json");
    if (text.size() > 300) fail("a long refusal");
    for (const char c : text) {
        if (c < ' ' || c > '~') fail("a refusal with a control character");
    }
    return 0;
}

qkd::fuzz::Food qkd::fuzz::food() {
    return {
        {R"({"keys":[{"key_ID":"bc490419-7d60-487f-adc1-4ddcc177c139","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]})",
         R"({"Keys":[{"key_ID":"a","key":"////////////////////////////////////////////"},{"key_ID":"b","key":""}],"x":[{}]})",
         R"({"source_KME_ID":"A","stored_key_count":1e999,"max_key_size":18446744073709551616,"max_SAE_ID_count":-0})",
         R"({"message":"\ud83d\ude00\u0000","details":[{"a":null},["b"]],"title":true})"},
        {"{", "}", "[", "]", "\"", ":", ",", "\\", "null", "\xff", "\\u0000", "=", "1e9", "_"}};
}
