// Keeps the steps in flight and words them as lines.
#include "engine/reporting/live_view.hpp"

#include <algorithm>
#include <cstdio>

namespace qkd::engine {
namespace {

std::string seconds_of(std::chrono::nanoseconds time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(time).count());
    return text;
}

std::string padded(std::string_view text, std::size_t columns) {
    std::string shown = one_line(text);
    const std::size_t width = display_width(shown);
    if (width < columns) shown.append(columns - width, ' ');
    return shown;
}

const std::string& or_dash(const std::string& text) {
    static const std::string dash = "-";
    return text.empty() ? dash : text;
}

constexpr std::size_t device_columns = 16;
constexpr std::size_t step_columns = 18;
constexpr std::size_t state_columns = 8;

}  // namespace

Style style_of(LinkResult result) noexcept {
    switch (result) {
        case LinkResult::rotated:
        case LinkResult::unchanged:
        case LinkResult::pending: return Style::good;
        case LinkResult::degraded: return Style::warn;
        case LinkResult::reverted:
        case LinkResult::failed: break;
    }
    return Style::bad;
}

LiveView::LiveView(Screen& screen, Options options) : screen_(screen), options_(options) {
    if (screen_.live()) screen_.show([this](ScreenSize size) { return block(size, Clock::now()); });
}

LiveView::~LiveView() {
    screen_.show({});
}

void LiveView::step_begins(const Place& place) {
    const std::lock_guard lock(mutex_);
    auto [flight, is_new] = flights_.try_emplace(place.link);
    if (is_new) flight->second.begun = Clock::now();
    auto& steps = flight->second.steps;
    const auto same = std::find_if(steps.begin(), steps.end(), [&](const Step& step) {
        return step.place.device == place.device && step.place.stage == place.stage;
    });
    Step& step = same != steps.end() ? *same : steps.emplace_back();
    if (step.running++ == 0) step.begun = Clock::now();
    step.place = place;
    step.failed = false;
}

void LiveView::step_ends(const Place& place, std::chrono::nanoseconds took, const Error* error) {
    {
        const std::lock_guard lock(mutex_);
        const auto flight = flights_.find(place.link);
        if (flight != flights_.end()) {
            for (auto& step : flight->second.steps) {
                if (step.place.device != place.device || step.place.stage != place.stage || step.running == 0) continue;
                --step.running;
                step.took = took;
                step.failed = error != nullptr;
            }
        }
    }
    if (screen_.live() || !options_.plain_lines) return;
    // Why something failed is said by the log.
    screen_.write(one_line(or_dash(place.link) + " " + or_dash(place.device) + " " + or_dash(place.stage)) +
                  (error == nullptr ? " ok (" : " failed (") + seconds_of(took) + ")\n");
}

void LiveView::link_begins(const Link& link) {
    const std::lock_guard lock(mutex_);
    flights_[link.name] = {Clock::now(), {}};
}

void LiveView::link_ends(const LinkReport& report) {
    std::chrono::nanoseconds took{0};
    {
        const std::lock_guard lock(mutex_);
        const auto flight = flights_.find(report.name);
        if (flight != flights_.end()) {
            took = Clock::now() - flight->second.begun;
            flights_.erase(flight);
        }
    }
    if (!screen_.live() && !options_.plain_lines) return;
    screen_.write(one_line(report.name) + " " +
                  styled(to_string(report.result), style_of(report.result), options_.colour) + " (" + seconds_of(took) +
                  ")\n");
}

std::string LiveView::line(const Step& step, std::size_t columns, Clock::time_point now) const {
    const bool running = step.running > 0;
    const std::string left = "  " + padded(or_dash(step.place.device), device_columns) + " " +
                             padded(or_dash(step.place.stage), step_columns) + " ";
    const char* state = running ? "running" : step.failed ? "failed" : "ok";
    const std::string right =
        padded(state, state_columns) + seconds_of(running ? std::chrono::nanoseconds(now - step.begun) : step.took);
    if (display_width(left) + display_width(right) > columns) return clip(left + right, columns);
    const Style style = running ? Style::plain : step.failed ? Style::bad : Style::dim;
    return left + styled(right, style, options_.colour);
}

std::vector<std::string> LiveView::block(ScreenSize size, Clock::time_point now) const {
    const std::lock_guard lock(mutex_);
    std::size_t running = 0;
    std::size_t all = 0;
    for (const auto& [name, flight] : flights_) {
        all += flight.steps.size() + 1;
        running += static_cast<std::size_t>(
            std::count_if(flight.steps.begin(), flight.steps.end(), [](const Step& s) { return s.running > 0; }));
    }
    const bool only_running = all > size.rows;
    std::vector<std::string> lines;
    std::size_t shown = 0;
    for (const auto& [name, flight] : flights_) {
        std::vector<std::string> steps;
        for (const auto& step : flight.steps) {
            if (!only_running || step.running > 0) steps.push_back(line(step, size.columns, now));
        }
        if (steps.empty() && flight.steps.empty() && name.empty()) continue;
        // The last row is kept for the count of what does not fit.
        if (only_running && lines.size() + steps.size() + 2 > size.rows) break;
        const std::string title = (name.empty() ? "probes" : one_line(name)) + "  " + seconds_of(now - flight.begun);
        lines.push_back(styled(clip(title, size.columns), Style::strong, options_.colour));
        shown += steps.size();
        for (auto& step : steps) lines.push_back(std::move(step));
    }
    if (only_running && shown < running && lines.size() < size.rows) {
        lines.push_back(clip("  .. and " + std::to_string(running - shown) + " more steps running", size.columns));
    }
    return lines;
}

}  // namespace qkd::engine
