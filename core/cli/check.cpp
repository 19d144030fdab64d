// qkd-macsec check: proves what can be proved about a pipeline without changing anything.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/session.hpp"
#include "cli/tables.hpp"

namespace qkd::cli {
namespace {

int refuse(const Error& error) {
    complain(error);
    return exit_usage;
}

int check_online(const Arguments& arguments, engine::PluginHost& host, engine::Pipeline whole) {
    auto side = take_side(std::move(whole), arguments);
    if (!side) return refuse(side.error());
    const engine::Pipeline& pipeline = *side;
    auto options = run_options(pipeline, arguments);
    if (!options) return refuse(options.error());
    auto session = Session::open(arguments, Session::Kind::reads);
    if (!session) return refuse(session.error());
    const auto probes = engine::check_online(pipeline, host, *options, (*session)->observer(), (*session)->stop());
    const bool interrupted = (*session)->stop().stop_requested();
    const auto finished = (*session)->finish();
    session->reset();
    answer("\n" + probe_summary(probes, colour_wanted(arguments, STDOUT_FILENO)));
    if (interrupted) return exit_interrupted;
    if (std::any_of(probes.begin(), probes.end(), [](const auto& probe) { return probe.error.has_value(); })) {
        return exit_failed;
    }
    if (finished) return exit_ok;
    complain(finished.error());
    return exit_internal;
}

int check(const Arguments& arguments) {
    const bool online = arguments.has("online");
    if (!online) {
        for (const auto& option : selection_options() + observation_options()) {
            if (!arguments.has(option.name)) continue;
            return refuse({ErrorCode::config, Retry::never,
                           std::string("--") + option.name + " has a meaning only together with --online",
                           "without --online the whole file is checked and nothing is connected to"});
        }
    }
    auto directory = plugin_directory(arguments);
    if (!directory) return refuse(directory.error());
    engine::PluginHost host(*directory);
    const std::string& file = arguments.words().front();
    auto loaded = engine::load_pipeline(file, host);
    answer(findings_text(loaded.findings, colour_wanted(arguments, STDOUT_FILENO)));
    if (!loaded.ok()) {
        answer(findings_count(loaded.findings) + "\n");
        return exit_usage;
    }
    answer("ok: " + loaded.pipeline.name + ": " + counted(loaded.pipeline.links.size(), "link") + ", " +
           counted(loaded.pipeline.devices.size(), "device") +
           (loaded.findings.empty() ? "" : ", " + counted(loaded.findings.size(), "warning")) + "\n");
    return online ? check_online(arguments, host, std::move(loaded.pipeline)) : exit_ok;
}

}  // namespace

Command check_command() {
    return {
        "check",
        "check a pipeline file, and with --online also devices and KMEs",
        {"check PIPELINE", "check PIPELINE --online [--as DEVICE] [--link NAME]... [--device NAME]... [-t N]",
         "      [-v...] [--trace] [--log-format text|json] [--profile FILE]"},
        "Reads PIPELINE and the files and plugins it names, and prints everything there is to find, each with file, "
        "line and column. Connects to nothing and touches nothing.\n"
        "\n"
        "With --online it goes on, when the file is right, to ask every device and KME whether it would serve: it "
        "connects and reads, but mints no key and loads no configuration.",
        std::vector<Option>{{"online", 0, nullptr, false, "also probe the devices and KMEs"}} + selection_options() +
            observation_options(),
        1,
        1,
        "the PIPELINE file is missing",
        "  0    no errors\n"
        "  1    --online: a device or KME would not serve\n"
        "  2    errors in the file, a plugin was refused, or wrong usage\n"
        "  3    internal error\n"
        "  130  interrupted",
        "  qkd-macsec check ring.toml\n"
        "  qkd-macsec check ring.toml --online --device mx304-11",
        check};
}

}  // namespace qkd::cli
