// NETCONF messages in a stream of bytes: end-of-message framing and chunked framing (RFC 6242 section 4).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::junos {

enum class Framing : std::uint8_t { end_of_message, chunked };

/// `message` with its framing around it, fit to be written in one piece: Junos traces complain of a delimiter that
/// arrives on its own.
SecretBytes frame(const SecretBytes& message, Framing framing);

/// Takes bytes as they come, gives messages. Replies hold keys, so everything stays in wiped memory.
class FrameReader {
  public:
    /// A message above `limit` octets is refused.
    explicit FrameReader(std::size_t limit) : limit_(limit) {}

    /// Decides how what comes after the last message is read (RFC 6242 section 4.1: after the hello).
    void use(Framing framing) noexcept { framing_ = framing; }
    void feed(std::span<const std::uint8_t> bytes) { input_.append(bytes); }
    /// The next whole message, without framing and not empty; nullopt when more bytes are needed. After an error the
    /// stream cannot be understood any more.
    Result<std::optional<SecretBytes>> next();
    /// What came and is no message yet. For the words of a far end that speaks another language, before any secret.
    [[nodiscard]] std::string_view unread() const noexcept { return input_.reveal_text(); }

  private:
    Result<std::optional<SecretBytes>> next_delimited();
    Result<std::optional<SecretBytes>> next_chunked();
    void drop(std::size_t count);

    std::size_t limit_;
    Framing framing_ = Framing::end_of_message;
    SecretBytes input_;
    SecretBytes message_;         ///< chunked: what has been put together so far
    std::size_t searched_ = 0;    ///< delimited: input_ before this holds no delimiter
    std::size_t chunk_left_ = 0;  ///< chunked: octets of the current chunk still to come
};

}  // namespace qkd::junos
