// NETCONF framing: ]]>]]> (RFC 6242 section 4.3) and chunks (section 4.2), over a pair of file descriptors.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qkd::junossim {

constexpr std::size_t max_message = 16U << 20;

// SIGTERM and SIGINT (kill-session, a closing sshd) end the session between two messages, or while it waits.
void end_on_signals();
bool end_requested();

// Takes bytes in and gives whole messages out; knows nothing of descriptors, so that tests can feed it.
class Deframer {
  public:
    void feed(std::string_view bytes) { buffer_ += bytes; }
    // The next whole message, or nothing yet. After broken() only nothing.
    std::optional<std::string> next();
    // From the next message on. Bytes already fed are read in the new framing.
    void use_chunks() { chunked_ = true; }
    // The peer broke the framing, or sent more than max_message: the session must end.
    bool broken() const { return broken_; }

  private:
    std::optional<std::string> next_marked();
    std::optional<std::string> next_chunked();

    std::string buffer_;
    std::string message_;   // chunks collected so far
    std::size_t seen_ = 0;  // where the search for the marker goes on
    bool chunked_ = false;
    bool broken_ = false;
};

// One message as it goes on the wire.
std::string framed(std::string_view message, bool chunked);

class Channel {
  public:
    Channel(int in, int out) : in_(in), out_(out) {}
    // Blocks until a message is there; empty when the peer has closed, broke the framing, or a signal asks to end.
    std::optional<std::string> receive();
    // False when the peer is gone.
    bool send(std::string_view message) { return send_raw(framed(message, chunked_)); }
    bool send_raw(std::string_view bytes);
    void use_chunks();
    bool chunked() const { return chunked_; }
    // Reads and throws away until the peer closes.
    void drain();

  private:
    int in_;
    int out_;
    bool chunked_ = false;
    Deframer deframer_;
};

}  // namespace qkd::junossim
