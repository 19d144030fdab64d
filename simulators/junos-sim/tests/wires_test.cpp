// Devices on a wire: what one commits, the other's MKA and LLDP see, on lab time and whoever looks.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "lab.hpp"
#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace {

const std::string ca = "set security macsec connectivity-association CA ";

std::string bind(const std::string& interface) {
    return ca + "security-mode static-cak\nset security macsec interfaces " + interface +
           " connectivity-association CA\n";
}

std::string psk(const std::string& ckn, const std::string& cak) {
    return ca + "pre-shared-key ckn " + ckn + "\n" + ca + "pre-shared-key cak " + cak + "\n";
}

std::string chain_key(int index, const std::string& ckn, const std::string& cak, const std::string& start) {
    const std::string key = "set security authentication-key-chains key-chain K key " + std::to_string(index) + " ";
    return key + "key-name " + ckn + "\n" + key + "secret " + cak + "\n" + key + "start-time " + start + "\n";
}

void commit(const TestLab& lab, const std::string& device, const std::string& lines, const std::string& inside = {}) {
    Client client(lab.device(device));
    ASSERT_TRUE(client.load_set(lines)) << lines;
    ASSERT_TRUE(client.commit(inside)) << lines;
}

std::vector<nlohmann::json> log_of(const TestLab& lab, const std::string& wire) {
    std::vector<nlohmann::json> lines;
    const std::string text = read_file(lab.root() / "wires" / (wire + ".log")).value_or("");
    for (const auto& line : split(text, '\n')) {
        if (!line.empty()) lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
}

const std::string wire_ab = "a_et-0-0-9--b_xe-0-0-1-0";

TestLab pair() {
    return TestLab({"a", "b"}, {{"a", "et-0/0/9", "b", "xe-0/0/1:0"}});
}

}  // namespace

TEST(Wires, LinkComesUpWhenBothEndsHoldTheKey) {
    auto lab = pair();
    commit(lab, "a", bind("et-0/0/9") + psk("AB", "cd"));
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "down");
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "absent");
    lab.advance(60'000);
    commit(lab, "b", bind("xe-0/0/1:0") + psk("ab", "CD"));
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "init");
    lab.advance(2000);
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "secured ab");
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured ab");
}

TEST(Wires, ChainRollsOverOnEachDevicesOwnClockAndZone) {
    auto lab = pair();
    lab.configure("a", "zone", "\"Europe/Berlin\"");
    lab.configure("b", "zone", "\"America/New_York\"");
    lab.configure("b", "skew_ms", "-3000");
    const std::string use = ca + "pre-shared-key-chain K\n";
    commit(lab, "a",
           bind("et-0/0/9") + use + chain_key(0, "aa", "01", "2026-01-01.00:01") +
               chain_key(1, "bb", "02", "2026-11-18.12:10"));
    commit(lab, "b",
           bind("xe-0/0/1:0") + use + chain_key(0, "aa", "01", "2026-01-01.00:01") +
               chain_key(1, "bb", "02", "2026-11-18.06:10"));
    lab.advance(2000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured aa");
    lab.advance(200'000 - 2000);  // 11:10:00 UTC
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "preceding aa");
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "secured aa");
    lab.advance(3000 + 2000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured bb");
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "secured bb");
}

TEST(Wires, ExpiryOfAConfirmedCommitChangesTheWireAtItsInstant) {
    auto lab = pair();
    commit(lab, "a", bind("et-0/0/9") + psk("aa", "01"));
    commit(lab, "b", bind("xe-0/0/1:0") + psk("aa", "01"));
    lab.advance(10'000);
    const std::string confirmed = "<confirmed/><confirm-timeout>1</confirm-timeout>";
    commit(lab, "a", psk("bb", "02"), confirmed);
    commit(lab, "b", psk("bb", "02"), confirmed);
    lab.advance(10'000);
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "secured bb");
    lab.advance(600'000);
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "secured aa") << "looking at one end lets both ends' timers act";
    const auto log = log_of(lab, wire_ab);
    const Millis revert = lab.now() - 600'000 - 10'000 + 60'000;
    bool seen = false;
    for (const auto& line : log) {
        EXPECT_FALSE(line["apart"].get<bool>() && line["at"].get<Millis>() > revert - 60'000) << line.dump();
        seen = seen || (line["at"] == revert && line["state"] == "preceding");
    }
    EXPECT_TRUE(seen) << "both ends fell back to the old key at the recorded instant, still running on the new one";
}

TEST(Wires, ALabThatSkipsWaitsGoesToTheStartTimeOnceNothingIsLeftToConfirm) {
    auto lab = pair();
    const auto clock = [&] { return read_lab(lab.root() / "lab.json").now(); };
    const auto unlocked_with = [&](const std::string& device, const std::string& set, const std::string& inside) {
        Client client(lab.device(device));
        ASSERT_TRUE(client.ok("<lock-configuration/>"));
        ASSERT_TRUE(set.empty() || client.load_set(set));
        ASSERT_TRUE(client.commit(inside));
        ASSERT_TRUE(client.ok("<unlock-configuration/>"));
    };
    const std::string use = ca + "pre-shared-key-chain K\n";
    const std::string minutes = "<confirmed/><confirm-timeout>2</confirm-timeout>";
    unlocked_with("a", bind("et-0/0/9") + use + chain_key(0, "aa", "01", "2026-11-18.11:10"), {});
    EXPECT_EQ(clock(), lab.now()) << "time passes by itself where nobody asked for more";
    lab.skip_waits();
    unlocked_with("a", {}, {});
    EXPECT_EQ(clock(), lab.now()) << "b waits for nothing yet";
    unlocked_with("b", bind("xe-0/0/1:0") + use + chain_key(0, "aa", "01", "2026-11-18.13:00"), minutes);
    EXPECT_EQ(clock(), lab.now()) << "a commit waits for its confirm";
    {
        Client other(lab.device("a"));
        ASSERT_TRUE(other.ok("<lock-configuration/>"));
        unlocked_with("b", {}, {});
        EXPECT_EQ(clock(), lab.now()) << "another device is being worked on";
    }
    unlocked_with("b", {}, {});
    EXPECT_EQ(clock(), lab.now() + 200'000 - 2000) << "two seconds before 11:10:00 UTC, the earliest start";
}

TEST(Wires, LogTellsEveryTransitionAndNoKey) {
    auto lab = pair();
    commit(lab, "a", bind("et-0/0/9") + psk("aa", "01020304"));
    commit(lab, "b", bind("xe-0/0/1:0") + psk("aa", "99020304"));
    lab.advance(5000);
    commit(lab, "b", psk("aa", "01020304"));
    lab.advance(5000);
    lab.show("a");
    const auto log = log_of(lab, wire_ab);
    ASSERT_EQ(log.size(), 3U);
    EXPECT_EQ(log[0]["state"], "down");
    EXPECT_EQ(log[0]["apart"], true);
    EXPECT_EQ(log[1]["state"], "init");
    EXPECT_EQ(log[1]["apart"], false);
    EXPECT_EQ(log[2]["state"], "secured");
    EXPECT_EQ(log[2]["ckn"], "aa");
    EXPECT_EQ(log[2]["at"].get<Millis>() - log[1]["at"].get<Millis>(), 2000);
    EXPECT_EQ(log[2]["ends"][1]["device"], "b");
    EXPECT_EQ(log[2]["ends"][1]["interface"], "xe-0/0/1:0");
    EXPECT_EQ(log[2]["ends"][1]["role"], "primary");
    lab.show("b");
    EXPECT_EQ(log_of(lab, wire_ab).size(), 3U) << "looking again adds nothing";
    EXPECT_EQ(read_file(lab.root() / "wires" / (wire_ab + ".log"))->find("020304"), std::string::npos);
}

TEST(Wires, OneAssociationOverSeveralWires) {
    TestLab lab({"hub", "x", "y"}, {{"hub", "et-0/0/0", "x", "et-0/0/0"}, {"y", "et-0/0/0", "hub", "et-0/0/1"}});
    commit(lab, "hub", bind("et-0/0/0") + bind("et-0/0/1") + psk("aa", "01"));
    commit(lab, "x", bind("et-0/0/0") + psk("aa", "01"));
    commit(lab, "y", bind("et-0/0/0") + psk("aa", "99"));
    lab.advance(2000);
    EXPECT_EQ(lab.mka("hub", "et-0/0/0"), "secured aa");
    EXPECT_EQ(lab.mka("hub", "et-0/0/1"), "down");
    EXPECT_EQ(lab.mka("y", "et-0/0/0"), "down");
}

TEST(Wires, MkaRepliesNameKeyRoleAndState) {
    auto lab = pair();
    const std::string fallback = ca + "fallback-key ckn ff\n" + ca + "fallback-key cak 0f\n";
    commit(lab, "a", bind("et-0/0/9") + psk("aa", "01") + fallback);
    commit(lab, "b", bind("xe-0/0/1:0") + psk("aa", "01") + fallback);
    lab.advance(10'000);
    commit(lab, "a", psk("bb", "02"));
    Client client(lab.device("a"));
    const auto summary = [&] {
        return text_of(
            client.call("<get-mka-session-information format='text'><summary/></get-mka-session-information>")
                .select_node("//output")
                .node());
    };
    auto lines = split(summary(), '\n');
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_NE(lines[1].find("preceding   live          "), std::string::npos) << lines[1];
    EXPECT_NE(lines[2].find("primary     in-progress   "), std::string::npos) << lines[2];
    EXPECT_NE(lines[3].find("fallback    active        "), std::string::npos) << lines[3];
    commit(lab, "b", psk("bb", "02"));
    lab.advance(2000);
    const auto reply = client.call("<get-mka-session-information><detail/></get-mka-session-information>");
    const auto info = reply.select_node("//mka-session-information[interface-name='et-0/0/9']").node();
    EXPECT_EQ(text_of(info.child("interface-state")), "Secured - Primary");
    EXPECT_EQ(text_of(info.child("session-live").child("cak-name")), "BB");
    EXPECT_EQ(text_of(info.select_node("session-cak[cak-type='fallback']/cak-name").node()), "FF");
    EXPECT_EQ(summary().find("preceding"), std::string::npos);
    EXPECT_FALSE(
        client
            .call(
                "<get-mka-session-information><interface-name>et-9/9/9</interface-name></get-mka-session-information>")
            .select_node("//interface-name"));
}

TEST(Wires, LldpShowsTheNeighboursPortAndCommittedDescription) {
    auto lab = pair();
    commit(lab, "a", "set protocols lldp interface all\nset interfaces et-0/0/9 description \"to b | {id}\"");
    const auto neighbour = [&](const std::string& device, const std::string& field) {
        Client client(lab.device(device));
        return text_of(client.call("<get-lldp-neighbors-information/>")
                           .select_node(("//lldp-neighbor-information/" + field).c_str())
                           .node());
    };
    EXPECT_EQ(neighbour("b", "lldp-remote-system-name"), "") << "LLDP does not run here yet";
    commit(lab, "b", "set protocols lldp interface xe-0/0/1:0");
    EXPECT_EQ(neighbour("b", "lldp-remote-system-name"), "a");
    EXPECT_EQ(neighbour("b", "lldp-remote-port-id"), "et-0/0/9");
    EXPECT_EQ(neighbour("b", "lldp-remote-port-description"), "to b | {id}");
    EXPECT_EQ(neighbour("b", "lldp-local-port-id"), "xe-0/0/1:0");
    EXPECT_EQ(neighbour("a", "lldp-remote-port-description"), "xe-0/0/1:0") << "without a description, the port's name";
    Client client(lab.device("b"));
    const auto one = client.call(
        "<get-lldp-interface-neighbors><interface-device>xe-0/0/1:0</interface-device></get-lldp-interface-neighbors>");
    EXPECT_EQ(text_of(one.select_node(
                             "//lldp-neighbor-information[lldp-local-interface='xe-0/0/1:0']/lldp-remote-system-name")
                          .node()),
              "a");
    EXPECT_FALSE(client
                     .call("<get-lldp-interface-neighbors><interface-device>et-9/9/9</interface-device></"
                           "get-lldp-interface-neighbors>")
                     .select_node("//lldp-neighbor-information"));
}

TEST(Wires, TimelinesStayShort) {
    auto lab = pair();
    commit(lab, "b", bind("xe-0/0/1:0") + psk("aa", "01"));
    Client client(lab.device("a"));
    for (int i = 0; i < 60; ++i) {
        lab.advance(1000);
        ASSERT_TRUE(client.load_set(bind("et-0/0/9") + psk(i % 2 == 0 ? "aa" : "bb", "01")));
        ASSERT_TRUE(client.commit());
    }
    const auto state = nlohmann::json::parse(read_file(lab.device("a") / "sim" / "state.json").value());
    EXPECT_LE(state["timeline"]["et-0/0/9"].size(), 20U);
}

TEST(Wires, ManyLookersAndCommittersAtOnceNeitherHangNorDisagree) {
    TestLab lab(
        {"a", "b", "c"},
        {{"a", "et-0/0/0", "b", "et-0/0/0"}, {"b", "et-0/0/1", "c", "et-0/0/0"}, {"c", "et-0/0/1", "a", "et-0/0/1"}});
    std::vector<std::thread> threads;
    for (const std::string name : {"a", "b", "c"}) {
        threads.emplace_back([&lab, name] {
            Client client(lab.device(name));
            for (int i = 0; i < 5; ++i) {
                EXPECT_TRUE(client.load_set(bind("et-0/0/0") + bind("et-0/0/1") + psk("aa", "0" + std::to_string(i))));
                EXPECT_TRUE(client.commit());
                EXPECT_TRUE(client.ok("<get-mka-session-information/>"));
                EXPECT_TRUE(client.ok("<get-lldp-neighbors-information/>"));
            }
        });
    }
    for (auto& t : threads) t.join();
    lab.advance(2000);
    for (const std::string name : {"a", "b", "c"}) {
        EXPECT_EQ(lab.mka(name, "et-0/0/0"), "secured aa");
        EXPECT_EQ(lab.mka(name, "et-0/0/1"), "secured aa");
    }
}

TEST(Wires, WithoutThePrecedingKeyAReplacedKeyIsGoneAtOnce) {
    for (const bool preceding : {true, false}) {
        auto lab = pair();
        for (const char* name : {"a", "b"}) lab.configure(name, "preceding_key", preceding ? "true" : "false");
        commit(lab, "a", bind("et-0/0/9") + psk("aa", "01"));
        commit(lab, "b", bind("xe-0/0/1:0") + psk("aa", "01"));
        lab.advance(5000);
        // At one end: no common key is left.
        commit(lab, "a", psk("bb", "02"));
        EXPECT_EQ(lab.mka("a", "et-0/0/9"), preceding ? "preceding aa" : "down");
        EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), preceding ? "secured aa" : "down");
        lab.advance(5000);
        // At both: down until MKA has found its peer on the new one.
        commit(lab, "b", psk("bb", "02"));
        EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), preceding ? "preceding aa" : "init");
        lab.advance(2000);
        EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured bb");
        // A fallback common to both carries the wire over.
        const std::string fallback = ca + "fallback-key ckn ff\n" + ca + "fallback-key cak 0f\n";
        commit(lab, "a", fallback);
        commit(lab, "b", fallback);
        lab.advance(5000);
        commit(lab, "a", psk("cc", "03"));
        lab.advance(1);
        EXPECT_EQ(lab.mka("a", "et-0/0/9"), preceding ? "preceding bb" : "fallback ff");
        EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), preceding ? "secured bb" : "fallback ff");
        bool apart = false;
        lab.advance(1);
        lab.show("a");
        for (const auto& line : log_of(lab, wire_ab)) apart = apart || line["apart"].get<bool>();
        EXPECT_EQ(apart, !preceding);
    }
}

TEST(Wires, WithoutThePrecedingKeyAChainRollsOverThroughAGap) {
    auto lab = pair();
    lab.configure("a", "preceding_key", "false");  // one end is enough
    const std::string keys = ca + "pre-shared-key-chain K\n" + chain_key(0, "aa", "01", "2026-01-01.00:01") +
                             chain_key(1, "bb", "02", "2026-11-18.11:10");
    commit(lab, "a", bind("et-0/0/9") + keys);
    commit(lab, "b", bind("xe-0/0/1:0") + keys);
    lab.advance(199'999);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured aa");
    lab.advance(1);  // 11:10:00 UTC
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "init");
    lab.advance(2000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured bb");
    lab.advance(1);
    lab.show("a");
    for (const auto& line : log_of(lab, wire_ab)) {
        if (line["at"].get<Millis>() >= lab.now() - 2001) {
            EXPECT_FALSE(line["apart"].get<bool>()) << line.dump();
        }
    }
}
