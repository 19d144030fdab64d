// liblldpctl over a socket of our own, so that every wait knows the deadline and can be cancelled.
#include "lldpd.hpp"

#include <lldpctl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace qkd::keyid_lldpd {
namespace {

// A locally administered prefix: no registered one of this project exists.
constexpr std::array<std::uint8_t, 3> oui{0x02, 0x51, 0x4b};

ssize_t put_octets(lldpctl_conn_t* /*connection*/, const std::uint8_t* data, std::size_t size, void* self) {
    return static_cast<Lldpd*>(self)->put(data, size);
}
ssize_t get_octets(lldpctl_conn_t* /*connection*/, const std::uint8_t* data, std::size_t size, void* self) {
    return static_cast<Lldpd*>(self)->get(data, size);
}

}  // namespace

/// Counts references as the library wants it.
struct Lldpd::Atom {
    explicit Atom(lldpctl_atom_t* from) : raw(from) {}
    ~Atom() {
        if (raw != nullptr) lldpctl_atom_dec_ref(raw);
    }
    Atom(const Atom&) = delete;
    Atom& operator=(const Atom&) = delete;
    lldpctl_atom_t* raw;
};

Result<std::unique_ptr<Lldpd>> Lldpd::open(Context& context, const std::string& socket) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) {
        return Error{ErrorCode::config, Retry::never, "the path " + socket + " is too long for a socket", "shorten it"};
    }
    socket.copy(address.sun_path, socket.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // A full backlog counts as unreachable too: lldpd serves its clients in no time.
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int number = errno;
        if (fd >= 0) ::close(fd);
        const bool denied = number == EACCES || number == EPERM;
        return Error{denied ? ErrorCode::auth : ErrorCode::unreachable, denied ? Retry::never : Retry::safe,
                     "lldpd at " + socket + ": " + std::strerror(number),  // NOLINT(concurrency-mt-unsafe)
                     denied ? "run as a member of the group of that socket (_lldpd on Debian)"
                            : "start lldpd, or name its socket in the key_ids table"};
    }
    std::unique_ptr<Lldpd> opened(new Lldpd(context, socket, fd));
    if (opened->connection_ == nullptr) return opened->failure("connecting");
    return opened;
}

Lldpd::Lldpd(Context& context, std::string socket, int fd)
    : context_(context),
      socket_(std::move(socket)),
      fd_(fd),
      connection_(lldpctl_new(&put_octets, &get_octets, this)) {}

Lldpd::~Lldpd() {
    if (connection_ != nullptr) lldpctl_release(connection_);
    ::close(fd_);
}

/// Waits until the socket is; false at the deadline or when cancelled, which `end_` then says.
bool Lldpd::ready(short events) {
    for (;;) {
        if (context_.stop_requested()) {
            end_ = End::cancelled;
            return false;
        }
        std::array<pollfd, 2> waiting{{{fd_, events, 0}, {context_.cancel_fd(), POLLIN, 0}}};
        const auto left = context_.remaining();
        const int count =
            ::poll(waiting.data(), waiting.size(), static_cast<int>(std::min<std::int64_t>(left.count(), 60000)));
        if (count < 0 && errno != EINTR) return true;  // the read or write will tell
        if (waiting[0].revents != 0) return true;
        if (context_.remaining().count() == 0) {
            end_ = End::deadline;
            return false;
        }
    }
}

long Lldpd::put(const std::uint8_t* data, std::size_t size) {
    for (;;) {
        if (!ready(POLLOUT)) return LLDPCTL_ERR_CALLBACK_FAILURE;
        const auto sent = ::send(fd_, data, size, MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        if (errno == EINTR || errno == EAGAIN) continue;
        end_ = End::closed;
        return LLDPCTL_ERR_CALLBACK_FAILURE;
    }
}

long Lldpd::get(const std::uint8_t* data, std::size_t size) {
    for (;;) {
        if (!ready(POLLIN)) return LLDPCTL_ERR_CALLBACK_FAILURE;
        // The library declares its own buffer constant.
        const auto got =
            ::recv(fd_, const_cast<std::uint8_t*>(data), size, 0);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
        if (got > 0) return got;
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        end_ = End::closed;
        return got == 0 ? static_cast<long>(LLDPCTL_ERR_EOF) : static_cast<long>(LLDPCTL_ERR_CALLBACK_FAILURE);
    }
}

Error Lldpd::failure(const std::string& what) const {
    const std::string text = "lldpd at " + socket_ + ": " + what;
    switch (end_) {
        case End::deadline:
            return {ErrorCode::timeout, Retry::safe, text + ": no answer in time", "look whether lldpd still runs"};
        case End::cancelled: return {ErrorCode::cancelled, Retry::safe, text + ": interrupted", ""};
        case End::closed:
            return {ErrorCode::unreachable, Retry::safe, text + ": it closed the connection",
                    "look whether lldpd still runs"};
        case End::none: break;
    }
    return {ErrorCode::protocol, Retry::never,
            text + ": " + (connection_ == nullptr ? "no memory" : lldpctl_last_strerror(connection_)),
            "lldpd and liblldpctl must be of the same release"};
}

Result<std::shared_ptr<Lldpd::Atom>> Lldpd::port(const std::string& netdev) {
    const Atom interfaces(lldpctl_get_interfaces(connection_));
    if (interfaces.raw == nullptr) return failure("asking for its interfaces");
    std::shared_ptr<Atom> found;
    lldpctl_atom_t* one = nullptr;
    lldpctl_atom_foreach(interfaces.raw, one) {
        const char* name = lldpctl_atom_get_str(one, lldpctl_k_interface_name);
        if (!found && name != nullptr && netdev == name) found = std::make_shared<Atom>(lldpctl_get_port(one));
    }
    if (!found) {
        return Error{
            ErrorCode::config, Retry::never, "lldpd at " + socket_ + " does not run on an interface " + netdev,
            "name it in ports of the key_ids table, as \"DEVICE INTERFACE=NETDEV\", and in lldpd's own interfaces"};
    }
    if (found->raw == nullptr) return failure("asking for port " + netdev);
    return found;
}

Result<std::vector<std::string>> Lldpd::texts(Atom& holder, Subtype subtype) {
    std::vector<std::string> all;
    const Atom tlvs(lldpctl_atom_get(holder.raw, lldpctl_k_custom_tlvs));
    if (tlvs.raw == nullptr) {
        if (end_ != End::none) return failure("asking for TLVs");
        return all;
    }
    lldpctl_atom_t* tlv = nullptr;
    lldpctl_atom_foreach(tlvs.raw, tlv) {
        std::size_t size = 0;
        const std::uint8_t* prefix = lldpctl_atom_get_buffer(tlv, lldpctl_k_custom_tlv_oui, &size);
        if (prefix == nullptr || size != oui.size() || !std::equal(oui.begin(), oui.end(), prefix)) continue;
        if (lldpctl_atom_get_int(tlv, lldpctl_k_custom_tlv_oui_subtype) != static_cast<int>(subtype)) continue;
        const std::uint8_t* text = lldpctl_atom_get_buffer(tlv, lldpctl_k_custom_tlv_oui_info_string, &size);
        if (text != nullptr) all.emplace_back(reinterpret_cast<const char*>(text), size);
    }
    return all;
}

Result<std::vector<std::string>> Lldpd::heard(const std::string& netdev, Subtype subtype) {
    auto at = port(netdev);
    if (!at) return std::move(at).error();
    std::vector<std::string> all;
    const Atom neighbours((lldpctl_atom_get((*at)->raw, lldpctl_k_port_neighbors)));
    if (neighbours.raw == nullptr) return failure("asking for the neighbours on " + netdev);
    std::optional<Error> failed;
    lldpctl_atom_t* one = nullptr;
    lldpctl_atom_foreach(neighbours.raw, one) {
        lldpctl_atom_inc_ref(one);
        Atom neighbour(one);
        auto some = texts(neighbour, subtype);
        if (some) {
            all.insert(all.end(), some->begin(), some->end());
        } else {
            failed = std::move(some).error();
        }
    }
    if (failed) return *std::move(failed);
    return all;
}

Result<void> Lldpd::change(Atom& port, const std::string& netdev, Subtype subtype, const std::string& text,
                           const char* operation) {
    const Atom tlvs(lldpctl_atom_get(port.raw, lldpctl_k_custom_tlvs));
    const Atom tlv(tlvs.raw == nullptr ? nullptr : lldpctl_atom_create(tlvs.raw));
    const auto* octets = reinterpret_cast<const std::uint8_t*>(text.data());
    const bool made =
        tlv.raw != nullptr &&
        lldpctl_atom_set_buffer(tlv.raw, lldpctl_k_custom_tlv_oui, oui.data(), oui.size()) != nullptr &&
        lldpctl_atom_set_int(tlv.raw, lldpctl_k_custom_tlv_oui_subtype, static_cast<long>(subtype)) != nullptr &&
        lldpctl_atom_set_buffer(tlv.raw, lldpctl_k_custom_tlv_oui_info_string, octets, text.size()) != nullptr &&
        lldpctl_atom_set_str(tlv.raw, lldpctl_k_custom_tlv_op, operation) != nullptr;
    if (!made) return failure("making a TLV for " + netdev);
    if (lldpctl_atom_set(port.raw, lldpctl_k_custom_tlv, tlv.raw) == nullptr)
        return failure("changing a TLV of " + netdev);
    return {};
}

Result<void> Lldpd::tell(const std::string& netdev, Subtype subtype, const std::string& text) {
    auto at = port(netdev);
    if (!at) return std::move(at).error();
    auto present = texts(**at, subtype);
    if (!present) return std::move(present).error();
    if (!present->empty() && present->front() == text) return {};
    return change(**at, netdev, subtype, text, "replace");
}

Result<void> Lldpd::untell(const std::string& netdev, Subtype subtype,
                           const std::function<bool(const std::string&)>& which) {
    auto at = port(netdev);
    if (!at) return std::move(at).error();
    auto present = texts(**at, subtype);
    if (!present) return std::move(present).error();
    if (present->empty() || !which(present->front())) return {};
    return change(**at, netdev, subtype, present->front(), "remove");
}

Result<void> Lldpd::watch() {
    const auto note = [](lldpctl_change_t, lldpctl_atom_t*, lldpctl_atom_t*, void* self) {
        static_cast<Lldpd*>(self)->changed_ = true;
    };
    if (lldpctl_watch_callback2(connection_, note, this) < 0) return failure("asking to be told of changes");
    return {};
}

Result<bool> Lldpd::wait_for_change() {
    changed_ = false;
    if (lldpctl_watch(connection_) < 0 && !changed_) {
        if (end_ == End::deadline) return false;
        return failure("waiting for a change");
    }
    return true;
}

}  // namespace qkd::keyid_lldpd
