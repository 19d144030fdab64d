// Left out with libFuzzer, which brings a main of its own: -fsanitize=fuzzer -DQKD_LIBFUZZER.
#include "mutate.hpp"

#ifndef QKD_LIBFUZZER
#include <fstream>
#include <iterator>
#include <random>

namespace {

void try_text(const std::string& text) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        std::ifstream in(argv[i], std::ios::binary);
        try_text(std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()));
    }
    if (argc > 1) return 0;

    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same run every time
    const auto below = [&](std::size_t count) { return static_cast<std::size_t>(random() % count); };
    for (const std::string& seed : qkd::fuzz::seeds) try_text(seed);
    for (int round = 0; round < qkd::fuzz::rounds; ++round) {
        std::string text = qkd::fuzz::seeds[below(qkd::fuzz::seeds.size())];
        for (std::size_t change = 1 + below(6); change != 0; --change) {
            const std::size_t at = below(text.size() + 1);
            switch (below(4)) {
                case 0: text.insert(at, qkd::fuzz::tokens[below(qkd::fuzz::tokens.size())]); break;
                case 1: text.erase(at, below(20)); break;
                case 2: text.insert(at, text.substr(below(text.size() + 1), below(60))); break;
                default:
                    if (at < text.size()) text[at] = static_cast<char>(random());
            }
        }
        try_text(text);
    }
    return 0;
}
#endif
