// qkd-macsec serve: rotates again and again, as a service.
#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/session.hpp"
#include "cli/systemd.hpp"
#include "cli/tables.hpp"
#include "engine/base/text.hpp"
#include "engine/commands/serve.hpp"
#include "engine/members/call.hpp"
#include "engine/protocol/timing.hpp"

namespace qkd::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds most_every{std::chrono::hours{24 * 7}};

Result<milliseconds> duration_of(const Arguments& arguments, const char* option, milliseconds otherwise) {
    if (!arguments.has(option)) return otherwise;
    const auto time = engine::parse_duration(arguments.value(option));
    if (time && *time >= milliseconds{0} && *time <= most_every) return *time;
    return Error{ErrorCode::config, Retry::never,
                 "--" + std::string(option) + " '" + engine::printable(arguments.value(option)) +
                     "' is no time between 0s and 7d",
                 "a number with its unit: 90s, 10m, 2h"};
}

Result<engine::ServeOptions> serve_options(const Arguments& arguments, const Work& work) {
    engine::ServeOptions options;
    options.run = work.options;
    auto every = duration_of(arguments, "every", options.every);
    if (!every) return std::move(every).error();
    auto jitter = duration_of(arguments, "jitter", milliseconds{0});
    if (!jitter) return std::move(jitter).error();
    if (*jitter > *every) {
        return Error{ErrorCode::config, Retry::never, "--jitter is longer than --every",
                     "a link would begin after its next turn"};
    }
    options.every = *every;
    options.jitter = *jitter;
    if (arguments.has("cycles")) {
        const auto cycles = engine::parse_integer(arguments.value("cycles"));
        if (!cycles || *cycles < 1 || *cycles > 1'000'000'000) {
            return Error{ErrorCode::config, Retry::never, "--cycles takes a number of at least 1", ""};
        }
        options.cycles = static_cast<unsigned>(*cycles);
    }
    return options;
}

/// The log, systemd and the answer on standard output.
class Service final : public engine::ServeListener, public engine::Observer {
  public:
    Service(const Systemd& systemd, Heartbeat& heartbeat, engine::Observer& next, bool colour)
        : systemd_(systemd), heartbeat_(heartbeat), next_(next), colour_(colour) {}

    void cycle_ended(const engine::RunReport& report) override {
        answer(run_summary(report, colour_));
        last_ = to_string(report.result);
    }
    void reloaded(const Error* error) override {
        if (error == nullptr) {
            next_.log(LogLevel::notice, {}, "the pipeline file was read again");
        } else {
            next_.log(LogLevel::error, {}, "the pipeline file is not taken over: " + error->what);
        }
        systemd_.tell("READY=1");
    }
    void waits(std::chrono::seconds seconds) override {
        heartbeat_.idle(true);
        systemd_.tell("READY=1\nSTATUS=last cycle: " + last_ + "; next in " + std::to_string(seconds.count()) + " s");
    }

    void log(LogLevel level, const engine::Place& place, std::string_view message) override {
        beat();
        next_.log(level, place, message);
    }
    void event(const engine::Place& place, std::string_view name, std::span<const Attr> attributes) override {
        beat();
        next_.event(place, name, attributes);
    }
    void step_begins(const engine::Place& place) override {
        beat();
        next_.step_begins(place);
    }
    void step_ends(const engine::Place& place, std::chrono::nanoseconds took, const Error* error) override {
        beat();
        next_.step_ends(place, took, error);
    }
    void link_begins(const engine::Link& link) override {
        beat();
        next_.link_begins(link);
    }
    void link_ends(const engine::LinkReport& report) override {
        beat();
        next_.link_ends(report);
    }
    void beat() {
        heartbeat_.idle(false);
        heartbeat_.beat();
    }

  private:
    const Systemd& systemd_;
    Heartbeat& heartbeat_;
    engine::Observer& next_;
    bool colour_;
    std::string last_ = "none yet";
};

/// Longer than any one call may be silent, and than all links may wait for their moment.
milliseconds patience_with(const engine::Pipeline& pipeline, const engine::ServeOptions& options) {
    milliseconds longest{60000};
    for (const auto& stage : pipeline.stages) longest = std::max(longest, stage.timeout * 2);
    if (pipeline.mode == engine::Mode::onbox) {
        // A wait for the other members is one long silence.
        longest += 2 * pipeline.peer_wait + pipeline.commit.confirm + engine::lead_of(engine::timing_terms(pipeline.commit, {}, 1));
    }
    return longest + pipeline.dec_retry_window + options.jitter;
}

int serve(const Arguments& arguments) {
    auto work = prepare(arguments);
    if (!work) {
        complain(work.error());
        return exit_usage;
    }
    auto options = serve_options(arguments, *work);
    if (!options) {
        complain(options.error());
        return exit_usage;
    }
    auto session = Session::open(arguments, Session::Kind::serves);
    if (!session) {
        complain(session.error());
        return exit_usage;
    }
    const Systemd systemd;
    Heartbeat heartbeat(systemd, patience_with(work->pipeline, *options));
    Service service(systemd, heartbeat, (*session)->observer(), colour_wanted(arguments, STDOUT_FILENO));
    options->run.pause = [&](milliseconds time, const std::stop_token& stop) {
        service.beat();
        return engine::pause(time, stop);
    };
    engine::ReloadRequest reload;
    (*session)->on_hangup([&] {
        systemd.tell("RELOADING=1");
        reload.ask();
    });
    const auto load = [&]() -> Result<engine::Pipeline> {
        auto again = engine::load_pipeline(arguments.words().front(), *work->host);
        if (!again.ok()) {
            return Error{ErrorCode::config, Retry::never, findings_text(again.findings, false),
                         "run `qkd-macsec check` on it"};
        }
        auto side = take_side(std::move(again.pipeline), arguments);
        if (!side) return side;
        if (auto links = engine::select_links(*side, options->run); !links) return std::move(links).error();
        heartbeat.patience(patience_with(*side, *options));
        return side;
    };
    systemd.tell("READY=1\nSTATUS=first cycle");
    engine::serve(std::move(work->pipeline), load, *work->host, *options, service, service, reload, (*session)->stop());
    systemd.tell("STOPPING=1");
    (*session)->on_hangup(nullptr);
    const auto finished = (*session)->finish();
    session->reset();
    if (finished) return exit_ok;
    complain(finished.error());
    return exit_internal;
}

}  // namespace

Command serve_command() {
    return {
        "serve",
        "rotate again and again, as a service",
        {"serve PIPELINE [--as DEVICE] [--every TIME] [--jitter TIME] [--cycles N]",
         "      [--link NAME]... [--device NAME]... [-t N] [-v...] [--trace]", "      [--log-format text|json]"},
        "Runs a cycle as `run` does every --every, and keeps the sessions to the members open in between. Links that "
        "failed are tried again sooner: after 15 s, then twice as long each time, up to --every.\n"
        "\n"
        "SIGHUP reads PIPELINE again; a file with errors is not taken over. SIGTERM and SIGINT end it: what is not "
        "confirmed is reverted first. Under systemd (Type=notify) it reports readiness and pets the watchdog.",
        std::vector<Option>{
            {"every", 0, "TIME", false, "from one cycle's begin to the next (10m)"},
            {"jitter", 0, "TIME", false, "each link begins at a random moment of this long in its cycle (0s)"},
            {"cycles", 0, "N", false, "end after N cycles"}} +
            selection_options() + observation_options(),
        1,
        1,
        "the PIPELINE file is missing",
        "  0    ended as asked\n"
        "  2    usage, configuration or plugin refusal; nothing was connected to\n"
        "  3    internal error",
        "  qkd-macsec serve ring.toml --every 10m --jitter 1m",
        serve};
}

}  // namespace qkd::cli
