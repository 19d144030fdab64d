// Rotates again and again in one process: a cycle every so often, sessions kept open in between, links whose KME failed tried
// again sooner.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

#include "engine/commands/run.hpp"

namespace qkd::engine {

struct ServeOptions {
    RunOptions run;
    milliseconds every{std::chrono::minutes{10}};  ///< from the begin of a cycle to the begin of the next
    milliseconds jitter{0};                        ///< each link begins at a random moment of this long in its cycle
    std::optional<unsigned> cycles;                ///< ends after so many; unset: only when asked to
};

/// What serve() tells its surroundings. Called from the thread of serve().
class ServeListener {
  public:
    virtual ~ServeListener() = default;
    virtual void cycle_ended(const RunReport& report) = 0;
    /// The file was read again; with an error the old one stays in use.
    virtual void reloaded(const Error* error) = 0;
    /// Nothing to do until `seconds` from now.
    virtual void waits(std::chrono::seconds seconds) = 0;
};

/// Wakes serve() to read the pipeline file again. Thread-safe.
class ReloadRequest {
  public:
    void ask();
    /// Waits until asked, stopped, or for so long. True when asked (once per ask).
    bool wait(milliseconds time, const std::stop_token& stop);

  private:
    std::mutex mutex_;
    std::condition_variable_any changed_;
    bool asked_ = false;
};

/// The pause before links that failed are tried again: 15 s, doubled with each failure in a row, never longer than `every`.
milliseconds retry_pause(unsigned failures_in_a_row, milliseconds every);

/// Runs until `stop`, or until `options.cycles` are over. `load` reads and checks the file anew; the first pipeline is given.
void serve(Pipeline pipeline, const std::function<Result<Pipeline>()>& load, PluginHost& host,
           const ServeOptions& options, Observer& observer, ServeListener& listener, ReloadRequest& reload,
           std::stop_token stop);

}  // namespace qkd::engine
