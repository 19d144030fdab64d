// The MKA model: a wire runs on a key exactly when both ends hold it, and the old key carries until the new one does.
#include "mka.hpp"

#include <gtest/gtest.h>

using namespace qkd::junossim;

namespace {

const Key old_key{"0a", "1111"};
const Key new_key{"0b", "2222"};
const Key spare{"0f", "ffff"};

struct Bench {
    EndTimeline a;
    EndTimeline b;
    WireState state;
    std::vector<Transition> log;

    void until(Millis now) {
        const auto more = advance(state, a, b, now);
        log.insert(log.end(), more.begin(), more.end());
    }
    std::string seen(std::size_t which = 0) const {
        return std::string(to_word(state.state_at(which))) + (state.live ? " " + state.live->ckn : "");
    }
    bool ever_apart() const {
        for (const auto& t : log) {
            if (t.apart) return true;
        }
        return false;
    }
};

EndConfig psk(const Key& key, std::optional<Key> fallback = {}) {
    return {"CA", {}, key, std::move(fallback), true};
}

EndConfig chain(std::vector<ChainKey> keys, std::optional<Key> fallback = {}) {
    return {"CA", std::move(keys), {}, std::move(fallback), true};
}

// Both ends on a chain of the old key and, from `start` on each clock, the new one.
Bench rolling(Millis start) {
    Bench bench;
    bench.a.changes =
        bench.b.changes = {{1000, chain({{old_key, 0}})}, {10'000, chain({{old_key, 0}, {new_key, start}})}};
    return bench;
}

}  // namespace

TEST(Mka, LiveTwoSecondsAfterBothEndsHoldTheKey) {
    Bench bench;
    bench.a.changes = {{1000, psk(old_key)}};
    bench.b.changes = {{5000, psk(old_key)}};
    bench.until(4999);
    EXPECT_EQ(bench.seen(), "down");
    bench.until(5000);
    EXPECT_EQ(bench.seen(), "init");
    bench.until(6999);
    EXPECT_EQ(bench.seen(), "init");
    bench.until(7000);
    EXPECT_EQ(bench.seen(), "secured 0a");
    EXPECT_EQ(bench.state.live_since, 7000);
}

TEST(Mka, WrongCakUnderTheSameCknStaysDown) {
    Bench bench;
    bench.a.changes = {{0, psk(old_key)}};
    bench.b.changes = {{0, psk({old_key.ckn, "9999"})}};
    bench.until(100'000);
    EXPECT_EQ(bench.seen(), "down");
    EXPECT_TRUE(bench.state.apart());
}

TEST(Mka, ScheduledRolloverIsHitless) {
    auto bench = rolling(60'000);
    bench.until(59'999);
    EXPECT_EQ(bench.seen(), "secured 0a");
    bench.until(60'500);
    EXPECT_EQ(bench.seen(0), "preceding 0a");
    EXPECT_EQ(bench.seen(1), "preceding 0a");
    bench.until(62'000);
    EXPECT_EQ(bench.seen(0), "secured 0b");
    EXPECT_FALSE(bench.state.end[0].preceding) << "released once the new key is live";
    EXPECT_FALSE(bench.ever_apart());
    for (std::size_t i = 1; i < bench.log.size(); ++i) EXPECT_NE(bench.log[i].state[0], LinkState::down);
}

TEST(Mka, EachEndFollowsItsOwnClock) {
    auto bench = rolling(60'000);
    bench.a.skew = 5000;  // ahead: it changes at 55000
    bench.until(56'000);
    EXPECT_EQ(bench.seen(0), "preceding 0a");
    EXPECT_EQ(bench.seen(1), "secured 0a");
    bench.until(61'999);
    EXPECT_EQ(bench.seen(1), "preceding 0a");
    bench.until(62'000);
    EXPECT_EQ(bench.seen(0), "secured 0b");
}

TEST(Mka, EndWithoutTheNewKeyKeepsTheLinkOnTheOldOne) {
    auto bench = rolling(60'000);
    bench.b.changes.pop_back();
    bench.until(600'000);
    EXPECT_EQ(bench.seen(0), "preceding 0a");
    EXPECT_EQ(bench.seen(1), "secured 0a");
    EXPECT_FALSE(bench.ever_apart());
    // The late end gets it: two seconds later both are on it.
    bench.b.changes.push_back({600'500, chain({{old_key, 0}, {new_key, 60'000}})});
    bench.until(602'500);
    EXPECT_EQ(bench.seen(0), "secured 0b");
}

TEST(Mka, WithoutPrecedingKeyTheLinkIsLostUntilTheOtherEndFollows) {
    Bench bench;
    auto alone = psk(new_key);
    alone.keep_preceding = false;
    bench.a.changes = {{0, psk(old_key)}, {10'000, alone}};
    bench.b.changes = {{0, psk(old_key)}, {20'000, psk(new_key)}};
    bench.until(10'000);
    EXPECT_EQ(bench.seen(), "down");
    EXPECT_TRUE(bench.state.apart());
    bench.until(22'000);
    EXPECT_EQ(bench.seen(), "secured 0b");
    EXPECT_TRUE(bench.ever_apart());
}

TEST(Mka, RewrittenPreSharedKeyPrecedes) {
    Bench bench;
    bench.a.changes = {{0, psk(old_key)}, {10'000, psk(new_key)}};
    bench.b.changes = {{0, psk(old_key)}, {13'000, psk(new_key)}};
    bench.until(12'999);
    EXPECT_EQ(bench.seen(0), "preceding 0a");
    EXPECT_EQ(bench.seen(1), "secured 0a");
    bench.until(15'000);
    EXPECT_EQ(bench.seen(0), "secured 0b");
    EXPECT_FALSE(bench.ever_apart());
}

TEST(Mka, FallbackCarriesAtOnceWhenPrimariesDiffer) {
    Bench bench;
    auto stranger = psk({"0c", "3333"}, spare);
    stranger.keep_preceding = false;
    bench.a.changes = {{0, psk(old_key, spare)}, {10'000, stranger}};
    bench.b.changes = {{0, psk(old_key, spare)}};
    bench.until(9000);
    EXPECT_EQ(bench.seen(), "secured 0a");
    bench.until(10'000);
    EXPECT_EQ(bench.seen(0), "fallback 0f") << "its session has been ready all along";
    EXPECT_EQ(bench.seen(1), "fallback 0f");
    EXPECT_FALSE(bench.ever_apart());
}

TEST(Mka, RolesAreEachEndsOwn) {
    // The replaced key as the other end's fallback: primary there, fallback here.
    Bench bench;
    auto moved = psk(new_key, old_key);
    moved.keep_preceding = false;
    bench.a.changes = {{0, psk(old_key)}, {10'000, moved}};
    bench.b.changes = {{0, psk(old_key)}};
    bench.until(20'000);
    EXPECT_EQ(bench.seen(0), "fallback 0a");
    EXPECT_EQ(bench.seen(1), "secured 0a");
}

TEST(Mka, RevertBeforeTheOtherEndMovedKeepsTheLink) {
    Bench bench;
    bench.a.changes = {{0, psk(old_key)}, {10'000, psk(new_key)}, {70'000, psk(old_key)}};
    bench.b.changes = {{0, psk(old_key)}};
    bench.until(80'000);
    EXPECT_EQ(bench.seen(0), "secured 0a");
    EXPECT_EQ(bench.state.live_since, 2000) << "it never went away";
}

TEST(Mka, BindingToAnotherAssociationStartsFromNothing) {
    Bench bench;
    auto other = psk(new_key);
    other.ca = "CA2";
    bench.a.changes = {{0, psk(old_key)}, {10'000, other}};
    bench.b.changes = {{0, psk(old_key)}, {10'000, other}};
    bench.until(10'500);
    EXPECT_EQ(bench.seen(), "init");
    bench.until(12'000);
    EXPECT_EQ(bench.seen(), "secured 0b");
}

TEST(Mka, UnconfiguredEndIsNotApart) {
    Bench bench;
    bench.a.changes = {{0, psk(old_key)}};
    bench.until(10'000);
    EXPECT_EQ(bench.seen(), "down");
    EXPECT_FALSE(bench.ever_apart());
}

TEST(Mka, OneLongLookSeesWhatManyShortOnesSee) {
    auto once = rolling(60'000);
    auto often = rolling(60'000);
    once.a.skew = often.a.skew = 1500;
    once.until(100'000);
    for (Millis t = 0; t <= 100'000; t += 250) often.until(t);
    ASSERT_EQ(once.log.size(), often.log.size());
    for (std::size_t i = 0; i < once.log.size(); ++i) {
        EXPECT_EQ(once.log[i].at, often.log[i].at);
        EXPECT_TRUE(once.log[i].same_as(often.log[i]));
    }
}

TEST(Mka, LatestStartedKeyOfTheChainIsPrimary) {
    const auto config = chain({{old_key, 1000}, {new_key, 5000}, {spare, 9000}});
    EXPECT_FALSE(config.primary_at(999));
    EXPECT_EQ(config.primary_at(1000), old_key);
    EXPECT_EQ(config.primary_at(8999), new_key);
    EXPECT_EQ(config.primary_at(9000), spare);
    auto both = config;
    both.pre_shared = Key{"0e", "eeee"};
    EXPECT_EQ(both.primary_at(0), both.pre_shared) << "until the first start-time";
}
