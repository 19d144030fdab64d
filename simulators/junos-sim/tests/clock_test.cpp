// Start-times are instants: what a device writes in its own zone must come back as the same moment.
#include "clock.hpp"

#include <gtest/gtest.h>

using namespace qkd::junossim;

TEST(Clock, StartTimeIsLocalToTheDevice) {
    const auto berlin = parse_start_time("2026-07-05.16:43", "Europe/Berlin");
    ASSERT_TRUE(berlin);
    EXPECT_EQ(berlin->text, "2026-07-05.16:43:00 +0200");
    const auto utc = parse_start_time("2026-07-05.14:43:00", "UTC");
    ASSERT_TRUE(utc);
    EXPECT_EQ(utc->at, berlin->at);
    EXPECT_EQ(utc->text, "2026-07-05.14:43:00 +0000");
}

TEST(Clock, ReadBackStartTimeMeansTheSameInAnyZone) {
    const auto first = parse_start_time("2026-11-21.15:04:05", "America/St_Johns");
    ASSERT_TRUE(first);
    EXPECT_EQ(first->text, "2026-11-21.15:04:05 -0330");
    const auto again = parse_start_time(first->text, "UTC");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->at, first->at);
    EXPECT_EQ(again->text, first->text);
}

TEST(Clock, HourThatIsRepeatedOrSkippedStillIsAnInstant) {
    // 02:30 exists twice on the last Sunday of October and not at all on the last Sunday of March.
    const auto repeated = parse_start_time("2026-10-25.02:30:00", "Europe/Berlin");
    ASSERT_TRUE(repeated);
    EXPECT_EQ(repeated->text, "2026-10-25.02:30:00 +0200");
    EXPECT_TRUE(parse_start_time("2026-03-29.02:30:00", "Europe/Berlin"));
}

TEST(Clock, NonsenseIsNoStartTime) {
    for (const char* text :
         {"", "tomorrow", "2026-13-01.00:00", "2026-02-30.00:00", "2026-01-01.24:00", "2026-01-01 00:00",
          "2026-01-01.00:60", "2026-01-01.00:00:61", "2026-01-01.00:00 CET", "2026-01-01.00:00:00 +9900"}) {
        EXPECT_FALSE(parse_start_time(text, "UTC")) << text;
    }
}

TEST(Clock, LocalTextNamesTheZone) {
    EXPECT_EQ(local_text(1'783'605'031'000, "Europe/Berlin"), "2026-07-09 15:50:31 CEST");
    EXPECT_EQ(local_text(1'783'605'031'999, "UTC"), "2026-07-09 13:50:31 UTC");
}

TEST(Clock, DurationsReadAsOnTheDevice) {
    EXPECT_EQ(duration_text(26'000), "00:00:26");
    EXPECT_EQ(duration_text(Millis{2} * 86'400'000 + 6 * 3'600'000 + 30 * 60'000 + 56'000), "2d 06:30:56");
}
