// Several threads on one job.
#pragma once

#include <cstddef>
#include <functional>

namespace qkd::engine {

/// Runs `work` in `count` threads at once, this one among them, and returns when all have ended. Where the system gives no more
/// threads it runs in as many as there are: `work` takes its pieces from a common store, so that fewer hands are slower and
/// nothing else. `work` must not throw.
void work_together(std::size_t count, const std::function<void()>& work);

}  // namespace qkd::engine
