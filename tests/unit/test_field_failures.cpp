// Failures that other tools had in the field, each with a test that is named after it: it cannot happen here, or it ends in a
// behaviour that is described and harmless.
#include <thread>

#include "engine/protocol/naming.hpp"
#include "rotation_test.hpp"

namespace qkd {
namespace {

using std::chrono::milliseconds;
using test::LinkResult;
using test::RotationTest;
using test::Silent;
using test::World;

constexpr auto both = {Rollover::key_chain, Rollover::pre_shared_key};

class FieldFailures : public RotationTest {
  protected:
    /// A rotation that begins from a link that works.
    void begin(Rollover rollover) {
        SetUp();
        ASSERT_EQ(rotate(rollover).result, LinkResult::rotated);
        old_ = common_primary();
        World::get().calls.clear();
    }
    void fail_once(const std::string& who, const std::string& call, Error error, bool after_effect = false) {
        World::get().faults.push_back({who, call, after_effect, std::move(error), 1});
    }
    void expect_the_old_key_everywhere() {
        EXPECT_EQ(common_primary(), old_);
        EXPECT_FALSE(World::get().apart);
    }
    void expect_the_next_run_rotates(Rollover rollover) {
        World::get().faults.clear();
        const auto next = rotate(rollover);
        EXPECT_EQ(next.result, LinkResult::rotated) << (next.error ? next.error->what : "");
        EXPECT_EQ(common_primary(), next.ckn);
        EXPECT_NE(next.ckn, old_);
    }
    static Error answer(ErrorCode code) { return {code, Retry::never, "injected", "none"}; }
    std::string old_;
};

/// One loud sample of the KME's silence, and the link is as it was.
TEST_F(FieldFailures, one_failed_kme_request_takes_no_link_down_and_is_tried_again) {
    for (const auto rollover : both) {
        begin(rollover);
        fail_once("kme-a", "mint", answer(ErrorCode::unreachable));
        const auto report = rotate(rollover);
        EXPECT_EQ(report.result, LinkResult::failed);
        EXPECT_EQ(report.error->code, ErrorCode::unreachable);
        EXPECT_EQ(audit_events().back(), "kept -");
        for (const auto& call : World::get().calls) {
            EXPECT_EQ(call.find("stage"), std::string::npos) << call;
            EXPECT_EQ(call.find("withdraw"), std::string::npos) << call;
        }
        expect_the_old_key_everywhere();
        expect_the_next_run_rotates(rollover);
    }
}

TEST_F(FieldFailures, a_long_kme_outage_never_takes_the_link_down_unless_the_pipeline_says_so) {
    for (const auto rollover : both) {
        begin(rollover);
        adjust_ = [](engine::Pipeline& pipeline) { pipeline.max_key_age = std::chrono::hours{1}; };
        for (int hour = 0; hour < 48; ++hour) {
            World::get().advance(std::chrono::hours{1});
            fail_once("kme-a", "mint", answer(ErrorCode::exhausted));
            EXPECT_EQ(rotate(rollover).result, LinkResult::failed);
            expect_the_old_key_everywhere();
        }
        expect_the_next_run_rotates(rollover);
        adjust_ = nullptr;
    }
}

TEST_F(FieldFailures, fail_closed_closes_at_the_maximum_age_and_opens_with_the_next_key) {
    for (const auto rollover : both) {
        begin(rollover);
        adjust_ = [](engine::Pipeline& pipeline) {
            pipeline.max_key_age = std::chrono::hours{4};
            pipeline.on_kme_loss = engine::KmeLoss::fail_closed;
        };
        World& world = World::get();
        world.advance(std::chrono::hours{2});
        fail_once("kme-a", "mint", answer(ErrorCode::unreachable));
        EXPECT_EQ(rotate(rollover).result, LinkResult::failed);
        expect_the_old_key_everywhere();

        world.advance(std::chrono::hours{3});
        fail_once("kme-b", "fetch", answer(ErrorCode::unreachable));
        const auto closed = rotate(rollover);
        EXPECT_EQ(closed.result, LinkResult::failed);
        EXPECT_NE(closed.error->what.find("closed"), std::string::npos) << closed.error->what;
        EXPECT_EQ(audit_events()[audit_events().size() - 2].substr(0, 6), "closed");
        EXPECT_TRUE(common_primary().empty());
        for (const auto& [name, device] : world.devices) {
            EXPECT_TRUE(device.pending.empty()) << name;
            EXPECT_FALSE(device.locked) << name;
            for (const auto& key : device.running.keys) EXPECT_NE(key.ckn, old_) << name;
        }
        adjust_ = nullptr;
        expect_the_next_run_rotates(rollover);
    }
}

// The closing commit is in the journal before it is made: killed between commit and confirm, the next run reverts it at once instead of
// staying busy until the device's timer ends.
TEST_F(FieldFailures, fail_closed_that_dies_on_the_way_is_opened_by_the_next_run_at_once) {
    for (const auto rollover : both) {
        for (const std::string at : {"a stage done", "a commit_confirmed done", "b commit_confirmed", "b confirm",
                                     "a confirm done", "b release"}) {
            begin(rollover);
            adjust_ = [](engine::Pipeline& pipeline) {
                pipeline.max_key_age = std::chrono::hours{4};
                pipeline.on_kme_loss = engine::KmeLoss::fail_closed;
            };
            World& world = World::get();
            world.advance(std::chrono::hours{5});
            fail_once("kme-a", "mint", answer(ErrorCode::unreachable));
            ASSERT_TRUE(die_at(rollover, at)) << at;
            adjust_ = nullptr;
            world.faults.clear();
            for (auto& [name, device] : world.devices) device.locked = false;  // with the dead run's session
            const auto report = rotate(rollover);
            EXPECT_EQ(report.result, LinkResult::rotated) << at << ": " << (report.error ? report.error->what : "");
            EXPECT_EQ(common_primary(), report.ckn) << at;
            EXPECT_FALSE(journal_left()) << at;
        }
    }
}

TEST_F(FieldFailures, a_defect_of_our_own_is_not_taken_for_a_kme_failure) {
    begin(Rollover::key_chain);
    World::get().on_call = [](const std::string&, const std::string& call) {
        if (call == "mint") throw std::runtime_error("a defect");
    };
    const auto report = rotate(Rollover::key_chain);
    World::get().on_call = nullptr;
    EXPECT_EQ(report.result, LinkResult::failed);
    EXPECT_EQ(report.error->code, ErrorCode::internal);
    for (const auto& event : audit_events()) EXPECT_NE(event.substr(0, 4), "kept");
    expect_the_old_key_everywhere();
}

TEST_F(FieldFailures, one_sided_key_after_dec_failure) {
    for (const auto rollover : both) {
        begin(rollover);
        fail_once("kme-b", "fetch", answer(ErrorCode::rejected));
        const auto report = rotate(rollover);
        EXPECT_EQ(report.result, LinkResult::reverted);  // the notice was taken back
        EXPECT_EQ(count_calls("a stage") + count_calls("b stage"), 0U);
        expect_the_old_key_everywhere();
        expect_the_next_run_rotates(rollover);
    }
}

TEST_F(FieldFailures, the_time_between_mint_and_fetch_is_told_by_one_clock) {
    class Times final : public engine::Observer {
      public:
        void log(LogLevel, const engine::Place&, std::string_view) override {}
        void event(const engine::Place&, std::string_view name, std::span<const Attr> attributes) override {
            if (name != "key.fetched") return;
            for (const auto& attribute : attributes) {
                if (attribute.name == "after_ms") after.push_back(std::get<double>(attribute.value));
            }
        }
        void step_begins(const engine::Place&) override {}
        void step_ends(const engine::Place&, std::chrono::nanoseconds, const Error*) override {}
        void link_begins(const engine::Link&) override {}
        void link_ends(const engine::LinkReport&) override {}
        std::vector<double> after;
    };
    // Devices with any clock at all: theirs must not take part.
    World::get().devices["b"].skew = std::chrono::seconds{-50};
    auto pipeline = test::fake_pipeline(names_, Rollover::pre_shared_key);
    pipeline.state = state_;
    Times times;
    engine::RunOptions options;
    options.pause = [](milliseconds time, const std::stop_token&) {
        World::get().advance(time * 1000);
        return true;
    };
    ASSERT_EQ(engine::run(pipeline, host_, options, times, {}).links.front().result, LinkResult::rotated);
    ASSERT_EQ(times.after.size(), 1U);
    EXPECT_GE(times.after.front(), 0.0);
    EXPECT_LT(times.after.front(), 30000.0);
}

TEST_F(FieldFailures, a_link_on_its_fallback_is_degraded_not_rotated) {
    begin(Rollover::key_chain);
    // After the start-time one member loses the new key: MKA runs, but on the fallback.
    World& world = World::get();
    world.on_call = [&](const std::string&, const std::string& call) {
        if (call != "release") return;
        auto& keys = world.devices.at("b").running.keys;
        std::erase_if(keys, [&](const test::FakeKey& key) { return key.start && *key.start > world.now; });
    };
    const auto report = rotate(Rollover::key_chain);
    world.on_call = nullptr;
    EXPECT_EQ(report.result, LinkResult::degraded);
    ASSERT_TRUE(report.error);
    EXPECT_NE(report.error->what.find("fallback"), std::string::npos) << report.error->what;
    EXPECT_FALSE(world.apart);
    expect_the_next_run_rotates(Rollover::key_chain);
}

TEST_F(FieldFailures, keys_that_some_responders_have_already_are_not_lost_when_the_rest_fails) {
    names_ = {"a", "b", "c", "d"};
    for (const auto rollover : both) {
        std::filesystem::remove_all(state_);
        World& world = World::get();
        world.reset(names_);
        ASSERT_EQ(rotate(rollover).result, LinkResult::rotated);
        const unsigned minted = world.minted;
        ASSERT_TRUE(die_at(rollover, "c acknowledge"));
        const unsigned fetched = world.fetched;
        EXPECT_EQ(fetched, 6U);
        const auto next = rotate(rollover);
        EXPECT_EQ(next.result, LinkResult::rotated) << (next.error ? next.error->what : "");
        EXPECT_EQ(world.minted, minted + 1);
        EXPECT_EQ(world.fetched, fetched);  // nobody was asked twice
        EXPECT_EQ(next.key_id, "key-" + std::to_string(minted + 1));
    }
}

TEST_F(FieldFailures, a_lost_dec_answer_is_asked_for_once_more_and_then_another_key_is_taken) {
    for (const auto rollover : both) {
        begin(rollover);
        Error lost = answer(ErrorCode::timeout);
        lost.maybe_consumed = true;
        fail_once("kme-b", "fetch", lost, /*after_effect=*/true);
        const auto report = rotate(rollover);
        EXPECT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
        EXPECT_EQ(report.key_id, "key-3");
        EXPECT_EQ(count_calls("kme-b fetch"), 3U);  // key-2 twice, key-3
        const auto events = audit_events();
        for (const auto* event :
             {"minted key-2", "maybe_consumed key-2", "lost key-2", "minted key-3", "rotated key-3"}) {
            EXPECT_NE(std::find(events.begin(), events.end(), event), events.end()) << event;
        }
        EXPECT_FALSE(World::get().apart);
    }
}

TEST_F(FieldFailures, a_lost_dec_answer_of_a_kme_that_keeps_its_keys_costs_no_key) {
    begin(Rollover::key_chain);
    Error lost = answer(ErrorCode::timeout);
    lost.maybe_consumed = true;
    fail_once("kme-b", "fetch", lost, /*after_effect=*/false);
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated);
    EXPECT_EQ(report.key_id, "key-2");
    EXPECT_EQ(World::get().minted, 2U);
}

TEST_F(FieldFailures, a_kme_that_loses_every_answer_ends_the_rotation_not_the_key_supply) {
    begin(Rollover::key_chain);
    Error lost = answer(ErrorCode::timeout);
    lost.maybe_consumed = true;
    World::get().faults.push_back({"kme-b", "fetch", true, lost, 100});
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::reverted);
    EXPECT_LE(World::get().minted, 3U);
    expect_the_old_key_everywhere();
    expect_the_next_run_rotates(Rollover::key_chain);
}

TEST_F(FieldFailures, a_rotation_in_flight_never_blocks_the_next_one_however_late_it_comes) {
    for (const auto rollover : both) {
        for (const auto* call : {"b commit_confirmed done", "a confirm done", "b release", "kme-a mint done"}) {
            for (const auto later :
                 {milliseconds{0}, milliseconds{std::chrono::minutes{8}}, milliseconds{std::chrono::hours{50}}}) {
                SCOPED_TRACE(std::string(to_string(rollover)) + " " + call);
                begin(rollover);
                ASSERT_TRUE(die_at(rollover, call));
                World::get().advance(later);
                expect_the_next_run_rotates(rollover);
                EXPECT_FALSE(World::get().apart);
                EXPECT_FALSE(journal_left());
            }
        }
    }
}

TEST_F(FieldFailures, a_chain_never_fills_up) {
    for (int i = 0; i < 80; ++i) ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated) << i;
    for (const auto& [name, device] : World::get().devices) EXPECT_LE(device.running.keys.size(), 4U) << name;
    EXPECT_LE(World::get().records["link"].own_ckns.size(), 20U);
}

TEST_F(FieldFailures, a_notice_that_comes_late_is_waited_for) {
    begin(Rollover::key_chain);
    World::get().faults.push_back({"b", "receive", false, answer(ErrorCode::not_found), 3});
    EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    EXPECT_EQ(count_calls("b receive"), 4U);
}

TEST_F(FieldFailures, a_key_never_starts_at_its_commit) {
    World& world = World::get();
    for (int i = 0; i < 3; ++i) {
        world.on_call = [&](const std::string& device, const std::string& call) {
            if (call != "commit_confirmed done") return;
            std::optional<UtcSeconds> newest;
            for (const auto& key : world.devices.at(device).running.keys) {
                if (key.start && (!newest || *key.start > *newest)) newest = key.start;
            }
            ASSERT_TRUE(newest);
            EXPECT_GE(*newest - world.now, std::chrono::minutes{5}) << "less than the device's own timer ahead";
        };
        ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    }
    world.on_call = nullptr;
}

TEST_F(FieldFailures, all_keys_of_a_change_go_in_one_commit) {
    for (const auto rollover : both) {
        SetUp();
        ASSERT_EQ(rotate(rollover).result, LinkResult::rotated);  // first key, fallback and minted key at once
        EXPECT_EQ(count_calls("a commit_confirmed"), 1U);
        EXPECT_EQ(count_calls("b commit_confirmed"), 1U);
    }
}

TEST_F(FieldFailures, slots_are_what_the_device_says_they_are) {
    begin(Rollover::key_chain);
    ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    auto& keys = World::get().devices.at("a").running.keys;
    std::reverse(keys.begin(), keys.end());
    expect_the_next_run_rotates(Rollover::key_chain);
    expect_the_next_run_rotates(Rollover::key_chain);
    EXPECT_FALSE(World::get().apart);
}

TEST_F(FieldFailures, stale_state_brings_no_old_key_back) {
    begin(Rollover::key_chain);
    World& world = World::get();
    const LinkRecord stale = world.records["link"];
    for (int i = 0; i < 3; ++i) ASSERT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    const std::string now = common_primary();
    world.records["link"] = stale;
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated);
    EXPECT_FALSE(report.previous_key_id.has_value());  // what is remembered is not what was in force
    EXPECT_NE(report.ckn, old_);
    EXPECT_NE(report.ckn, now);
    EXPECT_FALSE(world.apart);
}

TEST_F(FieldFailures, replacing_the_key_keeps_a_fallback_of_the_right_length) {
    begin(Rollover::pre_shared_key);
    ASSERT_EQ(rotate(Rollover::pre_shared_key).result, LinkResult::rotated);
    for (const auto& [name, device] : World::get().devices) {
        const auto fallback = std::find_if(device.running.keys.begin(), device.running.keys.end(),
                                           [](const auto& key) { return key.place == KeyPlace::fallback; });
        ASSERT_NE(fallback, device.running.keys.end()) << name;
        EXPECT_EQ(fallback->ckn, old_) << name;
        EXPECT_EQ(fallback->cak.size(), 32U) << name;
    }
}

TEST_F(FieldFailures, a_device_that_says_ok_and_does_nothing_is_found_out) {
    for (const auto rollover : both) {
        begin(rollover);
        World& world = World::get();
        world.on_call = [&](const std::string& device, const std::string& call) {
            if (device == "b" && call == "commit_confirmed done")
                world.devices.at("b").running = *world.devices.at("b").before;
        };
        const auto report = rotate(rollover);
        world.on_call = nullptr;
        EXPECT_EQ(report.result, LinkResult::reverted);
        EXPECT_NE(report.error->what.find("device b"), std::string::npos) << report.error->what;
        expect_the_old_key_everywhere();
        expect_the_next_run_rotates(rollover);
    }
}

TEST_F(FieldFailures, a_stale_lock_of_a_dead_run_holds_nobody_up) {
    for (const auto rollover : both) {
        begin(rollover);
        ASSERT_TRUE(die_at(rollover, "b stage done"));
        EXPECT_TRUE(World::get().devices.at("b").locked);
        expect_the_next_run_rotates(rollover);  // at once: the device has not noticed yet that the session is gone
        EXPECT_EQ(count_calls("b break_lock"), 1U);
    }
}

TEST_F(FieldFailures, a_lock_of_somebody_else_is_never_broken) {
    begin(Rollover::key_chain);
    ASSERT_TRUE(die_at(Rollover::key_chain, "b stage done"));
    auto& device = World::get().devices.at("b");
    device.lock_holder = "4711";
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::reverted);
    EXPECT_EQ(report.error->code, ErrorCode::busy);
    EXPECT_TRUE(device.locked);
    EXPECT_EQ(device.lock_holder, "4711");
    expect_the_old_key_everywhere();
}

TEST_F(FieldFailures, no_device_is_locked_while_the_start_time_is_waited_for) {
    begin(Rollover::key_chain);
    World& world = World::get();
    bool waited = false;
    world.on_call = [&](const std::string& device, const std::string& call) {
        if (call != "read_mka") return;
        waited = true;
        EXPECT_FALSE(world.devices.at(device).locked);
    };
    EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    world.on_call = nullptr;
    EXPECT_TRUE(waited);
}

TEST_F(FieldFailures, looking_changes_nothing) {
    begin(Rollover::key_chain);
    auto pipeline = test::fake_pipeline(names_, Rollover::key_chain);
    pipeline.state = state_;
    Silent observer;
    World::get().calls.clear();
    (void)engine::plan(pipeline, host_, {}, observer, {});
    (void)engine::status(pipeline, host_, {}, observer, {});
    (void)engine::check_online(pipeline, host_, {}, observer, {});
    EXPECT_FALSE(World::get().calls.empty());
    for (const auto& call : World::get().calls) {
        for (const auto* change : {"stage", "commit", "confirm", "revert", "discard", "withdraw", "break_lock", "mint",
                                   "fetch", "announce", "retract", "save"}) {
            EXPECT_EQ(call.find(change), std::string::npos) << call;
        }
    }
    expect_the_old_key_everywhere();
}

TEST_F(FieldFailures, kmes_that_are_out_of_step_touch_no_device) {
    for (const auto rollover : both) {
        begin(rollover);
        World& world = World::get();
        world.on_call = [&](const std::string& device, const std::string& call) {
            if (device == "kme-b" && call == "fetch") world.kme_keys.rbegin()->second.writable()[5] ^= 1U;
        };
        const auto report = rotate(rollover);
        world.on_call = nullptr;
        EXPECT_EQ(report.result, LinkResult::reverted);
        EXPECT_EQ(report.error->code, ErrorCode::conflict);
        EXPECT_EQ(count_calls("a stage") + count_calls("b stage"), 0U);
        expect_the_old_key_everywhere();
    }
}

TEST_F(FieldFailures, a_failed_commit_leaves_no_key_id_published) {
    for (const auto rollover : both) {
        begin(rollover);
        for (auto& [name, device] : World::get().devices) device.notice = false;
        fail_once("a", "commit_confirmed", answer(ErrorCode::rejected));
        EXPECT_EQ(rotate(rollover).result, LinkResult::reverted);
        for (const auto& [name, device] : World::get().devices) EXPECT_FALSE(device.notice) << name;
        EXPECT_TRUE(World::get().records["link"].pending_key_id.empty());
        expect_the_old_key_everywhere();
    }
}

TEST_F(FieldFailures, a_failed_run_does_not_end_well) {
    begin(Rollover::key_chain);
    fail_once("b", "stage", answer(ErrorCode::rejected));
    (void)rotate(Rollover::key_chain);
    EXPECT_EQ(exit_result_, engine::RunResult::failure);
}

TEST_F(FieldFailures, a_generation_never_goes_back_even_when_the_state_is_lost) {
    begin(Rollover::key_chain);
    World& world = World::get();
    const auto before = world.records["link"].generation;
    world.records.clear();
    EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    EXPECT_GE(world.records["link"].generation, before);
}

TEST_F(FieldFailures, links_never_share_a_key_even_under_one_key_id) {
    const auto one = engine::derive_ckn("a--b", "2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f", "");
    const auto other = engine::derive_ckn("a--c", "2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f", "");
    ASSERT_TRUE(one && other);
    EXPECT_NE(*one, *other);
    for (const char c : *one) EXPECT_TRUE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) << "one spelling only";
}

TEST_F(FieldFailures, a_kme_error_keeps_its_cause_and_its_remedy) {
    begin(Rollover::key_chain);
    fail_once("kme-a", "mint",
              {ErrorCode::exhausted, Retry::safe, "503 Insufficient keys", "wait for the pool", {}, false});
    const auto report = rotate(Rollover::key_chain);
    ASSERT_TRUE(report.error);
    EXPECT_NE(report.error->what.find("503 Insufficient keys"), std::string::npos) << report.error->what;
    EXPECT_EQ(report.error->hint, "wait for the pool");
}

TEST_F(FieldFailures, a_candidate_of_ours_never_stays_behind_a_failure) {
    for (const auto rollover : both) {
        for (const std::string call : {"stage", "commit_confirmed"}) {
            begin(rollover);
            fail_once("b", call, answer(ErrorCode::rejected));
            (void)rotate(rollover);
            for (const auto& [name, device] : World::get().devices) {
                EXPECT_FALSE(device.candidate.has_value()) << name << " after " << call;
                EXPECT_FALSE(device.locked) << name << " after " << call;
            }
        }
    }
}

TEST_F(FieldFailures, a_notice_is_new_by_its_number_not_by_its_time) {
    begin(Rollover::key_chain);
    const auto before = World::get().records["link"].generation;
    World::get().now -= std::chrono::hours{24};  // the devices' clocks were set back
    for (auto& [name, device] : World::get().devices) {
        for (auto& key : device.running.keys) {
            if (key.start) *key.start -= std::chrono::hours{48};
        }
    }
    const auto report = rotate(Rollover::key_chain);
    EXPECT_EQ(report.result, LinkResult::rotated) << (report.error ? report.error->what : "");
    EXPECT_GT(World::get().records["link"].generation, before);
}

/// Two links that share device b; c is dead.
class TwoLinks : public FieldFailures {
  protected:
    engine::RunReport run_both(Rollover rollover) {
        auto pipeline = test::fake_pipeline({"a", "b", "c"}, rollover);
        pipeline.state = state_;
        engine::Link second = pipeline.links.front();
        pipeline.links.front().members.resize(2);  // a--b
        second.name = "second";
        second.connectivity_association = "CA2";
        second.key_chain = "QKD_CA2";
        second.members.erase(second.members.begin());  // b--c
        second.members.front().role = engine::Role::initiator;
        pipeline.links.push_back(second);
        Silent observer;
        engine::RunOptions options;
        options.pause = [](milliseconds time, const std::stop_token& token) {
            World& world = World::get();
            const std::lock_guard lock(world.mutex);
            world.advance(time * 1000);
            return !token.stop_requested();
        };
        return engine::run(pipeline, host_, options, observer, {});
    }
};

TEST_F(TwoLinks, one_dead_device_fails_its_own_links_only) {
    World& world = World::get();
    world.reset({"a", "b"});
    world.faults.push_back({"c", "open", false, answer(ErrorCode::unreachable), 1000});
    // The fake devices hold one link each; here only the first one can come about.
    const auto report = run_both(Rollover::key_chain);
    EXPECT_EQ(report.links.at(0).result, LinkResult::rotated)
        << (report.links[0].error ? report.links[0].error->what : "");
    EXPECT_EQ(report.links.at(1).result, LinkResult::failed);
    EXPECT_EQ(report.links.at(1).error->code, ErrorCode::unreachable);
    EXPECT_EQ(report.result, engine::RunResult::partial);
}

TEST_F(FieldFailures, a_device_that_only_responds_is_served_like_any_other) {
    begin(Rollover::key_chain);
    const auto report = rotate(Rollover::key_chain);
    ASSERT_EQ(report.members.size(), 2U);
    for (std::size_t i = 0; i < report.members[0].stages.size(); ++i) {
        EXPECT_EQ(report.members[0].stages[i].result, report.members[1].stages[i].result);
    }
}

/// The other runner has a state directory of its own: it knows nothing of this one's keys, journal or leases.
TEST_F(FieldFailures, two_runners_on_the_same_devices_do_no_harm) {
    for (const auto rollover : both) {
        for (int round = 0; round < 4; ++round) {
            SCOPED_TRACE(std::string(to_string(rollover)) + ", round " + std::to_string(round));
            begin(rollover);
            const std::filesystem::path other_state = state_.string() + ".other";
            std::filesystem::remove_all(other_state);
            std::jthread other([&] {
                auto pipeline = test::fake_pipeline(names_, rollover);
                pipeline.name = "other";
                pipeline.state = other_state;
                Silent observer;
                engine::RunOptions options;
                options.pause = [](milliseconds, const std::stop_token& token) {
                    World& world = World::get();
                    const std::lock_guard lock(world.mutex);
                    world.advance(std::chrono::seconds{20});
                    return !token.stop_requested();
                };
                (void)engine::run(pipeline, host_, options, observer, {});
            });
            (void)rotate(rollover);
            other.join();
            EXPECT_FALSE(World::get().apart);
            let_timers_expire();
            EXPECT_FALSE(World::get().apart);
            expect_the_next_run_rotates(rollover);
            EXPECT_FALSE(World::get().apart);
            std::filesystem::remove_all(other_state);
            if (HasFailure()) return;
        }
    }
}

}  // namespace
}  // namespace qkd
