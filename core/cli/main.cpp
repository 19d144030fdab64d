// qkd-macsec: protects the process, finds the command, and lets no exception out.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>
#include <typeinfo>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd::cli;

/// Nothing of this process's memory reaches a disk or a debugger of the same user; files are private unless said
/// otherwise; descriptors 0 to 2 are taken, so that no file of ours becomes somebody's standard error.
void protect_process() {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__)  // the leak checker traces its own process
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    ::umask(077);
    std::signal(SIGPIPE, SIG_IGN);
    int fd = ::open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) fd = ::dup(fd);
    if (fd > STDERR_FILENO) ::close(fd);
}

int program(const std::vector<std::string>& words) {
    const std::vector<Command> commands = {run_command(),     check_command(),  plan_command(),
                                           status_command(),  serve_command(),  withdraw_command(),
                                           plugins_command(), import_command(), secret_command()};
    const auto invocation = parse(commands, words);
    if (!invocation) {
        complain(invocation.error());
        return exit_usage;
    }
    const auto& [command, arguments] = *invocation;
    if (arguments.has("help")) {
        answer(command != nullptr ? help_page(*command) : help_page(commands));
        return exit_ok;
    }
    if (arguments.has("version")) {
        answer("qkd-macsec " QKD_VERSION
               " (plugin ABI " QKD_STRINGIZE(QKD_ABI_MAJOR) "." QKD_STRINGIZE(QKD_ABI_MINOR) ")\n");
        return exit_ok;
    }
    return command->run(arguments);
}

/// The text of an unforeseen exception is left out: nobody vouches for what is in it.
int internal_error(const char* kind) {
    complain({qkd::ErrorCode::internal, qkd::Retry::never,
              std::string("internal error (") + kind + "): this is a defect of qkd-macsec",
              "please report it, with the command and the output of -vvv"});
    return exit_internal;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        protect_process();
        int code = program({argv + std::min(argc, 1), argv + argc});
        if (!answer_arrived() && code == exit_ok) code = exit_internal;
        return code;
    } catch (const std::bad_alloc&) {
        return internal_error("out of memory");
    } catch (const std::exception& error) {
        return internal_error(typeid(error).name());
    } catch (...) {
        return internal_error("no std::exception");
    }
}
