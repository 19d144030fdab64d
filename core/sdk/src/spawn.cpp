// posix_spawn with everything that must not be forgotten.
#include "qkd/sdk/net/spawn.hpp"

#include <fcntl.h>
#include <signal.h>  // sigset_t
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <utility>

extern char** environ;

namespace qkd::net {

int spawn(const std::vector<std::string>& argv, const Streams& streams, pid_t& pid) {
    std::vector<char*> words;
    words.reserve(argv.size() + 1);
    for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    const std::array<std::pair<int, int>, 3> standard_streams{
        {{streams.input, STDIN_FILENO}, {streams.output, STDOUT_FILENO}, {streams.errors, STDERR_FILENO}}};
    for (const auto& [ours, theirs] : standard_streams) {
        if (ours >= 0) {
            posix_spawn_file_actions_adddup2(&files, ours, theirs);
        } else {
            posix_spawn_file_actions_addopen(&files, theirs, "/dev/null", theirs == STDIN_FILENO ? O_RDONLY : O_WRONLY,
                                             0);
        }
    }
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    // The first terminal that the leader of a session opens is its controlling one, and stays it when this is closed.
    if (!streams.terminal.empty()) {
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO + 1, streams.terminal.c_str(), O_RDWR, 0);
        posix_spawn_file_actions_addclose(&files, STDERR_FILENO + 1);
    }
    sigset_t none;
    sigset_t standard;
    sigemptyset(&none);
    sigemptyset(&standard);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) sigaddset(&standard, signal);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &standard);
    posix_spawnattr_setpgroup(&attributes, 0);
    const int group = streams.terminal.empty() ? POSIX_SPAWN_SETPGROUP : POSIX_SPAWN_SETSID;
    posix_spawnattr_setflags(&attributes, static_cast<short>(group | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    const int failure = posix_spawnp(&pid, words.front(), &files, &attributes, words.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failure;
}

}  // namespace qkd::net
