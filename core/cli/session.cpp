// Opens pipelines and what watches over a run.
#include "cli/session.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/console.hpp"
#include "cli/interrupts.hpp"
#include "engine/base/display.hpp"
#include "engine/base/output_file.hpp"
#include "engine/base/text.hpp"

namespace qkd::cli {
namespace {

using engine::Finding;

constexpr unsigned most_threads = 4096;

Error usage(std::string what, std::string hint) {
    return {ErrorCode::config, Retry::never, std::move(what), std::move(hint)};
}

Result<engine::LogOptions> log_options(const Arguments& arguments) {
    engine::LogOptions options;
    constexpr LogLevel levels[] = {LogLevel::warning, LogLevel::info, LogLevel::debug, LogLevel::trace};
    options.level = levels[std::min<std::size_t>(arguments.count("verbose"), std::size(levels) - 1)];
    const std::string format = arguments.value("log-format");
    if (arguments.has("log-format") && format != "text" && format != "json") {
        return usage("--log-format '" + engine::printable(format) + "' is neither text nor json", "");
    }
    if (format == "json") options.format = engine::LogFormat::json;
    options.colour = colour_wanted(arguments, STDERR_FILENO);
    if (arguments.has("trace")) options.trace_file = "trace.log";
    if (arguments.has("log-file")) options.log_file = arguments.value("log-file");
    if (const std::string where = arguments.value("log-to"); arguments.has("log-to")) {
        if (where != "syslog" && where != "journal") {
            return usage("--log-to '" + engine::printable(where) + "' is neither syslog nor journal", "");
        }
        options.system_log = where == "syslog" ? engine::SystemLogKind::syslog : engine::SystemLogKind::journal;
    }
    return options;
}

}  // namespace

std::vector<Option> selection_options() {
    return {{"as", 0, "DEVICE", false, "on-box pipelines: which member this is"},
            {"link", 0, "NAME", true, "only this link; may be given several times"},
            {"device", 0, "NAME", true,
             "only links that have this member, each with all its members; may be given several times"},
            {"threads", 't', "N", false, "links in flight at once, instead of the pipeline's `parallel`"}};
}

std::vector<Option> observation_options() {
    return {
        {"verbose", 'v', nullptr, true,
         "log more on standard error than errors and warnings: -v notices and information, -vv also debug lines, "
         "-vvv everything"},
        {"trace", 0, nullptr, false, "log everything to trace.log in the current directory (mode 0600)"},
        {"log-format", 0, "FORMAT", false, "text or json (one object per line)"},
        {"log-file", 0, "FILE", false,
         "also log to FILE (mode 0600), notices and information in any case; from 10 MB on it becomes FILE.1, up to "
         "FILE.5"},
        {"log-to", 0, "WHERE", false, "also log to the system's log, syslog or journal, as to a --log-file"},
        {"profile", 0, "FILE", false,
         "write counts and times per link, stage and device; as JSON when FILE ends in .json"}};
}

std::vector<Option> operator+(std::vector<Option> a, std::vector<Option> b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Result<std::filesystem::path> plugin_directory(const Arguments& arguments) {
    std::error_code failure;
    std::filesystem::path directory = engine::PluginHost::default_directory();
    if (arguments.has("plugin-dir")) {
        directory = std::filesystem::absolute(arguments.value("plugin-dir"), failure).lexically_normal();
    }
    if (failure || !std::filesystem::is_directory(directory, failure)) {
        return usage("there is no plugin folder " + directory.string(),
                     "name it with --plugin-dir DIR, or install the plugins there");
    }
    return directory;
}

std::string findings_text(const std::vector<Finding>& findings, bool colour) {
    std::string text;
    for (const auto& finding : findings) {
        const auto style = finding.severity == Finding::Severity::error ? engine::Style::bad : engine::Style::warn;
        text += engine::styled(engine::one_line(to_string(finding)), style, colour) + "\n";
    }
    return text;
}

std::string findings_count(const std::vector<Finding>& findings) {
    const auto errors = static_cast<std::size_t>(std::count_if(
        findings.begin(), findings.end(), [](const Finding& f) { return f.severity == Finding::Severity::error; }));
    return counted(errors, "error") + ", " + counted(findings.size() - errors, "warning");
}

Result<engine::Pipeline> take_side(engine::Pipeline pipeline, const Arguments& arguments) {
    const bool as = arguments.has("as");
    if (pipeline.mode == engine::Mode::offbox) {
        if (!as) return pipeline;
        return usage("--as " + engine::printable(arguments.value("as")) + " is for on-box pipelines; " +
                         pipeline.file.string() + " is mode = \"offbox\" and drives all members from here",
                     "leave --as out, or choose links with --device");
    }
    if (!as) {
        return usage(pipeline.file.string() + " is mode = \"onbox\": every member runs it for itself",
                     "on a member say which one it is: --as DEVICE");
    }
    return engine::as_member(std::move(pipeline), arguments.value("as"));
}

Result<engine::RunOptions> run_options(const engine::Pipeline& pipeline, const Arguments& arguments) {
    engine::RunOptions options;
    options.links = arguments.all("link");
    options.devices = arguments.all("device");
    options.renew_certificates = arguments.has("renew-certs");
    if (arguments.has("threads")) {
        const auto number = engine::parse_integer(arguments.value("threads"));
        if (!number || *number < 1 || *number > most_threads) {
            return usage("--threads '" + engine::printable(arguments.value("threads")) + "' is no number in 1.." +
                             std::to_string(most_threads),
                         "");
        }
        options.threads = static_cast<unsigned>(*number);
    }
    if (auto links = engine::select_links(pipeline, options); !links) return std::move(links).error();
    return options;
}

Result<Work> prepare(const Arguments& arguments) {
    auto directory = plugin_directory(arguments);
    if (!directory) return std::move(directory).error();
    Work work;
    work.host = std::make_unique<engine::PluginHost>(*directory);
    const std::string file = arguments.words().front();
    auto loaded = engine::load_pipeline(file, *work.host);
    const std::string findings = findings_text(loaded.findings, colour_wanted(arguments, STDERR_FILENO));
    std::fwrite(findings.data(), 1, findings.size(), stderr);
    if (!loaded.ok()) return usage(file + ": " + findings_count(loaded.findings), "nothing was touched");
    auto side = take_side(std::move(loaded.pipeline), arguments);
    if (!side) return std::move(side).error();
    work.pipeline = std::move(*side);
    auto options = run_options(work.pipeline, arguments);
    if (!options) return std::move(options).error();
    work.options = std::move(*options);
    return work;
}

Session::Session() = default;

Session::~Session() {
    // A signal that comes now would be logged by a log that is going away.
    if (interrupts_) interrupts_->stop_listening();
    // The writing thread asks the view for its lines until it is closed.
    if (screen_) screen_->close();
}

Result<std::unique_ptr<Session>> Session::open(const Arguments& arguments, Kind kind) {
    auto options = log_options(arguments);
    if (!options) return std::move(options).error();
    std::unique_ptr<Session> session(new Session());
    if (arguments.has("profile")) {
        session->profile_file_ = arguments.value("profile");
        if (auto good = engine::check_output(session->profile_file_); !good) return good.error();
        session->profile_ = std::make_unique<engine::Profile>();
        session->observers_.add(*session->profile_);
    }
    const bool rotates = kind != Kind::reads;
    session->interrupts_ =
        std::make_unique<Interrupts>(rotates ? Interrupts::Afterwards::stay_blocked : Interrupts::Afterwards::as_before,
                                     kind == Kind::serves ? Interrupts::Hangup::is_told : Interrupts::Hangup::ends);
    const bool json = options->format == engine::LogFormat::json;
    session->screen_ = std::make_unique<engine::Screen>(STDERR_FILENO, !json && is_live_terminal(STDERR_FILENO));
    auto log = engine::Log::open(*options, *session->screen_);
    if (!log) return std::move(log).error();
    session->log_ = std::move(*log);
    session->observers_.add(*session->log_);
    // A program that reads JSON lines must find nothing else.
    session->view_ = std::make_unique<engine::LiveView>(
        *session->screen_, engine::LiveView::Options{.colour = options->colour, .plain_lines = !json && rotates});
    session->observers_.add(*session->view_);
    session->interrupts_->listen(
        [session = session.get(), kind](bool first) {
            const char* text = kind == Kind::reads ? "interrupted: ending"
                               : first             ? "interrupted: reverting what is not confirmed, please wait"
                                                   : "interrupted again: still reverting, please wait";
            session->log_->log(LogLevel::warning, {}, text);
        },
        [session = session.get()] {
            const std::lock_guard lock(session->hangup_mutex_);
            if (session->hangup_) session->hangup_();
        });
    return session;
}

std::stop_token Session::stop() const noexcept {
    return interrupts_->stop();
}

void Session::on_hangup(std::function<void()> what) {
    const std::lock_guard lock(hangup_mutex_);
    hangup_ = std::move(what);
}

Result<void> Session::finish() {
    screen_->close();
    if (!profile_) return {};
    return engine::write_output(profile_file_, profile_->for_file(profile_file_));
}

}  // namespace qkd::cli
