// Protects what the report says: over all combinations of what can have happened, no word promises more than that.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "engine/protocol/conclude.hpp"

namespace qkd::engine {
namespace {

void for_all(const std::function<void(const Verdict&)>& check) {
    using enum Arrival;
    for (const Arrival arrival : {nowhere, unchanged, pending, live, withdrawn}) {
        for (unsigned bits = 0; bits < 256; ++bits) {
            const auto bit = [&](unsigned place) { return (bits >> place & 1U) != 0; };
            check({arrival, bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7)});
        }
    }
}

TEST(Conclude, rotated_and_pending_only_without_failure_and_only_there) {
    for_all([](const Verdict& verdict) {
        const LinkResult result = conclude(verdict);
        const bool good =
            result == LinkResult::rotated || result == LinkResult::pending || result == LinkResult::unchanged;
        if (!good) return;
        const Arrival arrival = result == LinkResult::rotated   ? Arrival::live
                                : result == LinkResult::pending ? Arrival::pending
                                                                : Arrival::unchanged;
        EXPECT_EQ(verdict.arrival, arrival);
        EXPECT_FALSE(verdict.failed || verdict.closed || verdict.shortcoming);
    });
}

TEST(Conclude, reverted_only_where_it_is_proven_and_something_was_written) {
    for_all([](const Verdict& verdict) {
        if (conclude(verdict) != LinkResult::reverted) return;
        if (!verdict.failed) {
            EXPECT_EQ(verdict.arrival, Arrival::withdrawn);
            return;
        }
        EXPECT_TRUE(verdict.undo_proven);
        EXPECT_TRUE(verdict.written || verdict.kept);
        EXPECT_FALSE(verdict.past_return);
        EXPECT_FALSE(verdict.kept && verdict.stands_somewhere);
    });
}

TEST(Conclude, nothing_that_may_stand_is_called_failed_without_the_doubt) {
    for_all([](const Verdict& verdict) {
        if (conclude(verdict) != LinkResult::failed || verdict.closed || !verdict.failed) return;
        // Either nothing was written, or the undo is not proven, which the report says.
        EXPECT_TRUE(!verdict.written || !verdict.undo_proven);
    });
}

TEST(Conclude, the_journal_stays_for_what_is_not_proven_undone) {
    for_all([](const Verdict& verdict) { EXPECT_EQ(is_resolved(verdict), !verdict.failed || verdict.undo_proven); });
}

TEST(Conclude, an_intent_is_forgotten_only_where_the_key_stands_nowhere) {
    for_all([](const Verdict& verdict) {
        if (!intent_is_void(verdict)) return;
        EXPECT_TRUE(verdict.failed);
        EXPECT_FALSE(verdict.past_return);
        EXPECT_FALSE(verdict.written && !verdict.undo_proven);
        EXPECT_FALSE(verdict.kept && verdict.stands_somewhere);
    });
}

}  // namespace
}  // namespace qkd::engine
