// Runs the rotations of many links: so many at once, groups one at a time, stopping after too many failures.
#include "engine/commands/run.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>

#include "engine/base/guard.hpp"
#include "engine/commands/workers.hpp"
#include "engine/protocol/naming.hpp"
#include "engine/rotation/rotation.hpp"
#include "engine/state/store.hpp"

namespace qkd::engine {
namespace {

using Steady = std::chrono::steady_clock;

UtcMillis now() {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

bool succeeded(LinkResult result) {
    return result == LinkResult::rotated || result == LinkResult::unchanged || result == LinkResult::pending;
}

/// Hands out links to the workers.
class Queue {
  public:
    /// With a jitter each link has a random moment of so long from now before which it does not begin, so that not all links of
    /// a fleet press on KMEs and devices at once.
    Queue(const Pipeline& pipeline, const std::vector<std::size_t>& selected, milliseconds jitter, std::stop_token stop)
        : pipeline_(pipeline), stop_(std::move(stop)) {
        std::random_device random;
        const auto begin = Steady::now();
        for (const std::size_t index : selected) {
            const auto parts = static_cast<std::uint64_t>(jitter.count());
            waiting_.push_back({index, begin + milliseconds{parts == 0 ? 0 : random() % parts}});
        }
        std::stable_sort(waiting_.begin(), waiting_.end(),
                         [](const Turn& x, const Turn& y) { return x.moment < y.moment; });
    }

    /// The next link whose moment has come and whose group is free; waits for one. nullopt: no more.
    std::optional<std::size_t> next() {
        std::unique_lock lock(mutex_);
        for (;;) {
            if (stop_.stop_requested() || stopped_by_failures()) return std::nullopt;
            const auto now = Steady::now();
            auto it = waiting_.begin();
            for (; it != waiting_.end() && it->moment <= now; ++it) {
                const std::string& group = pipeline_.links[it->index].group;
                if (!group.empty() && busy_groups_.contains(group)) continue;
                const std::size_t index = it->index;
                waiting_.erase(it);
                if (!group.empty()) busy_groups_.insert(group);
                return index;
            }
            if (waiting_.empty()) return std::nullopt;
            const auto changed = [this, turns = turns_] { return turns_ != turns; };
            if (it == waiting_.end()) {
                changed_.wait(lock, stop_, changed);
            } else {
                changed_.wait_until(lock, stop_, it->moment, changed);
            }
        }
    }

    void done(std::size_t index, bool success) {
        {
            const std::lock_guard lock(mutex_);
            busy_groups_.erase(pipeline_.links[index].group);
            if (!success) ++failures_;
            ++turns_;
        }
        changed_.notify_all();
    }

    [[nodiscard]] unsigned failures() const noexcept { return failures_; }
    [[nodiscard]] bool stopped_by_failures() const noexcept {
        return pipeline_.stop_after_failures && failures_ >= *pipeline_.stop_after_failures;
    }

  private:
    struct Turn {
        std::size_t index;
        Steady::time_point moment;
    };
    const Pipeline& pipeline_;
    std::vector<Turn> waiting_;  // by moment
    std::set<std::string> busy_groups_;
    std::stop_token stop_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    unsigned failures_ = 0;
    std::uint64_t turns_ = 0;
};

LinkReport not_started(const Pipeline& pipeline, const Link& link, Error error) {
    LinkReport report;
    report.name = link.name;
    report.rollover = pipeline.commit.rollover;
    for (const auto& member : link.members) {
        MemberReport& into = report.members.emplace_back();
        into.device = member.device;
        into.role = member.role;
        for (const auto& stage : pipeline.stages) {
            StageReport skipped;
            skipped.kind = stage.kind;
            into.stages.push_back(std::move(skipped));
        }
    }
    report.error = std::move(error);
    return report;
}

RunResult result_of(const std::vector<LinkReport>& links, bool interrupted) {
    if (interrupted) return RunResult::interrupted;
    const auto good =
        std::count_if(links.begin(), links.end(), [](const LinkReport& l) { return succeeded(l.result); });
    if (static_cast<std::size_t>(good) == links.size()) return RunResult::success;
    return good == 0 ? RunResult::failure : RunResult::partial;
}

/// For the calls that fetch the seal key.
class KeyContext final : public Context {
  public:
    KeyContext(Observer& observer, const Interruption& interruption)
        : Context(std::chrono::steady_clock::now() + std::chrono::seconds{30}, interruption.token(), interruption.fd()),
          observer_(observer) {}
    void log(LogLevel level, std::string_view message) override { observer_.log(level, {}, message); }
    void event(std::string_view name, std::span<const Attr> attributes) override {
        observer_.event({}, name, attributes);
    }

  private:
    Observer& observer_;
};

RunReport work(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
               const std::stop_token& stop, LinkReport (*what)(RunShared&, const Link&)) {
    RunReport report;  // a failure, until the links have been worked on
    report.pipeline = pipeline.name;
    report.run_id = new_run_id();
    report.started = now();
    const Attr identity[] = {{"run_id", std::string_view(report.run_id)}};
    observer.event({}, "run.begins", identity);  // the log takes the run's identity from it

    auto links = select_links(pipeline, options);
    if (!links) {  // `serve` can come here: the pipeline file was read again, and no longer has what was selected
        report.error = std::move(links).error();
        observer.log(LogLevel::error, {}, report.error->what + "; " + report.error->hint);
        report.finished = now();
        return report;
    }
    const std::vector<std::size_t> selected = *std::move(links);
    report.links.resize(selected.size());

    const Interruption interruption(stop);
    // What must be there before any device is connected to.
    KeyContext context(observer, interruption);
    auto store = open_store({pipeline.state, pipeline.seal_key}, report.run_id, context);
    if (!store) {
        for (std::size_t i = 0; i < selected.size(); ++i) {
            report.links[i] = not_started(pipeline, pipeline.links[selected[i]], store.error());
        }
        report.finished = now();
        return report;
    }
    RunShared shared{pipeline,
                     host,
                     observer,
                     interruption,
                     report.run_id,
                     options.pause ? options.pause : pause,
                     **store,
                     options.sessions,
                     {},
                     {},
                     {}};
    if (options.renew_certificates) shared.renew_made_before = std::chrono::floor<std::chrono::seconds>(report.started);
    Queue queue(pipeline, selected, options.jitter, stop);
    std::vector<bool> started(selected.size(), false);
    std::mutex mutex;
    const auto work = [&] {
        while (const auto index = queue.next()) {
            const Link& link = pipeline.links[*index];
            const auto place =
                static_cast<std::size_t>(std::find(selected.begin(), selected.end(), *index) - selected.begin());
            observer.link_begins(link);
            // An exception of our own is that link's failure: the other links and the report go on.
            auto outcome = guard_engine([&]() -> Result<LinkReport> { return what(shared, link); });
            LinkReport done = outcome ? *std::move(outcome) : not_started(pipeline, link, std::move(outcome).error());
            observer.link_ends(done);
            queue.done(*index, succeeded(done.result));
            const std::lock_guard guard(mutex);
            started[place] = true;
            report.links[place] = std::move(done);
        }
    };
    const unsigned in_flight = options.threads != 0 ? options.threads : pipeline.parallel;
    work_together(std::min<std::size_t>(in_flight, selected.size()), work);
    for (std::size_t i = 0; i < selected.size(); ++i) {
        if (started[i]) continue;
        const Link& link = pipeline.links[selected[i]];
        report.links[i] =
            stop.stop_requested()
                ? not_started(
                      pipeline, link,
                      {ErrorCode::cancelled, Retry::safe,
                       "link " + link.name + " was not started: the run was interrupted", "run again when ready"})
                : not_started(pipeline, link,
                              {ErrorCode::cancelled, Retry::safe,
                               "link " + link.name + " was not started: " + std::to_string(queue.failures()) +
                                   " links failed before it (stop_after_failures)",
                               "see to the failed links first, then run again"});
    }
    report.finished = now();
    report.result = result_of(report.links, stop.stop_requested());
    return report;
}

}  // namespace

RunReport run(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
              std::stop_token stop) {
    return work(pipeline, host, options, observer, stop, &rotate);
}

RunReport withdraw(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
                   std::stop_token stop) {
    return work(pipeline, host, options, observer, stop, &withdraw);
}

}  // namespace qkd::engine
