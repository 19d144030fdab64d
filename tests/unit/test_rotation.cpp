// Protects the rotation protocol: whatever call fails, at whatever member, before or after its effect, and wherever the run is
// interrupted, the members always have a key in common, and the next run brings all of them to one new key.
#include <set>

#include "rotation_test.hpp"

namespace qkd {
namespace {

using std::chrono::milliseconds;
using test::LinkResult;
using test::RotationTest;
using test::Silent;
using test::World;

class Rotations : public RotationTest, public ::testing::WithParamInterface<Rollover> {};

TEST_P(Rotations, bare_link_gets_its_first_keys_and_ends_on_the_minted_one) {
    const auto report = rotate(GetParam());
    ASSERT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
    EXPECT_EQ(report.key_id, "key-1");
    EXPECT_EQ(report.ckn.size(), 64U);
    EXPECT_EQ(common_primary(), report.ckn);
    EXPECT_FALSE(World::get().apart);
    EXPECT_EQ(exit_result_, engine::RunResult::success);
}

TEST_P(Rotations, every_further_run_brings_a_new_key_and_old_ones_are_pruned) {
    std::string last;
    for (int i = 1; i <= 8; ++i) {
        const auto report = rotate(GetParam());
        ASSERT_EQ(report.result, LinkResult::rotated) << i << ": " << (report.error ? report.error->what : "");
        EXPECT_EQ(report.key_id, "key-" + std::to_string(i));
        EXPECT_NE(report.ckn, last);
        last = report.ckn;
        EXPECT_EQ(common_primary(), last);
        if (i > 1) {
            EXPECT_EQ(report.previous_key_id, "key-" + std::to_string(i - 1));
        }
    }
    for (const auto& [name, device] : World::get().devices) EXPECT_LE(device.running.keys.size(), 4U) << name;
    EXPECT_FALSE(World::get().apart);
}

TEST_P(Rotations, a_device_that_lacks_something_makes_the_link_degraded_although_it_is_on_its_new_key) {
    World::get().devices.at("b").shortcoming = "one engine has it";
    const auto report = rotate(GetParam());
    EXPECT_EQ(report.result, LinkResult::degraded);
    ASSERT_TRUE(report.error);
    EXPECT_NE(report.error->what.find("b: one engine has it"), std::string::npos) << report.error->what;
    EXPECT_EQ(common_primary(), report.ckn);
    EXPECT_EQ(exit_result_, engine::RunResult::failure);
    World::get().devices.at("b").shortcoming.clear();
    EXPECT_EQ(rotate(GetParam()).result, LinkResult::rotated);
}

TEST_P(Rotations, any_failing_call_leaves_a_common_key_and_the_next_run_converges) {
    const std::vector<std::string> calls{
        "open",  "clock",       "read",  "difference",       "mint",    "announce", "receive",
        "fetch", "acknowledge", "stage", "commit_confirmed", "confirm", "read_mka", "release",
        "save"};
    for (const bool first_time : {true, false}) {
        for (const auto& call : calls) {
            for (const std::string device : {"a", "b"}) {
                for (const bool after : {false, true}) {
                    for (const auto code : {ErrorCode::unknown_outcome, ErrorCode::rejected}) {
                        SCOPED_TRACE((first_time ? "first " : "later ") + device + " " + call +
                                     (after ? " after" : " before") + " its effect: " + to_string(code));
                        SetUp();
                        World& world = World::get();
                        if (!first_time) {
                            ASSERT_EQ(rotate(GetParam()).result, LinkResult::rotated);
                        }
                        const std::string who =
                            call == "mint" || call == "fetch" ? "kme-" + device : (call == "save" ? "" : device);
                        world.faults.push_back({who, call, after, {code, Retry::never, "injected", "none"}, 1});
                        for (auto& [name, device_state] : world.devices) device_state.notice = false;
                        const auto report = rotate(GetParam());
                        EXPECT_FALSE(world.apart);
                        if (world.faults.front().times == 0 && report.result != LinkResult::rotated &&
                            report.result != LinkResult::degraded) {
                            EXPECT_TRUE(report.error.has_value());
                            // Proven undone: no unconfirmed commit, no notice, no lock is left.
                            for (const auto& [name, left] : world.devices) {
                                EXPECT_TRUE(left.pending.empty()) << name;
                                EXPECT_FALSE(left.notice) << name;
                                EXPECT_FALSE(left.locked) << name;
                            }
                        }
                        let_timers_expire();
                        EXPECT_FALSE(world.apart);
                        world.faults.clear();
                        const auto next = rotate(GetParam());
                        EXPECT_EQ(next.result, LinkResult::rotated) << (next.error ? next.error->what : "");
                        EXPECT_EQ(common_primary(), next.ckn);
                        EXPECT_FALSE(world.apart);
                        if (HasFailure()) return;
                    }
                }
            }
        }
    }
}

TEST_P(Rotations, an_interruption_at_any_call_goes_back_or_finishes) {
    ASSERT_EQ(rotate(GetParam()).result, LinkResult::rotated);
    const std::string before = common_primary();
    World& world = World::get();
    world.calls.clear();
    ASSERT_EQ(rotate(GetParam()).result, LinkResult::rotated);
    const std::size_t total = world.calls.size();
    ASSERT_GT(total, 20U);
    for (std::size_t at = 0; at < total; ++at) {
        SCOPED_TRACE("interrupted at call " + std::to_string(at));
        SetUp();
        ASSERT_EQ(rotate(GetParam()).result, LinkResult::rotated);
        const std::string old = common_primary();
        world.calls.clear();
        std::stop_source stop;
        world.on_call = [&](const std::string&, const std::string&) {
            if (world.calls.size() == at + 1) stop.request_stop();
        };
        const auto report = rotate(GetParam(), stop.get_token());
        world.on_call = nullptr;
        EXPECT_FALSE(world.apart);
        if (!stop.stop_requested()) continue;  // this run was over before: how often it looks at a clock varies
        EXPECT_EQ(exit_result_, engine::RunResult::interrupted);
        for (const auto& [name, left] : world.devices) {
            EXPECT_TRUE(left.pending.empty()) << name;
            EXPECT_FALSE(left.locked) << name;
        }
        const bool went_back = report.result == LinkResult::reverted || report.result == LinkResult::failed;
        EXPECT_TRUE(went_back || report.result == LinkResult::rotated) << engine::to_string(report.result);
        let_timers_expire();
        EXPECT_EQ(common_primary(), went_back ? old : report.ckn);
        EXPECT_FALSE(world.apart);
        if (HasFailure()) return;
    }
}

/// kill -9 at every call, before and after its effect, on the first and on a later rotation, with the dead session's lock
/// standing or gone with the device's timers: the members are never apart, the next run ends on one new key, and it is the very
/// key that was minted wherever all KMEs can still give it.
TEST_P(Rotations, a_death_at_any_call_is_resolved_by_the_next_run_with_the_same_key) {
    World& world = World::get();
    for (const bool first_time : {true, false}) {
        for (const bool at_once : {true, false}) {
            for (std::size_t at = 1;; ++at) {
                SCOPED_TRACE(std::string(first_time ? "first" : "later") + " rotation, death at call " +
                             std::to_string(at) + (at_once ? ", run again at once" : ", run again after the timers"));
                SetUp();
                if (!first_time) {
                    ASSERT_EQ(rotate(GetParam()).result, LinkResult::rotated);
                }
                const unsigned minted_before = world.minted;
                std::size_t calls = 0;
                std::string last;
                const bool died = die(GetParam(), [&](const std::string& call) {
                    last = call;
                    return ++calls == at;
                });
                if (!died) break;  // all calls were tried
                SCOPED_TRACE(last);
                const bool minted = world.minted > minted_before;
                const auto dead = test::journal_of(state_, "link");
                if (!at_once) let_timers_expire();
                const bool in_use_somewhere =
                    GetParam() == Rollover::key_chain && dead && common_primary() != dead->ckn &&
                    std::any_of(world.devices.begin(), world.devices.end(), [&](const auto& device) {
                        const auto keys = test::usable(device.second, world.now);
                        return !keys.empty() && keys.front()->ckn == dead->ckn;
                    });
                const auto next = rotate(GetParam());
                EXPECT_EQ(next.result, LinkResult::rotated) << (next.error ? next.error->what : "");
                EXPECT_EQ(common_primary(), next.ckn);
                EXPECT_FALSE(world.apart);
                if (dead && !dead->key_id.empty()) {
                    EXPECT_TRUE(minted);
                    // A KME that gave the key to a request whose answer died with the program gives it to nobody again.
                    // One that a single member uses already while the other went back is not taken for a new one.
                    bool lost = in_use_somewhere;
                    for (const auto& member : dead->members) lost = lost || (member.asked && member.key.empty());
                    if (!lost) {
                        EXPECT_EQ(next.key_id, dead->key_id);
                    }
                }
                EXPECT_FALSE(journal_left());
                EXPECT_TRUE(engine::verify_audit(state_ / "audit.jsonl").ok());
                const auto again = rotate(GetParam());
                EXPECT_EQ(again.result, LinkResult::rotated) << (again.error ? again.error->what : "");
                EXPECT_NE(again.ckn, next.ckn);
                if (HasFailure()) return;
            }
        }
    }
}

TEST_P(Rotations, clocks_too_far_apart_stop_the_link_with_the_figure) {
    World::get().devices["b"].skew = std::chrono::minutes{10};
    const auto report = rotate(GetParam());
    EXPECT_EQ(report.result, LinkResult::failed);
    ASSERT_TRUE(report.error);
    EXPECT_NE(report.error->what.find("clock of b"), std::string::npos) << report.error->what;
    EXPECT_EQ(World::get().minted, 0U);
}

TEST_P(Rotations, kmes_that_disagree_touch_no_device) {
    World& world = World::get();
    world.on_call = [&](const std::string& device, const std::string& call) {
        if (device == "kme-b" && call == "fetch") world.kme_keys.begin()->second.writable()[5] = 1;
    };
    const auto report = rotate(GetParam());
    EXPECT_EQ(report.result, LinkResult::reverted);  // the notice was written and taken back
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->code, ErrorCode::conflict);
    for (const auto& [name, device] : world.devices) EXPECT_FALSE(device.running.association) << name;
}

INSTANTIATE_TEST_SUITE_P(Both, Rotations, ::testing::Values(Rollover::key_chain, Rollover::pre_shared_key),
                         [](const auto& instance) {
                             return instance.param == Rollover::key_chain ? "key_chain" : "pre_shared_key";
                         });

TEST_F(RotationTest, four_members_rotate_together) {
    names_ = {"a", "b", "c", "d"};
    World::get().reset(names_);
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
    EXPECT_EQ(World::get().fetched, 3U);
    EXPECT_EQ(common_primary(), report.ckn);
}

TEST_F(RotationTest, moving_from_pre_shared_key_to_key_chain_and_back_keeps_a_common_key) {
    for (const auto rollover :
         {Rollover::pre_shared_key, Rollover::key_chain, Rollover::pre_shared_key, Rollover::key_chain}) {
        const auto report = rotate(rollover);
        ASSERT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
        EXPECT_EQ(common_primary(), report.ckn);
    }
    EXPECT_FALSE(World::get().apart);
}

TEST_F(RotationTest, a_key_scheduled_on_one_member_only_is_withdrawn) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    World& world = World::get();
    const std::string leftover(64, 'e');
    world.devices["a"].running.keys.emplace_back(
        KeyPlace::chain, leftover, SecretBytes::zeros(32),
        std::chrono::ceil<std::chrono::seconds>(world.now) + std::chrono::minutes{30});
    world.records["link"].own_ckns.push_back(leftover);
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated);
    for (const auto& key : world.devices["a"].running.keys) EXPECT_NE(key.ckn, leftover);
    EXPECT_FALSE(world.apart);
}

TEST_F(RotationTest, a_key_scheduled_everywhere_is_taken_over_without_minting) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    World& world = World::get();
    const unsigned minted = world.minted;
    const std::string left(64, 'd');
    const auto start = std::chrono::ceil<std::chrono::seconds>(world.now) + std::chrono::minutes{5};
    for (auto& [name, device] : world.devices)
        device.running.keys.emplace_back(KeyPlace::chain, left, SecretBytes::zeros(32), start);
    world.records["link"].own_ckns.push_back(left);
    world.records["link"].pending_ckn = left;
    world.records["link"].pending_key_id = "left-key";
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated);
    EXPECT_EQ(report.ckn, left);
    EXPECT_EQ(report.key_id, "left-key");
    EXPECT_EQ(world.minted, minted);
}

TEST_F(RotationTest, somebody_elses_schedule_is_not_followed) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    World& world = World::get();
    const unsigned minted = world.minted;
    const std::string foreign(64, 'c');
    const auto start = std::chrono::ceil<std::chrono::seconds>(world.now) + std::chrono::hours{24 * 30};
    for (auto& [name, device] : world.devices) {
        device.running.keys.emplace_back(KeyPlace::chain, foreign, SecretBytes::zeros(32), start);
    }
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated);
    EXPECT_EQ(world.minted, minted + 1);
    EXPECT_NE(report.ckn, foreign);
}

TEST_F(RotationTest, a_first_configuration_that_one_member_does_not_confirm_goes_back_everywhere) {
    for (const auto rollover : {Rollover::key_chain, Rollover::pre_shared_key}) {
        SetUp();
        World& world = World::get();
        world.faults.push_back({"b", "confirm", false, {ErrorCode::rejected, Retry::never, "injected", "none"}, 1});
        const auto report = rotate(rollover);
        EXPECT_EQ(report.result, LinkResult::reverted) << to_string(rollover);
        for (const auto& [name, device] : world.devices) {
            EXPECT_FALSE(device.running.association) << name << " " << to_string(rollover);
            EXPECT_TRUE(device.running.keys.empty()) << name << " " << to_string(rollover);
        }
        EXPECT_EQ(rotate(rollover).result, LinkResult::rotated);
    }
}

TEST_F(RotationTest, a_key_that_the_device_hides_stops_the_link_before_a_key_is_minted) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    World& world = World::get();
    const unsigned minted = world.minted;
    for (auto& key : world.devices["b"].running.keys) key.cak.clear();
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::failed);
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->code, ErrorCode::auth);
    EXPECT_EQ(world.minted, minted);
}

TEST_F(RotationTest, foreign_keys_in_the_chain_are_left_alone) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    World& world = World::get();
    const std::string foreign(64, 'f');
    for (auto& [name, device] : world.devices) {
        device.running.keys.emplace_back(KeyPlace::chain, foreign, SecretBytes::zeros(32),
                                         UtcSeconds(std::chrono::seconds{1000}));
    }
    for (int i = 0; i < 4; ++i) ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    for (auto& [name, device] : world.devices) {
        EXPECT_TRUE(std::any_of(device.running.keys.begin(), device.running.keys.end(), [&](const test::FakeKey& key) {
            return key.ckn == foreign;
        })) << name;
    }
}

TEST_F(RotationTest, a_second_process_with_the_same_state_is_refused) {
    std::stop_source stop;
    World& world = World::get();
    std::optional<engine::LinkReport> second;
    bool tried = false;
    world.on_call = [&](const std::string&, const std::string& call) {
        if (tried || call != "mint") return;
        tried = true;
        // The lock is per open file, so a second run in this process is refused as another process would be.
        auto pipeline = test::fake_pipeline(names_, Rollover::key_chain);
        pipeline.state = state_;
        Silent observer;
        second = std::move(engine::run(pipeline, host_, {}, observer, {}).links.at(0));
    };
    EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->result, LinkResult::failed);
    ASSERT_TRUE(second->error);
    EXPECT_EQ(second->error->code, ErrorCode::busy);
}

/// Two ends that were set up by hand: the same key in the chain, no fallback, or fallbacks of their own.
class NoCommonFallback : public RotationTest, public ::testing::WithParamInterface<bool> {
  protected:
    void set_up_by_hand() {
        SetUp();
        World& world = World::get();
        for (auto& [name, device] : world.devices) {
            device.running.association = true;
            device.running.uses_chain = true;
            device.running.keys.emplace_back(KeyPlace::chain, std::string(64, 'a'), SecretBytes(std::string(32, 'a')),
                                             UtcSeconds(std::chrono::seconds{1000}));
            if (GetParam()) {
                device.running.keys.emplace_back(KeyPlace::fallback, std::string(63, 'f') + name,
                                                 SecretBytes(std::string(31, 'f') + name), std::nullopt);
            }
        }
    }
};

TEST_P(NoCommonFallback, gets_one_in_a_round_of_its_own_before_a_key_is_scheduled) {
    set_up_by_hand();
    World& world = World::get();
    unsigned commits = 0;
    world.on_call = [&](const std::string& device, const std::string& call) {
        if (device != "a" || call != "commit_confirmed done") return;
        const auto& keys = world.devices.at("a").running.keys;
        const bool scheduled =
            std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return k.start && *k.start > world.now; });
        EXPECT_EQ(scheduled, ++commits == 2);
    };
    const auto report = rotate(Rollover::key_chain);
    world.on_call = nullptr;
    EXPECT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
    EXPECT_EQ(commits, 2U);
    EXPECT_EQ(common_primary(), report.ckn);
    EXPECT_FALSE(world.apart);
    EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    EXPECT_EQ(count_calls("a commit_confirmed"), 3U);  // once is enough
}

TEST_P(NoCommonFallback, is_never_apart_whenever_the_program_dies) {
    World& world = World::get();
    for (std::size_t at = 1;; ++at) {
        set_up_by_hand();
        std::size_t calls = 0;
        std::string last;
        const bool died = die(Rollover::key_chain, [&](const std::string& call) {
            last = call;
            return ++calls == at;
        });
        if (!died) break;
        SCOPED_TRACE(last);
        let_timers_expire();  // and the start-time with them
        EXPECT_FALSE(world.apart);
        const auto next = rotate(Rollover::key_chain);
        EXPECT_EQ(next.result, LinkResult::rotated) << (next.error ? next.error->what : "");
        EXPECT_EQ(common_primary(), next.ckn);
        EXPECT_FALSE(world.apart);
        if (HasFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(Both, NoCommonFallback, ::testing::Bool(),
                         [](const auto& instance) { return instance.param ? "different_ones" : "none"; });

TEST_F(RotationTest, a_bare_link_survives_two_deaths_in_the_confirm_of_different_members) {
    World& world = World::get();
    ASSERT_TRUE(die_at(Rollover::key_chain, "a confirm done"));
    world.advance(std::chrono::minutes{6});  // b takes its commit back; the start-time is ahead still
    ASSERT_TRUE(die_at(Rollover::key_chain, "b confirm done"));
    let_timers_expire();
    EXPECT_FALSE(world.apart);
    const auto next = rotate(Rollover::key_chain);
    EXPECT_EQ(next.result, LinkResult::rotated) << (next.error ? next.error->what : "");
    EXPECT_FALSE(world.apart);
}

TEST_F(RotationTest, a_run_that_begins_while_the_start_time_passes_takes_the_key_over) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    adjust_ = [](engine::Pipeline& pipeline) { pipeline.commit.verify = engine::Verify::next_run; };
    const auto pending = rotate(Rollover::key_chain);
    ASSERT_EQ(pending.result, LinkResult::pending);
    World& world = World::get();
    // b is read when the start-time is over for it, a when it is not.
    world.now = UtcMillis(*pending.start_time) - std::chrono::seconds{30};
    world.devices["b"].skew = std::chrono::seconds{50};
    world.step = milliseconds{10};
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(count_calls("a withdraw") + count_calls("b withdraw"), 0U);
    EXPECT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
    EXPECT_EQ(report.ckn, pending.ckn);
    EXPECT_FALSE(world.apart);
}

class Withdraw : public RotationTest {
  protected:
    engine::LinkReport withdraw() {
        auto pipeline = test::fake_pipeline(names_, Rollover::key_chain);
        pipeline.state = state_;
        Silent observer;
        return std::move(engine::withdraw(pipeline, host_, {}, observer, {}).links.at(0));
    }
    /// Scheduled and confirmed everywhere, the start-time ahead.
    void schedule() {
        ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
        adjust_ = [](engine::Pipeline& pipeline) { pipeline.commit.verify = engine::Verify::next_run; };
        ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::pending);
    }
};

TEST_F(Withdraw, takes_the_pending_key_from_all_members_and_the_next_run_brings_another) {
    schedule();
    World& world = World::get();
    const std::string active = common_primary();
    const auto report = withdraw();
    EXPECT_EQ(report.result, LinkResult::reverted) << (report.error ? report.error->what : "");
    EXPECT_EQ(report.key_id, "key-2");
    for (const auto& [name, device] : world.devices) {
        for (const auto& key : device.running.keys) EXPECT_NE(key.ckn, report.ckn) << name;
        EXPECT_FALSE(device.locked);
    }
    EXPECT_EQ(audit_events().back(), "withdrawn key-2");
    world.advance(std::chrono::hours{2});
    EXPECT_EQ(common_primary(), active);
    EXPECT_EQ(withdraw().result, LinkResult::unchanged);
    EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::pending);
    EXPECT_FALSE(world.apart);
}

TEST_F(Withdraw, leaves_a_key_that_becomes_active_too_soon) {
    schedule();
    World& world = World::get();
    world.advance(std::chrono::seconds{540});  // of a lead of ten minutes
    const auto report = withdraw();
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->code, ErrorCode::conflict);
    world.advance(std::chrono::minutes{10});
    EXPECT_EQ(common_primary(), report.ckn.empty() ? common_primary() : report.ckn);
    EXPECT_FALSE(world.apart);
}

TEST_F(Withdraw, leaves_keys_of_others_alone) {
    schedule();
    World& world = World::get();
    const std::string foreign(64, 'f');
    world.devices["a"].running.keys.emplace_back(
        KeyPlace::chain, foreign, SecretBytes::zeros(32),
        std::chrono::ceil<std::chrono::seconds>(world.now) + std::chrono::hours{5});
    EXPECT_EQ(withdraw().result, LinkResult::reverted);
    EXPECT_TRUE(std::any_of(world.devices["a"].running.keys.begin(), world.devices["a"].running.keys.end(),
                            [&](const auto& key) { return key.ckn == foreign; }));
}

TEST_F(Withdraw, reverts_what_a_dead_run_left_unconfirmed) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    ASSERT_TRUE(die_at(Rollover::key_chain, "b commit_confirmed done"));
    EXPECT_EQ(withdraw().result, LinkResult::reverted);
    for (const auto& [name, device] : World::get().devices) {
        EXPECT_TRUE(device.pending.empty()) << name;
        EXPECT_FALSE(device.locked) << name;
    }
    EXPECT_FALSE(journal_left());
}

// Journalled like every other step: whatever stands when it dies, the next run ends with one key on all members.
TEST_F(Withdraw, may_die_at_any_call) {
    schedule();
    const auto begin = std::make_shared<World::Memory>(World::get().remember());
    const auto state = state_.string() + ".begin";
    std::filesystem::remove_all(state);
    std::filesystem::copy(state_, state, std::filesystem::copy_options::recursive);
    std::vector<std::string> calls;
    World::get().on_call = [&](const std::string& device, const std::string& call) {
        calls.push_back(device + " " + call);
    };
    ASSERT_EQ(withdraw().result, LinkResult::reverted);
    World::get().on_call = nullptr;
    std::set<std::string> seen(calls.begin(), calls.end());
    EXPECT_TRUE(seen.contains("a withdraw done")) << "nothing was withdrawn";
    for (const auto& call : seen) {
        World::get().go_back(World::Memory(*begin));
        std::filesystem::remove_all(state_);
        std::filesystem::copy(state, state_, std::filesystem::copy_options::recursive);
        ASSERT_TRUE(die_in([&] { (void)withdraw(); }, [&](const std::string& now) { return now == call; })) << call;
        adjust_ = nullptr;
        let_timers_expire();
        const auto report = rotate(Rollover::key_chain);
        EXPECT_EQ(report.result, LinkResult::rotated) << call << (report.error ? report.error->what : "");
        EXPECT_EQ(common_primary(), report.ckn) << call;
        EXPECT_FALSE(World::get().apart) << call;
        EXPECT_FALSE(journal_left()) << call;
    }
    std::filesystem::remove_all(state);
}

TEST_F(RotationTest, a_wrong_seal_key_stops_before_any_device_and_loses_nothing) {
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    ASSERT_TRUE(die_at(Rollover::key_chain, "b stage done"));
    const auto key_file = state_ / "seal.key";
    ASSERT_TRUE(std::filesystem::exists(key_file));
    std::filesystem::rename(key_file, state_ / "good.key");
    World::get().calls.clear();
    const auto report = rotate(Rollover::key_chain);  // makes a new key
    EXPECT_EQ(report.result, LinkResult::failed);
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->code, ErrorCode::config);
    EXPECT_NE(report.error->what.find("seal_key"), std::string::npos) << report.error->what;
    for (const auto& call : World::get().calls) EXPECT_EQ(call.find("open"), std::string::npos) << call;
    std::filesystem::rename(state_ / "good.key", key_file);
    const auto next = rotate(Rollover::key_chain);
    EXPECT_EQ(next.result, LinkResult::rotated);
    EXPECT_EQ(next.key_id, "key-2");
}

TEST_F(RotationTest, the_lead_follows_the_measured_commit_time_and_one_slow_commit_stops_nobody_for_ever) {
    World& world = World::get();
    adjust_ = [](engine::Pipeline& pipeline) { pipeline.commit.lead.reset(); };
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    const auto measured = world.records["link"].commit_time;
    EXPECT_GT(measured.count(), 0);
    const auto second = rotate(Rollover::key_chain);
    ASSERT_TRUE(second.start_time);
    // Devices so slow that a confirm of five minutes is too short.
    world.records["link"].commit_time = std::chrono::minutes{8};
    int refused = 0;
    for (; refused < 20; ++refused) {
        const auto report = rotate(Rollover::key_chain);
        if (report.result == LinkResult::rotated) break;
        ASSERT_EQ(report.result, LinkResult::failed);
        EXPECT_EQ(report.error->code, ErrorCode::config);
        EXPECT_NE(report.error->what.find("480.0 s"), refused == 0 ? std::string::npos : 0U) << report.error->what;
    }
    EXPECT_GT(refused, 0);
    EXPECT_LT(refused, 5);
}

}  // namespace
}  // namespace qkd
