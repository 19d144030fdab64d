// What a run is doing right now: on a terminal a line per device and step that changes in place, else plain lines.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/base/display.hpp"
#include "engine/reporting/events.hpp"
#include "engine/reporting/screen.hpp"

namespace qkd::engine {

/// The colour of a link's result, here and in tables.
Style style_of(LinkResult result) noexcept;

/// Thread-safe. On a live screen: under each link in flight one line per device and step with its time; when the link
/// ends, one line with its result takes their place for good. Elsewhere: a line when a step ends and one when a link
/// ends, unless `plain_lines` is false. Says that something failed; the log says why.
class LiveView final : public Observer {
  public:
    using Clock = std::chrono::steady_clock;

    struct Options {
        bool colour = false;
        bool plain_lines = true;
    };

    /// `screen` outlives the view.
    LiveView(Screen& screen, Options options);
    ~LiveView() override;
    LiveView(const LiveView&) = delete;
    LiveView& operator=(const LiveView&) = delete;

    void log(LogLevel, const Place&, std::string_view) override {}
    void event(const Place&, std::string_view, std::span<const Attr>) override {}
    void step_begins(const Place& place) override;
    void step_ends(const Place& place, std::chrono::nanoseconds took, const Error* error) override;
    void link_begins(const Link& link) override;
    void link_ends(const LinkReport& report) override;

    /// The block for a screen of this size, as drawn at `now`. What runs comes before what is done when room is short.
    [[nodiscard]] std::vector<std::string> block(ScreenSize size, Clock::time_point now) const;

  private:
    struct Step {
        Place place;
        Clock::time_point begun;
        std::chrono::nanoseconds took{0};
        unsigned running = 0;
        bool failed = false;
    };
    struct Flight {
        Clock::time_point begun;
        std::vector<Step> steps;  // in the order of their beginning
    };

    [[nodiscard]] std::string line(const Step& step, std::size_t columns, Clock::time_point now) const;

    Screen& screen_;
    Options options_;
    mutable std::mutex mutex_;
    std::map<std::string, Flight> flights_;  // by link; "" for steps outside links
};

}  // namespace qkd::engine
