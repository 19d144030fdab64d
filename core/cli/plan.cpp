// qkd-macsec plan: the exact configuration changes a run would make, secrets masked.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/on_pipeline.hpp"
#include "cli/tables.hpp"

namespace qkd::cli {

int run_plan(const Arguments& arguments) {
    return on_pipeline(arguments, Session::Kind::reads, [&](Work& work, Session& session) {
        const auto plans = engine::plan(work.pipeline, *work.host, work.options, session.observer(), session.stop());
        const bool good =
            std::none_of(plans.begin(), plans.end(), [](const auto& plan) { return plan.error.has_value(); });
        return Answer{plan_summary(plans, colour_wanted(arguments, STDOUT_FILENO)), good};
    });
}

Command plan_command() {
    return {"plan",
            "show what a run would change on every device",
            {"plan PIPELINE [--as DEVICE] [--link NAME]... [--device NAME]... [-t N] [-v...]",
             "     [--trace] [--log-format text|json] [--profile FILE]"},
            "Connects to the members, reads their configuration and prints per device the difference that a run would "
            "make, secrets masked. Keys that do not exist yet stand as placeholders. Nothing is minted, locked, loaded "
            "or committed.",
            selection_options() + observation_options(),
            1,
            1,
            "the PIPELINE file is missing",
            "  0    all members were planned\n"
            "  1    some members could not be read\n"
            "  2    usage, configuration or plugin refusal; nothing was connected to\n"
            "  3    internal error\n"
            "  130  interrupted",
            "  qkd-macsec plan ring.toml\n"
            "  qkd-macsec plan ring.toml --device mx304-11",
            run_plan};
}

}  // namespace qkd::cli
