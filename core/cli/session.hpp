// What every command needs that works on a pipeline: the checked file, and while it talks to devices the log, the live
// view, the profile and the handling of signals.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "cli/arguments.hpp"
#include "engine/commands/run.hpp"
#include "engine/pipeline/file.hpp"
#include "engine/reporting/live_view.hpp"
#include "engine/reporting/log.hpp"
#include "engine/reporting/profile.hpp"

namespace qkd::cli {

/// --link, --device, -t: which links, and how many at once.
std::vector<Option> selection_options();
/// -v, --trace, --log-format, --profile.
std::vector<Option> observation_options();
std::vector<Option> operator+(std::vector<Option> a, std::vector<Option> b);

/// The folder of --plugin-dir or the default one. An error when it does not exist.
Result<std::filesystem::path> plugin_directory(const Arguments& arguments);

/// One finding per line, coloured where wanted.
std::string findings_text(const std::vector<engine::Finding>& findings, bool colour);
/// "2 errors, 1 warning".
std::string findings_count(const std::vector<engine::Finding>& findings);

/// A pipeline ready to work on, off-box, with the selected links.
struct Work {
    std::unique_ptr<engine::PluginHost> host;
    engine::Pipeline pipeline;
    engine::RunOptions options;
};
/// Reads and checks; findings go to standard error. The error says what else is wrong; everything here ends with
/// exit_usage, before any connection.
Result<Work> prepare(const Arguments& arguments);
/// The part of the pipeline that this process drives: off-box all of it, on-box what --as says.
Result<engine::Pipeline> take_side(engine::Pipeline pipeline, const Arguments& arguments);
Result<engine::RunOptions> run_options(const engine::Pipeline& pipeline, const Arguments& arguments);

class Interrupts;

/// Standard error, signals and observers while the engine works.
class Session {
  public:
    enum class Kind : unsigned char {
        serves,   ///< as `rotates`, and SIGHUP is no interruption
        rotates,  ///< says every step also when standard error is no terminal; has something to undo
        reads
    };
    /// An error: --trace or --profile cannot be written, --log-format is unknown. Nothing was touched.
    static Result<std::unique_ptr<Session>> open(const Arguments& arguments, Kind kind);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    engine::Observer& observer() noexcept { return observers_; }
    [[nodiscard]] std::stop_token stop() const noexcept;
    /// Kind::serves: what SIGHUP does, on a thread of its own. Null: nothing.
    void on_hangup(std::function<void()> what);
    /// Empties the screen and writes the profile. Signals stay caught until the session goes, of a run until the end.
    Result<void> finish();

  private:
    Session();

    std::unique_ptr<Interrupts> interrupts_;  // first: the threads below inherit the blocked signals
    std::unique_ptr<engine::Screen> screen_;
    std::unique_ptr<engine::Log> log_;
    std::unique_ptr<engine::Profile> profile_;
    std::unique_ptr<engine::LiveView> view_;
    engine::Observers observers_;
    std::filesystem::path profile_file_;
    std::mutex hangup_mutex_;
    std::function<void()> hangup_;
};

}  // namespace qkd::cli
