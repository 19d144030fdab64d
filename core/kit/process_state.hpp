// What belongs to the process as a whole and no plugin may change.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace qkd::conformance {

struct ProcessState {
    std::map<std::string, std::string> descriptors;  ///< number -> what it refers to
    std::string threads;
    std::string umask;
    std::string directory;
    std::vector<std::string> environment;
    std::array<std::uintptr_t, 65> handlers{};  ///< by signal number

    static ProcessState now();
    /// Memory mappings of the process.
    static std::size_t mappings();
    /// What is different in `later`, in words.
    [[nodiscard]] std::vector<std::string> changes(const ProcessState& later) const;
};

}  // namespace qkd::conformance
