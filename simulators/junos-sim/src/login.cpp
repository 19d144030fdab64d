// The device's file area and its SSH doors: NETCONF, SFTP and SCP, each confined to what a device would show.
//
// SFTP and SCP are OpenSSH's own programs under libfakechroot, which maps every path below fs/; so clients meet the
// real protocol implementations. It keeps devices' files apart; it is not a security boundary.
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "files.hpp"
#include "session.hpp"
#include "util.hpp"

namespace qkd::junossim {

namespace fs = std::filesystem;

namespace {

std::optional<fs::path> find_fakechroot() {
    for (const char* lib : {"/usr/lib", "/usr/local/lib", "/lib"}) {
        std::error_code none;
        for (const auto& e : fs::directory_iterator(lib, none)) {
            const auto candidate = e.path() / "fakechroot" / "libfakechroot.so";
            if (fs::exists(candidate, none)) return candidate;
        }
        if (const auto direct = fs::path(lib) / "fakechroot" / "libfakechroot.so"; fs::exists(direct, none))
            return direct;
    }
    return std::nullopt;
}

std::optional<fs::path> find_sftp_server() {
    for (const char* place : {"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
                              "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server"}) {
        if (fs::exists(place)) return place;
    }
    return std::nullopt;
}

// Both programs look their user up; inside the area that answer comes from its own passwd.
void write_passwd(const fs::path& area, const std::string& user) {
    fs::create_directories(area / "etc");
    const std::string ids = std::to_string(::getuid()) + ":" + std::to_string(::getgid());
    write_file(area / "etc" / "passwd", user + ":x:" + ids + "::/var/home/" + user + ":/bin/sh\n");
}

int run_confined(const fs::path& state, const std::string& user, const fs::path& program,
                 const std::vector<std::string>& arguments) {
    const auto library = find_fakechroot();
    if (!library) throw SimError("libfakechroot.so is not installed (Debian package fakechroot)");
    const auto area = make_file_area(state, user);
    write_passwd(area, user);
    if (::chdir((area / "var" / "home" / user).c_str()) != 0) {
        throw SimError("cannot enter " + area.string() + ": " + std::strerror(errno));
    }
    const std::array<std::string, 5> environment = {"LD_PRELOAD=" + library->string(), "FAKECHROOT=true",
                                                    "FAKECHROOT_BASE=" + area.string(),
                                                    "FAKECHROOT_EXCLUDE_PATH=/dev/null:/proc", "USER=" + user};
    std::vector<char*> env;
    for (const auto& e : environment) env.push_back(const_cast<char*>(e.c_str()));
    env.push_back(nullptr);
    std::vector<char*> argv;
    const std::string name = program.string();
    argv.push_back(const_cast<char*>(name.c_str()));
    for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execve(name.c_str(), argv.data(), env.data());
    throw SimError("cannot run " + name + ": " + std::strerror(errno));
}

// True when the transfer may go on.
bool survive_faults(const Faults& faults, const std::string& door) {
    for (const auto& fault : faults.match(door)) {
        if (fault.action == "delay") {
            ::usleep(static_cast<useconds_t>(fault.ms) * 1000);
        } else if (fault.action == "hang") {
            Channel(STDIN_FILENO, STDOUT_FILENO).drain();
            return false;
        } else {
            if (fault.action == "error") std::cerr << fault.message << '\n';
            return false;
        }
    }
    return true;
}

}  // namespace

fs::path make_file_area(const fs::path& state, const std::string& user) {
    const fs::path area = fs::absolute(state).lexically_normal() / "fs";
    for (const char* folder : {"var/tmp", "var/home", "tmp"}) fs::create_directories(area / folder);
    fs::create_directories(area / "var" / "home" / user);
    return area;
}

std::optional<fs::path> inside(const fs::path& area, const std::string& user, const std::string& device_path) {
    fs::path path = device_path;
    if (path.is_relative()) path = fs::path("/var/home") / user / path;
    path = path.lexically_normal();
    const fs::path real = fs::weakly_canonical(area / path.relative_path());
    const fs::path root = fs::canonical(area);
    const auto below = real.lexically_relative(root);
    if (below.empty() || *below.begin() == "..") return std::nullopt;
    return real;
}

int login(const fs::path& state, const std::optional<fs::path>& faults_file) {
    const char* original = std::getenv("SSH_ORIGINAL_COMMAND");
    const std::string command = original == nullptr ? "" : original;
    const auto words = shell_words(command).value_or(std::vector<std::string>());
    const std::string program = words.empty() ? "" : fs::path(words.front()).filename().string();
    if (program == "netconf" || program == "junos-sim") {
        return Session(state, faults_file, STDIN_FILENO, STDOUT_FILENO).run();
    }
    const Faults faults(state, faults_file);
    const std::string user = login_user();
    if (program == "sftp-server" || program == "internal-sftp") {
        if (!survive_faults(faults, "sftp")) return 255;
        const auto server = find_sftp_server();
        if (!server) throw SimError("sftp-server is not installed (Debian package openssh-sftp-server)");
        return run_confined(state, user, *server, {});
    }
    const bool transfer = program == "scp" && std::any_of(words.begin(), words.end(), [](const std::string& w) {
                              return w.size() > 1 && w[0] == '-' && w.find_first_of("tf") != std::string::npos;
                          });
    if (transfer) {
        if (!survive_faults(faults, "scp")) return 255;
        return run_confined(state, user, "/usr/bin/scp", {words.begin() + 1, words.end()});
    }
    std::cerr << "error: "
              << (command.empty() ? "this device offers no interactive shell" : "unknown command: " + command) << '\n';
    return 1;
}

}  // namespace qkd::junossim
