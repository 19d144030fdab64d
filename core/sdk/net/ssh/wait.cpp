// poll() with everything it needs to be safe, and name look-up and connect() on top.
#include "wait.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace qkd::net {
namespace {

// Where a call cannot be interrupted through a descriptor, the stop token is looked at this often.
constexpr std::chrono::milliseconds glance{100};

Error timed_out(const std::string& what) {
    return {ErrorCode::timeout, Retry::safe, what + ": no answer within the deadline",
            "raise the stage's timeout if the device is slow, else look at the network"};
}

Error cancelled(const std::string& what) {
    return {ErrorCode::cancelled, Retry::never, what + ": interrupted", ""};
}

bool cancel_pending(Context& context) {
    if (context.stop_requested()) return true;
    pollfd one{context.cancel_fd(), POLLIN, 0};
    return context.cancel_fd() >= 0 && ::poll(&one, 1, 0) > 0;
}

struct Lookup {
    std::string host;
    std::string service;
    addrinfo hints{};
    gaicb request{};
    ~Lookup() {
        if (request.ar_result != nullptr) ::freeaddrinfo(request.ar_result);
    }
};

// Name look-up in the background of glibc: getaddrinfo itself knows no deadline.
Result<std::unique_ptr<Lookup>> look_up(Context& context, const std::string& host, std::uint16_t port) {
    auto lookup = std::make_unique<Lookup>();
    lookup->host = host;
    lookup->service = std::to_string(port);
    lookup->hints.ai_socktype = SOCK_STREAM;
    const std::string what = "looking up " + host;
    const auto failed = [&](int code) {
        return Error{ErrorCode::unreachable, code == EAI_AGAIN ? Retry::safe : Retry::never,
                     what + ": " + ::gai_strerror(code), "check the name, or give the address"};
    };
    lookup->hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    if (::getaddrinfo(lookup->host.c_str(), lookup->service.c_str(), &lookup->hints, &lookup->request.ar_result) == 0)
        return lookup;
    lookup->hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
    lookup->request.ar_name = lookup->host.c_str();
    lookup->request.ar_service = lookup->service.c_str();
    lookup->request.ar_request = &lookup->hints;
    gaicb* list[] = {&lookup->request};
    if (const int rc = ::getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr); rc != 0) return failed(rc);
    for (;;) {
        const int state = ::gai_error(&lookup->request);
        if (state == 0) return lookup;
        if (state != EAI_INPROGRESS) return failed(state);
        const bool stop = cancel_pending(context);
        if (stop || context.remaining().count() == 0) {
            // A look-up that has begun cannot be taken back, and it will write into its request: let it keep it.
            if (::gai_cancel(&lookup->request) == EAI_NOTCANCELED) (void)lookup.release();
            return stop ? cancelled(what) : timed_out(what);
        }
        const auto slice = std::min(context.remaining(), glance);
        const timespec pause{0, static_cast<long>(slice.count()) * 1000000L};
        const gaicb* waiting[] = {&lookup->request};
        (void)::gai_suspend(waiting, 1, &pause);
    }
}

std::string numeric(const addrinfo& address) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(address.ai_addr, address.ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0)
        return "?";
    return text.data();
}

Result<int> connect_one(Context& context, const addrinfo& address, const std::string& what,
                        Context::Clock::time_point limit) {
    const int fd = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const auto fail = [&](int code) -> Error {
        if (fd >= 0) ::close(fd);
        return {ErrorCode::unreachable, Retry::safe, what + ": " + std::strerror(code),
                "check address, port and that the device listens there (Junos: system services netconf ssh)"};
    };
    if (fd < 0) return fail(errno);
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd, address.ai_addr, address.ai_addrlen) != 0 && errno != EINPROGRESS) return fail(errno);
    if (auto ready = wait_for(context, fd, POLLOUT, what, limit); !ready) {
        ::close(fd);
        return std::move(ready).error();
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem != 0) return fail(problem);
    return fd;
}

}  // namespace

Result<void> wait_for(Context& context, int fd, short events, const std::string& what) {
    return wait_for(context, fd, events, what, context.deadline());
}

Result<void> wait_for(Context& context, int fd, short events, const std::string& what,
                      Context::Clock::time_point limit) {
    limit = std::min(limit, context.deadline());
    for (;;) {
        if (context.stop_requested()) return cancelled(what);
        auto left = std::chrono::ceil<std::chrono::milliseconds>(limit - Context::Clock::now());
        if (left.count() <= 0) return timed_out(what);
        if (context.cancel_fd() < 0) left = std::min(left, glance);
        left = std::min(left, std::chrono::milliseconds{60000});
        std::array<pollfd, 2> set{pollfd{fd, events, 0}, pollfd{context.cancel_fd(), POLLIN, 0}};
        const int ready = ::poll(set.data(), set.size(), static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR)
            return Error{ErrorCode::internal, Retry::never, what + ": poll: " + std::strerror(errno), ""};
        if (ready <= 0) continue;
        if (set[1].revents != 0) return cancelled(what);
        if (set[0].revents != 0) return {};
    }
}

Result<int> connect_tcp(Context& context, const std::string& host, std::uint16_t port, std::chrono::milliseconds each) {
    auto lookup = look_up(context, host, port);
    if (!lookup) return std::move(lookup).error();
    Error last{ErrorCode::unreachable, Retry::never, host + " has no address", "check the name"};
    for (const addrinfo* address = (*lookup)->request.ar_result; address != nullptr; address = address->ai_next) {
        const std::string place = numeric(*address);
        const std::string what =
            "connecting to " + host + (place == host ? "" : " (" + place + ")") + " port " + std::to_string(port);
        auto fd = connect_one(context, *address, what, Context::Clock::now() + each);
        if (fd) return *fd;
        last = std::move(fd).error();
        if (last.code == ErrorCode::cancelled || context.remaining().count() == 0) break;
    }
    return last;
}

void acknowledge_at_once(int fd) noexcept {
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

}  // namespace qkd::net
