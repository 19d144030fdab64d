// Everything the model's runner asks somebody else: by default the engine's table and pure functions, and the inequalities that
// Rotation writes down where it uses them. A test puts a broken one in its place to see that the explorer can fail.
#pragma once

#include <functional>

#include "engine/protocol/reconcile.hpp"
#include "state.hpp"

namespace qkd::model {

struct Decisions {
    // The engine's own.
    std::function<engine::Step(engine::Step, engine::Outcome)> next_step = engine::next_step;
    std::function<engine::Undo(const engine::MemberStanding&, const engine::UndoTerms&)> undo_of = engine::undo_of;
    std::function<engine::KeyView(const engine::MemberReading&)> view_keys = engine::view_keys;
    std::function<engine::Reconciliation(std::span<const engine::MemberReading>, std::span<const std::string>,
                                         Rollover)>
        reconcile = engine::reconcile;
    std::function<MemberChange(const engine::Reconciliation&, std::span<const engine::MemberReading>, std::size_t,
                               Rollover, const engine::ChangeKeys&, std::span<const std::string>, const ConfigEdits*)>
        make_change = engine::make_change;
    std::function<std::string(const MemberState&, const MemberChange&)> missing_after = engine::missing_after;

    // As in Rotation, in ticks. An instant is a member's clock; start 0 = none.
    /// Rotation::lead(): from the latest clock to the start-time.
    std::function<Tick()> lead = [] { return static_cast<Tick>(confirm_ticks + 3); };
    /// Rotation::commit(): does the device's timer end before the start-time, although the commit takes its time?
    std::function<bool(Tick latest, Tick start)> commit_fits = [](Tick latest, Tick start) {
        return latest + confirm_ticks + margin_ticks <= start;
    };
    /// Rotation::check_confirm_in_time(), of one member; find_out_confirm(), with no start.
    std::function<bool(Tick clock, Tick commit_clock, Tick start)> confirm_in_time = [](Tick clock, Tick commit_clock,
                                                                                        Tick start) {
        return clock <= commit_clock + confirm_ticks - margin_ticks && (start == 0 || clock + margin_ticks <= start);
    };
    /// Rotation::before_start().
    std::function<bool(Tick latest, Tick start, Tick skew)> before_start = [](Tick latest, Tick start, Tick skew) {
        return start != 0 && latest + skew + margin_ticks < start;
    };
    /// Rotation::undo_commit(): is there time to withdraw at this member?
    std::function<bool(Tick clock, Tick start)> may_withdraw = [](Tick clock, Tick start) {
        return clock + margin_ticks < start;
    };
    /// Rotation::undo_own_pending_commit().
    std::function<bool(std::uint8_t pending, std::uint8_t journalled)> is_dead_commit =
        [](std::uint8_t pending, std::uint8_t journalled) { return pending != 0 && pending == journalled; };
    /// Rotation::why_not_reuse(): may the journalled key be used, which stands on a member?
    std::function<bool(bool chain, bool in_a_chain)> reuse_key = [](bool chain, bool in_a_chain) {
        return !(chain && in_a_chain);
    };
};

}  // namespace qkd::model
