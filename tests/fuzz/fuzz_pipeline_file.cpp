// Feeds arbitrary bytes to the pipeline reader. With clang: -fsanitize=fuzzer and -DQKD_LIBFUZZER. Without: a program
// that takes files, or, without arguments, mutates the golden cases for a while.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "engine/pipeline_file.hpp"
#include "fixtures/fake_plugins.hpp"

namespace {

namespace fs = std::filesystem;

qkd::engine::PluginHost& host() {
    static auto* const fakes = [] {
        auto* made = new qkd::engine::PluginHost("/nonexistent");
        qkd::test::add_fake_plugins(*made);
        return made;
    }();
    return *fakes;
}

void feed(const std::uint8_t* data, std::size_t size) {
    const int file = memfd_create("pipeline", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
    const auto loaded = qkd::engine::load_pipeline("/proc/self/fd/" + std::to_string(file), host());
    for (const auto& finding : loaded.findings) {
        for (const char c : to_string(finding)) {
            if (static_cast<unsigned char>(c) < 0x20) std::abort();  // a finding is one line of plain text
        }
    }
    close(file);
}

}  // namespace

#ifdef QKD_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    feed(data, size);
    return 0;
}
#else
namespace {

std::string content_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void feed(const std::string& text) {
    feed(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

/// One of: a byte changed, a piece removed, a piece of another case put in, a piece repeated.
std::string mutate(std::string text, const std::string& other, std::mt19937& random) {
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n == 0 ? 0 : n - 1)(random);
    };
    for (std::size_t changes = 1 + below(4); changes > 0 && !text.empty(); --changes) {
        const std::size_t at = below(text.size());
        switch (below(4)) {
            case 0: text[at] = static_cast<char>(below(256)); break;
            case 1: text.erase(at, 1 + below(40)); break;
            case 2: {
                const std::size_t from = below(other.size());
                text.insert(at, other.substr(from, 1 + below(60)));
                break;
            }
            default: {
                const std::string piece = text.substr(at, 1 + below(30));
                for (std::size_t n = below(200); n > 0; --n) text.insert(at, piece);
            }
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
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 2000;
    std::vector<std::string> cases;
    for (const auto& entry : fs::directory_iterator(QKD_SCHEMA_CASES)) {
        if (entry.path().extension() == ".toml") cases.push_back(content_of(entry.path()));
    }
    if (cases.empty()) return 1;
    // Repeated on purpose: the same rounds each time, so that a failure can be looked into.
    std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp)
    std::uniform_int_distribution<std::size_t> any(0, cases.size() - 1);
    for (int round = 0; round < rounds; ++round) feed(mutate(cases[any(random)], cases[any(random)], random));

    // What grows without bound in the input must not grow the stack.
    std::string deep = "schema = 1\n";
    for (int i = 0; i < 250; ++i) deep += "x = [ {a.b.c.d.e.f.g.h = [\n";
    feed(deep);
    for (const char* piece : {"[", "{a=", "[[a.", "a.", "\"", "'''", "#", "[a]\n"}) {
        std::string many = "schema = 1\nx = ";
        for (int i = 0; i < 100'000; ++i) many += piece;
        feed(many);
    }
    std::printf("%d rounds\n", rounds);
    return 0;
}
#endif
