// The test context's log and its way to be interrupted.
#include "kit/support/test_context.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace qkd::support {

Interruption::Interruption() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interruption::~Interruption() {
    if (fd_ >= 0) ::close(fd_);
}

TestContext::TestContext(std::chrono::milliseconds budget) : Context(Clock::now() + budget, source_.get_token(), fd_) {}

void TestContext::log(LogLevel, std::string_view message) {
    lines_.emplace_back(message);
}

void TestContext::event(std::string_view name, std::span<const Attr> attributes) {
    std::string line(name);
    for (const Attr& attribute : attributes) {
        line += ' ';
        line += attribute.name;
        line += '=';
        if (const auto* text = std::get_if<std::string_view>(&attribute.value)) line += *text;
        if (const auto* number = std::get_if<std::int64_t>(&attribute.value)) line += std::to_string(*number);
        if (const auto* number = std::get_if<double>(&attribute.value)) line += std::to_string(*number);
        if (const auto* flag = std::get_if<bool>(&attribute.value)) line += *flag ? "true" : "false";
    }
    lines_.push_back(std::move(line));
}

void TestContext::request_stop() {
    source_.request_stop();
    if (fd_ >= 0) (void)::eventfd_write(fd_, 1);
}

Error TestContext::wait_for_the_end(const Context& context, const std::string& what) {
    while (!context.stop_requested() && context.remaining().count() > 0) {
        pollfd wait{context.cancel_fd(), POLLIN, 0};
        const auto limit = std::chrono::milliseconds{std::numeric_limits<int>::max()};
        (void)::poll(&wait, 1,
                     static_cast<int>(std::min(context.remaining() + std::chrono::milliseconds{1}, limit).count()));
    }
    if (context.stop_requested()) {
        return Error::cancelled(what + ": interrupted", "run again when ready").retryable();
    }
    return Error::timeout(what + ": no answer in time", "is the device reachable?").retryable();
}

}  // namespace qkd::support
