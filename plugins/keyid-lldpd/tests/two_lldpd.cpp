// Starts lldpd in namespaces, and ends exactly what it started.
#include "keyid-lldpd/tests/two_lldpd.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace qkd::support {
namespace {

constexpr const char* program = "/usr/sbin/lldpd";

bool answers(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool there = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return there;
}

/// lldpd looks into /sys, which shows the interfaces of the namespace that mounted it.
void see_own_interfaces() {
    const bool done = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_SLAVE | MS_REC, nullptr) == 0 &&
                      ::umount2("/sys", MNT_DETACH) == 0 && ::mount("sysfs", "/sys", "sysfs", 0, nullptr) == 0;
    if (!done) throw std::runtime_error("no /sys of its own");
}

/// True when the process has ended within the time.
bool ends(pid_t pid, std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (::waitpid(pid, nullptr, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() > until) return false;
        (void)::poll(nullptr, 0, 5);
    }
    return true;
}

}  // namespace

std::string TwoLldpd::impossible() {
    if (::access(program, X_OK) != 0) return "lldpd is not installed";
    return NetSandbox::impossible();
}

TwoLldpd::TwoLldpd() {
    (void)::mkdir("/run/lldpd", 0755);  // where it locks itself in
    // It waits until its own lldpcli, which gives up root, says that it may begin.
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::owner_all |
                                                     std::filesystem::perms::others_exec |
                                                     std::filesystem::perms::group_exec);
    const NetSandbox sandbox;
    NetSandbox::ip("link add name ll0 type veth peer name ll1");
    start(0);
    start(1);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    for (int end = 0; end < 2; ++end) {
        while (!answers(socket(end))) {
            if (std::chrono::steady_clock::now() > until) throw std::runtime_error("lldpd does not answer");
            (void)::poll(nullptr, 0, 5);
        }
        // It begins paused and is told to begin by a client of its own, some time. Whoever is paused hears nothing.
        const std::string command = "/usr/sbin/lldpcli -u " + socket(end) + " resume >/dev/null";
        // NOLINTNEXTLINE(concurrency-mt-unsafe, cert-env33-c): a path of ours
        if (std::system(command.c_str()) != 0) throw std::runtime_error("lldpd cannot be resumed");
    }
}

TwoLldpd::~TwoLldpd() {
    for (const pid_t pid : daemons_) {
        ::kill(pid, SIGTERM);
        if (ends(pid, std::chrono::seconds{5})) continue;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
}

std::string TwoLldpd::socket(int end) const {
    return (folder_.path() / (std::to_string(end) + ".sock")).string();
}

void TwoLldpd::start(int end) {
    const std::string netdev = "ll" + std::to_string(end);
    std::array<int, 2> up{}, down{};
    if (::pipe2(up.data(), O_CLOEXEC) != 0 || ::pipe2(down.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const pid_t pid = ::fork();
    if (pid == 0) {
        try {
            const NetSandbox here;
            see_own_interfaces();
            char go = 'r';
            if (::write(up[1], &go, 1) != 1 || ::read(down[0], &go, 1) != 1) ::_exit(1);
            NetSandbox::ip("link set dev " + netdev + " up");
            const std::string control = socket(end);
            const std::string pid_file = control + ".pid";
            const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
            for (int fd = 0; fd < 3; ++fd) ::dup2(nowhere, fd);
            ::execl(program, program, "-d", "-u", control.c_str(), "-p", pid_file.c_str(), "-I", netdev.c_str(), "-O",
                    "/dev/null", nullptr);
        } catch (const std::exception&) {
            ::_exit(1);
        }
        ::_exit(1);
    }
    ::close(up[1]);
    ::close(down[0]);
    char ready = 0;
    const bool there = pid > 0 && ::read(up[0], &ready, 1) == 1;
    if (pid > 0) daemons_.push_back(pid);
    if (there) NetSandbox::ip("link set dev " + netdev + " netns " + std::to_string(pid));
    const bool told = there && ::write(down[1], "g", 1) == 1;
    ::close(up[0]);
    ::close(down[1]);
    if (!told) throw std::runtime_error("no namespace for lldpd");
}

}  // namespace qkd::support
