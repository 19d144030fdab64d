// A server that takes every connection and never says a word: what a hung KME or device looks like.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

namespace qkd::conformance {

/// Listens on a free port of 127.0.0.1 until destroyed. Throws when it cannot listen.
class SilentPeer {
  public:
    /// `on_first` is called in the server's thread when the first connection has come.
    explicit SilentPeer(std::function<void()> on_first = {});
    ~SilentPeer();
    SilentPeer(const SilentPeer&) = delete;
    SilentPeer& operator=(const SilentPeer&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] bool was_called() const noexcept { return called_; }

  private:
    void serve();

    std::function<void()> on_first_;
    int listener_ = -1;
    int end_ = -1;  ///< eventfd
    std::uint16_t port_ = 0;
    std::atomic<bool> called_ = false;
    std::thread thread_;
};

}  // namespace qkd::conformance
