// Feeds the reader of notices and acknowledgements with rubbish; mutate.cpp has the main.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "mutate.hpp"
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

qkd::fuzz::Food qkd::fuzz::food() {
    const KeyIdNotice example{"mx1--mx2",       7, {"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f", "b"}, {}, 9, "mx1", {},
                              NoticeKind::armed};
    const notice::Acknowledgement answer{"mx1--mx2", {7, 9}, "mx2"};
    return {{notice::seal(example, secret()).value(), notice::seal(answer, secret()).value(),
             notice::seal(example, {}).value(), notice::seal(answer, {}).value()},
            {";", ",", "QKD2;", "QKA1;", "0", "18446744073709551615", "-1", "+1", "\xff", "offer", "armed;", "\n",
             "253402300799;", "00", ";;;", "|", "%3b"},
            40000};
}
