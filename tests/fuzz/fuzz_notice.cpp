// Feeds the reader of notices and acknowledgements with rubbish. With libFuzzer: -fsanitize=fuzzer -DQKD_LIBFUZZER.
// Without it, main tries the files it is given, or a fixed number of mutations of good texts, the same ones every time.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/net/notice.hpp"

namespace {

using namespace qkd;

const SecretBytes& secret() {
    static const SecretBytes bytes(std::string_view("0123456789abcdef0123456789abcdef"));
    return bytes;
}

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "fuzz_notice: %s\n", what);
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    // Whatever is believed has exactly one spelling: the one that was read.
    if (const auto read = notice::open(text, {}, "fuzz")) {
        const auto again = notice::seal(*read, {});
        if (!again || *again != text) fail("a notice has two spellings");
    }
    if (const auto read = notice::open_acknowledgement(text, {}, "fuzz")) {
        const auto again = notice::seal(*read, {});
        if (!again || *again != text) fail("an acknowledgement has two spellings");
    }
    if (const auto read = notice::open(text, secret(), "fuzz")) {
        const auto again = notice::seal(*read, secret());
        if (!again || *again != text) fail("a tag is believed that is not the right one");
    }
    if (const auto read = notice::open_acknowledgement(text, secret(), "fuzz")) {
        const auto again = notice::seal(*read, secret());
        if (!again || *again != text) fail("a tag is believed that is not the right one");
    }
    return 0;
}

#ifndef QKD_LIBFUZZER
int main(int argc, char** argv) {
    const auto try_text = [](const std::string& text) {
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    };
    for (int i = 1; i < argc; ++i) {
        std::ifstream in(argv[i], std::ios::binary);
        try_text(std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()));
    }
    if (argc > 1) return 0;

    const KeyIdNotice example{"mx1--mx2",       7, {"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f", "b"}, {}, 9, "mx1", {},
                              NoticeKind::armed};
    const notice::Acknowledgement answer{"mx1--mx2", {7, 9}, "mx2"};
    std::vector<std::string> seeds;
    for (const SecretBytes* one : {&secret()}) {
        seeds.push_back(notice::seal(example, *one).value());
        seeds.push_back(notice::seal(answer, *one).value());
    }
    seeds.push_back(notice::seal(example, {}).value());
    seeds.push_back(notice::seal(answer, {}).value());
    constexpr std::string_view tokens[] = {";",   ",",    "QKD1;", "QKA1;",  "0",  "18446744073709551615", "-1",
                                           "+1",  "\xff", "offer", "armed;", "\n", "253402300799;",        "00",
                                           ";;;", "|",    "%3b"};
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same run every time
    for (int i = 0; i < 40000; ++i) {
        std::string text = seeds[random() % seeds.size()];
        for (auto edits = random() % 5; edits != 0 && !text.empty(); --edits) {
            const std::size_t at = random() % text.size();
            switch (random() % 4) {
                case 0: text[at] = static_cast<char>(random()); break;
                case 1: text.erase(at, random() % 20); break;
                case 2: text.insert(at, tokens[random() % std::size(tokens)]); break;
                default: text.insert(at, text.substr(random() % text.size(), random() % 60)); break;
            }
        }
        try_text(text);
    }
    return 0;
}
#endif
