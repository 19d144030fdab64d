// The silent server's one thread.
#include "kit/silent_peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <vector>

namespace qkd::conformance {

SilentPeer::SilentPeer(std::function<void()> on_first)
    : on_first_(std::move(on_first)),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      end_(::eventfd(0, EFD_CLOEXEC)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || end_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "a listening socket on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
}

SilentPeer::~SilentPeer() {
    (void)::eventfd_write(end_, 1);
    thread_.join();
    ::close(listener_);
    ::close(end_);
}

void SilentPeer::serve() {
    std::vector<int> connections;
    for (;;) {
        std::array<pollfd, 2> waiting{pollfd{listener_, POLLIN, 0}, pollfd{end_, POLLIN, 0}};
        if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) break;
        if (waiting[1].revents != 0) break;
        const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) continue;
        connections.push_back(connection);
        if (!called_.exchange(true) && on_first_) on_first_();
    }
    for (const int connection : connections) ::close(connection);
}

}  // namespace qkd::conformance
