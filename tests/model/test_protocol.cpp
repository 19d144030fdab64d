// Protects the rotation protocol's table and its pure decisions: explored whole, with two members, every fault and passing time,
// no state has the ends apart, and each has a way out.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>

#include "explorer.hpp"
#include "laws.hpp"

namespace qkd::model {

void PrintTo(const Options& options, std::ostream* out) {
    *out << to_string(options);
}

namespace {

Report explored(const Options& options, const Law& law = {}) {
    const auto begun = std::chrono::steady_clock::now();
    auto report = explore(options, {}, law);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begun;
    std::cout << "  " << to_string(options) << ": " << report.states << " states, " << report.transitions
              << " transitions, " << report.idle << " without a runner, " << time.count() << " s\n";
    return report;
}

std::string name_of(const ::testing::TestParamInfo<Options>& info) {
    std::string name;
    for (const char c : to_string(info.param)) {
        const auto letter = static_cast<unsigned char>(c);
        if (std::isalnum(letter) != 0) {
            name += c;
        } else if (!name.empty() && name.back() != '_') {
            name += '_';
        }
    }
    return name;
}

constexpr std::array both_rollovers{Rollover::key_chain, Rollover::pre_shared_key};

Options with(Rollover rollover, Begin begin, std::uint8_t faults, std::uint8_t runs, std::uint8_t patience) {
    Options options;
    options.rollover = rollover;
    options.begin = begin;
    options.faults = faults;
    options.runs = runs;
    options.patience = patience;
    return options;
}

/// For the key chain, those that need nothing laid first. The others are below.
std::vector<Begin> safe_begins(Rollover rollover) {
    if (rollover == Rollover::key_chain) return {Begin::chain, Begin::foreign_chain, Begin::pre_shared};
    return {Begin::chain,      Begin::foreign_chain, Begin::chain_only, Begin::pre_shared, Begin::pre_shared_apart,
            Begin::keys_apart, Begin::bare};
}

class Protocol : public ::testing::TestWithParam<Options> {};

TEST_P(Protocol, keeps_the_ends_together_and_has_an_exit_everywhere) {
    const auto report = explored(GetParam());
    EXPECT_TRUE(report.violation.empty()) << report.violation;
    EXPECT_TRUE(report.off_table.empty());
}

/// Two faults in three runs.
std::vector<Options> two_faults() {
#ifdef QKD_MODEL_SMALL
    constexpr std::uint8_t chain_faults = 1;
#else
    constexpr std::uint8_t chain_faults = 2;
#endif
    std::vector<Options> list;
    list.push_back(with(Rollover::key_chain, Begin::chain, chain_faults, 3, 1));
    list.push_back(with(Rollover::key_chain, Begin::pre_shared, 1, 3, 1));
    for (const auto begin : safe_begins(Rollover::pre_shared_key)) {
        list.push_back(with(Rollover::pre_shared_key, begin, 2, 3, 1));
    }
    return list;
}
INSTANTIATE_TEST_SUITE_P(two_faults, Protocol, ::testing::ValuesIn(two_faults()), name_of);

/// Slow runs: more time passes within one barrier than the margins are made for.
std::vector<Options> slow() {
    std::vector<Options> list;
    for (const auto rollover : both_rollovers) {
        for (const auto begin : safe_begins(rollover)) list.push_back(with(rollover, begin, 1, 2, 3));
    }
    return list;
}
INSTANTIATE_TEST_SUITE_P(slow, Protocol, ::testing::ValuesIn(slow()), name_of);

/// Devices that are worse than they should be, clocks that differ, verify = "next-run".
std::vector<Options> others() {
    std::vector<Options> list;
    for (const auto rollover : both_rollovers) {
        for (const auto begin : {Begin::chain, Begin::pre_shared}) {
            Options options = with(rollover, begin, 1, 2, 1);
            const Options plain = options;
            options.linger = true;
            list.push_back(options);
            options = plain;
            options.timer_lost = true;
            list.push_back(options);
            options = plain;
            options.verify_next = true;
            list.push_back(options);
            options = plain;
            options.skew = {0, 1};
            list.push_back(options);
            options = plain;
            options.skew = {1, 0};
            list.push_back(options);
        }
    }
    return list;
}
INSTANTIATE_TEST_SUITE_P(others, Protocol, ::testing::ValuesIn(others()), name_of);

class Promises : public ::testing::TestWithParam<Options> {};

TEST_P(Promises, of_kill_hold) {
    const auto report = explored(GetParam(), promise_of_kill);
    EXPECT_TRUE(report.violation.empty()) << report.violation;
}

std::vector<Options> promised() {
    std::vector<Options> list;
    for (const auto rollover : both_rollovers) {
        for (const auto begin : {Begin::chain, Begin::pre_shared, Begin::chain_only, Begin::pre_shared_apart}) {
            for (const bool next : {false, true}) {
                Options options = deaths_only(rollover, begin);
                options.verify_next = next;
                list.push_back(options);
                // Runs that begin while the start-time passes.
                options.straddles = true;
                list.push_back(options);
            }
        }
    }
    return list;
}
INSTANTIATE_TEST_SUITE_P(All, Promises, ::testing::ValuesIn(promised()), name_of);

TEST(Interruption, is_hitless_for_a_key_chain) {
    const auto report = explored(interruptions_only(), hitless);
    EXPECT_TRUE(report.violation.empty()) << report.violation;
}

TEST(Table, has_no_line_that_is_never_taken) {
    std::set<std::pair<engine::Step, engine::Outcome>> taken;
    for (const auto rollover : both_rollovers) {
        Options options = with(rollover, Begin::chain, 2, 2, 0);
        for (const bool commit : {true, false}) {
            options.commit_stage = commit;
            for (const auto begin : {Begin::chain, Begin::chain_only}) {
                options.begin = begin;
                options.faults = begin == Begin::chain ? 2 : 0;
                const auto report = explored(options);
                EXPECT_TRUE(report.violation.empty()) << report.violation;
                taken.insert(report.taken.begin(), report.taken.end());
            }
        }
    }
    std::size_t offbox = 0;
    for (const auto& line : engine::transitions()) {
        // On-box only: tests/unit/test_onbox.cpp comes by them.
        if (line.when == engine::Outcome::superseded || line.when == engine::Outcome::unchanged) continue;
        // The way back that is asked for and the closing of a link: tests/unit kills a run at each of their calls.
        if (line.when == engine::Outcome::withdraws || line.when == engine::Outcome::closes) continue;
        if (line.from == engine::Step::withdraw || line.from == engine::Step::close) continue;
        ++offbox;
        EXPECT_TRUE(taken.count({line.from, line.when}) == 1)
            << engine::to_string(line.from) << " " << engine::to_string(line.when);
    }
    EXPECT_EQ(taken.size(), offbox);
}

/// A link without a fallback in common gets one in a round of its own: whatever becomes of that round or of the next one, one
/// end on the new key and the other back on the old one share it.
std::vector<Options> laid_first() {
    std::vector<Options> list;
    for (const auto begin : {Begin::chain_only, Begin::pre_shared_apart, Begin::keys_apart}) {
        list.push_back(with(Rollover::key_chain, begin, 1, 2, 3));
        Options deaths = deaths_only(Rollover::key_chain, begin);
        deaths.faults = 2;
        deaths.runs = 3;
        list.push_back(deaths);
    }
    return list;
}
INSTANTIATE_TEST_SUITE_P(laid_first, Protocol, ::testing::ValuesIn(laid_first()), name_of);

/// Nothing at all on the members, or what half a first configuration left.
std::vector<Options> bare() {
    Options deaths = deaths_only(Rollover::key_chain, Begin::bare);
    deaths.faults = 2;
    deaths.runs = 3;
    return {deaths, with(Rollover::key_chain, Begin::bare, 1, 2, 3)};
}
INSTANTIATE_TEST_SUITE_P(bare, Protocol, ::testing::ValuesIn(bare()), name_of);

}  // namespace
}  // namespace qkd::model
