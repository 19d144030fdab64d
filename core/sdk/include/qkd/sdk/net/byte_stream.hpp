// A two-way stream of bytes: what a protocol such as NETCONF needs of whatever carries it.
#pragma once

#include <cstdint>
#include <span>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::net {

/// One thread at a time. Every call returns within 200 ms of the context's deadline or of its cancellation, with
/// `timeout` or `cancelled`.
class ByteStream {
  public:
    virtual ~ByteStream() = default;
    ByteStream(const ByteStream&) = delete;
    ByteStream& operator=(const ByteStream&) = delete;

    /// Waits for data and returns how many bytes it put into `into`; 0 = the far end has closed. A read that was
    /// interrupted lost nothing: read again later.
    virtual Result<std::size_t> read(Context& context, std::span<std::uint8_t> into) = 0;
    /// Writes all of it. After an error nobody knows how much went out: the stream is of no use then.
    virtual Result<void> write(Context& context, std::span<const std::uint8_t> bytes) = 0;
    /// Ends the stream; never waits for a far end on another machine, and 150 ms at most for one on this.
    virtual void close() noexcept = 0;
    [[nodiscard]] virtual bool alive() const noexcept = 0;

  protected:
    ByteStream() = default;
};

}  // namespace qkd::net
