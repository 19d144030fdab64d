// The profile: counts and times of nested tasks add up and come out sorted.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "engine/reporting/profile.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

const Json& named(const Json& tasks, const std::string& name) {
    for (const auto& task : tasks) {
        if (task["name"] == name) return task;
    }
    throw std::runtime_error("no task " + name);
}

void fill(Profile& profile) {
    profile.step_ends({"l1", "mx1", "commit", "p"}, 10ms, nullptr);
    profile.step_ends({"l1", "mx2", "commit", "p"}, 30ms, nullptr);
    profile.step_ends({"l1", "mx2", "commit", "p"}, 20ms, nullptr);
    const Error failed{ErrorCode::timeout, Retry::safe, "late", ""};
    profile.step_ends({"l2", "mx1", "connect", "p"}, 5ms, &failed);  // failures cost time as well
    profile.step_ends({"l1", "", "reserve", "p"}, 1ms, nullptr);     // a step of the link
}

TEST(Profile, AddsUpNestedTasks) {
    Profile profile;
    fill(profile);
    const Json tasks = Json::parse(profile.to_json())["tasks"];
    const Json& commit = named(named(tasks, "l1")["tasks"], "commit");
    EXPECT_EQ(commit["count"], 3);
    EXPECT_DOUBLE_EQ(commit["cumulative_ms"].get<double>(), 60);
    EXPECT_DOUBLE_EQ(commit["average_ms"].get<double>(), 20);
    EXPECT_DOUBLE_EQ(commit["min_ms"].get<double>(), 10);
    EXPECT_DOUBLE_EQ(commit["max_ms"].get<double>(), 30);
    const Json& mx2 = named(commit["tasks"], "mx2");
    EXPECT_EQ(mx2["count"], 2);
    EXPECT_DOUBLE_EQ(mx2["min_ms"].get<double>(), 20);
    EXPECT_TRUE(named(named(tasks, "l1")["tasks"], "reserve")["tasks"].empty());
    const Json& all = named(tasks, "all links");
    EXPECT_EQ(named(all["tasks"], "commit")["count"], 3);
    EXPECT_EQ(named(all["tasks"], "connect")["count"], 1);
}

TEST(Profile, TheTableIsSortedByCumulativeTime) {
    Profile profile;
    fill(profile);
    std::istringstream table(profile.to_table());
    std::string line;
    std::getline(table, line);
    double last = 1e9;
    std::vector<std::string> names;
    while (std::getline(table, line) && !line.empty()) {
        const auto end = line.find("  ");
        names.push_back(line.substr(0, end));
        std::istringstream numbers(line.substr(end));
        double count = 0;
        double cumulative = 0;
        ASSERT_TRUE(numbers >> count >> cumulative) << line;
        EXPECT_LE(cumulative, last) << line;
        last = cumulative;
    }
    EXPECT_NE(std::find(names.begin(), names.end(), "l1 > commit > mx2"), names.end());
    EXPECT_NE(std::find(names.begin(), names.end(), "all links > commit"), names.end());
}

TEST(Profile, TimesWholeLinks) {
    Profile profile;
    Link link;
    link.name = "l1";
    LinkReport report;
    report.name = "l1";
    for (int i = 0; i < 2; ++i) {
        profile.link_begins(link);
        profile.link_ends(report);
    }
    report.name = "never begun";
    profile.link_ends(report);
    const Json tasks = Json::parse(profile.to_json())["tasks"];
    EXPECT_EQ(named(tasks, "l1")["count"], 2);
    EXPECT_EQ(named(tasks, "all links")["count"], 2);
    EXPECT_EQ(tasks.size(), 2U);
}

// What happened stands beside the time that it took, in both forms.
TEST(Profile, EventsAndFailuresAreNotes) {
    Profile profile;
    fill(profile);
    profile.event({"l1", "mx1", "commit", "p"}, "device.busy", std::vector<Attr>{{"waits", std::int64_t{2}}});
    profile.event({}, "run.begins", std::vector<Attr>{{"run_id", std::string_view("r\n1")}});
    const Json tasks = Json::parse(profile.to_json())["tasks"];
    EXPECT_EQ(named(named(named(tasks, "l1")["tasks"], "commit")["tasks"], "mx1")["annotations"],
              Json::array({"device.busy waits=2"}));
    EXPECT_EQ(named(named(named(tasks, "l2")["tasks"], "connect")["tasks"], "mx1")["annotations"],
              Json::array({"failed (timeout): late"}));
    EXPECT_EQ(named(tasks, "all links")["annotations"], Json::array({"run.begins run_id=r\n1"}));
    const std::string table = profile.to_table();
    EXPECT_NE(table.find("\n  l1 > commit > mx1: device.busy waits=2\n"), std::string::npos) << table;
    EXPECT_NE(table.find("run_id=r\\x0a1"), std::string::npos) << table;  // on one line
}

TEST(Profile, NotesAreBounded) {
    Profile profile;
    for (int i = 0; i < 1000; ++i) profile.event({"l", "", "", ""}, "again", {});
    const Json notes = named(Json::parse(profile.to_json())["tasks"], "l")["annotations"];
    EXPECT_LE(notes.size(), 60U);
    EXPECT_EQ(notes.back(), "and 950 more");
}

TEST(Profile, SaysHowLongEverythingTook) {
    Profile profile;
    EXPECT_GE(Json::parse(profile.to_json())["elapsed_ms"].get<double>(), 0);
    EXPECT_NE(profile.to_table().find("\nELAPSED "), std::string::npos);
}

TEST(Profile, TheFileNameChoosesTheForm) {
    Profile profile;
    fill(profile);
    EXPECT_TRUE(Json::accept(profile.for_file("/tmp/p.json")));
    EXPECT_TRUE(profile.for_file("p.txt").starts_with("TASK"));
}

TEST(Profile, CountsFromManyThreads) {
    Profile profile;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&profile] {
                for (int i = 0; i < 500; ++i) profile.step_ends({"l", "d", "s", "p"}, 1us, nullptr);
            });
        }
    }
    const Json tasks = Json::parse(profile.to_json())["tasks"];
    EXPECT_EQ(named(named(tasks, "l")["tasks"], "s")["count"], 2000);
}

}  // namespace
}  // namespace qkd::engine
