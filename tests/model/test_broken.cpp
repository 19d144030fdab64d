// Protects the model check itself: with one decision broken it must find the harm. A checker that cannot fail proves nothing.
#include <gtest/gtest.h>

#include "explorer.hpp"
#include "laws.hpp"

namespace qkd::model {
namespace {

using engine::Outcome;
using engine::Step;
using engine::Undo;

Options one_fault(Rollover rollover, Begin begin) {
    Options options;
    options.rollover = rollover;
    options.begin = begin;
    options.faults = 1;
    options.runs = 2;
    options.patience = 1;
    return options;
}

/// The law that is broken; the path is for people.
std::string found(const Options& options, const Decisions& decisions, const Law& law = {}) {
    const auto violation = explore(options, decisions, law).violation;
    return violation.substr(0, violation.find('\n'));
}

TEST(Broken, undo_that_withdraws_after_the_start_time) {
    Decisions broken;
    broken.before_start = [](Tick, Tick, Tick) { return true; };
    broken.may_withdraw = [](Tick, Tick) { return true; };
    EXPECT_EQ(found(interruptions_only(), broken, hitless), "not hitless");
}

TEST(Broken, undo_that_leaves_a_pending_commit) {
    Decisions broken;
    broken.undo_of = [](const engine::MemberStanding& member, const engine::UndoTerms& terms) {
        return member.pending ? Undo::discard : engine::undo_of(member, terms);
    };
    for (const auto rollover : {Rollover::key_chain, Rollover::pre_shared_key}) {
        EXPECT_EQ(found(one_fault(rollover, Begin::chain), broken).rfind("a run begun at once does not end well", 0),
                  0U);
    }
}

TEST(Broken, pre_shared_change_without_the_old_key_as_fallback) {
    Decisions broken;
    broken.make_change = [](const auto& reconciliation, auto readings, std::size_t index, Rollover rollover,
                            const auto& keys, auto own, const ConfigEdits* initial) {
        auto change = engine::make_change(reconciliation, readings, index, rollover, keys, own, initial);
        change.fallback.reset();
        return change;
    };
    EXPECT_EQ(found(one_fault(Rollover::pre_shared_key, Begin::pre_shared_apart), broken), "the ends are apart");
}

TEST(Broken, first_chain_key_that_is_not_the_members_common_one) {
    Decisions broken;
    broken.make_change = [](const auto& reconciliation, auto readings, std::size_t index, Rollover rollover,
                            const auto& keys, auto own, const ConfigEdits* initial) {
        auto change = engine::make_change(reconciliation, readings, index, rollover, keys, own, initial);
        if (change.add_to_chain.size() == 2) change.add_to_chain.erase(change.add_to_chain.begin());
        return change;
    };
    EXPECT_EQ(found(deaths_only(Rollover::key_chain, Begin::pre_shared), broken, promise_of_kill), "not hitless");
}

TEST(Broken, groundwork_left_out) {
    Decisions broken;
    broken.reconcile = [](std::span<const engine::MemberReading> readings, std::span<const std::string> own,
                          Rollover rollover) {
        auto result = engine::reconcile(readings, own, rollover);
        result.needs_groundwork = false;
        return result;
    };
    for (const auto begin : {Begin::chain_only, Begin::pre_shared_apart}) {
        EXPECT_EQ(found(deaths_only(Rollover::key_chain, begin), broken), "the ends are apart");
    }
}

TEST(Broken, another_fallback_for_the_other_half_of_a_first_configuration) {
    Decisions broken;
    broken.reconcile = [](std::span<const engine::MemberReading> readings, std::span<const std::string> own,
                          Rollover rollover) {
        auto result = engine::reconcile(readings, own, rollover);
        result.fallback = nullptr;
        return result;
    };
    Options options = deaths_only(Rollover::key_chain, Begin::bare);
    options.faults = 2;
    options.runs = 3;
    EXPECT_EQ(found(options, broken), "the ends are apart");
}

TEST(Broken, withdrawal_of_a_key_that_is_in_force_at_the_other_member_already) {
    Decisions broken;
    broken.reconcile = [](std::span<const engine::MemberReading> readings, std::span<const std::string> own,
                          Rollover rollover) {
        auto result = engine::reconcile(readings, own, rollover);
        for (std::size_t m = 0; m < 2; ++m) {
            for (const auto* key : result.views[m].pending) {
                const auto* other = result.views[1 - m].active;
                if (other == nullptr || !engine::same_key(*key, *other)) continue;
                result.adopted = nullptr;
                result.withdrawals.push_back({m, key->ckn});
            }
        }
        return result;
    };
    Options options = deaths_only(Rollover::key_chain, Begin::chain);
    options.straddles = true;
    EXPECT_EQ(found(options, broken, promise_of_kill), "not hitless");
}

TEST(Broken, confirm_without_a_margin) {
    // Slow barriers, and a lead with room for them.
    Options options = deaths_only(Rollover::key_chain, Begin::chain);
    options.patience = 2;
    Decisions roomy;
    roomy.lead = [] { return static_cast<Tick>(confirm_ticks + 12); };
    roomy.commit_fits = [](Tick latest, Tick start) { return latest + confirm_ticks + 5 <= start; };
    EXPECT_EQ(found(options, roomy, promise_of_kill), "");
    roomy.before_start = [](Tick, Tick, Tick) { return false; };  // nobody mends it afterwards
    EXPECT_EQ(found(options, roomy, promise_of_kill), "");
    roomy.confirm_in_time = [](Tick, Tick, Tick) { return true; };
    EXPECT_EQ(found(options, roomy, promise_of_kill), "not hitless");
}

TEST(Broken, start_time_before_the_timer_ends) {
    Decisions broken;
    broken.lead = [] { return static_cast<Tick>(confirm_ticks - 1); };
    broken.commit_fits = [](Tick, Tick) { return true; };
    EXPECT_EQ(found(deaths_only(Rollover::key_chain, Begin::chain), broken, promise_of_kill), "not hitless");
}

TEST(Broken, recovery_that_forgets_a_pending_commit) {
    Decisions broken;
    broken.is_dead_commit = [](std::uint8_t, std::uint8_t) { return false; };
    for (const auto rollover : {Rollover::key_chain, Rollover::pre_shared_key}) {
        EXPECT_EQ(found(one_fault(rollover, Begin::chain), broken).rfind("a run begun at once does not end well", 0),
                  0U);
    }
}

TEST(Broken, reconciliation_that_adopts_what_one_member_has) {
    Decisions broken;
    broken.reconcile = [](std::span<const engine::MemberReading> readings, std::span<const std::string> own,
                          Rollover rollover) {
        auto result = engine::reconcile(readings, own, rollover);
        if (!result.views.front().pending.empty()) result.adopted = result.views.front().pending.back();
        result.withdrawals.clear();
        return result;
    };
    EXPECT_EQ(found(one_fault(Rollover::key_chain, Begin::chain), broken).rfind("a run begun", 0), 0U);
}

TEST(Broken, read_back_that_looks_at_nothing) {
    Decisions broken;
    broken.missing_after = [](const MemberState&, const MemberChange&) { return std::string{}; };
    // A confirm that was lost, and the device went back before it was asked.
    Options options = one_fault(Rollover::pre_shared_key, Begin::chain);
    options.patience = 2;
    EXPECT_EQ(found(options, broken), "a run is content that has not brought its key to both");
}

TEST(Broken, table_that_goes_on_after_a_failed_commit) {
    Decisions broken;
    broken.next_step = [](Step from, Outcome outcome) {
        return from == Step::commit && outcome == Outcome::failed ? Step::persist : engine::next_step(from, outcome);
    };
    EXPECT_EQ(found(one_fault(Rollover::key_chain, Begin::chain), broken).rfind("a run begun at once", 0), 0U);
}

TEST(Broken, table_that_turns_in_a_circle) {
    Decisions broken;
    broken.next_step = [](Step from, Outcome outcome) {
        return from == Step::reserve && outcome == Outcome::failed ? Step::reserve : engine::next_step(from, outcome);
    };
    Options options = one_fault(Rollover::key_chain, Begin::chain);
    options.deaths = false;
    EXPECT_NE(found(options, broken), "");
}

TEST(Broken, table_that_leaves_its_own_lines) {
    Decisions broken;
    broken.next_step = [](Step from, Outcome outcome) {
        return from == Step::reserve && outcome == Outcome::done ? Step::end : engine::next_step(from, outcome);
    };
    EXPECT_NE(found(one_fault(Rollover::key_chain, Begin::chain), broken), "");
}

}  // namespace
}  // namespace qkd::model
