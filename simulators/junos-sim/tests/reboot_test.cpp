// What a reboot takes along and what it leaves, by command and in the middle of a call; and sessions that outlive their client.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace {

const std::string confirmed_2 = "<confirmed/><confirm-timeout>2</confirm-timeout>";
const std::string wire_ab = "a_et-0-0-9--b_xe-0-0-1-0";

void reboot(const TestLab& lab, const std::string& device) {
    const auto [output, code] = run({JUNOS_SIM, "--state", lab.device(device).string(), "--reboot"});
    EXPECT_EQ(code, 0) << output;
}

std::string host_name(const TestLab& lab) {
    return text_of(lab.show("a").select_node("//host-name").node());
}

bool pending(Client& client) {
    return static_cast<bool>(client.call("<get-commit-information/>").select_node("//commit-confirmed"));
}

std::size_t sessions(const TestLab& lab) {
    const auto folder = lab.device("a") / "sim" / "sessions";
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TestLab pair() {
    return TestLab({"a", "b"}, {{"a", "et-0/0/9", "b", "xe-0/0/1:0"}});
}

void secure(TestLab& lab) {
    for (const auto& [name, port] : {std::pair{"a", "et-0/0/9"}, std::pair{"b", "xe-0/0/1:0"}}) {
        const std::string ca = "set security macsec connectivity-association CA ";
        Client client(lab.device(name));
        EXPECT_TRUE(client.load_set(ca + "security-mode static-cak\n" + ca + "pre-shared-key ckn aa\n" + ca +
                                    "pre-shared-key cak 01\nset security macsec interfaces " + port +
                                    " connectivity-association CA\n"));
        EXPECT_TRUE(client.commit());
    }
    lab.advance(5000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured aa");
}

void replace_key(const TestLab& lab, const std::string& device) {
    Client client(lab.device(device));
    EXPECT_TRUE(
        client.load_set("set security macsec connectivity-association CA pre-shared-key ckn bb\n"
                        "set security macsec connectivity-association CA pre-shared-key cak 02\n"));
    EXPECT_TRUE(client.commit());
}

}  // namespace

TEST(Reboot, SessionsLockAndCandidateAreGone) {
    TestLab lab({"a"});
    Client holder(lab.device("a"));
    Client idle(lab.device("a"));
    EXPECT_TRUE(holder.ok("<lock-configuration/>"));
    EXPECT_TRUE(holder.load_set("set system host-name x"));
    reboot(lab, "a");
    EXPECT_EQ(holder.process().wait(), 128 + SIGKILL);
    EXPECT_EQ(idle.process().wait(), 128 + SIGKILL);
    EXPECT_EQ(sessions(lab), 0U);
    Client next(lab.device("a"));
    EXPECT_TRUE(next.ok("<lock-configuration/>"));
    EXPECT_EQ(trim(next.compare()), "");
    EXPECT_EQ(host_name(lab), "a");
}

TEST(Reboot, ACandidateLeftWithoutALockGoesToo) {
    TestLab lab({"a"});
    {
        Client careless(lab.device("a"));
        EXPECT_TRUE(careless.load_set("set system host-name x"));
        EXPECT_TRUE(careless.ok("<close-session/>"));
    }
    reboot(lab, "a");
    Client next(lab.device("a"));
    EXPECT_TRUE(next.ok("<lock-configuration/>")) << "nothing is modified";
}

TEST(Reboot, TheTimerOfAConfirmedCommitStaysOrIsLost) {
    for (const bool survives : {true, false}) {
        TestLab lab({"a"});
        lab.configure("a", "timer_survives_reboot", survives ? "true" : "false");
        {
            Client client(lab.device("a"));
            EXPECT_TRUE(client.load_set("set system host-name x"));
            EXPECT_TRUE(client.commit(confirmed_2));
        }
        lab.advance(60'000);
        reboot(lab, "a");
        EXPECT_EQ(host_name(lab), "x") << "what was committed is what it boots with";
        Client client(lab.device("a"));
        EXPECT_EQ(pending(client), survives);
        lab.advance(59'999);
        EXPECT_EQ(host_name(lab), "x");
        lab.advance(600'000);
        EXPECT_EQ(host_name(lab), survives ? "a" : "x");
    }
}

TEST(Reboot, ATimerThatHadEndedBeforeIsNotLost) {
    TestLab lab({"a"});
    lab.configure("a", "timer_survives_reboot", "false");
    {
        Client client(lab.device("a"));
        EXPECT_TRUE(client.load_set("set system host-name x"));
        EXPECT_TRUE(client.commit(confirmed_2));
    }
    lab.advance(120'000);
    reboot(lab, "a");
    EXPECT_EQ(host_name(lab), "a");
}

TEST(Reboot, TheWireGoesDownAndComesUpAgain) {
    auto lab = pair();
    secure(lab);
    const Millis at = lab.now();
    reboot(lab, "b");
    lab.advance(1);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "init") << "it begins anew";
    lab.advance(2000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured aa");
    EXPECT_EQ(lab.mka("b", "xe-0/0/1:0"), "secured aa");
    lab.advance(1000);
    lab.show("a");
    bool down = false;
    for (const auto& line : split(read_file(lab.root() / "wires" / (wire_ab + ".log")).value_or(""), '\n')) {
        if (line.empty()) continue;
        const auto entry = nlohmann::json::parse(line);
        if (entry["at"].get<Millis>() < at) continue;
        EXPECT_FALSE(entry["apart"].get<bool>()) << "a device that boots shares no key, and is not apart: " << line;
        down = down || (entry["state"] == "down" && entry["at"] == at);
    }
    EXPECT_TRUE(down);
}

TEST(Reboot, ThePrecedingKeyIsForgotten) {
    auto lab = pair();
    secure(lab);
    replace_key(lab, "a");
    lab.advance(5000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "preceding aa") << "only one end has the new key";
    reboot(lab, "a");
    lab.advance(5000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "down") << "it boots with what is configured";
    replace_key(lab, "b");
    lab.advance(5000);
    EXPECT_EQ(lab.mka("a", "et-0/0/9"), "secured bb");
}

TEST(Reboot, InTheMiddleOfACallBeforeOrAfterItsEffect) {
    for (const std::string phase : {"before", "after"}) {
        TestLab lab({"a"});
        write_file(lab.device("a") / "faults.json",
                   R"({"faults":[{"rpc":"commit-configuration","nth":1,"action":"reboot","phase":")" + phase + "\"}]}");
        Client other(lab.device("a"));
        Client client(lab.device("a"));
        EXPECT_TRUE(client.ok("<lock-configuration/>"));
        EXPECT_TRUE(client.load_set("set system host-name x"));
        EXPECT_EQ(client.raw("<commit-configuration>" + confirmed_2 + "</commit-configuration>"), "");
        EXPECT_EQ(client.process().wait(), 70);
        EXPECT_EQ(other.process().wait(), 128 + SIGKILL) << "all sessions of the device at once";
        EXPECT_EQ(sessions(lab), 0U);
        EXPECT_EQ(host_name(lab), phase == "after" ? "x" : "a");
        Client next(lab.device("a"));
        EXPECT_EQ(pending(next), phase == "after");
        EXPECT_TRUE(next.ok("<lock-configuration/>"));
        EXPECT_EQ(trim(next.compare()), "");
        EXPECT_TRUE(next.commit()) << "this time only";
    }
}

TEST(Linger, ADeadClientsSessionKeepsItsLockUntilItsTimeIsOver) {
    TestLab lab({"a"});
    lab.configure("a", "linger_s", "30");
    Client dead(lab.device("a"));
    EXPECT_TRUE(dead.ok("<lock-configuration/>"));
    EXPECT_TRUE(dead.load_set("set system host-name x"));
    dead.process().close_input();
    EXPECT_EQ(trim(dead.process().read_all()), "") << "its streams are closed";
    ::kill(dead.process().pid(), SIGHUP);
    Client other(lab.device("a"));
    const auto held = other.error("<lock-configuration/>");
    EXPECT_NE(held.find("(pid " + std::to_string(dead.process().pid()) + ")"), std::string::npos) << held;
    lab.advance(30'000);
    EXPECT_EQ(dead.process().wait(), 0);
    EXPECT_TRUE(other.ok("<lock-configuration/>"));
    EXPECT_EQ(trim(other.compare()), "");
}

TEST(Linger, KillSessionEndsIt) {
    TestLab lab({"a"});
    lab.configure("a", "linger_s", "3000");
    Client dead(lab.device("a"));
    EXPECT_TRUE(dead.ok("<lock-configuration/>"));
    dead.process().close_input();
    EXPECT_EQ(trim(dead.process().read_all()), "");
    Client other(lab.device("a"));
    EXPECT_FALSE(other.ok("<lock-configuration/>"));
    EXPECT_TRUE(
        other.ok("<kill-session><session-id>" + std::to_string(dead.process().pid()) + "</session-id></kill-session>"));
    EXPECT_EQ(dead.process().wait(), 0);
    EXPECT_TRUE(other.ok("<lock-configuration/>"));
}

TEST(Linger, ALostConnectionLingersAndAFarewellDoesNot) {
    TestLab lab({"a"});
    lab.configure("a", "linger_s", "30");
    Client polite(lab.device("a"));
    EXPECT_TRUE(polite.ok("<lock-configuration/>"));
    EXPECT_TRUE(polite.ok("<close-session/>"));
    EXPECT_EQ(polite.process().wait(), 0);
    write_file(lab.device("a") / "faults.json",
               R"({"faults":[{"rpc":"commit-configuration","nth":1,"action":"drop"}]})");
    Client dropped(lab.device("a"));
    EXPECT_TRUE(dropped.ok("<lock-configuration/>"));
    EXPECT_EQ(dropped.raw("<commit-configuration/>"), "");
    Client other(lab.device("a"));
    EXPECT_FALSE(other.ok("<lock-configuration/>"));
    lab.advance(30'000);
    EXPECT_EQ(dropped.process().wait(), 0);
}

TEST(KillSession, TakesTheUnconfirmedCommitOfThatSessionBack) {
    TestLab lab({"a"});
    Client maker(lab.device("a"));
    EXPECT_TRUE(maker.load_set("set system host-name x"));
    EXPECT_TRUE(maker.commit(confirmed_2));
    Client bystander(lab.device("a"));
    Client other(lab.device("a"));
    const auto kill = [&other](Client& victim) {
        EXPECT_TRUE(other.ok("<kill-session><session-id>" + std::to_string(victim.process().pid()) +
                             "</session-id></kill-session>"));
        EXPECT_EQ(victim.process().wait(), 0);
    };
    kill(bystander);
    EXPECT_TRUE(pending(other));
    EXPECT_EQ(host_name(lab), "x");
    kill(maker);
    EXPECT_FALSE(pending(other));
    EXPECT_EQ(host_name(lab), "a");
}
