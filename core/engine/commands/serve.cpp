// The endless loop of serve.
#include "engine/commands/serve.hpp"

#include <algorithm>

namespace qkd::engine {
namespace {

using Steady = std::chrono::steady_clock;
constexpr milliseconds first_retry{15000};
constexpr milliseconds listen_pause{1000};
constexpr unsigned most_doublings = 16;

/// Trying again may help: nothing was done, or all of it was taken back.
std::vector<std::string> to_try_again(const RunReport& report) {
    std::vector<std::string> names;
    for (const auto& link : report.links) {
        if (link.result == LinkResult::failed || link.result == LinkResult::reverted) names.push_back(link.name);
    }
    return names;
}

/// On-box, responders that heard nothing new: their initiator keeps another time, so they listen on.
std::vector<std::string> to_listen_on(const Pipeline& pipeline, const RunReport& report) {
    std::vector<std::string> names;
    if (!pipeline.has(StageKind::key_id_transport)) return names;
    for (const auto& link : pipeline.links) {
        if (link.peers.empty() || link.members.front().role == Role::initiator) continue;
        const auto done = std::find_if(report.links.begin(), report.links.end(),
                                       [&](const LinkReport& one) { return one.name == link.name; });
        if (done != report.links.end() && done->result == LinkResult::unchanged) names.push_back(link.name);
    }
    return names;
}

}  // namespace

void ReloadRequest::ask() {
    {
        const std::lock_guard lock(mutex_);
        asked_ = true;
    }
    changed_.notify_all();
}

bool ReloadRequest::wait(milliseconds time, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, time, [this] { return asked_; });
    return std::exchange(asked_, false);
}

milliseconds retry_pause(unsigned failures_in_a_row, milliseconds every) {
    const unsigned doublings = std::min(failures_in_a_row > 0 ? failures_in_a_row - 1 : 0, most_doublings);
    return std::min(every, first_retry * (1U << doublings));
}

void serve(Pipeline pipeline, const std::function<Result<Pipeline>()>& load, PluginHost& host,
           const ServeOptions& options, Observer& observer, ServeListener& listener, ReloadRequest& reload,
           std::stop_token stop) {
    std::optional<SessionPool> sessions(std::in_place);
    unsigned cycles = 0;
    unsigned failures_in_a_row = 0;
    std::vector<std::string> again;  // links to try before the next cycle
    auto next_cycle = Steady::now();
    while (!stop.stop_requested()) {
        const bool whole = Steady::now() >= next_cycle;
        if (whole) next_cycle = Steady::now() + options.every;
        RunOptions run_options = options.run;
        run_options.sessions = &*sessions;
        run_options.jitter = whole ? options.jitter : milliseconds{0};
        if (!whole) {
            run_options.links = again;
            run_options.devices.clear();
        }
        const RunReport report = run(pipeline, host, run_options, observer, stop);
        listener.cycle_ended(report);
        if (whole && options.cycles && ++cycles >= *options.cycles) return;
        again = to_try_again(report);
        failures_in_a_row = again.empty() ? 0 : failures_in_a_row + 1;

        auto until = next_cycle;
        if (!again.empty()) until = std::min(until, Steady::now() + retry_pause(failures_in_a_row, options.every));
        if (const auto listening = to_listen_on(pipeline, report); !listening.empty()) {
            again.insert(again.end(), listening.begin(), listening.end());
            until = Steady::now() + listen_pause;  // their wait for the initiator is the longer one
        }
        for (bool due = false; !due && !stop.stop_requested();) {
            const auto left = std::chrono::ceil<milliseconds>(until - Steady::now());
            // Also when the next cycle is due already: somebody may wait for the file to be read.
            if (left.count() > 0) listener.waits(std::chrono::ceil<std::chrono::seconds>(left));
            if (!reload.wait(std::max(left, milliseconds{0}), stop)) {
                due = Steady::now() >= until;
                continue;
            }
            auto loaded = load();
            listener.reloaded(loaded ? nullptr : &loaded.error());
            if (!loaded) continue;
            // Sessions were made with the values of the old file.
            sessions.emplace();
            pipeline = std::move(*loaded);
            again.clear();
            until = next_cycle;
        }
    }
}

}  // namespace qkd::engine
