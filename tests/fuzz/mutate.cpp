// Left out with libFuzzer, which brings a main of its own: -fsanitize=fuzzer -DQKD_LIBFUZZER.
#include "mutate.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>

namespace qkd::fuzz {

std::string content_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string repeated(std::string_view piece, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += piece;
    return text;
}

}  // namespace qkd::fuzz

#ifndef QKD_LIBFUZZER
namespace {

void try_text(const std::string& text) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) try_text(qkd::fuzz::content_of(argv[i]));
    if (argc > 1) return 0;

    const qkd::fuzz::Food food = qkd::fuzz::food();
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same run every time
    const auto below = [&](std::size_t count) { return static_cast<std::size_t>(random() % count); };
    const auto any = [&](const auto& list) { return list[below(list.size())]; };
    if (food.seeds.empty() || std::count(food.seeds.begin(), food.seeds.end(), "") != 0) {
        std::fputs("a seed is empty: its file is not there\n", stderr);
        return 1;
    }
    for (const std::string& seed : food.seeds) try_text(seed);
    for (int round = 0; round < food.rounds; ++round) {
        std::string text = any(food.seeds);
        for (std::size_t change = 1 + below(6); change != 0; --change) {
            const std::size_t at = below(text.size() + 1);
            switch (below(5)) {
                case 0: text.insert(at, any(food.tokens)); break;
                case 1: text.erase(at, below(40)); break;
                case 2: {
                    const std::string other = any(food.seeds);
                    text.insert(at, other, below(other.size()), below(60));
                    break;
                }
                case 3: text.insert(at, qkd::fuzz::repeated(text.substr(at, 1 + below(30)), 1 + round % 20)); break;
                default:
                    if (at < text.size()) text[at] = static_cast<char>(random());
            }
        }
        try_text(text);
    }
    for (const std::string& monster : food.monsters) try_text(monster);
    std::printf("%d rounds\n", food.rounds);
    return 0;
}
#endif
