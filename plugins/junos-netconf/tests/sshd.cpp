// Configuration, keys and life of that sshd.
#include "sshd.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace qkd::junos::test {
namespace {

pid_t spawn(const std::vector<std::string>& arguments, int output, const std::string& log) {
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int nothing = ::open("/dev/null", O_RDWR);
        const int errors = log.empty() ? nothing : ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(nothing, 0);
        ::dup2(output >= 0 ? output : errors, 1);
        ::dup2(errors, 2);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    if (child < 0) throw std::runtime_error("fork failed");
    return child;
}

bool answers(int port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return connected;
}

std::string word(bool value) {
    return value ? "true" : "false";
}

}  // namespace

int free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("no free port");
    ::close(fd);
    return ntohs(address.sin_port);
}

std::string user_name() {
    const passwd* entry = ::getpwuid(::getuid());
    if (entry == nullptr) throw std::runtime_error("who am I?");
    return entry->pw_name;
}

std::string run_program(const std::vector<std::string>& arguments) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    const pid_t child = spawn(arguments, pipe[1], "");
    ::close(pipe[1]);
    std::string output;
    std::array<char, 4096> chunk{};
    for (ssize_t count = 0; (count = ::read(pipe[0], chunk.data(), chunk.size())) > 0;)
        output.append(chunk.data(), static_cast<std::size_t>(count));
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) throw std::runtime_error(arguments[0] + " failed");
    return output;
}

SimulatedDevice::SimulatedDevice(const SshdOptions& options) : options_(options) {
    namespace fs = std::filesystem;
    const fs::path ssh = temp_.path() / "ssh";
    fs::create_directories(ssh);
    fs::create_directories(state() / "fs/var/tmp");
    if (options.ssh) {
        run_program({"/usr/bin/ssh-keygen", "-q", "-t", options.host_key_type, "-N", "", "-f", ssh / "host_key"});
        run_program({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh / "client_key"});
        fs::copy_file(ssh / "client_key.pub", ssh / "authorized_keys");
    }
    write_device("");
    if (options.lab) {
        epoch_ =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
        write_lab();
    }
    support::write_file(state() / "running.xml",
                        "<configuration><system><host-name>mx1</host-name><time-zone>" + options.zone +
                            "</time-zone><services><netconf><ssh/></netconf></services></system></configuration>");
    if (!options.ssh) return;
    // sshd run by root insists on this folder.
    if (::geteuid() == 0) ::mkdir("/run/sshd", 0755);
    // SHLVL: else bash takes a session for a first login and runs its user's .bashrc, which is slow and may print.
    const std::string simulator = std::string(JUNOS_SIM) + " --state " + state().string();
    for (int attempt = 0; attempt < 5; ++attempt) {
        port_ = free_port();
        support::write_file(
            ssh / "sshd_config",
            "ListenAddress 127.0.0.1\nPort " + std::to_string(port_) + "\nHostKey " + (ssh / "host_key").string() +
                "\nPidFile none\nAuthorizedKeysFile " + (ssh / "authorized_keys").string() +
                "\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                "UsePAM " +
                (::geteuid() == 0 ? "yes" : "no") +
                "\nStrictModes no\nUseDNS no\nSetEnv SHLVL=2\nMaxStartups 100\nSubsystem netconf " + simulator + "\n" +
                (options.sftp ? "Subsystem sftp internal-sftp\n" : "") + "ForceCommand exec " + simulator +
                " --login\n");
        pid_ = spawn({"/usr/sbin/sshd", "-D", "-e", "-f", ssh / "sshd_config"}, -1, ssh / "log");
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
        while (std::chrono::steady_clock::now() < end) {
            if (answers(port_)) return;
            int status = 0;
            if (::waitpid(pid_, &status, WNOHANG) == pid_) break;  // the port was taken meanwhile
            ::poll(nullptr, 0, 10);
        }
    }
    throw std::runtime_error("sshd does not start: " + support::read_file(ssh / "log"));
}

SimulatedDevice::~SimulatedDevice() {
    if (pid_ > 0) {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }
}

std::string SimulatedDevice::host_key_line() const {
    return support::read_file(temp_.path() / "ssh/host_key.pub");
}

support::Values SimulatedDevice::values() const {
    const auto known = temp_.path() / "ssh/known_hosts";
    support::write_file(known, "[127.0.0.1]:" + std::to_string(port_) + " " + host_key_line());
    return {{"host", "127.0.0.1"},
            {"port", std::to_string(port_)},
            {"user", user_name()},
            {"ssh_key", "file:" + (temp_.path() / "ssh/client_key").string()},
            {"known_hosts", known.string()}};
}

support::Values SimulatedDevice::local_values() const {
    return {{"transport", "local"},
            {"command", std::string(JUNOS_SIM) + "\n--state\n" + state().string()},
            {"files_root", (state() / "fs").string()}};
}

void SimulatedDevice::write_device(const std::string& more) const {
    support::write_file(state() / "device.json.new",
                        R"({"name":"mx1","model":"mx304","zone":")" + options_.zone + R"(","rfc_compliant":)" +
                            word(options_.rfc_compliant) + R"(,"version_1_1":)" + word(options_.version_1_1) +
                            R"(,"routing_engines":)" + std::to_string(options_.routing_engines) + more +
                            (options_.lab ? R"(,"lab":"../lab.json")" : "") + "}\n");
    std::filesystem::rename(state() / "device.json.new", state() / "device.json");
}

void SimulatedDevice::deny(const std::string& rpc) {
    write_device(R"(,"deny":[")" + rpc + R"("])");
}

void SimulatedDevice::login_class(const std::vector<std::string>& permissions,
                                  const std::vector<std::string>& allow_configuration) {
    const auto list = [](const std::vector<std::string>& words) {
        std::string text;
        for (const auto& word : words) text += (text.empty() ? "\"" : ",\"") + word + "\"";
        return "[" + text + "]";
    };
    write_device(R"(,"permissions":)" + list(permissions) + R"(,"allow_configuration":)" + list(allow_configuration));
}

void SimulatedDevice::write_lab() const {
    const std::string epoch = std::to_string(epoch_.count());
    support::write_file(temp_.path() / "lab.json.new", R"({"speed":1.0,"epoch_wall_ms":)" + epoch +
                                                           R"(,"epoch_lab_ms":)" + epoch + R"(,"advanced_ms":)" +
                                                           std::to_string(advanced_.count()) +
                                                           R"(,"wires":[],"devices":{"mx1":"device"}})");
    std::filesystem::rename(temp_.path() / "lab.json.new", temp_.path() / "lab.json");
}

void SimulatedDevice::advance(std::chrono::seconds time) {
    advanced_ += time;
    write_lab();
}

void SimulatedDevice::fault(const std::string& json) {
    support::write_file(state() / "faults.json.new", "{\"faults\":[" + json + "]}");
    std::filesystem::rename(state() / "faults.json.new", state() / "faults.json");
}

void SimulatedDevice::as_user(const std::string& user, const std::string& first, const std::string& second) const {
    std::string input = "<hello/>]]>]]>";
    for (const auto& call : {first, second, std::string("<close-session/>")}) input += "<rpc>" + call + "</rpc>]]>]]>";
    const auto script = temp_.path() / "calls";
    support::write_file(script, input);
    const std::string replies = run_program({"/bin/sh", "-c", "LOGNAME=\"$1\" exec \"$2\" --state \"$3\" < \"$4\"",
                                             "sh", user, JUNOS_SIM, state().string(), script.string()});
    if (replies.find("rpc-error") != std::string::npos) throw std::runtime_error(replies);
}

std::string SimulatedDevice::show() const {
    return run_program({JUNOS_SIM, "--state", state().string(), "--show"});
}

}  // namespace qkd::junos::test
