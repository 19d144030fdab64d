// Feeds arbitrary bytes to the reader of inventories; mutate.cpp has the main.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fuzz/mutate.hpp"
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

qkd::fuzz::Food qkd::fuzz::food() {
    const std::string golden = QKD_GOLDEN;
    Food food{{content_of(golden + "/targets.yaml"), content_of(golden + "/targets.json")},
              {"&a ", "*a", "!!str ", "<<: ", "- ", ": ",    "{",           "}", "[",       "]",   "\n",
               "  ",  "\"", "'",      "|\n",  "? ", "---\n", "%YAML 1.1\n", "~", "\\u0001", "\x80"},
              3000};
    for (const char* piece : {"[", "{a: ", "- ", "? ", "a: &a\n", "\"", "&", "*a,", "#", "|", "a:\n "})
        food.monsters.push_back(repeated(piece, 100'000));
    return food;
}
