// Rotation: MKA live on the new key everywhere, and remembering it.
#include <algorithm>
#include <array>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// IEEE 802.1X-2020 table 9-3: MKA Life Time, after which a participant without live peers is gone.
constexpr auto mka_life_time = 6s;
/// From the start-time (or the commit) to MKA live on the new key. Devices were seen to need 2 s to 6 s.
constexpr auto mka_grace = 60s;
/// A device clock that has not moved for so long is broken: the only wait that goes by the runner's own time.
constexpr auto clock_patience = 2min;
constexpr milliseconds shortest_poll{20};
constexpr milliseconds longest_poll{5000};

}  // namespace

Rotation::Ended Rotation::verify() {
    leases_.release();
    if (immediate() && !adopted_) {
        // Live before the confirm; a member may have gone down since.
        auto read = crew_.read_mka(Cancel::never);
        if (read && not_live().empty()) {
            report_.result = LinkResult::rotated;
            return Outcome::done;
        }
        (void)crew_.connect(Cancel::never);
        if (auto r = crew_.read_clocks(Cancel::never); !r) {
            forward_only_ = true;
            return std::move(r).error();
        }
        commit_clocks_.clear();
        for (const auto& m : crew_.members()) commit_clocks_.push_back(m.clock.now);
    }
    if (pipeline_.commit.verify == Verify::next_run && start_ && latest_clock() < *start_) {
        report_.result = LinkResult::pending;
        return Outcome::done;
    }
    auto live = wait_until_live(Cancel::allowed);
    if (onbox() && !live) {
        if (live.error().code == ErrorCode::cancelled && !abandon_ && before_start()) {
            // All members have it, and each of them is driven by itself: the next run verifies.
            report_.result = LinkResult::pending;
            return Outcome::done;
        }
        if (live.error().code == ErrorCode::cancelled && !abandon_) live = wait_until_live(Cancel::never);
        // With MKA down everywhere, or unseen, the others may be on the new key just as well.
        if (!live && schedules() && start_ && (abandon_ || is_left_alone())) {
            abandon();
            failure_ = std::move(live).error();
            return Outcome::too_soon;
        }
    } else if (!live && live.error().code == ErrorCode::cancelled) {
        withdraw_ = !adopted_ && before_start();
        if (withdraw_) {
            failure_ = std::move(live).error();
            return Outcome::too_soon;
        }
        // Too late to go back, or not ours to take away: finish.
        live = wait_until_live(Cancel::never);
    }
    if (!live) {
        forward_only_ = true;
        return std::move(live).error();
    }
    if (unanswered_) {
        forward_only_ = true;
        return *unanswered_;
    }
    report_.result = LinkResult::rotated;
    return Outcome::done;
}

bool Rotation::is_left_alone() {
    return crew_.connect(Cancel::never) && crew_.read_clocks(Cancel::never) &&
           earliest_clock() >= UtcMillis(*start_) + mka_grace && crew_.read_mka(Cancel::never) &&
           lives_on_another_key();
}

bool Rotation::before_start(milliseconds needed) {
    if (!start_) return false;
    // A member that does not answer cannot be asked; the others' clocks are as good, within max_clock_skew.
    (void)crew_.each([&](MemberRun& m) { return crew_.reconnect(m, Cancel::never); });
    UtcMillis latest{};
    for (auto& m : crew_.members()) {
        if (m.session == nullptr || !m.session->alive()) continue;
        if (auto now = read_clock(m); now) latest = std::max(latest, *now);
    }
    return latest != UtcMillis{} && latest + pipeline_.commit.max_clock_skew + needed < *start_;
}

Result<UtcMillis> Rotation::read_clock(MemberRun& m) {
    Caller quiet(shared_.observer, shared_.interruption, Place{link_.name, m.member->device, {}, {}}, nullptr);
    CallSpec look = crew_.spec(StageKind::connect, "clock", Cancel::never);
    look.quiet = true;
    auto reading = quiet(look, m.connector.name, [&](Context& context) { return m.session->clock()->read(context); });
    if (!reading) return std::move(reading).error();
    return reading->now + reading->resolution;
}

UtcMillis Rotation::latest_clock() {
    UtcMillis latest{};
    for (const auto& m : crew_.members()) latest = std::max(latest, m.clock.now + m.clock.resolution);
    return latest;
}

UtcMillis Rotation::earliest_clock() {
    UtcMillis earliest = UtcMillis::max();
    for (const auto& m : crew_.members()) earliest = std::min(earliest, m.clock.now);
    return earliest;
}

Result<void> Rotation::wait_until_live(Cancel cancel) {
    // Watching is a poll of many quiet calls; for the observers it is one step of each member.
    Observer& observer = shared_.observer;
    const auto begun = Steady::now();
    const auto place = [&](const MemberRun& m) { return Place{link_.name, m.member->device, "verify", m.commit.name}; };
    for (const auto& m : crew_.members()) observer.step_begins(place(m));
    auto live = poll_until_live(cancel);
    for (const auto& m : crew_.members()) {
        observer.step_ends(place(m), Steady::now() - begun, live ? nullptr : &live.error());
    }
    return live;
}

Result<void> Rotation::poll_until_live(Cancel cancel) {
    const UtcMillis begin =
        start_ ? UtcMillis(*start_) : *std::max_element(commit_clocks_.begin(), commit_clocks_.end());
    UtcMillis give_up = begin + mka_grace + pipeline_.commit.max_clock_skew;
    if (!start_) {  // before the confirm: the device's timer bounds the wait
        give_up = std::min(give_up, *std::min_element(commit_clocks_.begin(), commit_clocks_.end()) +
                                        pipeline_.commit.confirm - 2 * confirm_margin);
    }
    // A key of an earlier run may have started long ago.
    if (onbox() && adopted_) give_up = std::max(give_up, latest_clock() + mka_grace);
    UtcMillis live_since{};
    bool live = false;
    std::optional<std::pair<Steady::time_point, UtcMillis>> last;
    UtcMillis furthest{};
    auto moved = Steady::now();
    for (;;) {
        if (auto r = crew_.connect(cancel); !r) return r;
        if (auto r = crew_.read_clocks(cancel); !r) return r;
        const UtcMillis now = earliest_clock();
        if (now > furthest) {
            furthest = now;
            moved = Steady::now();
        } else if (Steady::now() - moved > clock_patience) {
            return Error{
                ErrorCode::timeout, Retry::safe, "link " + link_.name + ": the clock of a member stands still",
                "look at the clocks of " + crew_.members().front().member->device + " and the others, then run again"};
        }
        milliseconds wait = milliseconds{1000};
        if (now >= begin) {
            if (auto r = crew_.read_mka(cancel); !r) return r;
            const std::string lacking = not_live();
            if (lacking.empty()) {
                if (!live) live_since = now;
                live = true;
                if (now >= live_since + mka_life_time) return {};
            } else {
                live = false;
                if (now > give_up) {
                    return Error{ErrorCode::conflict, Retry::safe,
                                 "link " + link_.name + " is not secured on the new key: " + lacking,
                                 "look at `show security mka sessions` on both ends and at the fibre between them"};
                }
            }
        } else {
            wait = std::chrono::duration_cast<milliseconds>((begin - now) / 2);
        }
        if (!live && heed_withdrawal()) {
            return Error{ErrorCode::conflict, Retry::safe,
                         "link " + link_.name + ": " + notice_.sender + " withdrew key " + key_id_,
                         "see what `qkd-macsec run --as " + notice_.sender + "` says there"};
        }
        // How fast device time passes is measured, never assumed; the first look is soon followed by a second.
        const auto here = Steady::now();
        if (!last) {
            wait = shortest_poll;
        } else if (now > last->second) {
            const double rate = std::chrono::duration<double>(now - last->second).count() /
                                std::max(1e-3, std::chrono::duration<double>(here - last->first).count());
            wait = milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) / std::max(rate, 1.0)));
        }
        last = {here, now};
        wait = std::clamp(wait, shortest_poll, longest_poll);
        const std::stop_token stop = cancel == Cancel::allowed ? shared_.interruption.token() : std::stop_token{};
        if (!shared_.pause(wait, stop)) {
            return Error{ErrorCode::cancelled, Retry::safe, "interrupted while waiting for the new key to become live",
                         "run again when ready"};
        }
    }
}

std::string Rotation::not_live() {
    std::string list;
    for (const auto& m : crew_.members()) {
        for (const auto& name : m.required) {
            const auto found = std::find_if(m.state.mka.begin(), m.state.mka.end(),
                                            [&](const InterfaceMka& interface) { return interface.name == name; });
            const bool live =
                found != m.state.mka.end() && found->state == MkaState::secured && found->ckn == next_ckn_;
            if (live) continue;
            if (!list.empty()) list += ", ";
            list += m.member->device + " " + name + " is " +
                    (found == m.state.mka.end() ? std::string("not shown") : std::string(to_string(found->state)));
            if (found != m.state.mka.end() && found->state == MkaState::secured) list += " on another key";
        }
    }
    return list;
}

Result<void> Rotation::persist() {
    if (report_.result == LinkResult::pending) {
        // Not active yet: remembered beside the active key until a later run finds it in force.
        record_.pending_key_id = key_id_;
        record_.pending_ckn = next_ckn_;
        record_.saved = std::chrono::floor<std::chrono::seconds>(latest_clock());
        return save_record(Cancel::never);
    }
    if (record_.ckn != next_ckn_) {
        record_.previous_key_id = record_.key_id;
        record_.key_id = key_id_;
        record_.ckn = next_ckn_;
    }
    record_.rollover = to_string(pipeline_.commit.rollover);
    if (onbox() && !adopted_ && immediate())
        record_.fallback_ckn = base_.ckn;  // the key that was replaced, at all members
    record_.start = start_;
    record_.saved = std::chrono::floor<std::chrono::seconds>(latest_clock());
    record_.pending_key_id.clear();
    record_.pending_ckn.clear();
    if (auto saved = save_record(Cancel::never); !saved) {
        // The link is on its new key all the same; what is lost is the memory of its name.
        forward_only_ = true;
        return saved;
    }
    const std::array<Attr, 2> attributes{Attr{"key_id", std::string_view(key_id_)},
                                         Attr{"ckn", std::string_view(next_ckn_)}};
    crew_.caller().event("rotation.done", attributes, "persist");
    return {};
}

Result<void> Rotation::save_record(Cancel cancel) {
    if (!memory_) return {};
    record_.link = link_.name;
    auto saved = memory_.save(crew_.front().caller, crew_.spec(StageKind::persist, "save", cancel), record_);
    for (auto& m : crew_.members()) copy_stage(StageKind::persist, *crew_.front().report, *m.report);
    return saved;
}

void Rotation::copy_stage(StageKind kind, const MemberReport& from, MemberReport& to) {
    if (&from == &to) return;
    for (const auto& source : from.stages) {
        for (auto& target : to.stages) {
            if (source.kind == kind && target.kind == kind) target = source;
        }
    }
}

}  // namespace qkd::engine
