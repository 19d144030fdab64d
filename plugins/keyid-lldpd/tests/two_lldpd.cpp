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
#include <cstdio>
#include <functional>
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

/// What lldpcli prints; throws when it fails.
std::string lldpcli(const std::string& socket, const std::string& words) {
    const std::string command = "/usr/sbin/lldpcli -u " + socket + " " + words;
    // NOLINTNEXTLINE(concurrency-mt-unsafe, cert-env33-c): a path of ours
    std::FILE* output = ::popen(command.c_str(), "re");
    if (output == nullptr) throw std::runtime_error("no lldpcli");
    std::string text;
    std::array<char, 512> chunk{};
    while (const auto count = std::fread(chunk.data(), 1, chunk.size(), output)) text.append(chunk.data(), count);
    if (::pclose(output) != 0) throw std::runtime_error("lldpcli " + words + ": " + text);
    return text;
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
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{60};
    const auto wait_for = [&](const std::function<bool()>& there, const char* otherwise) {
        while (!there()) {
            if (std::chrono::steady_clock::now() > until) throw std::runtime_error(otherwise);
            (void)::poll(nullptr, 0, 5);
        }
    };
    for (int end = 0; end < 2; ++end) {
        wait_for([&] { return answers(socket(end)); }, "lldpd does not answer");
        // It begins paused and is told to begin by a client of its own, some time. Whoever is paused hears nothing.
        lldpcli(socket(end), "resume");
        // A frame that comes while the other end is not there yet is told again soon.
        lldpcli(socket(end), "configure lldp tx-interval 1");
    }
    for (int end = 0; end < 2; ++end) {
        // It looks for its interfaces some time later still.
        const std::string netdev = "ll" + std::to_string(end);
        wait_for([&] { return lldpcli(socket(end), "show interfaces").find(netdev) != std::string::npos; },
                 "lldpd does not find its interface");
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
