// Adds up times and writes them as a table or as JSON.
#include "engine/reporting/profile.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/base/display.hpp"
#include "engine/reporting/text_table.hpp"

namespace qkd::engine {
namespace {

double to_ms(std::chrono::nanoseconds time) {
    return static_cast<double>(time.count() / 1000) / 1000;
}

double average_ms(const Profile::Times& times) {
    return times.count == 0 ? 0 : to_ms(times.cumulative / static_cast<std::int64_t>(times.count));
}

std::string show_ms(double ms) {
    char text[40];
    std::snprintf(text, sizeof text, "%.3f", ms);
    return text;
}

}  // namespace

void Profile::Times::add(Nanoseconds took) {
    min = count == 0 ? took : std::min(min, took);
    max = std::max(max, took);
    cumulative += took;
    ++count;
}

void Profile::Task::note(std::string text) {
    if (notes.size() < most_notes) {
        notes.push_back(std::move(text));
    } else {
        ++more_notes;
    }
}

Profile::Task& Profile::task_of(const Place& place) {
    // What is outside links (probes, the run itself) belongs to the whole.
    Task* task = place.link.empty() ? &all_links_ : &links_[place.link];
    if (!place.stage.empty()) task = &task->tasks[place.stage];
    if (!place.device.empty()) task = &task->tasks[place.device];
    return *task;
}

/// Reads the tree; the tasks of a level in the order of their cumulative times.
class Profile::Writer {
  public:
    struct Row {
        std::string name;
        const Times* times;
    };
    struct Named {
        std::string name;
        const Task* task;
    };

    static std::vector<Named> sorted(const std::map<std::string, Task>& tasks) {
        std::vector<Named> all;
        for (const auto& [name, task] : tasks) all.push_back({name, &task});
        std::stable_sort(all.begin(), all.end(), [](const Named& a, const Named& b) {
            return a.task->times.cumulative > b.task->times.cumulative;
        });
        return all;
    }

    static void rows(const Named& named, std::vector<Row>& out) {
        if (named.task->times.count > 0) out.push_back({named.name, &named.task->times});
        for (const auto& [name, task] : named.task->tasks) rows({named.name + " > " + name, &task}, out);
    }

    static std::vector<std::string> notes_of(const Task& task) {
        auto notes = task.notes;
        if (task.more_notes > 0) notes.push_back("and " + std::to_string(task.more_notes) + " more");
        return notes;
    }

    static void notes(const Named& named, std::string& out) {
        for (const auto& note : notes_of(*named.task)) {
            out += "  " + one_line(named.name) + ": " + one_line(note) + "\n";
        }
        for (const auto& [name, task] : named.task->tasks) notes({named.name + " > " + name, &task}, out);
    }

    static nlohmann::ordered_json json(const std::vector<Named>& all) {
        auto list = nlohmann::ordered_json::array();
        for (const auto& [name, task] : all) {
            const Times& t = task->times;
            list.push_back({{"name", name},
                            {"count", t.count},
                            {"cumulative_ms", to_ms(t.cumulative)},
                            {"average_ms", average_ms(t)},
                            {"min_ms", to_ms(t.min)},
                            {"max_ms", to_ms(t.max)},
                            {"annotations", notes_of(*task)},
                            {"tasks", json(sorted(task->tasks))}});
        }
        return list;
    }
};

void Profile::event(const Place& place, std::string_view name, std::span<const Attr> attributes) {
    std::string text(name);
    for (const auto& attribute : attributes) {
        const nlohmann::json value = std::visit([](const auto& v) { return nlohmann::json(v); }, attribute.value);
        text += ' ' + std::string(attribute.name) + '=';
        text += value.is_string() ? value.get<std::string>()
                                  : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    const std::lock_guard lock(mutex_);
    task_of(place).note(std::move(text));
}

void Profile::step_ends(const Place& place, Nanoseconds took, const Error* error) {
    const std::lock_guard lock(mutex_);
    if (error != nullptr) task_of(place).note(std::string("failed (") + to_string(error->code) + "): " + error->what);
    // Steps outside links (probes) belong to the whole.
    Task& link = place.link.empty() ? all_links_ : links_[place.link];
    Task& stage = link.tasks[place.stage];
    stage.times.add(took);
    if (!place.device.empty()) stage.tasks[place.device].times.add(took);
    if (!place.link.empty()) all_links_.tasks[place.stage].times.add(took);
}

void Profile::link_begins(const Link& link) {
    const std::lock_guard lock(mutex_);
    begun_[link.name] = Clock::now();
}

void Profile::link_ends(const LinkReport& report) {
    const std::lock_guard lock(mutex_);
    const auto begun = begun_.find(report.name);
    if (begun == begun_.end()) return;
    const auto took = Clock::now() - begun->second;
    begun_.erase(begun);
    links_[report.name].times.add(took);
    links_[report.name].note(to_string(report.result) + (report.key_id.empty() ? "" : ", key_ID " + report.key_id));
    all_links_.times.add(took);
}

std::string Profile::to_table() const {
    const std::lock_guard lock(mutex_);
    std::vector<Writer::Row> rows;
    Writer::rows({"all links", &all_links_}, rows);
    for (const auto& [name, task] : links_) Writer::rows({name, &task}, rows);
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.times->cumulative > b.times->cumulative; });
    TextTable table({{"TASK"},
                     {"COUNT", Align::right},
                     {"CUMULATIVE ms", Align::right},
                     {"AVERAGE ms", Align::right},
                     {"MIN ms", Align::right},
                     {"MAX ms", Align::right}});
    for (const auto& [name, t] : rows) {
        table.add_row({name, std::to_string(t->count), show_ms(to_ms(t->cumulative)), show_ms(average_ms(*t)),
                       show_ms(to_ms(t->min)), show_ms(to_ms(t->max))});
    }
    std::string notes;
    Writer::notes({"all links", &all_links_}, notes);
    for (const auto& [name, task] : links_) Writer::notes({name, &task}, notes);
    if (!notes.empty()) notes = "\nANNOTATIONS\n" + notes;
    return table.render(false) + notes + "\nELAPSED " + show_ms(to_ms(Clock::now() - made_)) + " ms\n";
}

std::string Profile::to_json() const {
    const std::lock_guard lock(mutex_);
    auto all = Writer::sorted(links_);
    all.insert(all.begin(), {"all links", &all_links_});
    const nlohmann::ordered_json object = {
        {"schema", 1}, {"elapsed_ms", to_ms(Clock::now() - made_)}, {"tasks", Writer::json(all)}};
    return object.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string Profile::for_file(const std::filesystem::path& file) const {
    return file.extension() == ".json" ? to_json() : to_table();
}

}  // namespace qkd::engine
