// Starting a program of this machine. Link qkd::sdk.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace qkd::net {

/// What the program gets. The descriptors stay the caller's; -1 = /dev/null.
struct Streams {
    int input = -1;
    int output = -1;
    int errors = -1;
    /// The slave of a pseudo-terminal, as ptsname(3) gives it, that becomes the controlling terminal of a session of its
    /// own: when the last descriptor of its master closes, as it does whatever ends this process, the kernel sends
    /// SIGHUP to the program. Empty: a process group of its own, and no more.
    std::string terminal{};
};

/// Runs argv[0], searched in PATH when it has no slash, with argv as it is: no shell. It gets our environment, `streams`
/// and none of our other descriptors, no blocked signal, and the standard reaction to SIGINT, SIGTERM, SIGHUP and
/// SIGPIPE; it leads a process group of its own. Returns 0 and sets `pid`, or an errno. Safe in any thread.
int spawn(const std::vector<std::string>& argv, const Streams& streams, pid_t& pid);

}  // namespace qkd::net
