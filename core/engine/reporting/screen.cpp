// The writing thread behind a Screen.
#include "engine/reporting/screen.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/base/display.hpp"

namespace qkd::engine {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t longest_queue = 4U << 20U;  // octets
constexpr milliseconds frame{100};
/// Less than a pipe or a terminal takes at once when poll() says that it is writable.
constexpr std::size_t piece = 1024;

ScreenSize size_of(int fd) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
    return {size.ws_col, size.ws_row};
}

}  // namespace

struct Screen::Impl {
    Impl(int fd_, bool live_) : fd(fd_), live(live_) {}

    const int fd;
    const bool live;

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> queue;
    std::size_t queued = 0;  // octets in the queue
    std::size_t lost = 0;
    bool closing = false;
    Clock::time_point give_up = Clock::time_point::max();

    std::mutex drawing;  // held while `block` is called or exchanged
    Block block;
    std::vector<std::string> drawn;  // lines of the block on the screen; the thread's own, as what follows
    bool broken = false;             // nobody reads any more
    std::thread thread;

    void work() {
        std::unique_lock lock(mutex);
        for (;;) {
            const auto ready = [this] { return closing || !queue.empty(); };
            if (live) {
                changed.wait_for(lock, frame, ready);
            } else {
                changed.wait(lock, ready);
            }
            std::deque<std::string> lines;
            lines.swap(queue);
            queued = 0;
            const std::size_t dropped = std::exchange(lost, 0);
            const bool last = closing;
            lock.unlock();
            std::string text;
            for (const auto& line : lines) text += line;
            if (dropped > 0) text += "(" + std::to_string(dropped) + " lines lost: the reader is too slow)\n";
            draw(std::move(text), last);
            lock.lock();
            if (last && queue.empty()) return;
        }
    }

    /// Takes the block away, writes the text, and draws the block anew: one write, so that nothing flickers or tears.
    void draw(std::string text, bool last) {
        const ScreenSize size = live ? size_of(fd) : ScreenSize{};
        std::vector<std::string> lines;
        if (live && !last && size.rows > 2) {
            // The last column stays free: writing there makes some terminals wrap.
            const ScreenSize room{size.columns > 1 ? size.columns - 1 : 1, size.rows - 2};
            const std::lock_guard guard(drawing);
            if (block) lines = block(room);
            if (lines.size() > room.rows) lines.resize(room.rows);
        }
        if (text.empty() && lines == drawn) return;
        std::string out;
        if (!drawn.empty()) {
            // A terminal that became narrower has wrapped the old lines.
            std::size_t up = 0;
            for (const auto& line : drawn) {
                up += std::max<std::size_t>(1, (visible_width(line) + size.columns - 1) / size.columns);
            }
            out += "\x1b[" + std::to_string(std::min(up, size.rows)) + "A\r\x1b[J";
        }
        out += text;
        for (const auto& line : lines) out += line + "\n";
        drawn = std::move(lines);
        put(out);
    }

    /// Width without the colour sequences that styled() writes.
    static std::size_t visible_width(std::string_view line) {
        std::string bare;
        while (!line.empty()) {
            const auto escape = std::min(line.find('\x1b'), line.size());
            bare += line.substr(0, escape);
            line.remove_prefix(escape);
            line.remove_prefix(line.empty() ? 0 : std::min(line.find('m'), line.size() - 1) + 1);
        }
        return display_width(bare);
    }

    void put(std::string_view text) {
        while (!text.empty() && !broken) {
            pollfd ready{fd, POLLOUT, 0};
            const int answer = ::poll(&ready, 1, static_cast<int>(frame.count()));
            if (answer == 0 || (answer < 0 && errno == EINTR)) {
                const std::lock_guard lock(mutex);
                if (Clock::now() >= give_up) broken = true;
                continue;
            }
            const auto written = ::write(fd, text.data(), std::min(text.size(), piece));
            if (written > 0) {
                text.remove_prefix(static_cast<std::size_t>(written));
            } else if (errno != EINTR && errno != EAGAIN) {
                broken = true;
            }
        }
    }
};

Screen::Screen(int fd, bool live) : impl_(std::make_unique<Impl>(fd, live)) {
    impl_->thread = std::thread([impl = impl_.get()] { impl->work(); });
}

Screen::~Screen() {
    close();
}

void Screen::write(std::string_view text) {
    if (text.empty()) return;
    {
        const std::lock_guard lock(impl_->mutex);
        if (impl_->closing) return;
        if (impl_->queued + text.size() > longest_queue) {
            ++impl_->lost;
            return;
        }
        impl_->queued += text.size();
        impl_->queue.emplace_back(text);
    }
    impl_->changed.notify_one();
}

void Screen::show(Block block) {
    const std::lock_guard guard(impl_->drawing);
    impl_->block = std::move(block);
}

void Screen::close(milliseconds patience) {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->closing = true;
        impl_->give_up = std::min(impl_->give_up, Clock::now() + patience);
    }
    impl_->changed.notify_one();
    if (impl_->thread.joinable()) impl_->thread.join();
}

bool Screen::live() const noexcept {
    return impl_->live;
}

}  // namespace qkd::engine
