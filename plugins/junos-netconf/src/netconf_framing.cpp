// Reader and writer of both framings.
#include "netconf_framing.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

namespace qkd::junos {
namespace {

constexpr std::string_view delimiter = "]]>]]>";
constexpr std::string_view end_of_chunks = "\n##\n";
constexpr std::size_t longest_chunk_header = 13;  // "\n#" + ten digits + "\n" (RFC 6242 section 4.2)

Error framing_error(const std::string& what) {
    return Error::protocol("NETCONF framing: " + what, "open a new session").retryable();
}

bool is_space(std::uint8_t c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

}  // namespace

SecretBytes frame(const SecretBytes& message, Framing framing) {
    SecretBytes out;
    if (framing == Framing::chunked) out.append("\n#" + std::to_string(message.size()) + "\n");
    out.append(message.reveal());
    out.append(framing == Framing::chunked ? end_of_chunks : delimiter);
    return out;
}

Result<std::optional<SecretBytes>> FrameReader::next() {
    return framing_ == Framing::end_of_message ? next_delimited() : next_chunked();
}

void FrameReader::drop(std::size_t count) {
    auto bytes = input_.writable();
    const std::size_t rest = bytes.size() - count;
    if (rest != 0) std::memmove(bytes.data(), bytes.data() + count, rest);
    input_.resize(rest);  // wipes what is behind
}

Result<std::optional<SecretBytes>> FrameReader::next_delimited() {
    for (;;) {
        const auto text = input_.reveal_text();
        const auto found = text.find(delimiter, searched_);
        if (found == std::string_view::npos) {
            if (text.size() > limit_) return framing_error("a message is larger than " + std::to_string(limit_));
            searched_ = text.size() - std::min(text.size(), delimiter.size() - 1);
            return std::optional<SecretBytes>{};
        }
        if (found > limit_) return framing_error("a message is larger than " + std::to_string(limit_));
        const auto bytes = input_.reveal().first(found);
        const auto begin = std::find_if_not(bytes.begin(), bytes.end(), is_space);
        std::optional<SecretBytes> message;
        if (begin != bytes.end()) message.emplace(std::span<const std::uint8_t>(begin, bytes.end()));
        drop(found + delimiter.size());
        searched_ = 0;
        if (message) return message;
    }
}

Result<std::optional<SecretBytes>> FrameReader::next_chunked() {
    std::size_t at = 0;
    const auto bytes = input_.reveal();
    while (at < bytes.size()) {
        if (chunk_left_ != 0) {
            const std::size_t count = std::min(chunk_left_, bytes.size() - at);
            message_.append(bytes.subspan(at, count));
            at += count;
            chunk_left_ -= count;
            continue;
        }
        const auto rest = bytes.subspan(at);
        // Junos ends its hello with a line end after the delimiter: between messages white space is no fault.
        if (message_.empty() && is_space(rest[0]) && (rest.size() == 1 || rest[1] != '#')) {
            if (rest.size() == 1) break;
            ++at;
            continue;
        }
        const auto line = rest.subspan(1, std::min(rest.size() - 1, longest_chunk_header));
        const auto end = std::find(line.begin(), line.end(), static_cast<std::uint8_t>('\n'));
        if (rest[0] != '\n' || (rest.size() > 1 && rest[1] != '#'))
            return framing_error("no chunk where one must begin");
        if (end == line.end()) {
            if (rest.size() > longest_chunk_header) return framing_error("a chunk header is too long");
            break;
        }
        const std::string_view header(reinterpret_cast<const char*>(line.data()) + 1,
                                      static_cast<std::size_t>(end - line.begin()) - 1);
        const std::size_t header_size = header.size() + 3;
        if (header == "#") {
            drop(at + header_size);
            if (message_.empty()) return framing_error("a message without chunks");
            std::optional<SecretBytes> message(std::move(message_));
            message_ = SecretBytes();
            return message;
        }
        std::size_t size = 0;
        for (const char c : header) {
            if (c < '0' || c > '9') return framing_error("a chunk size that is no number");
            size = size * 10 + static_cast<std::size_t>(c - '0');
        }
        if (size == 0 || header.front() == '0') return framing_error("a chunk size that is no number");
        if (size > limit_ || message_.size() + size > limit_)
            return framing_error("a message is larger than " + std::to_string(limit_));
        chunk_left_ = size;
        at += header_size;
    }
    drop(at);
    return std::optional<SecretBytes>{};
}

}  // namespace qkd::junos
