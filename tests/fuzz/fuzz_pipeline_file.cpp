// Feeds arbitrary bytes to the pipeline reader; mutate.cpp has the main.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/pipeline/file.hpp"
#include "fixtures/fake_plugins.hpp"
#include "mutate.hpp"

namespace {

qkd::engine::PluginHost& host() {
    static auto* const fakes = [] {
        auto* made = new qkd::engine::PluginHost("/nonexistent");
        qkd::test::add_fake_plugins(*made);
        return made;
    }();
    return *fakes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const int file = memfd_create("pipeline", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
    const auto loaded = qkd::engine::load_pipeline("/proc/self/fd/" + std::to_string(file), host());
    for (const auto& finding : loaded.findings) {
        for (const char c : to_string(finding)) {
            if (static_cast<unsigned char>(c) < 0x20) std::abort();  // a finding is one line of plain text
        }
    }
    close(file);
    return 0;
}

qkd::fuzz::Food qkd::fuzz::food() {
    Food food;
    for (const auto& entry : std::filesystem::directory_iterator(QKD_SCHEMA_CASES)) {
        if (entry.path().extension() == ".toml") food.seeds.push_back(content_of(entry.path()));
    }
    std::sort(food.seeds.begin(), food.seeds.end());  // the same run every time
    food.tokens = {"[",  "]]", "[[link]]\n", "=",  "\"",  "\"\"\"", "'",    "{",    "}",       ",",
                   "\n", "#",  ".",          "0x", "1e9", "-1",     "true", "\xff", "\\u0000", "file:"};
    food.rounds = 2000;
    food.monsters.push_back("schema = 1\n" + repeated("x = [ {a.b.c.d.e.f.g.h = [\n", 250));
    for (const char* piece : {"[", "{a=", "[[a.", "a.", "\"", "'''", "#", "[a]\n"})
        food.monsters.push_back("schema = 1\nx = " + repeated(piece, 100'000));
    return food;
}
