// Standard output and standard error of the program.
#include "cli/console.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "engine/base/display.hpp"

namespace qkd::cli {
namespace {

int first_failure = 0;  // errno of standard output

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read before any thread is made
    return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

bool is_live_terminal(int fd) {
    const auto term = environment("TERM");
    return ::isatty(fd) == 1 && !term.empty() && term != "dumb";
}

bool colour_wanted(const Arguments& arguments, int fd) {
    const std::string when = arguments.value("color");
    if (when == "always") return true;
    return when != "never" && environment("NO_COLOR").empty() && is_live_terminal(fd);
}

void answer(std::string_view text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    if (!written && first_failure == 0) first_failure = errno;
}

bool answer_arrived() {
    if (first_failure == 0 || first_failure == EPIPE) return true;
    complain(
        {ErrorCode::internal, Retry::never, "standard output: " + std::generic_category().message(first_failure), ""});
    return false;
}

void complain(const Error& error) {
    std::string text = "qkd-macsec: " + engine::one_line(error.what) + "\n";
    if (!error.hint.empty()) text += "  hint: " + engine::one_line(error.hint) + "\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
}

std::string counted(std::size_t number, std::string_view noun) {
    return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

}  // namespace qkd::cli
