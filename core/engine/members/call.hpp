// One call into a plugin: its deadline, cancellation, retries, log and time keeping. Everything the engine asks of a
// plugin goes through here.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include "engine/base/guard.hpp"
#include "engine/pipeline/model.hpp"
#include "engine/reporting/events.hpp"
#include "engine/reporting/report.hpp"

namespace qkd::engine {

/// The wish to end the run, as a stop token and as a descriptor that poll() understands.
class Interruption {
  public:
    explicit Interruption(std::stop_token stop);
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;

    [[nodiscard]] const std::stop_token& token() const noexcept { return stop_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] bool requested() const noexcept { return stop_.stop_requested(); }

  private:
    std::stop_token stop_;
    int fd_;
    std::unique_ptr<std::stop_callback<std::function<void()>>> on_stop_;
};

/// Waits; false when the run was interrupted meanwhile.
bool pause(std::chrono::milliseconds time, const std::stop_token& stop);

/// May this call be broken off by an interruption? The undo may not.
enum class Cancel : std::uint8_t { allowed, never };

/// What a call is and how patient the engine is with it.
struct CallSpec {
    StageKind stage = StageKind::connect;
    const char* step = "";  ///< word for log and view: "mint", "commit-confirmed"
    milliseconds timeout{30000};
    Retries retry;
    Cancel cancel = Cancel::allowed;
    bool look = false;   ///< reads what is there: alone it does not make a stage of the report "ok"
    bool quiet = false;  ///< part of a poll: no begin and end for the observers unless it fails
    /// Errors of this code are tried again, whatever their retry word says, until `patience` is over.
    std::optional<ErrorCode> wait_out;
    milliseconds patience{0};
};

/// The surroundings of all calls of one member (or of a link).
class Caller {
  public:
    Caller(Observer& observer, const Interruption& interruption, Place place, std::vector<StageReport>* stages)
        : observer_(observer), interruption_(interruption), place_(std::move(place)), stages_(stages) {}

    /// Calls `fn(Context&)`, which returns a Result, as often as `spec` allows. Exceptions become Error{internal}. An error that
    /// does not name the device by its name in the pipeline gets it in front.
    template <class Fn>
    auto operator()(const CallSpec& spec, const std::string& plugin, Fn&& fn) -> std::invoke_result_t<Fn, Context&> {
        using R = std::invoke_result_t<Fn, Context&>;
        std::optional<R> result;
        run(spec, plugin, [&](Context& context) -> const Error* {
            result.emplace(guard_plugin(plugin, [&] { return fn(context); }));
            if (result->ok()) return nullptr;
            name_place(result->error());
            return &result->error();
        });
        if (!result) return cancelled(spec);
        return std::move(*result);
    }

    void log(LogLevel level, std::string_view message, const char* step = "") const;
    void event(std::string_view name, std::span<const Attr> attributes, const char* step = "") const;
    [[nodiscard]] Observer& observer() const noexcept { return observer_; }
    [[nodiscard]] const Interruption& interruption() const noexcept { return interruption_; }

  private:
    void run(const CallSpec& spec, const std::string& plugin, const std::function<const Error*(Context&)>& attempt);
    [[nodiscard]] Error cancelled(const CallSpec& spec) const;
    void name_place(Error& error) const;
    StageReport* stage_report(StageKind kind, const std::string& plugin) const;

    Observer& observer_;
    const Interruption& interruption_;
    Place place_;
    std::vector<StageReport>* stages_;
};

}  // namespace qkd::engine
