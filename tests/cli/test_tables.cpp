// What commands print: every fact in its column, errors with their hints, and JSON that programs can rely on.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/tables.hpp"

namespace qkd::cli {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using engine::LinkResult;

engine::RunReport sample() {
    engine::RunReport report;
    report.pipeline = "pair";
    report.run_id = "r1";
    report.finished = report.started + 4200ms;
    report.result = engine::RunResult::partial;
    engine::LinkReport good;
    good.name = "a--b";
    good.result = LinkResult::rotated;
    good.key_id = "11111111-2222-3333-4444-555555555555";
    good.ckn = std::string(64, 'c');
    good.start_time = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 15h;
    good.out_of_sync_ms = 3.21;
    good.clock_skew_ms = 0.4;
    good.members = {{"mx1", engine::Role::initiator, MkaState::secured, {{"et-0/0/9", MkaState::secured, "cc"}}, {}}};
    engine::LinkReport bad;
    bad.name = "a--c";
    bad.result = LinkResult::reverted;
    const Error error{ErrorCode::unreachable, Retry::safe, "kme bob: 503 pool empty", "wait for keys"};
    engine::MemberReport member;
    member.device = "mx3";
    member.stages = {{StageKind::key_source, "kme-etsi014", engine::StageResult::failed, 1, 1, error}};
    bad.members = {member};
    bad.error = error;
    const Error same{ErrorCode::unreachable, Retry::safe, "mx1: no route", ""};
    bad.members.resize(3);
    bad.members[1].stages = {{StageKind::connect, "junos-netconf", engine::StageResult::failed, 1, 1, same}};
    bad.members[2].stages = bad.members[1].stages;
    report.links = {good, bad};
    return report;
}

std::size_t occurrences(const std::string& text, const std::string& word) {
    std::size_t count = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
    return count;
}

TEST(RunSummary, HasEveryFact) {
    const auto text = run_summary(sample(), false);
    for (const char* fact :
         {"a--b", "rotated", "11111111-2222-3333-4444-555555555555", "cccccccccccc..", "2026-11-21T15:00:00Z", "3.2 ms",
          "0.4 ms", "mx1", "initiator", "et-0/0/9", "secured", "a--c", "reverted",
          "a--c / mx3 / key-source: kme bob: 503 pool empty (unreachable)", "hint: wait for keys"}) {
        EXPECT_NE(text.find(fact), std::string::npos) << fact << "\n" << text;
    }
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(occurrences(text, "503 pool empty"), 1U) << "told once, not again for the link";
    EXPECT_EQ(occurrences(text, "mx1: no route"), 2U) << "every member that failed";
    EXPECT_TRUE(text.ends_with("partial: 2 links, 1 rotated, 1 reverted in 4.2 s (run r1)\n")) << text;
    EXPECT_NE(run_summary(sample(), true).find("\x1b[32mrotated"), std::string::npos);
}

TEST(StatusTable, HealthKeyAgeAndInterfaces) {
    engine::LinkStatus link;
    link.name = "a--b";
    link.health = engine::Health::degraded;
    link.key_id = "id-1";
    link.ckn = "abcd";
    link.age = 2h + 5min;
    link.members = {
        {"mx1", engine::Role::initiator, MkaState::preceding, {{"et-0/0/9", MkaState::preceding, "ab"}}, {}},
        {"mx2",
         engine::Role::responder,
         MkaState::unknown,
         {},
         Error{ErrorCode::timeout, Retry::safe, "mx2: no answer", "look at it"}}};
    const auto text = status_summary({link}, false);
    for (const char* fact : {"degraded", "id-1", "2h05m", "et-0/0/9", "preceding", "mx2: no answer", "look at it"}) {
        EXPECT_NE(text.find(fact), std::string::npos) << fact << "\n" << text;
    }
    const Json json = Json::parse(status_json("pair", {link}));
    EXPECT_EQ(json["health"], "degraded");
    EXPECT_EQ(json["pipeline"], "pair");
    const Json& one = json["links"][0];
    EXPECT_EQ(one["age_s"], 7500);
    EXPECT_TRUE(one["next_start"].is_null());
    EXPECT_EQ(one["members"][0]["interfaces"][0]["mka"], "preceding");
    EXPECT_TRUE(one["members"][0]["error"].is_null());
    EXPECT_EQ(one["members"][1]["error"]["code"], "timeout");
}

TEST(StatusTable, TheWorstLinkIsTheHealthOfAll) {
    std::vector<engine::LinkStatus> links(3);
    links[0].health = engine::Health::healthy;
    links[1].health = engine::Health::down;
    links[2].health = engine::Health::degraded;
    EXPECT_EQ(Json::parse(status_json("p", links))["health"], "down");
    EXPECT_EQ(Json::parse(status_json("p", {}))["health"], "healthy");
}

TEST(PlanText, ShowsTheDiffOfEveryMember) {
    std::vector<engine::MemberPlan> plans(3);
    plans[0] = {"a--b", "mx1", {"makes a first key"}, {"[edit security]", "+  key-chain QKD {", "-  x;"}, {}};
    plans[1] = {"a--b", "mx2", {}, {}, {}};
    plans[2] = {"a--b", "mx3", {}, {}, Error{ErrorCode::auth, Retry::never, "mx3: denied", "see to the key"}};
    const auto text = plan_summary(plans, false);
    for (const char* fact :
         {"device mx1, link a--b", "note: makes a first key", "    [edit security]\n", "    +  key-chain QKD {\n",
          "    -  x;\n", "nothing would change", "mx3: denied", "3 members, 1 would change, 1 could not be planned"}) {
        EXPECT_NE(text.find(fact), std::string::npos) << fact << "\n" << text;
    }
}

TEST(ProbeTable, SaysWhatFailedAndHowMany) {
    const auto text = probe_summary({{"device mx1: connect", {}, 12.34},
                                     {"kme bob: status", Error{ErrorCode::auth, Retry::never, "bob: 401", "renew"}, 1}},
                                    false);
    EXPECT_NE(text.find("device mx1: connect  ok      12.3 ms"), std::string::npos) << text;
    EXPECT_NE(text.find("kme bob: status: bob: 401 (auth)\n      hint: renew"), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with("1 failed of 2 probes\n")) << text;
}

TEST(Age, IsShort) {
    EXPECT_EQ(short_age(0s), "0s");
    EXPECT_EQ(short_age(59s), "59s");
    EXPECT_EQ(short_age(60s), "1m");
    EXPECT_EQ(short_age(1h), "1h00m");
    EXPECT_EQ(short_age(76h), "3d04h");
}

}  // namespace
}  // namespace qkd::cli
