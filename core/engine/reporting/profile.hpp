// Where the time of a run went: counts and times of nested tasks, link > stage > device, with notes of what happened there.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/reporting/events.hpp"

namespace qkd::engine {

/// Thread-safe. The notes are the engine's and plugins' events, the failures of steps and the results of links. Times are
/// wall-clock times of tasks: those of tasks that ran side by side add up to more than the time
/// of what they belong to.
class Profile final : public Observer {
  public:
    using Clock = std::chrono::steady_clock;
    using Nanoseconds = std::chrono::nanoseconds;

    struct Times {
        std::uint64_t count = 0;
        Nanoseconds cumulative{0};
        Nanoseconds min{0};
        Nanoseconds max{0};
        void add(Nanoseconds took);
    };

    void log(LogLevel, const Place&, std::string_view) override {}
    void event(const Place& place, std::string_view name, std::span<const Attr> attributes) override;
    void step_begins(const Place&) override {}
    void step_ends(const Place& place, Nanoseconds took, const Error* error) override;
    void link_begins(const Link& link) override;
    void link_ends(const LinkReport& report) override;

    /// One row per task, the longest cumulative time first. "all links" sums up what the links have in common. Below it the
    /// notes, and the time that everything took.
    [[nodiscard]] std::string to_table() const;
    /// {"schema":1,"elapsed_ms","tasks":[{"name","count","cumulative_ms","average_ms","min_ms","max_ms","annotations":[...],
    /// "tasks":[...]}]}, each level sorted like the table.
    [[nodiscard]] std::string to_json() const;
    /// What the file's name asks for: JSON when it ends in ".json", else the table.
    [[nodiscard]] std::string for_file(const std::filesystem::path& file) const;

  private:
    /// A long run must not fill the memory: of more notes than this only the number is kept.
    static constexpr std::size_t most_notes = 50;

    struct Task {
        Times times;
        std::vector<std::string> notes;
        std::uint64_t more_notes = 0;
        std::map<std::string, Task> tasks;

        void note(std::string text);
    };
    class Writer;

    Task& task_of(const Place& place);

    mutable std::mutex mutex_;
    std::map<std::string, Task> links_;
    Task all_links_;
    std::map<std::string, Clock::time_point> begun_;
    Clock::time_point made_ = Clock::now();
};

}  // namespace qkd::engine
