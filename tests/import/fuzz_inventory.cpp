// Feeds arbitrary bytes to the reader of inventories. With clang: -fsanitize=fuzzer -DQKD_LIBFUZZER. Without: a program that
// takes files, or, without arguments, mutates the golden examples for a while, the same way every time.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "import/pipeline_text.hpp"

namespace {

using namespace qkd;

[[noreturn]] void fail(const char* what, const std::string& text) {
    std::fprintf(stderr, "fuzz_inventory: %s: %s\n", what, text.c_str());
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto read = inventory::read_yaml({data, size});
    const auto* root = std::get_if<inventory::Node>(&read);
    if (root == nullptr) return 0;
    const auto reading = inventory::read_inventory(*root, "targets.yaml");
    for (const auto& finding : reading.findings) {
        const std::string line = to_string(finding);
        if (line.find('\n') != std::string::npos) fail("a finding is more than a line", line);
    }
    if (!reading.ok()) return 0;
    const auto& made = reading.inventory;
    if (made.members.size() < 2 || made.user.empty()) fail("an inventory without what it needs was taken", "");
    // A control character, or a line end, could be a line of its own in the pipeline.
    const std::string text = inventory::pipeline_text(made, {"p", "s", "k", "", "", "file:p", ""}, reading.findings);
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n') fail("a control character got through", text);
    }
    return 0;
}

#ifndef QKD_LIBFUZZER
namespace {

void feed(const std::string& text) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

std::string content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string mutate(std::string text, std::mt19937& random) {
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n == 0 ? 0 : n - 1)(random);
    };
    const std::vector<std::string> tokens = {"&a ", "*a", "!!str ", "<<: ",        "- ", ": ",      "{",
                                             "}",   "[",  "]",      "\n",          "  ", "\"",      "'",
                                             "|\n", "? ", "---\n",  "%YAML 1.1\n", "~",  "\\u0001", "\x80"};
    for (std::size_t changes = 1 + below(4); changes > 0 && !text.empty(); --changes) {
        const std::size_t at = below(text.size());
        switch (below(4)) {
            case 0: text[at] = static_cast<char>(below(256)); break;
            case 1: text.erase(at, 1 + below(40)); break;
            case 2: text.insert(at, tokens[below(tokens.size())]); break;
            default: text.insert(at, text.substr(below(text.size()), 1 + below(80)));
        }
    }
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string(argv[1]) != "--rounds") {
        for (int i = 1; i < argc; ++i) feed(content_of(argv[i]));
        return 0;
    }
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 3000;
    const std::vector<std::string> cases = {content_of(std::filesystem::path(QKD_GOLDEN) / "targets.yaml"),
                                            content_of(std::filesystem::path(QKD_GOLDEN) / "targets.json")};
    for (const auto& one : cases) {
        if (one.empty()) return 1;
        feed(one);
    }
    // Repeated on purpose: the same rounds each time, so that a failure can be looked into.
    std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp)
    for (int round = 0; round < rounds; ++round) feed(mutate(cases[static_cast<std::size_t>(round) % 2], random));
    // What grows without bound in the input must not grow the stack, nor the time.
    for (const char* piece : {"[", "{a: ", "- ", "? ", "a: &a\n", "\"", "&", "*a,", "#", "|", "a:\n "}) {
        std::string many;
        for (int i = 0; i < 100'000; ++i) many += piece;
        feed(many);
    }
    std::printf("%d rounds\n", rounds);
    return 0;
}
#endif
