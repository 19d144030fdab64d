// The plain main of fuzz targets without libFuzzer: tries the files it is given, or a fixed number of mutations of good
// input, the same ones every time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace qkd::fuzz {

/// What a target gives to be mutated.
struct Food {
    std::vector<std::string> seeds;        ///< good input, and what is nearly good
    std::vector<std::string_view> tokens;  ///< put in here and there
    int rounds = 20000;
    std::vector<std::string> monsters{};  ///< tried as they are: what grows without bound must not grow stack or time
};
/// Each target defines it.
Food food();

/// A file's bytes; empty when it cannot be read.
std::string content_of(const std::string& path);
/// `piece` so many times.
std::string repeated(std::string_view piece, int times);

}  // namespace qkd::fuzz
