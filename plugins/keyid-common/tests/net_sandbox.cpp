// unshare(2) for the thread, ip(8) for the rest.
#include "keyid-common/tests/net_sandbox.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace qkd::support {

std::string NetSandbox::impossible() {
    static const std::string reason = []() -> std::string {
        try {
            NetSandbox sandbox;
            sandbox.wire("probe0", "probe1");
        } catch (const std::exception& error) {
            return std::string("no network namespaces here: ") + error.what();
        }
        return {};
    }();
    return reason;
}

NetSandbox::NetSandbox() : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (home_ < 0 || ::unshare(CLONE_NEWNET) != 0) {
        const int number = errno;
        if (home_ >= 0) ::close(home_);
        throw std::runtime_error(std::string("unshare: ") + std::strerror(number));  // NOLINT(concurrency-mt-unsafe)
    }
    ip("link set lo up");
}

NetSandbox::~NetSandbox() {
    (void)::setns(home_, CLONE_NEWNET);
    ::close(home_);
}

void NetSandbox::ip(const std::string& words) {
    const std::string command = "PATH=$PATH:/usr/sbin:/sbin ip " + words;
    // NOLINTNEXTLINE(concurrency-mt-unsafe, cert-env33-c): words of the tests themselves
    if (std::system(command.c_str()) != 0) throw std::runtime_error("ip " + words + " failed");
}

void NetSandbox::wire(const std::string& one, const std::string& other) {
    ip("link add name " + one + " type veth peer name " + other);
    ip("link set dev " + one + " up");
    ip("link set dev " + other + " up");
}

}  // namespace qkd::support
