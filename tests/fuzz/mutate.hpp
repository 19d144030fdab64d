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

/// What a target gives to be mutated; each target defines them.
extern const std::vector<std::string> seeds;
extern const std::vector<std::string_view> tokens;  ///< put in here and there
extern const int rounds;

}  // namespace qkd::fuzz
