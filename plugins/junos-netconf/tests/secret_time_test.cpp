// $9$ strings and start-times: what a device shows is turned into the octets and the instant that were meant.
#include <gtest/gtest.h>

#include "junos_secret.hpp"
#include "junos_time.hpp"

namespace qkd::junos {
namespace {

using namespace std::chrono_literals;

TEST(Secret9, DecodesKnownStrings) {
    // Published pairs.
    const std::pair<const char*, const char*> known[] = {{"$9$LbHX-wg4Z", "lc"}, {"$9$h.3SyK8X-gaZbwTz", ""}};
    auto clear = decode_secret(known[0].first);
    ASSERT_TRUE(clear);
    EXPECT_EQ(clear->reveal_text(), known[0].second);
    auto other = decode_secret(known[1].first);
    ASSERT_TRUE(other);
    for (const char c : other->reveal_text()) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << "not text: the decoder is wrong";
}

TEST(Secret9, RefusesDamagedStringsAndHidesNothing) {
    for (const char* wrong : {"", "$9$", "$9$!", "$9$Q", "$9$LbHX-wg4", "$9$LbHX-wg4Z!", "$1$abc", "plain"})
        EXPECT_FALSE(decode_secret(wrong)) << wrong;
    EXPECT_TRUE(reveal_configured("/* SECRET-DATA */").empty());
    EXPECT_TRUE(reveal_configured("$8$aes256-gcm$x").empty());
    EXPECT_TRUE(reveal_configured("").empty());
    EXPECT_EQ(reveal_configured(" \"$9$LbHX-wg4Z\" ").reveal_text(), "lc");
    EXPECT_EQ(reveal_configured("abcd").reveal_text(), "abcd");
    EXPECT_EQ(configured_cak("0aFF").size(), 2U);
    EXPECT_TRUE(configured_cak("0aF").empty());
    EXPECT_TRUE(configured_cak("xyz1").empty());
}

UtcSeconds at(int year, unsigned month, unsigned day, std::chrono::seconds time) {
    return std::chrono::sys_days{std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(day)} + time;
}

TEST(Time, RendersAndReadsInTheDevicesZone) {
    const auto summer = at(2026, 7, 5, 14h + 45min);
    const DeviceZone berlin("Europe/Berlin", 120min, summer);
    EXPECT_EQ(berlin.start_time(summer), "2026-07-05.16:45:00");
    // An instant of the other season, seen from this one.
    const auto winter = at(2026, 12, 24, 23h + 30min);
    EXPECT_EQ(berlin.start_time(winter), "2026-12-25.00:30:00");
    EXPECT_EQ(berlin.read_start_time("2026-12-25.00:30"), winter);
    EXPECT_EQ(berlin.read_start_time("\"2026-7-5.16:45:00 +0200\""), summer);
    EXPECT_EQ(berlin.read_start_time("2026-07-05.16:45:00"), summer);
    // What the device says counts, whatever zone we think it is in.
    EXPECT_EQ(berlin.read_start_time("2026-10-6.04:58:34 -0700"), at(2026, 10, 6, 11h + 58min + 34s));
    EXPECT_EQ(berlin.read_start_time("2000-1-1.00:01:00 +0530"), at(1999, 12, 31, 18h + 31min));
    EXPECT_EQ(berlin.read_start_time("2000-1-1.00:01 +05:30"), at(1999, 12, 31, 18h + 31min));
}

TEST(Time, EveryInstantComesBackExceptTheHourThatHappensTwice) {
    for (const auto& [name, offset] :
         {std::pair{"America/New_York", -300min}, std::pair{"Australia/Lord_Howe", 660min}, std::pair{"UTC", 0min}}) {
        const auto begin = at(2026, 1, 1, 0s);
        const DeviceZone zone(name, offset, begin);
        int strange = 0;
        for (auto instant = begin; instant < begin + 24h * 400; instant += 7min) {
            if (zone.read_start_time(zone.start_time(instant)) != instant) ++strange;
        }
        // Once a year an hour (or half of one) exists twice; nothing else may be ambiguous.
        EXPECT_LE(strange, 2 * 60 / 7 + 2) << name;
    }
}

TEST(Time, KnowsTheNextChange) {
    const auto before = at(2026, 10, 24, 0s);  // Berlin leaves summer time on the 25th at 01:00 UTC
    const DeviceZone berlin("Europe/Berlin", 120min, before);
    EXPECT_EQ(berlin.next_change(before, 48h), at(2026, 10, 25, 1h));
    EXPECT_FALSE(berlin.next_change(before, 24h));
    EXPECT_FALSE(berlin.next_change(at(2026, 10, 26, 0s), 48h));
    EXPECT_EQ(berlin.offset_at(at(2026, 10, 25, 59min)), 120min);
    EXPECT_EQ(berlin.offset_at(at(2026, 10, 25, 1h)), 60min);
}

TEST(Time, BelievesTheDevicesClockWhereTheNameMisleads) {
    const auto now = at(2026, 7, 5, 0s);
    const DeviceZone odd("GMT+2", 120min, now);  // no name of the database
    EXPECT_EQ(odd.start_time(now), "2026-07-05.02:00:00");
    const DeviceZone wrong("Etc/GMT+2", 120min, now);  // POSIX: two hours WEST; the device means east
    EXPECT_EQ(wrong.start_time(now), "2026-07-05.02:00:00");
    EXPECT_FALSE(wrong.next_change(now, 48h));
    const DeviceZone unnamed("", -210min, now);
    EXPECT_EQ(unnamed.name(), "UTC-03:30");
    EXPECT_EQ(unnamed.read_start_time("2026-07-04.20:30:00"), now);
    EXPECT_EQ(DeviceZone("", 0min, now).name(), "UTC");
}

TEST(Time, RefusesWhatIsNoTime) {
    const DeviceZone zone;
    for (const char* wrong :
         {"", "2026", "2026-13-01.00:00", "2026-02-30.00:00", "2026-01-01.24:00", "2026-01-01 00:00",
          "2026-01-01.00:00 MEZ", "2026-01-01.00:00 +1", "2026-01-01.00:00 +01000", "x"})
        EXPECT_FALSE(zone.read_start_time(wrong)) << wrong;
    EXPECT_EQ(read_local_time("2026-11-21 13:06:01 CET"), (at(2026, 11, 21, 13h + 6min + 1s)).time_since_epoch());
    EXPECT_FALSE(read_local_time("tomorrow"));
}

}  // namespace
}  // namespace qkd::junos
