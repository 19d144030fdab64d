// Threads up to what the system gives.
#include "engine/commands/workers.hpp"

#include <system_error>
#include <thread>
#include <vector>

namespace qkd::engine {

void work_together(std::size_t count, const std::function<void()>& work) {
    std::vector<std::jthread> others;
    try {
        for (std::size_t i = 1; i < count; ++i) others.emplace_back(work);
    } catch (const std::system_error&) {  // no more of them
    }
    if (count > 0) work();
}

}  // namespace qkd::engine
