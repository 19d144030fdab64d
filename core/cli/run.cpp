// qkd-macsec run: gives every selected link a new key.
#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/session.hpp"
#include "cli/tables.hpp"
#include "engine/base/output_file.hpp"

namespace qkd::cli {
namespace {

int refuse(const Error& error) {
    complain(error);
    return exit_usage;
}

int exit_of(engine::RunResult result) {
    switch (result) {
        case engine::RunResult::success: return exit_ok;
        case engine::RunResult::partial:
        case engine::RunResult::failure: return exit_failed;
        case engine::RunResult::interrupted: return exit_interrupted;
    }
    return exit_internal;
}

int run(const Arguments& arguments) {
    const bool reports = arguments.has("report");
    const std::filesystem::path report_file = arguments.value("report");
    if (arguments.has("dry-run")) {
        if (reports) {
            return refuse({ErrorCode::config, Retry::never, "--dry-run rotates nothing, so there is no report to write",
                           "leave one of --dry-run and --report out"});
        }
        return run_plan(arguments);
    }
    auto work = prepare(arguments);
    if (!work) return refuse(work.error());
    if (reports) {
        if (auto good = engine::check_output(report_file); !good) return refuse(good.error());
    }
    auto session = Session::open(arguments, Session::Kind::rotates);
    if (!session) return refuse(session.error());

    const auto report =
        engine::run(work->pipeline, *work->host, work->options, (*session)->observer(), (*session)->stop());

    int code = exit_of(report.result);
    const auto keep = [&code](const Result<void>& written) {
        if (written) return;
        complain(written.error());
        if (code == exit_ok) code = exit_internal;
    };
    // The report comes first: it must not be lost with a terminal that is gone.
    if (reports) keep(engine::write_output(report_file, engine::to_json(report)));
    keep((*session)->finish());
    session->reset();
    answer(run_summary(report, colour_wanted(arguments, STDOUT_FILENO)));
    return code;
}

}  // namespace

Command run_command() {
    return {
        "run",
        "give every selected link a new key",
        {"run PIPELINE [--as DEVICE] [--link NAME]... [--device NAME]... [--dry-run]",
         "    [--renew-certs] [-t N] [-v...] [--trace] [--log-format text|json]",
         "    [--report FILE] [--profile FILE]"},
        "Checks PIPELINE as `check` does, then rotates every selected link: the initiator's KME makes a key, the "
        "responders fetch it by its key_ID, all members are configured side by side and take the change back unless "
        "the link is known to run on the new key everywhere.\n"
        "\n"
        "A link that fails is brought back on all its members; the other links go on. An interruption (SIGINT, "
        "SIGTERM, SIGHUP) reverts what is not confirmed yet before the program ends; a second one does not skip that.\n"
        "\n"
        "The summary goes to standard output; log and progress go to standard error.",
        selection_options() +
            std::vector<Option>{
                {"renew-certs", 0, nullptr, false, "renew the certificates of the selected links' SAEs, however good"},
                {"dry-run", 0, nullptr, false, "only say what would change, as `plan` does, with its exit status"},
                {"report", 0, "FILE", false, "write what happened as one JSON object"}} +
            observation_options(),
        1,
        1,
        "the PIPELINE file is missing",
        "  0    every selected link is on its new key, or needed none\n"
        "  1    links failed or are degraded; the others are fine\n"
        "  2    usage, configuration or plugin refusal; nothing was connected to\n"
        "  3    internal error, or a report could not be written\n"
        "  130  interrupted",
        "  qkd-macsec run ring.toml\n"
        "  qkd-macsec run ring.toml --link mx304-11--mx304-12 --report report.json\n"
        "  qkd-macsec run ring.toml --device mx304-11 -vv --profile profile.json\n"
        "  qkd-macsec run ring.toml --dry-run",
        run};
}

}  // namespace qkd::cli
