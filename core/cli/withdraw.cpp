// qkd-macsec withdraw: takes a link's pending keys away again before they become active.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/on_pipeline.hpp"
#include "cli/tables.hpp"

namespace qkd::cli {
namespace {

int withdraw(const Arguments& arguments) {
    if (!arguments.has("link")) {
        complain({ErrorCode::config, Retry::never, "withdraw needs --link NAME",
                  "name the link whose pending key is to go; `qkd-macsec status` shows the links"});
        return exit_usage;
    }
    return on_pipeline(arguments, Session::Kind::rotates, [&](Work& work, Session& session) {
        const auto report =
            engine::withdraw(work.pipeline, *work.host, work.options, session.observer(), session.stop());
        const bool good = std::none_of(report.links.begin(), report.links.end(),
                                       [](const auto& link) { return link.error.has_value(); });
        return Answer{withdraw_summary(report, colour_wanted(arguments, STDOUT_FILENO)), good};
    });
}

}  // namespace

Command withdraw_command() {
    return {
        "withdraw",
        "take pending keys away again, on all members",
        {"withdraw PIPELINE [--as DEVICE] --link NAME... [-v...] [--trace]", "         [--log-format text|json]"},
        "Deletes the keys of the link that are scheduled but not active yet, on all members, and reverts what an "
        "earlier run left unconfirmed. The key in force stays. A key that becomes active too soon to take it away "
        "everywhere is left, and so is a key that this program did not write.",
        std::vector<Option>{{"link", 0, "NAME", true, "the link; may be given several times"}} + observation_options(),
        1,
        1,
        "the PIPELINE file is missing",
        "  0    nothing is pending any more\n"
        "  1    a key could not be withdrawn; nothing is half done unless it says so\n"
        "  2    usage, configuration or plugin refusal; nothing was connected to\n"
        "  3    internal error\n"
        "  130  interrupted",
        "  qkd-macsec withdraw ring.toml --link mx304-11--mx304-12",
        withdraw};
}

}  // namespace qkd::cli
