// AF_PACKET: frames of our EtherType on one interface. The kernel makes and takes off the Ethernet header.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "station.hpp"

namespace qkd::keyid_88b7 {
namespace {

Error failed(const std::string& netdev, const char* what, int number) {
    const std::string text = netdev + ": " + what + ": " + std::strerror(number);  // NOLINT(concurrency-mt-unsafe)
    if (number == EPERM || number == EACCES) {
        return {ErrorCode::auth, Retry::never, text,
                "give the program CAP_NET_RAW: AmbientCapabilities=CAP_NET_RAW in its systemd unit, or setcap "
                "cap_net_raw+ep"};
    }
    return {ErrorCode::internal, Retry::never, text, "look at the interface with ip link"};
}

sockaddr_ll address(int index, const Mac& mac) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ethertype);
    to.sll_ifindex = index;
    to.sll_halen = static_cast<unsigned char>(mac.size());
    std::copy(mac.begin(), mac.end(), to.sll_addr);
    return to;
}

}  // namespace

Result<PacketSocket> PacketSocket::open(const std::string& netdev, const Mac& destination) {
    const int fd = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);  // nothing before bind
    if (fd < 0) return failed(netdev, "packet socket", errno);
    PacketSocket opened(fd, static_cast<int>(::if_nametoindex(netdev.c_str())), 0, destination);
    if (opened.index_ == 0) {
        return Error{ErrorCode::config, Retry::never, "there is no network interface " + netdev + " on this machine",
                     "name it in ports of the key_ids table, as \"DEVICE INTERFACE=NETDEV\""};
    }
    ifreq request{};
    netdev.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(fd, SIOCGIFMTU, &request) != 0) return failed(netdev, "reading the MTU", errno);
    opened.mtu_ = static_cast<std::size_t>(std::max(request.ifr_mtu, 0));
    if (destination != broadcast) {
        packet_mreq group{};
        group.mr_ifindex = opened.index_;
        group.mr_type = PACKET_MR_MULTICAST;
        group.mr_alen = static_cast<unsigned short>(destination.size());
        std::copy(destination.begin(), destination.end(), group.mr_address);
        if (::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
            return failed(netdev, "joining the group address", errno);
        }
    }
    const sockaddr_ll here = address(opened.index_, destination);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) return failed(netdev, "bind", errno);
    return opened;
}

PacketSocket::PacketSocket(PacketSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), index_(other.index_), mtu_(other.mtu_), destination_(other.destination_) {}

PacketSocket& PacketSocket::operator=(PacketSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    index_ = other.index_;
    mtu_ = other.mtu_;
    destination_ = other.destination_;
    return *this;
}

PacketSocket::~PacketSocket() {
    if (fd_ >= 0) ::close(fd_);
}

void PacketSocket::send(const std::vector<std::uint8_t>& payload) const {
    const sockaddr_ll to = address(index_, destination_);
    // Full queue, interface down: the same as a frame lost on the wire; it is sent again anyway.
    (void)::sendto(fd_, payload.data(), payload.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to),
                   sizeof to);
}

std::optional<std::vector<std::uint8_t>> PacketSocket::receive() const {
    std::vector<std::uint8_t> payload(largest_payload + 1);  // one more, so that a longer frame is seen to be longer
    for (;;) {
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        const auto got =
            ::recvfrom(fd_, payload.data(), payload.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            // ENETDOWN is told once and then forgotten; a frame may stand behind it.
            if (errno == ENETDOWN) continue;
            return std::nullopt;
        }
        if (from.sll_pkttype == PACKET_OUTGOING) continue;  // our own
        payload.resize(static_cast<std::size_t>(got));
        return payload;
    }
}

}  // namespace qkd::keyid_88b7
