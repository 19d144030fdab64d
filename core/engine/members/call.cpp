// Deadlines, retries and time keeping of plugin calls.
#include "engine/members/call.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace qkd::engine {
namespace {

using Steady = std::chrono::steady_clock;

class CallContext final : public Context {
  public:
    CallContext(Observer& observer, const Place& place, Steady::time_point deadline, std::stop_token stop,
                int cancel_fd)
        : Context(deadline, std::move(stop), cancel_fd), observer_(observer), place_(place) {}

    void log(LogLevel level, std::string_view message) override { observer_.log(level, place_, message); }
    void event(std::string_view name, std::span<const Attr> attributes) override {
        observer_.event(place_, name, attributes);
    }

  private:
    Observer& observer_;
    const Place& place_;
};

constexpr milliseconds longest_backoff{60000};
constexpr milliseconds busy_pause{300};

}  // namespace

Interruption::Interruption(std::stop_token stop)
    : stop_(std::move(stop)), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    on_stop_ = std::make_unique<std::stop_callback<std::function<void()>>>(stop_, [fd = fd_] {
        const std::uint64_t one = 1;
        // The counter cannot overflow: this is the only write.
        [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
    });
}

Interruption::~Interruption() {
    on_stop_.reset();
    if (fd_ >= 0) ::close(fd_);
}

bool pause(std::chrono::milliseconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any condition;
    std::unique_lock lock(mutex);
    condition.wait_for(lock, stop, time, [] { return false; });
    return !stop.stop_requested();
}

void Caller::run(const CallSpec& spec, const std::string& plugin,
                 const std::function<const Error*(Context&)>& attempt) {
    Place place = place_;
    place.stage = spec.step;
    place.plugin = plugin;
    const bool cancellable = spec.cancel == Cancel::allowed;
    const std::stop_token stop = cancellable ? interruption_.token() : std::stop_token{};
    const auto patient_until = Steady::now() + spec.patience;
    auto backoff = spec.retry.backoff;

    if (!spec.quiet) observer_.step_begins(place);
    const auto begun = Steady::now();
    const Error* error = nullptr;
    unsigned attempts = 0;
    unsigned counted = 0;  // attempts that use up the policy's number; waiting for a lock does not
    std::optional<Error> not_started;
    for (;;) {
        if (stop.stop_requested() && attempts == 0) {
            not_started = cancelled(spec);
            error = &*not_started;
            break;
        }
        CallContext context(observer_, place, Steady::now() + spec.timeout, stop,
                            cancellable ? interruption_.fd() : -1);
        ++attempts;
        error = attempt(context);
        if (error == nullptr || error->code == ErrorCode::cancelled || stop.stop_requested()) break;
        milliseconds wait{0};
        if (spec.wait_out == error->code && Steady::now() < patient_until) {
            wait = busy_pause;
        } else if (error->retry == Retry::safe && ++counted < spec.retry.attempts) {
            wait = std::max(backoff, error->retry_after);
            backoff = std::min(backoff * 2, longest_backoff);
        } else {
            break;
        }
        observer_.log(LogLevel::notice, place,
                      error->what + "; trying again in " + std::to_string(wait.count()) + " ms");
        if (!pause(wait, stop)) break;
    }
    const auto took = Steady::now() - begun;
    // To a poll, nothing there yet is an answer.
    const bool nothing_yet = spec.quiet && spec.stage == StageKind::key_id_transport && error != nullptr &&
                             error->code == ErrorCode::not_found;
    if (nothing_yet) error = nullptr;
    if (!spec.quiet || error != nullptr) observer_.step_ends(place, took, error);
    if (StageReport* report = stage_report(spec.stage, plugin)) {
        report->ms += std::chrono::duration<double, std::milli>(took).count();
        if (!spec.look || error != nullptr) report->attempts = std::max(report->attempts, attempts);
        if (error != nullptr) {
            report->result = StageResult::failed;
            report->error = *error;
        } else if (report->result == StageResult::skipped && !spec.look) {
            report->result = StageResult::ok;
        }
    }
}

Error Caller::cancelled(const CallSpec& spec) const {
    return {ErrorCode::cancelled, Retry::safe, std::string("interrupted before ") + spec.step, "run again when ready"};
}

void Caller::name_place(Error& error) const {
    const std::string& name = place_.device.empty() ? place_.link : place_.device;
    if (!name.empty() && error.what.find(name) == std::string::npos) error.what.insert(0, name + ": ");
}

StageReport* Caller::stage_report(StageKind kind, const std::string& plugin) const {
    if (stages_ == nullptr) return nullptr;
    for (auto& stage : *stages_) {
        if (stage.kind == kind) {
            if (stage.plugin.empty()) stage.plugin = plugin;
            return &stage;
        }
    }
    return nullptr;  // a step outside the declared stages, such as the undo of one
}

void Caller::log(LogLevel level, std::string_view message, const char* step) const {
    Place place = place_;
    place.stage = step;
    observer_.log(level, place, message);
}

void Caller::event(std::string_view name, std::span<const Attr> attributes, const char* step) const {
    Place place = place_;
    place.stage = step;
    observer_.event(place, name, attributes);
}

}  // namespace qkd::engine
