// Protects the rules of time at their borders: each is exact to the millisecond, and a rule that is weakened by one step fails here.
#include <gtest/gtest.h>

#include "engine/protocol/timing.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;

const UtcMillis now{std::chrono::seconds{1'795'000'000}};
constexpr milliseconds step{1};

TimingTerms usual() {
    CommitPolicy policy;  // confirm 60 s, skew 2 s, a commit is assumed to take 10 s
    return timing_terms(policy, 0ms, 1);
}

UtcSeconds whole(UtcMillis time) {
    return std::chrono::floor<std::chrono::seconds>(time);
}

TEST(Timing, the_lead_has_room_for_the_timer_two_commits_the_skew_and_half_a_minute) {
    TimingTerms terms = usual();
    EXPECT_EQ(lead_of(terms), 60s + 2 * 10s + 2s + 30s);
    terms.measured_commit = 4s;
    EXPECT_EQ(lead_of(terms), 60s + 2 * 4s + 2s + 30s);
    terms.commits_in_turn = 3;
    EXPECT_EQ(lead_of(terms), 60s + 4 * 4s + 2s + 30s) << "on-box the responders commit after the initiator";
    terms.lead = 75s;
    EXPECT_EQ(lead_of(terms), 75s);
}

TEST(Timing, terms_that_cannot_work_out_are_found_once_a_commit_was_measured) {
    TimingTerms terms = usual();
    terms.confirm = 60s;
    terms.lead = 1s;
    EXPECT_EQ(misfit_of(terms), Misfit::none) << "nothing was measured: the file was checked with what is assumed";
    terms.lead.reset();
    terms.measured_commit = 50s;
    EXPECT_EQ(misfit_of(terms), Misfit::none);
    terms.measured_commit += step;
    EXPECT_EQ(misfit_of(terms), Misfit::confirm_too_short);
    terms.measured_commit = 20s;
    terms.lead = 60s + 20s + 2s;
    EXPECT_EQ(misfit_of(terms), Misfit::none);
    *terms.lead -= step;
    EXPECT_EQ(misfit_of(terms), Misfit::lead_too_short);
    terms.schedules = false;
    EXPECT_EQ(misfit_of(terms), Misfit::none) << "nothing is scheduled: the lead plays no part";
}

TEST(Timing, one_slow_commit_fades) {
    EXPECT_EQ(remembered_commit_time(4s, 0s), 4s);
    EXPECT_EQ(remembered_commit_time(4s, 40s), 30s);
    EXPECT_EQ(remembered_commit_time(4s, 4s), 4s);
}

TEST(Timing, a_commit_fits_when_the_timer_ends_before_the_start_time_however_long_it_takes) {
    const TimingTerms terms = usual();
    const UtcSeconds start = whole(now + 70s);
    EXPECT_TRUE(commit_fits(now, start, terms));
    EXPECT_FALSE(commit_fits(now + step, start, terms));
}

TEST(Timing, a_confirm_keeps_its_distance_from_the_timer_and_from_the_start_time) {
    const TimingTerms terms = usual();
    EXPECT_EQ(confirm_time(now + 50s, now, std::nullopt, terms), ConfirmTime::fits);
    EXPECT_EQ(confirm_time(now + 50s + step, now, std::nullopt, terms), ConfirmTime::timer_near);
    const UtcSeconds start = whole(now + 30s);
    EXPECT_EQ(confirm_time(now + 29s, now, start, terms), ConfirmTime::fits);
    EXPECT_EQ(confirm_time(now + 29s + step, now, start, terms), ConfirmTime::start_near);
}

TEST(Timing, a_key_is_withdrawn_only_where_there_is_time_on_every_clock) {
    const TimingTerms terms = usual();
    const UtcSeconds start = whole(now + 12s);
    EXPECT_TRUE(before_start(now - step, start, 10s, terms));
    EXPECT_FALSE(before_start(now, start, 10s, terms));
    EXPECT_FALSE(before_start(now - 1h, std::nullopt, 10s, terms)) << "no start-time: it is in force already";
    EXPECT_TRUE(may_withdraw(now + 2s - step, start, terms));
    EXPECT_FALSE(may_withdraw(now + 2s, start, terms));
}

TEST(Timing, only_the_journalled_comment_names_the_dead_runs_commit) {
    const PendingCommit pending{"qkd-macsec link 1", "qkd"};
    EXPECT_TRUE(is_commit_of_dead_run(pending, "qkd-macsec link 1"));
    EXPECT_FALSE(is_commit_of_dead_run(pending, "qkd-macsec link 2"));
    EXPECT_FALSE(is_commit_of_dead_run(std::nullopt, "qkd-macsec link 1"));
    EXPECT_FALSE(is_commit_of_dead_run(PendingCommit{}, "")) << "no comment was noted: it is nobody's we know";
}

TEST(Timing, a_key_that_stands_in_a_chain_is_not_scheduled_again) {
    std::vector<ConfiguredKey> keys(1);
    keys.front().ckn = "ab";
    EXPECT_FALSE(may_schedule_again(Rollover::key_chain, keys, "ab"));
    EXPECT_TRUE(may_schedule_again(Rollover::key_chain, keys, "cd"));
    EXPECT_TRUE(may_schedule_again(Rollover::pre_shared_key, keys, "ab"));
}

}  // namespace
}  // namespace qkd::engine
