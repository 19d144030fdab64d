// Waiting for a socket under deadline and cancellation, and the TCP connection that needs it first.
#pragma once

#include <chrono>
#include <string>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::net {

/// Waits until one of `events` (poll) holds on `fd`. `what` says what was waited for, for the message.
Result<void> wait_for(Context& context, int fd, short events, const std::string& what);
/// Like wait_for, with an earlier limit than the context's.
Result<void> wait_for(Context& context, int fd, short events, const std::string& what,
                      Context::Clock::time_point limit);

/// A connected, non-blocking socket with TCP_NODELAY; tries each address of the host in turn.
Result<int> connect_tcp(Context& context, const std::string& host, std::uint16_t port, std::chrono::milliseconds each);

/// Answers held back by the far end's Nagle algorithm until our delayed acknowledgement cost 40 ms each: ask for an
/// immediate one. The kernel forgets it, so it is asked again before each wait of a set-up.
void acknowledge_at_once(int fd) noexcept;

}  // namespace qkd::net
