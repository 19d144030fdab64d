// The poll, paced by how fast device time was seen to pass.
#include "engine/rotation/live.hpp"

#include <algorithm>

#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// IEEE 802.1X-2020 table 9-3: MKA Life Time, after which a participant without live peers is gone.
constexpr auto mka_life_time = 6s;
/// A device clock that has not moved for so long is broken: the only wait that goes by the runner's own time.
constexpr auto clock_patience = 2min;
constexpr milliseconds shortest_poll{20};
constexpr milliseconds longest_poll{5000};
constexpr milliseconds usual_poll{1000};

/// The moments, in device time, between which the key must come alive.
struct Window {
    UtcMillis begin;
    UtcMillis give_up;
};

Window window_of(const Attempt& attempt, const Crew& crew, const Peers& peers) {
    UtcMillis first = UtcMillis::max();
    UtcMillis last{};
    for (const auto& m : crew.members()) {
        first = std::min(first, m.commit_clock);
        last = std::max(last, m.commit_clock);
    }
    Window window;
    window.begin = attempt.key.start ? UtcMillis(*attempt.key.start) : last;
    window.give_up = window.begin + mka_grace + attempt.pipeline.commit.max_clock_skew;
    if (!attempt.key.start) {  // before the confirm: the device's timer bounds the wait
        window.give_up = std::min(window.give_up, first + attempt.pipeline.commit.confirm - 2 * confirm_margin);
    }
    // A key of an earlier run may have started long ago.
    if (attempt.adopted && peers.traits().takes_dead_key_away)
        window.give_up = std::max(window.give_up, crew.latest_clock() + mka_grace);
    return window;
}

/// How long to wait between two looks: device time may pass at another rate than ours, which is measured, never assumed.
class Pace {
  public:
    milliseconds until_next(UtcMillis device_time, milliseconds wanted) {
        const auto here = Steady::now();
        milliseconds wait = wanted;
        if (!seen_) {
            wait = shortest_poll;  // the first look is soon followed by a second
        } else if (device_time > device_time_) {
            const double rate = std::chrono::duration<double>(device_time - device_time_).count() /
                                std::max(1e-3, std::chrono::duration<double>(here - here_).count());
            wait = milliseconds(static_cast<std::int64_t>(static_cast<double>(wanted.count()) / std::max(rate, 1.0)));
        }
        seen_ = true;
        here_ = here;
        device_time_ = device_time;
        return std::clamp(wait, shortest_poll, longest_poll);
    }

  private:
    bool seen_ = false;
    Steady::time_point here_;
    UtcMillis device_time_{};
};

/// Ends the wait for a clock that stands still.
class Movement {
  public:
    bool stands_still(UtcMillis device_time) {
        if (device_time > furthest_) {
            furthest_ = device_time;
            moved_ = Steady::now();
        }
        return Steady::now() - moved_ > clock_patience;
    }

  private:
    UtcMillis furthest_{};
    Steady::time_point moved_ = Steady::now();
};

Error clock_stands_still(const Attempt& attempt, const Crew& crew) {
    return Error::timeout(
               "link " + attempt.link.name + ": the clock of a member stands still",
               "look at the clocks of " + crew.members().front().member->device + " and the others, then run again")
        .retryable();
}

Error still_not_live(const Attempt& attempt, const std::string& lacking) {
    return Error::conflict("link " + attempt.link.name + " is not secured on the new key: " + lacking,
                           "look at the MKA sessions on both ends and at the fibre between them")
        .retryable();
}

Result<void> poll_until_live(const Attempt& attempt, Crew& crew, Peers& peers, const RunShared& run, Cancel cancel) {
    const Window window = window_of(attempt, crew, peers);
    bool live = false;
    UtcMillis live_since{};
    Pace pace;
    Movement movement;
    for (;;) {
        QKD_TRY(crew.connect(cancel));
        QKD_TRY(crew.read_clocks(cancel));
        const UtcMillis now = crew.earliest_clock();
        if (movement.stands_still(now)) return clock_stands_still(attempt, crew);
        milliseconds wait = usual_poll;
        if (now >= window.begin) {
            QKD_TRY(crew.read_mka(cancel));
            const std::string lacking = not_live(attempt, crew);
            if (!lacking.empty()) {
                live = false;
                if (now > window.give_up) return still_not_live(attempt, lacking);
            } else {
                if (!live) live_since = now;
                live = true;
                if (now >= live_since + mka_life_time) return {};
            }
        } else {
            wait = std::chrono::duration_cast<milliseconds>((window.begin - now) / 2);
        }
        if (!live) QKD_TRY(peers.hear(attempt));
        const std::stop_token stop = cancel == Cancel::allowed ? run.interruption.token() : std::stop_token{};
        if (run.pause(pace.until_next(now, wait), stop)) continue;
        return Error::cancelled("interrupted while waiting for the new key to become live", "run again when ready")
            .retryable();
    }
}

}  // namespace

Result<void> wait_until_live(const Attempt& attempt, Crew& crew, Peers& peers, const RunShared& run, Cancel cancel) {
    // Watching is a poll of many quiet calls; for the observers it is one step of each member.
    const auto begun = Steady::now();
    const auto place = [&](const MemberRun& m) {
        return Place{attempt.link.name, m.member->device, "verify", m.commit.name};
    };
    for (const auto& m : crew.members()) run.observer.step_begins(place(m));
    auto live = poll_until_live(attempt, crew, peers, run, cancel);
    for (const auto& m : crew.members())
        run.observer.step_ends(place(m), Steady::now() - begun, live ? nullptr : &live.error());
    return live;
}

std::string not_live(const Attempt& attempt, const Crew& crew) {
    std::string list;
    for (const auto& m : crew.members()) {
        for (const auto& name : m.required) {
            const auto found = std::find_if(m.state.mka.begin(), m.state.mka.end(),
                                            [&](const InterfaceMka& interface) { return interface.name == name; });
            const bool shown = found != m.state.mka.end();
            if (shown && found->state == MkaState::secured && found->ckn == attempt.key.ckn) continue;
            if (!list.empty()) list += ", ";
            list += m.member->device + " " + name + " is " + (shown ? to_string(found->state) : "not shown");
            if (shown && found->state == MkaState::secured) list += " on another key";
        }
    }
    return list;
}

}  // namespace qkd::engine
