// NETCONF framing: ]]>]]> (RFC 6242 section 4.3) and chunks (section 4.2), over a pair of file descriptors.
#include "framing.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "util.hpp"

namespace qkd::junossim {

namespace {
constexpr std::string_view marker = "]]>]]>";
constexpr int write_patience_ms = 60000;
volatile std::sig_atomic_t ending = 0;
}  // namespace

void end_on_signals() {
    struct sigaction action {};
    action.sa_handler = [](int) { ending = 1; };
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

bool end_requested() {
    return ending != 0;
}

std::optional<std::string> Deframer::next() {
    if (broken_) return std::nullopt;
    auto message = chunked_ ? next_chunked() : next_marked();
    if (!message && buffer_.size() + message_.size() > max_message) broken_ = true;
    return message;
}

std::optional<std::string> Deframer::next_marked() {
    const auto end = buffer_.find(marker, seen_);
    if (end == std::string::npos) {
        seen_ = buffer_.size() < marker.size() ? 0 : buffer_.size() - marker.size() + 1;
        return std::nullopt;
    }
    std::string message = buffer_.substr(0, end);
    buffer_.erase(0, end + marker.size());
    seen_ = 0;
    return message;
}

std::optional<std::string> Deframer::next_chunked() {
    while (true) {
        // Junos tolerates blanks between messages, e.g. the newline after the hello's ]]>]]>.
        if (message_.empty() && buffer_.size() > 1 && buffer_[0] == '\n' && buffer_[1] == '\n') buffer_.erase(0, 1);
        const auto line = buffer_.size() < 3 ? std::string::npos : buffer_.find('\n', 2);
        if (!buffer_.empty() && buffer_[0] != '\n') broken_ = true;
        if (buffer_.size() >= 2 && buffer_[1] != '#') broken_ = true;
        if (line == std::string::npos && buffer_.size() > 14) broken_ = true;  // no header is that long
        if (broken_ || line == std::string::npos) return std::nullopt;
        const std::string header = buffer_.substr(2, line - 2);
        if (header == "#") {
            if (message_.empty()) broken_ = true;  // an end without any chunk
            buffer_.erase(0, line + 1);
            if (broken_) return std::nullopt;
            return std::exchange(message_, {});
        }
        const auto size = to_int(header);
        if (!size || *size <= 0 || header[0] == '0' || header[0] == '+' ||
            static_cast<std::size_t>(*size) > max_message) {
            broken_ = true;
            return std::nullopt;
        }
        const auto length = static_cast<std::size_t>(*size);
        if (buffer_.size() < line + 1 + length) return std::nullopt;
        message_.append(buffer_, line + 1, length);
        buffer_.erase(0, line + 1 + length);
        if (message_.size() > max_message) broken_ = true;
    }
}

std::string framed(std::string_view message, bool chunked) {
    if (!chunked) return std::string(message) + std::string(marker) + "\n";
    return "\n#" + std::to_string(message.size()) + "\n" + std::string(message) + "\n##\n";
}

std::optional<std::string> Channel::receive() {
    std::array<char, 65536> bytes{};
    while (!end_requested()) {
        if (auto message = deframer_.next()) return message;
        if (deframer_.broken()) return std::nullopt;
        pollfd wait{in_, POLLIN, 0};
        // A session may idle for ever; the limit only bounds how late a signal that came just before is seen.
        if (::poll(&wait, 1, 1000) <= 0) continue;
        const ssize_t n = ::read(in_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return std::nullopt;
        deframer_.feed({bytes.data(), static_cast<std::size_t>(n)});
    }
    return std::nullopt;
}

bool Channel::send_raw(std::string_view bytes) {
    while (!bytes.empty()) {
        pollfd wait{out_, POLLOUT, 0};
        const int ready = ::poll(&wait, 1, write_patience_ms);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;  // the peer has stopped reading
        // A pipe that is ready takes this much without blocking.
        const ssize_t n = ::write(out_, bytes.data(), std::min<std::size_t>(bytes.size(), 4096));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

void Channel::use_chunks() {
    chunked_ = true;
    deframer_.use_chunks();
}

void Channel::drain() {
    std::array<char, 65536> bytes{};
    while (!end_requested()) {
        pollfd wait{in_, POLLIN, 0};
        if (::poll(&wait, 1, 1000) <= 0) continue;
        const ssize_t n = ::read(in_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
    }
}

}  // namespace qkd::junossim
