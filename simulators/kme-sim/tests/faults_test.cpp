// The fault script: which call it hits, how it counts, and that it may change while the server runs.
#include "faults.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "temp_folder.hpp"

namespace qkd::kme_sim {
namespace {

TEST(Faults, HitsTheNthMatchingCallOnly) {
    const TempFolder folder;
    FaultScript script(
        folder.write("f.json", R"({"faults":[{"kme":"k1","call":"enc_keys","nth":2,"action":"drop"}]})"));
    const auto hit = [&](const char* kme, const char* call) { return script.next(kme, call, "a").value().has_value(); };
    EXPECT_FALSE(hit("k1", "enc_keys"));
    EXPECT_FALSE(hit("k2", "enc_keys")) << "another KME";
    EXPECT_FALSE(hit("k1", "dec_keys")) << "another call";
    EXPECT_TRUE(hit("k1", "enc_keys"));
    EXPECT_FALSE(hit("k1", "enc_keys"));
}

TEST(Faults, FollowsTheFileAndKeepsItsCounters) {
    const TempFolder folder;
    FaultScript script(folder.file("f.json"));
    EXPECT_FALSE(script.next("k1", "status", "a").value().has_value()) << "no file, no faults";
    const char* once = R"({"faults":[{"nth":1,"action":"error","status":400,"message":"m"}]})";
    folder.write("f.json", once);
    const auto fault = script.next("k1", "status", "a").value();
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->action, FaultAction::error);
    EXPECT_EQ(fault->status, 400);
    EXPECT_EQ(fault->message, "m");
    folder.write("f.json", R"({"faults":[]})");
    EXPECT_FALSE(script.next("k1", "status", "a").value().has_value());
    folder.write("f.json", once);
    EXPECT_FALSE(script.next("k1", "status", "a").value().has_value()) << "the first call is past";
    folder.write("f.json", R"({"faults":[{"every":true,"sae":"b","action":"hang","ms":5}]})");
    EXPECT_FALSE(script.next("k1", "status", "a").value().has_value());
    EXPECT_TRUE(script.next("k1", "status", "b").value().has_value());
    EXPECT_TRUE(script.next("k1", "status", "b").value().has_value());
}

TEST(Faults, LeavesALineForEachStrike) {
    const TempFolder folder;
    FaultScript script(folder.write(
        "f.json",
        R"({"faults":[{"call":"enc_keys","nth":2,"action":"drop","id":"x"},{"call":"enc_keys","every":true,"action":"delay"}]})"));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(script.next("k1", "enc_keys", "a").value().has_value());
    EXPECT_FALSE(script.next("k1", "status", "a").value().has_value());
    std::ifstream log(folder.file("f.json.log"));
    std::vector<std::string> actions;
    for (std::string line; std::getline(log, line);) {
        const auto json = nlohmann::json::parse(line);
        EXPECT_EQ(json.at("kme"), "k1");
        EXPECT_EQ(json.at("sae"), "a");
        actions.push_back(json.at("action").get<std::string>() + (json.at("id").is_null() ? "" : " x"));
    }
    EXPECT_EQ(actions, (std::vector<std::string>{"delay", "drop x", "delay"}));
}

TEST(Faults, SaysWhatIsWrongWithTheFile) {
    const TempFolder folder;
    for (const char* text : {"{", R"({"faults":[{"nth":1}]})", R"({"faults":[{"nth":0,"action":"drop"}]})",
                             R"({"faults":[{"nth":1,"action":"explode"}]})", R"({"faults":[{"action":"drop"}]})",
                             R"({"faults":[{"nth":1,"action":"drop","kem":"k1"}]})",
                             R"({"faults":[{"nth":1,"action":"drop","call":"enc"}]})", R"({"faults":["drop"]})"}) {
        FaultScript script(folder.write("f.json", text));
        EXPECT_FALSE(script.next("k1", "status", "a").ok()) << text;
    }
}

}  // namespace
}  // namespace qkd::kme_sim
