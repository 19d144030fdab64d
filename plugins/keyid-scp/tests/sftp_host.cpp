// Configuration, keys and life of those daemons.
#include "keyid-scp/tests/sftp_host.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <vector>

namespace qkd::support {
namespace {

constexpr const char* sshd = "/usr/sbin/sshd";
constexpr const char* keygen = "/usr/bin/ssh-keygen";

pid_t spawn(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const auto& word : words)
        argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; ++fd) ::dup2(nothing, fd);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    if (child < 0) throw std::runtime_error("fork failed");
    return child;
}

void make_key(const std::filesystem::path& file) {
    int status = 0;
    ::waitpid(spawn({keygen, "-q", "-t", "ed25519", "-N", "", "-f", file.string()}), &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("ssh-keygen failed");
}

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                       ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(fd);
    if (!bound) throw std::runtime_error("no free port");
    return ntohs(address.sin_port);
}

bool answers(int port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return connected;
}

}  // namespace

std::string SftpHosts::impossible() {
    return ::access(sshd, X_OK) == 0 && ::access(keygen, X_OK) == 0 ? "" : "OpenSSH's server is not installed";
}

std::string SftpHosts::user() {
    const passwd* entry = ::getpwuid(::getuid());  // NOLINT(concurrency-mt-unsafe)
    return entry == nullptr ? "root" : entry->pw_name;
}

SftpHosts::SftpHosts() {
    (void)::mkdir("/run/sshd", 0755);  // privilege separation, when root runs it
    make_key(temp_.path() / "id");
    make_key(temp_.path() / "host");
    std::filesystem::copy_file(temp_.path() / "id.pub", temp_.path() / "authorized_keys");
    write_file(temp_.path() / "known_hosts", "");
}

SftpHosts::~SftpHosts() {
    for (const auto& [name, host] : hosts_) {
        ::kill(host.pid, SIGTERM);
        ::waitpid(host.pid, nullptr, 0);
    }
}

void SftpHosts::add(const std::string& name) {
    const auto config = temp_.path() / (name + ".sshd");
    std::filesystem::create_directory(home(name));
    const int port = free_port();
    write_file(config, "ListenAddress 127.0.0.1\nPort " + std::to_string(port) + "\nHostKey " +
                           (temp_.path() / "host").string() + "\nAuthorizedKeysFile " +
                           (temp_.path() / "authorized_keys").string() +
                           "\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n"
                           "PasswordAuthentication no\nSubsystem sftp internal-sftp\nForceCommand internal-sftp -d " +
                           home(name).string() + "\n");
    hosts_[name] = {spawn({sshd, "-D", "-e", "-f", config.string()}), port};
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (!answers(port)) {
        if (std::chrono::steady_clock::now() > until) throw std::runtime_error("sshd does not answer");
        (void)::poll(nullptr, 0, 5);
    }
    const std::string key = read_file(temp_.path() / "host.pub");
    const auto known = temp_.path() / "known_hosts";
    write_file(known, read_file(known) + "[127.0.0.1]:" + std::to_string(port) + " " + key);
}

Values SftpHosts::values() const {
    Values values{{"directory", "inbox"},
                  {"user", user()},
                  {"ssh_key", "file:" + (temp_.path() / "id").string()},
                  {"known_hosts", (temp_.path() / "known_hosts").string()},
                  {"secret", "text:0123456789abcdef0123456789abcdef"}};
    std::string& peers = values["peers"];
    for (const auto& [name, host] : hosts_) {
        peers += (peers.empty() ? "" : "\n") + name + "=127.0.0.1:" + std::to_string(host.port);
    }
    return values;
}

}  // namespace qkd::support
