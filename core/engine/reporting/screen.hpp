// Standard error as one stream of lines with, on a terminal, a block below them that is drawn again and again.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qkd::engine {

struct ScreenSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
};

/// Thread-safe. A thread of its own does the writing, so that callers never wait for a slow pipe or a stopped terminal:
/// what does not fit into the queue is dropped, and the number of lines lost is told.
class Screen {
  public:
    /// The lines of the block for a screen of this size: not wider, not more than `rows`. Called by the writing thread.
    using Block = std::function<std::vector<std::string>(ScreenSize)>;

    /// `live`: the descriptor is a terminal that understands cursor movements. `fd` stays the caller's.
    Screen(int fd, bool live);
    ~Screen();
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    /// Queues text that ends with a line end. It appears above the block and stays.
    void write(std::string_view text);
    /// Begins to draw the block several times a second, when the screen is live. An empty function ends it. When this
    /// returns, the old function is not called any more.
    void show(Block block);
    /// Removes the block and writes what is queued, for at most `patience`. Called by the destructor, too.
    void close(std::chrono::milliseconds patience = std::chrono::milliseconds{3000});

    [[nodiscard]] bool live() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace qkd::engine
