// The key pool: who gets a key how often, when it is forgotten, and what a restart keeps.
#include "pool.hpp"

#include <gtest/gtest.h>

namespace qkd::kme_sim {
namespace {

using std::chrono::milliseconds;
using Outcome = KeyPool::Outcome;

struct Recorder : AuditSink {
    void record(const AuditEvent& event) override { events.push_back(event); }
    std::vector<AuditEvent> events;
};

class Pool : public testing::Test {
  protected:
    KeyPool make(PoolSettings settings) {
        return KeyPool(settings, audit_, [this] { return time_; });
    }
    TimePoint time_{milliseconds(1'000'000)};
    Recorder audit_;
};

TEST_F(Pool, GivesEveryEntitledSlaveTheSameKeyOnce) {
    KeyPool pool = make({});
    const auto issued = pool.issue("k1", "a", {"b", "c"}, 2, 32);
    ASSERT_EQ(issued.outcome, Outcome::ok);
    ASSERT_EQ(issued.keys.size(), 2U);
    EXPECT_EQ(issued.keys[0].bytes.size(), 32U);
    EXPECT_NE(issued.keys[0].bytes, issued.keys[1].bytes);
    const std::string id = issued.keys[0].id;
    for (const char* slave : {"b", "c"}) {
        const auto first = pool.fetch("k2", slave, "a", {id});
        ASSERT_EQ(first.outcome, Outcome::ok) << slave;
        EXPECT_EQ(first.keys[0].bytes, issued.keys[0].bytes);
        const auto second = pool.fetch("k2", slave, "a", {id});
        EXPECT_EQ(second.outcome, Outcome::missing);
        EXPECT_EQ(second.missing, std::vector<std::string>{id});
    }
    EXPECT_EQ(audit_.events.back().reason, "already fetched");
}

TEST_F(Pool, RefusesWhoIsNotEntitled) {
    KeyPool pool = make({});
    const std::string id = pool.issue("k1", "a", {"b"}, 1, 32).keys[0].id;
    EXPECT_EQ(pool.fetch("k2", "c", "a", {id}).outcome, Outcome::forbidden);
    EXPECT_EQ(pool.fetch("k1", "a", "a", {id}).outcome, Outcome::forbidden) << "nor the master itself";
    EXPECT_EQ(pool.fetch("k2", "b", "c", {id}).outcome, Outcome::forbidden) << "wrong master named";
    EXPECT_EQ(pool.fetch("k2", "b", "a", {id}).outcome, Outcome::ok) << "a refusal must not use the key up";
}

TEST_F(Pool, FetchesAllOrNothing) {
    KeyPool pool = make({});
    const std::string id = pool.issue("k1", "a", {"b"}, 1, 32).keys[0].id;
    EXPECT_EQ(pool.fetch("k2", "b", "a", {id, "no-such-key"}).outcome, Outcome::missing);
    EXPECT_EQ(pool.fetch("k2", "b", "a", {id}).outcome, Outcome::ok);
}

TEST_F(Pool, RetainedKeysLastUntilTheirTtl) {
    KeyPool pool = make({.one_shot = false, .ttl = milliseconds(1000)});
    const auto issued = pool.issue("k1", "a", {"b"}, 1, 32);
    time_ += milliseconds(999);
    EXPECT_EQ(pool.fetch("k2", "b", "a", {issued.keys[0].id}).outcome, Outcome::ok);
    EXPECT_EQ(pool.fetch("k2", "b", "a", {issued.keys[0].id}).outcome, Outcome::ok);
    time_ += milliseconds(1);
    EXPECT_EQ(pool.fetch("k2", "b", "a", {issued.keys[0].id}).outcome, Outcome::missing);
}

TEST_F(Pool, EmptiesAndRefills) {
    KeyPool pool = make({.max_key_count = 4, .initial_key_count = 3, .refill_per_second = 0.5});
    EXPECT_EQ(pool.stored("a", "b"), 3);
    EXPECT_EQ(pool.issue("k1", "a", {"b"}, 4, 32).outcome, Outcome::depleted);
    EXPECT_EQ(pool.stored("b", "a"), 3) << "nothing taken, and one pool for both directions";
    EXPECT_EQ(pool.issue("k1", "a", {"b"}, 3, 32).outcome, Outcome::ok);
    EXPECT_EQ(pool.issue("k1", "a", {"b"}, 1, 32).outcome, Outcome::depleted);
    EXPECT_EQ(pool.stored("a", "c"), 3) << "another pair has a pool of its own";
    time_ += milliseconds(2000);
    EXPECT_EQ(pool.stored("a", "b"), 1);
    time_ += milliseconds(1'000'000);
    EXPECT_EQ(pool.stored("a", "b"), 4) << "not above max_key_count";
}

TEST_F(Pool, MulticastDrawsOnEveryPair) {
    KeyPool pool = make({.max_key_count = 2, .initial_key_count = 2, .refill_per_second = 0});
    ASSERT_EQ(pool.issue("k1", "a", {"c"}, 2, 32).outcome, Outcome::ok);
    EXPECT_EQ(pool.issue("k1", "a", {"b", "c"}, 1, 32).outcome, Outcome::depleted);
    EXPECT_EQ(pool.stored("a", "b"), 2);
}

TEST_F(Pool, ARestartKeepsWhatIsUndelivered) {
    std::string open;
    std::string gone;
    {
        KeyPool pool = make({.max_key_count = 5, .initial_key_count = 5, .refill_per_second = 0});
        open = pool.issue("k1", "a", {"b"}, 1, 32).keys[0].id;
        gone = pool.issue("k1", "a", {"b"}, 1, 32).keys[0].id;
        ASSERT_EQ(pool.fetch("k2", "b", "a", {gone}).outcome, Outcome::ok);
    }
    const Bytes bytes = audit_.events[0].key;
    KeyPool pool = make({.max_key_count = 5, .initial_key_count = 5, .refill_per_second = 0});
    pool.replay(std::vector<AuditEvent>(audit_.events));
    EXPECT_EQ(pool.stored("a", "b"), 3);
    EXPECT_EQ(pool.fetch("k2", "b", "a", {gone}).outcome, Outcome::missing);
    const auto fetched = pool.fetch("k2", "b", "a", {open});
    ASSERT_EQ(fetched.outcome, Outcome::ok);
    EXPECT_EQ(fetched.keys[0].bytes, bytes);
}

}  // namespace
}  // namespace qkd::kme_sim
