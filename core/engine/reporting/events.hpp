// What happens during a run, told to whoever listens: the log, the live view, the profile.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/reporting/report.hpp"
#include "qkd/sdk/context.hpp"

namespace qkd::engine {

/// Where something happens. Empty strings where it concerns the whole run or link.
struct Place {
    std::string link;
    std::string device;
    std::string stage;  ///< word of the stage or of the rotation step
    std::string plugin;
};

/// Listener of a run. Called from many threads at the same time; implementations synchronise themselves and return at
/// once.
class Observer {
  public:
    virtual ~Observer() = default;
    virtual void log(LogLevel level, const Place& place, std::string_view message) = 0;
    virtual void event(const Place& place, std::string_view name, std::span<const Attr> attributes) = 0;
    /// A rotation step of a member (or of the link, device empty) begins or ends.
    virtual void step_begins(const Place& place) = 0;
    virtual void step_ends(const Place& place, std::chrono::nanoseconds took, const Error* error) = 0;
    virtual void link_begins(const Link& link) = 0;
    virtual void link_ends(const LinkReport& report) = 0;
};

/// Passes everything on to several observers, in order.
class Observers final : public Observer {
  public:
    void add(Observer& observer) { list_.push_back(&observer); }
    void log(LogLevel level, const Place& place, std::string_view message) override {
        for (auto* o : list_) o->log(level, place, message);
    }
    void event(const Place& place, std::string_view name, std::span<const Attr> attributes) override {
        for (auto* o : list_) o->event(place, name, attributes);
    }
    void step_begins(const Place& place) override {
        for (auto* o : list_) o->step_begins(place);
    }
    void step_ends(const Place& place, std::chrono::nanoseconds took, const Error* error) override {
        for (auto* o : list_) o->step_ends(place, took, error);
    }
    void link_begins(const Link& link) override {
        for (auto* o : list_) o->link_begins(link);
    }
    void link_ends(const LinkReport& report) override {
        for (auto* o : list_) o->link_ends(report);
    }

  private:
    std::vector<Observer*> list_;
};

}  // namespace qkd::engine
