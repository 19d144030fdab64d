// Feeds the reader of SKIP answers with rubbish; mutate.cpp has the main.
#include <cstdio>
#include <cstdlib>
#include <span>

#include "answers.hpp"
#include "mutate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const qkd::SecretBytes body(std::span(data, size));
    const auto fail = [](const char* what) {
        std::fprintf(stderr, "fuzz_skip: %s\n", what);
        std::abort();
    };
    const auto any = qkd::skip::read_key(body, 256);
    if (any && (any->bytes.size() != 32 || any->id.empty())) fail("a key of another size, or without keyId");
    static const std::string wanted = "1726e9aa76234fb18d4e7d9b6a3cd8f0";
    const auto one = qkd::skip::read_key(body, 256, wanted);
    if (one && one->id != wanted) fail("another key than asked for");
    if (one && !any) fail("a key that is none");
    if (const auto told = qkd::skip::read_capabilities(body)) {
        (void)qkd::skip::is_listed(told->remote_systems, "mx304-12");
        for (const char c : told->local_system + told->algorithm) {
            if (c < ' ' || c > '~') fail("a control character");
        }
    }
    (void)qkd::skip::check_entropy(body, 128);
    return 0;
}

qkd::fuzz::Food qkd::fuzz::food() {
    return {
        {R"({"keyId":"1726e9aa76234fb18d4e7d9b6a3cd8f0","key":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"})",
         R"({"entropy":true,"key":true,"algorithm":"x","localSystemID":"Alice","remoteSystemID":["Bob","mx*[!1-3]?","[a"]})",
         R"({"randomStr":"ad229dfbb5c2a9a0c2d7e8b7cb1dc5e2","minentropy":128})"},
        {"{", "}", "[", "]", "\"", ":", ",", "\\", "null", "*", "[!", "\xff", "\\u0000", "_", "1e9", "keyid", "ID",
         "[[:"}};
}
