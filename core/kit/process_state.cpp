// Reads the process from /proc.
#include "kit/process_state.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is POSIX
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

namespace qkd::conformance {

namespace fs = std::filesystem;

ProcessState ProcessState::now() {
    ProcessState state;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
        const std::string target = fs::read_symlink(entry.path(), error).string();
        if (error || target.ends_with("/fd")) continue;  // the one by which we are looking
        state.descriptors[entry.path().filename().string()] = target;
    }
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("Threads:")) state.threads = line;
        if (line.starts_with("Umask:")) state.umask = line;
    }
    state.directory = fs::current_path(error).string();
    for (char** variable = environ; *variable != nullptr; ++variable) state.environment.emplace_back(*variable);
    for (std::size_t number = 1; number < state.handlers.size(); ++number) {
        struct sigaction action {};
        if (::sigaction(static_cast<int>(number), nullptr, &action) != 0) continue;
        state.handlers[number] = reinterpret_cast<std::uintptr_t>(action.sa_handler);
    }
    return state;
}

std::size_t ProcessState::mappings() {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) ++count;
    return count;
}

std::vector<std::string> ProcessState::changes(const ProcessState& later) const {
    std::vector<std::string> found;
    if (descriptors != later.descriptors) {
        std::string text = "file descriptors";
        for (const auto& [number, target] : later.descriptors) {
            const auto before = descriptors.find(number);
            if (before == descriptors.end() || before->second != target) text += " " + number + "=" + target;
        }
        found.push_back(std::move(text));
    }
    if (threads != later.threads) found.push_back("threads (" + threads + " -> " + later.threads + ")");
    if (umask != later.umask) found.push_back("umask (" + umask + " -> " + later.umask + ")");
    if (directory != later.directory) found.emplace_back("current directory");
    if (environment != later.environment) found.emplace_back("environment");
    for (std::size_t number = 1; number < handlers.size(); ++number) {
        if (handlers[number] != later.handlers[number]) found.push_back("handler of signal " + std::to_string(number));
    }
    return found;
}

}  // namespace qkd::conformance
