// On-box: a process per member, which meet only through the notices. Their time passes only while all of them wait.
#include <condition_variable>
#include <thread>

#include "engine/commands/serve.hpp"
#include "rotation_test.hpp"

namespace qkd {
namespace {

using namespace std::chrono_literals;
using engine::LinkReport;
using engine::LinkResult;
using test::World;

/// The processes of one link. Whoever waits next to be woken moves the world's clock, once all are waiting.
class Clockwork {
  public:
    void enter(const std::string& process) {
        const std::lock_guard lock(mutex_);
        running_.insert(process);
    }
    void leave(const std::string& process) {
        const std::lock_guard lock(mutex_);
        running_.erase(process);
        wake_next();
    }
    bool pause(const std::string& process, std::chrono::milliseconds time) {
        std::unique_lock lock(mutex_);
        {
            const std::lock_guard world(World::get().mutex);
            if (World::get().dead.contains(process)) return false;
            waiting_[process] = World::get().now + time;
        }
        wake_next();
        woken_.wait(lock, [&] { return !waiting_.contains(process); });
        return true;
    }

  private:
    void wake_next() {
        if (waiting_.empty() || waiting_.size() < running_.size()) return;
        const auto next = std::min_element(waiting_.begin(), waiting_.end(),
                                           [](const auto& a, const auto& b) { return a.second < b.second; });
        {
            World& world = World::get();
            const std::lock_guard lock(world.mutex);
            if (next->second > world.now) world.advance(next->second - world.now);
        }
        waiting_.erase(next);
        woken_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable woken_;
    std::set<std::string> running_;
    std::map<std::string, UtcMillis> waiting_;
};

class Onbox : public test::RotationTest {
  protected:
    void SetUp() override {
        RotationTest::SetUp();
        world().step = 10ms;
    }
    static World& world() { return World::get(); }
    std::filesystem::path state_of(const std::string& device) const { return state_ / device; }

    /// Runs a process for each of `devices`, in that order, each this much later than the one before.
    std::map<std::string, LinkReport> run(Rollover rollover, const std::vector<std::string>& devices,
                                          std::chrono::milliseconds apart = 0ms) {
        Clockwork clockwork;
        std::map<std::string, LinkReport> reports;
        std::mutex mutex;
        for (const auto& device : devices) clockwork.enter(device);
        std::vector<std::jthread> processes;
        for (std::size_t i = 0; i < devices.size(); ++i) {
            processes.emplace_back([&, i] {
                const std::string& device = devices[i];
                if (i > 0 && apart > 0ms) (void)clockwork.pause(device, apart * i);
                auto report = run_one(rollover, device, clockwork);
                clockwork.leave(device);
                const std::lock_guard lock(mutex);
                reports[device] = std::move(report);
            });
        }
        processes.clear();
        return reports;
    }

    engine::Pipeline own_pipeline(Rollover rollover, const std::string& device) {
        auto pipeline = test::fake_pipeline(names_, rollover);
        pipeline.mode = engine::Mode::onbox;
        pipeline.state = state_of(device);
        pipeline.persist.name = "stage.persist@" + device;
        pipeline.peer_wait = peer_wait_;
        for (auto& stage : pipeline.stages)
            stage.timeout = 100ms;  // a lock that a failed call left is waited for in real time
        pipeline.commit.confirm = 1min;
        pipeline.commit.lead = 3min;
        pipeline.commit.assumed_commit = 10s;
        auto own = engine::as_member(std::move(pipeline), device);
        EXPECT_TRUE(own.ok());
        return std::move(*own);
    }

    LinkReport run_one(Rollover rollover, const std::string& device, Clockwork& clockwork) {
        const auto own = own_pipeline(rollover, device);
        test::Silent observer;
        engine::RunOptions options;
        options.pause = [&](std::chrono::milliseconds time, const std::stop_token&) {
            return clockwork.pause(device, time);
        };
        auto report = engine::run(own, host_, options, observer, {});
        return std::move(report.links.at(0));
    }

    /// All members, until the link has a first key and, where it needs one, a fallback.
    void begin(Rollover rollover, int runs = 2) {
        world().reset(names_);
        world().step = 10ms;
        std::filesystem::remove_all(state_);
        for (int i = 0; i < runs; ++i) {
            for (const auto& [device, report] : run(rollover, names_)) {
                ASSERT_EQ(report.result, LinkResult::rotated) << device << ": " << what(report);
            }
        }
        world().apart = false;
        world().calls.clear();
    }
    static std::string what(const LinkReport& report) { return report.error ? report.error->what : "no error"; }

    void expect_all(const std::map<std::string, LinkReport>& reports, LinkResult wanted) {
        for (const auto& [device, report] : reports) EXPECT_EQ(report.result, wanted) << device << ": " << what(report);
    }
    /// However it was left: all processes together bring the link to one new key, in two runs at most.
    void expect_convergence(Rollover rollover, const std::string& after) {
        let_timers_expire();
        std::map<std::string, LinkReport> reports;
        for (int i = 0; i < 2; ++i) {
            reports = run(rollover, names_);
            const bool all = std::all_of(reports.begin(), reports.end(),
                                         [](const auto& entry) { return entry.second.result == LinkResult::rotated; });
            if (all) break;
        }
        for (const auto& [device, report] : reports) {
            EXPECT_EQ(report.result, LinkResult::rotated) << after << ", " << device << ": " << what(report);
            EXPECT_EQ(report.key_id, reports.at("a").key_id) << after << ", " << device;
        }
        EXPECT_EQ(common_primary(), reports.at("a").ckn) << after;
        EXPECT_FALSE(world().apart) << after;
    }
    std::chrono::milliseconds peer_wait_{10min};
};

constexpr Rollover both[] = {Rollover::key_chain, Rollover::pre_shared_key};

TEST_F(Onbox, a_bare_pair_gets_its_first_key_then_a_fallback_then_rotates) {
    for (const auto rollover : both) {
        world().reset(names_);
        world().step = 10ms;
        std::filesystem::remove_all(state_);
        std::set<std::string> keys;
        for (int round = 1; round <= 4; ++round) {
            const auto reports = run(rollover, names_);
            expect_all(reports, LinkResult::rotated);
            EXPECT_EQ(reports.at("a").key_id, reports.at("b").key_id);
            EXPECT_EQ(common_primary(), reports.at("a").ckn);
            EXPECT_FALSE(world().apart);
            EXPECT_TRUE(keys.insert(reports.at("a").ckn).second);
            EXPECT_EQ(reports.at("a").members.size(), 1U) << "a process reports what it drives";
        }
        EXPECT_EQ(world().minted, rollover == Rollover::key_chain ? 5U : 4U) << "one of them for the fallback";
    }
}

TEST_F(Onbox, two_three_and_four_processes_in_any_order) {
    for (const auto rollover : both) {
        for (names_ = {"a", "b"}; names_.size() <= (rollover == Rollover::key_chain ? 4U : 2U);
             names_.push_back(std::string(1, static_cast<char>('a' + names_.size())))) {
            begin(rollover);
            std::vector<std::string> order = names_;
            do {
                const auto reports = run(rollover, order, 5s);
                expect_all(reports, LinkResult::rotated);
                EXPECT_EQ(common_primary(), reports.at("a").ckn);
                EXPECT_FALSE(world().apart);
                std::rotate(order.begin(), order.begin() + 1, order.end());
            } while (order != names_ && !HasFailure());
        }
    }
}

TEST_F(Onbox, without_one_responder_the_link_stays_as_it_is) {
    names_ = {"a", "b", "c"};
    for (const auto rollover : {Rollover::key_chain}) {
        peer_wait_ = 10min;
        begin(rollover);
        const std::string before = common_primary();
        peer_wait_ = 1min;
        const auto reports = run(rollover, {"a", "b"});
        for (const auto& [device, report] : reports) {
            EXPECT_TRUE(report.result == LinkResult::failed || report.result == LinkResult::reverted) << device;
            ASSERT_TRUE(report.error) << device;
        }
        EXPECT_NE(what(reports.at("a")).find("no answer from c"), std::string::npos) << what(reports.at("a"));
        EXPECT_EQ(common_primary(), before);
        EXPECT_EQ(count_calls("a stage"), 0U) << "the initiator touches nothing before all have answered";
        peer_wait_ = 10min;
        expect_convergence(rollover, "c missing");
    }
}

TEST_F(Onbox, without_the_initiator_a_responder_stays_on_the_last_key) {
    for (const auto rollover : both) {
        peer_wait_ = 10min;
        begin(rollover);
        const std::string before = common_primary();
        peer_wait_ = 1min;
        auto reports = run(rollover, {"b"});
        EXPECT_EQ(reports.at("b").result, LinkResult::unchanged) << what(reports.at("b"));
        EXPECT_EQ(reports.at("b").ckn, before);
        EXPECT_EQ(common_primary(), before);
        world().notices.clear();
        reports = run(rollover, {"b"});
        EXPECT_EQ(reports.at("b").result, LinkResult::unchanged) << "not every transport keeps the last notice";
        world().records.erase("link@b");
        reports = run(rollover, {"b"});
        EXPECT_EQ(reports.at("b").result, LinkResult::failed) << "no notice at all: somebody should look";
        EXPECT_NE(what(reports.at("b")).find("no new key_ID from a"), std::string::npos) << what(reports.at("b"));
        peer_wait_ = 10min;
        expect_convergence(rollover, "no initiator");
    }
}

TEST_F(Onbox, a_responder_that_serves_listens_until_its_initiator_comes) {
    begin(Rollover::key_chain);
    peer_wait_ = 1min;
    Clockwork clockwork;
    clockwork.enter("a");
    clockwork.enter("b");
    struct Listener : engine::ServeListener {
        std::vector<LinkResult> results;
        std::stop_source stop;
        void cycle_ended(const engine::RunReport& report) override {
            results.push_back(report.links.front().result);
            if (results.back() == LinkResult::rotated || results.size() > 20) stop.request_stop();
        }
        void waits(std::chrono::seconds) override {}
        void reloaded(const Error*) override {}
    } listener;
    std::jthread a([&] {
        (void)clockwork.pause("a", 5min);
        EXPECT_EQ(run_one(Rollover::key_chain, "a", clockwork).result, LinkResult::rotated);
        clockwork.leave("a");
    });
    engine::ServeOptions options;
    options.every = 1h;
    options.run.pause = [&](std::chrono::milliseconds time, const std::stop_token&) {
        return clockwork.pause("b", time);
    };
    test::Silent observer;
    engine::ReloadRequest reload;
    engine::serve(
        own_pipeline(Rollover::key_chain, "b"), [] { return Result<engine::Pipeline>(engine::Pipeline{}); }, host_,
        options, observer, listener, reload, listener.stop.get_token());
    clockwork.leave("b");
    ASSERT_GE(listener.results.size(), 3U);
    EXPECT_EQ(listener.results.front(), LinkResult::unchanged);
    EXPECT_EQ(listener.results.back(), LinkResult::rotated);
}

TEST_F(Onbox, nobody_holds_a_lock_or_a_timer_while_it_waits_for_another) {
    for (const auto rollover : both) {
        begin(rollover);
        bool held = false;
        world().on_call = [&](const std::string& device, const std::string& call) {
            const bool waits = call == "acknowledgements" || call == "receive";
            const auto found = world().devices.find(device);
            if (found == world().devices.end()) return;
            const auto& d = found->second;
            if (waits && (d.locked || d.candidate)) held = true;
            if (waits && rollover == Rollover::key_chain && !d.pending.empty()) held = true;
        };
        expect_all(run(rollover, names_), LinkResult::rotated);
        world().on_call = nullptr;
        EXPECT_FALSE(held);
    }
}

// The responder dies, or hears nothing more, after it has promised: the initiator stands alone with a confirmed key.
TEST_F(Onbox, an_initiator_that_nobody_follows_withdraws_before_the_start_time) {
    for (const auto rollover : both) {
        begin(rollover);
        const std::string before = common_primary();
        world().on_call = [&](const std::string&, const std::string& call) {
            if (call == "acknowledgements" && world().notices["link"].kind == NoticeKind::offer)
                world().answers["b"] = world().notices["link"].mark();
        };
        const auto reports = run(rollover, {"a"});
        world().on_call = nullptr;
        EXPECT_EQ(reports.at("a").result, LinkResult::reverted) << what(reports.at("a"));
        EXPECT_EQ(common_primary(), before);
        EXPECT_EQ(world().notices["link"].kind, NoticeKind::withdrawn);
        EXPECT_FALSE(world().apart);
        expect_convergence(rollover, "nobody followed");
    }
}

TEST_F(Onbox, a_responder_follows_an_initiator_that_begins_anew) {
    begin(Rollover::key_chain);
    const std::string before = common_primary();
    peer_wait_ = 1min;
    bool answered = false;
    world().on_call = [&](const std::string& device, const std::string& call) {
        auto& notice = world().notices["link"];
        if (device == "a" && call == "acknowledgements") world().dead.insert("a");
        if (device + " " + call == "b acknowledge done") answered = true;
        if (device + " " + call != "b receive" || !answered || notice.key_ids.front() == "anew") return;
        world().kme_keys["anew"] = SecretBytes::zeros(32);
        notice.key_ids = {"anew"};
        ++notice.generation;
        notice.sequence = 1;
    };
    const auto reports = run(Rollover::key_chain, names_);
    world().on_call = nullptr;
    world().dead.clear();
    EXPECT_EQ(count_calls("kme-b fetch"), 2U);
    EXPECT_NE(what(reports.at("b")).find("did not arm key anew"), std::string::npos) << what(reports.at("b"));
    EXPECT_EQ(common_primary(), before);
    peer_wait_ = 10min;
    expect_convergence(Rollover::key_chain, "began anew");
}

TEST_F(Onbox, a_responder_that_lost_the_fallback_gets_a_new_one_first) {
    begin(Rollover::key_chain);
    auto& keys = world().devices["b"].running.keys;
    std::erase_if(keys, [](const test::FakeKey& key) { return key.place == KeyPlace::fallback; });
    const std::string before = common_primary();
    peer_wait_ = 1min;
    const auto reports = run(Rollover::key_chain, names_);
    EXPECT_NE(what(reports.at("b")).find("fallback key that the members agreed on"), std::string::npos)
        << what(reports.at("b"));
    EXPECT_EQ(common_primary(), before);
    peer_wait_ = 10min;
    expect_all(run(Rollover::key_chain, names_), LinkResult::rotated);
    EXPECT_FALSE(world().apart);
}

TEST_F(Onbox, a_responder_whose_clock_is_behind_refuses_with_the_figure) {
    begin(Rollover::key_chain);
    let_timers_expire();
    world().devices["b"].skew = -10min;
    peer_wait_ = 1min;
    const auto reports = run(Rollover::key_chain, names_);
    EXPECT_NE(what(reports.at("b")).find("the clock of a is at least"), std::string::npos) << what(reports.at("b"));
}

/// How far the link is when a call fails or a process dies: bare, with a first key, with a fallback too.
struct Trial {
    Rollover rollover;
    int runs_before;
    std::size_t members;
};
void PrintTo(const Trial& trial, std::ostream* out) {
    *out << to_string(trial.rollover) << ", " << trial.members << " members, " << trial.runs_before << " runs before";
}

class OnboxTrials : public Onbox, public ::testing::WithParamInterface<Trial> {
  protected:
    void SetUp() override {
        Onbox::SetUp();
        names_ = {"a", "b", "c"};
        names_.resize(GetParam().members);
        begin(GetParam().rollover, GetParam().runs_before);
        begun_ = state_.string() + ".begun";
        std::filesystem::create_directories(state_);
        std::filesystem::copy(state_, begun_, std::filesystem::copy_options::recursive);
        before_ = world().remember();
        world().on_call = [&](const std::string& device, const std::string& call) {
            const std::string name = device + " " + call;
            if (std::find(calls_.begin(), calls_.end(), name) == calls_.end()) calls_.push_back(name);
        };
        expect_all(run(GetParam().rollover, names_), LinkResult::rotated);
        world().on_call = nullptr;
        EXPECT_GT(calls_.size(), 35U);
    }
    void TearDown() override {
        std::filesystem::remove_all(begun_);
        Onbox::TearDown();
    }
    void begin_again() {
        std::filesystem::remove_all(state_);
        std::filesystem::copy(begun_, state_, std::filesystem::copy_options::recursive);
        world().go_back(World::Memory(before_));
        world().apart = false;
        peer_wait_ = 1min;
    }
    void expect_convergence_after(const std::string& what_happened) {
        EXPECT_FALSE(world().apart) << what_happened;
        peer_wait_ = 10min;
        if (GetParam().runs_before == 0) {
            // A bare link has no key that the members could part from. One of them may have a first key that the other took
            // back; the run after that gives both a new one.
            (void)run(GetParam().rollover, names_);
            world().apart = false;
        }
        expect_convergence(GetParam().rollover, what_happened);
    }

    std::filesystem::path begun_;
    World::Memory before_;
    std::vector<std::string> calls_;
};

TEST_P(OnboxTrials, any_failing_call_leaves_a_common_key_and_the_next_runs_converge) {
    for (const auto& call : calls_) {
        begin_again();
        const bool after = call.ends_with(" done");
        const std::string name = after ? call.substr(0, call.size() - 5) : call;
        const auto space = name.find(' ');
        const ErrorCode code = after ? ErrorCode::unknown_outcome : ErrorCode::unreachable;
        world().faults.push_back(
            {name.substr(0, space), name.substr(space + 1), after, Error{code, Retry::never, "injected", ""}});
        (void)run(GetParam().rollover, names_);
        world().faults.clear();
        expect_convergence_after("failing " + call);
        if (HasFailure()) return;
    }
}

TEST_P(OnboxTrials, a_process_killed_at_any_call_leaves_a_common_key_and_the_next_runs_converge) {
    const auto saved = state_.string() + ".dead";
    for (const auto& here : calls_) {
        begin_again();
        const std::string by = here.substr(0, here.find(' '));
        const std::string process = by.substr(by.find('-') == std::string::npos ? 0 : by.find('-') + 1);
        world().on_call = [&](const std::string& device, const std::string& call) {
            if (device + " " + call != here || world().dead.contains(process)) return;
            world().dead.insert(process);
            std::filesystem::remove_all(saved);
            std::filesystem::copy(state_of(process), saved, std::filesystem::copy_options::recursive);
        };
        (void)run(GetParam().rollover, names_);
        world().on_call = nullptr;
        ASSERT_TRUE(world().dead.contains(process)) << here;
        world().dead.clear();
        std::filesystem::remove_all(state_of(process));
        std::filesystem::rename(saved, state_of(process));
        expect_convergence_after("killed at " + here);
        if (HasFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(All, OnboxTrials,
                         ::testing::Values(Trial{Rollover::key_chain, 0, 2}, Trial{Rollover::key_chain, 1, 2},
                                           Trial{Rollover::key_chain, 2, 2}, Trial{Rollover::pre_shared_key, 0, 2},
                                           Trial{Rollover::pre_shared_key, 2, 2}, Trial{Rollover::key_chain, 2, 3}));

}  // namespace
}  // namespace qkd
