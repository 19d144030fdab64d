// Feeds what looks for keys in REST replies with rubbish, under several descriptions; mutate.cpp has the main.
#include <cstdio>
#include <cstdlib>
#include <span>

#include "mutate.hpp"
#include "reply.hpp"
#include "template.hpp"

namespace {

using namespace qkd::rest;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "fuzz_rest: %s\n", what);
    std::abort();
}

KeyPlace place(const char* id, const char* key, Encoding encoding) {
    return {*Pointer::parse(id), *Pointer::parse(key), encoding};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::vector<KeyPlace> places{
        place("/key_id", "/key", Encoding::base64), place("/data/0/id", "/data/0/value", Encoding::hex),
        place("/a~1b/m~0n", "/key", Encoding::base64url), place("", "", Encoding::base64)};
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto json = qkd::kme::parse_json(std::span(data, size));
    for (const KeyPlace& one : places) {
        if (const auto found = read_key(json, one, 256)) {
            if (found->id.empty() || !found->key || found->key->size() != 32)
                fail("a key of another size, or without ID");
        }
        if (const auto found = read_key(json, one, 256, "wanted")) {
            if (found->id != "wanted") fail("another key than asked for");
        }
        (void)word_at(json, *one.id);
    }
    for (const Encoding encoding : {Encoding::base64, Encoding::base64url, Encoding::hex}) {
        const auto bytes = decode(encoding, text);
        if (bytes && bytes->size() > size) fail("decoding made more of it");
    }
    if (const auto pointer = Pointer::parse(text)) (void)pointer->find(json);
    // What goes out must be sound whatever an ID or a name is made of.
    const std::string quoted = "\"" + json_escaped(text) + "\"";
    const auto parsed =
        qkd::kme::parse_json(std::span(reinterpret_cast<const std::uint8_t*>(quoted.data()), quoted.size()));
    if (!parsed.is_string()) fail("an escaped text that is no JSON");
    if (const auto made = Template::parse(text, {Slot::key_id})) (void)made->fill({{Slot::key_id, "x"}}, Escape::url);
    return 0;
}

qkd::fuzz::Food qkd::fuzz::food() {
    return {{R"({"key_id":"a-1","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="})",
             R"({"data":[{"id":7,"value":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}]})",
             R"({"a/b":{"m~n":"x"},"key":"_-ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"})",
             R"("AAECAwQFBgcICQoLDA0ODw==")", "/data/0/~01/-/x{key_id}{peer_sae}"},
            {"{", "}", "[",  "]",  "\"",      ":",        ",", "\\", "null", "\xff",
             "/", "~", "~0", "~1", "\\u0000", "{key_id}", "-", "_",  "=",    "1e9"}};
}
