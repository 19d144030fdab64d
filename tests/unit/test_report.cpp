// The report's JSON is a contract with programs: key names, nulls, words, numbers and times are held here.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/base/rfc3339.hpp"
#include "engine/reporting/report.hpp"

namespace qkd::engine {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr auto moment = UtcMillis{milliseconds{1'795'273'445'000}};  // 2026-11-21T15:04:05Z

std::vector<std::string> keys(const Json& object) {
    std::vector<std::string> names;
    for (const auto& item : object.items()) names.push_back(item.key());
    return names;
}

RunReport sample() {
    RunReport report;
    report.pipeline = "mx-pair";
    report.run_id = "r1";
    report.started = moment;
    report.finished = moment + milliseconds{1234};
    report.result = RunResult::partial;
    LinkReport good;
    good.name = "a--b";
    good.result = LinkResult::rotated;
    good.key_id = "11111111-2222-3333-4444-555555555555";
    good.previous_key_id = "00000000-2222-3333-4444-555555555555";
    good.ckn = "ab12";
    good.start_time = std::chrono::floor<std::chrono::seconds>(moment);
    good.out_of_sync_ms = 3.2;
    good.clock_skew_ms = 0.1 + 0.3;  // 0.4 with noise in the last digit
    MemberReport member;
    member.device = "mx1";
    member.role = Role::initiator;
    member.mka = MkaState::secured;
    member.interfaces = {{"et-0/0/9", MkaState::secured, "ab12"}, {"et-0/0/10", MkaState::down, ""}};
    member.stages = {{StageKind::connect, "junos-netconf", StageResult::ok, 12.3, 1, std::nullopt},
                     {StageKind::initial_config, "junos-netconf", StageResult::skipped, 0, 0, std::nullopt}};
    good.members = {member};
    LinkReport bad;
    bad.name = "a--c";
    bad.result = LinkResult::failed;
    bad.rollover = Rollover::pre_shared_key;
    bad.error = Error{ErrorCode::unknown_outcome, Retry::safe, "commit: the answer was lost", "run again"};
    report.links = {good, bad};
    return report;
}

TEST(Report, HasTheDocumentedKeysInTheirOrder) {
    const Json json = Json::parse(to_json(sample()));
    EXPECT_EQ(keys(json),
              (std::vector<std::string>{"schema", "pipeline", "run_id", "started", "finished", "result", "links"}));
    const Json& link = json["links"][0];
    EXPECT_EQ(keys(link),
              (std::vector<std::string>{"name", "result", "key_id", "previous_key_id", "ckn", "rollover", "start_time",
                                        "out_of_sync_ms", "clock_skew_ms", "members", "error"}));
    const Json& member = link["members"][0];
    EXPECT_EQ(keys(member), (std::vector<std::string>{"device", "role", "mka", "interfaces", "stages"}));
    EXPECT_EQ(keys(member["interfaces"][0]), (std::vector<std::string>{"name", "mka", "ckn"}));
    EXPECT_EQ(keys(member["stages"][0]),
              (std::vector<std::string>{"kind", "plugin", "result", "ms", "attempts", "error"}));
    EXPECT_EQ(keys(json["links"][1]["error"]), (std::vector<std::string>{"code", "what", "hint", "retry"}));
}

TEST(Report, WritesWordsNumbersAndTimes) {
    const Json json = Json::parse(to_json(sample()));
    EXPECT_EQ(json["schema"], 1);
    EXPECT_EQ(json["started"], "2026-11-21T15:04:05Z");
    EXPECT_EQ(json["finished"], "2026-11-21T15:04:06.234Z");
    EXPECT_EQ(json["result"], "partial");
    const Json& link = json["links"][0];
    EXPECT_EQ(link["result"], "rotated");
    EXPECT_EQ(link["rollover"], "key-chain");
    EXPECT_EQ(link["start_time"], "2026-11-21T15:04:05Z");
    EXPECT_EQ(link["out_of_sync_ms"].dump(), "3.2");
    EXPECT_EQ(link["clock_skew_ms"].dump(), "0.4");
    const Json& member = link["members"][0];
    EXPECT_EQ(member["role"], "initiator");
    EXPECT_EQ(member["mka"], "secured");
    EXPECT_EQ(member["stages"][0].dump(),
              R"({"kind":"connect","plugin":"junos-netconf","result":"ok","ms":12.3,"attempts":1,"error":null})");
    EXPECT_EQ(member["stages"][1]["kind"], "initial-config");
    EXPECT_EQ(member["stages"][1]["result"], "skipped");
    EXPECT_EQ(json["links"][1]["rollover"], "pre-shared-key");
    EXPECT_EQ(json["links"][1]["error"].dump(),
              R"({"code":"unknown_outcome","what":"commit: the answer was lost","hint":"run again","retry":"safe"})");
}

TEST(Report, WhatIsNotKnownIsNull) {
    const Json link = Json::parse(to_json(sample()))["links"][1];
    for (const char* key : {"key_id", "previous_key_id", "ckn", "start_time", "out_of_sync_ms", "clock_skew_ms"}) {
        EXPECT_TRUE(link[key].is_null()) << key;
    }
    EXPECT_TRUE(link["members"].is_array());
    const Json good = Json::parse(to_json(sample()))["links"][0];
    EXPECT_TRUE(good["error"].is_null());
    EXPECT_TRUE(good["members"][0]["interfaces"][1]["ckn"].is_null());
}

// A device may answer anything, and a measurement may go wrong; the file must stay readable.
TEST(Report, StaysValidWithOddInput) {
    RunReport report = sample();
    report.links[0].clock_skew_ms = std::numeric_limits<double>::quiet_NaN();
    report.links[1].error->what = std::string("\"\\\n\x1b\xff\xc3", 6);
    const Json json = Json::parse(to_json(report));
    EXPECT_TRUE(json["links"][0]["clock_skew_ms"].is_null());
    EXPECT_TRUE(json["links"][1]["error"]["what"].get<std::string>().starts_with("\"\\\n\x1b"));
    report.links.clear();
    EXPECT_EQ(Json::parse(to_json(report))["links"], Json::array());
}

TEST(Report, WordsOfAllResults) {
    EXPECT_STREQ(to_string(StageResult::reverted), "reverted");
    EXPECT_STREQ(to_string(StageResult::failed), "failed");
    const std::pair<LinkResult, const char*> links[] = {
        {LinkResult::rotated, "rotated"},   {LinkResult::unchanged, "unchanged"}, {LinkResult::pending, "pending"},
        {LinkResult::degraded, "degraded"}, {LinkResult::reverted, "reverted"},   {LinkResult::failed, "failed"}};
    for (const auto& [result, word] : links) EXPECT_STREQ(to_string(result), word);
    const std::pair<RunResult, const char*> runs[] = {{RunResult::success, "success"},
                                                      {RunResult::partial, "partial"},
                                                      {RunResult::failure, "failure"},
                                                      {RunResult::interrupted, "interrupted"}};
    for (const auto& [result, word] : runs) EXPECT_STREQ(to_string(result), word);
    EXPECT_STREQ(to_string(Role::responder), "responder");
}

TEST(Rfc3339, LeapDayMidnightAndBeforeTheEpoch) {
    using namespace std::chrono;
    EXPECT_EQ(rfc3339(sys_days{2028y / February / 29}), "2028-02-29T00:00:00Z");
    EXPECT_EQ(rfc3339(sys_days{1970y / January / 1} - 1ms), "1969-12-31T23:59:59.999Z");
    EXPECT_EQ(rfc3339(sys_days{2026y / December / 31} + 23h + 59min + 59s + 7ms), "2026-12-31T23:59:59.007Z");
}

}  // namespace
}  // namespace qkd::engine
