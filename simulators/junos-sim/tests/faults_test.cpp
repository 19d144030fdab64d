// Scripted faults: each hits the call it names, that time only, and before or after the call took effect as asked.
#include <gtest/gtest.h>

#include <chrono>

#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace {

struct Faulty {
    TestLab lab{{"a"}};
    explicit Faulty(const std::string& faults) {
        write_file(lab.device("a") / "faults.json", "{\"faults\":[" + faults + "]}");
    }
    std::string host_name() const { return text_of(lab.show("a").select_node("//host-name").node()); }
};

const std::string set_x = "set system host-name x";

}  // namespace

TEST(Faults, ErrorOnTheNthCallCountedOverProcesses) {
    Faulty f(R"({"rpc":"get-configuration","nth":2,"action":"error","message":"disk on fire"})");
    Client first(f.lab.device("a"));
    EXPECT_TRUE(first.ok("<get-configuration/>"));
    Client second(f.lab.device("a"));
    EXPECT_TRUE(second.ok("<get-system-information/>"));
    EXPECT_EQ(second.error("<get-configuration/>"), "disk on fire");
    EXPECT_TRUE(second.ok("<get-configuration/>"));
}

TEST(Faults, DropBeforeAndAfterTheEffect) {
    for (const bool after : {false, true}) {
        Faulty f(std::string(R"({"rpc":"commit-configuration","nth":1,"action":"drop","phase":")") +
                 (after ? "after" : "before") + "\"}");
        Client client(f.lab.device("a"));
        EXPECT_TRUE(client.load_set(set_x));
        EXPECT_EQ(client.raw("<commit-configuration/>"), "") << "no reply, the connection is gone";
        EXPECT_EQ(client.process().wait(), 0);
        EXPECT_EQ(f.host_name(), after ? "x" : "a");
    }
}

TEST(Faults, CrashLeavesNoLockBehind) {
    for (const std::string action : {"crash", "crash-after"}) {
        Faulty f(R"({"rpc":"commit-configuration","nth":1,"action":")" + action + "\"}");
        {
            Client client(f.lab.device("a"));
            EXPECT_TRUE(client.ok("<lock-configuration/>"));
            EXPECT_TRUE(client.load_set(set_x));
            EXPECT_EQ(client.raw("<commit-configuration/>"), "");
            EXPECT_EQ(client.process().wait(), 70);
        }
        EXPECT_EQ(f.host_name(), action == "crash" ? "a" : "x");
        Client next(f.lab.device("a"));
        EXPECT_TRUE(next.ok("<lock-configuration/>"));
    }
}

TEST(Faults, GarbageIsNotXml) {
    Faulty f(R"({"rpc":"*","nth":1,"action":"garbage"})");
    Client client(f.lab.device("a"));
    pugi::xml_document doc;
    EXPECT_FALSE(doc.load_string(client.raw("<get-configuration/>").c_str()));
    EXPECT_TRUE(client.ok("<get-configuration/>"));
}

TEST(Faults, HangAnswersNothingUntilThePeerCloses) {
    Faulty f(R"({"rpc":"lock-configuration","action":"hang"})");
    Client client(f.lab.device("a"));
    client.process().write("<rpc><lock-configuration/></rpc>]]>]]><rpc><get-configuration/></rpc>]]>]]>");
    client.process().close_input();
    EXPECT_EQ(trim(client.process().read_all()), "");
    EXPECT_EQ(client.process().wait(), 0);
}

TEST(Faults, LockHeldLooksLikeAnotherUser) {
    Faulty f(R"({"rpc":"lock-configuration","nth":1,"action":"lock-held"})");
    Client client(f.lab.device("a"));
    EXPECT_TRUE(client.error("<lock-configuration/>").starts_with("configuration database locked by:"));
    EXPECT_TRUE(client.ok("<lock-configuration/>"));
}

TEST(Faults, DelayHoldsTheAnswerBack) {
    Faulty f(R"({"rpc":"get-configuration","nth":1,"action":"delay","ms":150,"phase":"after"})");
    Client client(f.lab.device("a"));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(client.ok("<get-configuration/>"));
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(150));
}

TEST(Faults, CommitsAreToldApartByKind) {
    Faulty f(
        R"({"rpc":"commit-configuration","when":{"commit_kind":"check"},"nth":1,"action":"error","message":"check"},
                {"rpc":"commit-configuration","when":{"commit_kind":"confirmed"},"nth":1,"action":"error","message":"confirmed"},
                {"rpc":"commit-configuration","when":{"commit_kind":"confirm"},"nth":1,"action":"error","message":"confirm"},
                {"rpc":"commit-configuration","when":{"commit_kind":"plain"},"nth":1,"action":"error","message":"plain"})");
    Client client(f.lab.device("a"));
    const std::string check = "<commit-configuration><check/></commit-configuration>";
    const std::string confirmed = "<commit-configuration><confirmed/></commit-configuration>";
    const std::string plain = "<commit-configuration/>";
    EXPECT_EQ(client.error(plain), "plain");
    EXPECT_EQ(client.error(check), "check");
    EXPECT_EQ(client.error(confirmed), "confirmed");
    EXPECT_TRUE(client.ok(confirmed));
    EXPECT_EQ(client.error(plain), "confirm");
    EXPECT_TRUE(client.ok(plain));
    EXPECT_TRUE(client.ok(plain));
}

TEST(Faults, BeforeTheHello) {
    Faulty f(R"({"rpc":"connect","nth":1,"action":"drop"},{"rpc":"hello","nth":1,"action":"garbage"})");
    EXPECT_EQ(run({JUNOS_SIM, "--state", f.lab.device("a").string()}).first, "");
    const auto garbage = run({JUNOS_SIM, "--state", f.lab.device("a").string()}).first;
    EXPECT_NE(garbage.find("nonsense"), std::string::npos);
    Client third(f.lab.device("a"));
    EXPECT_TRUE(third.ok("<get-configuration/>"));
}

TEST(Faults, BrokenScriptIsToldNotIgnored) {
    Faulty f(R"({"rpc":"lock-configuration","action":"explode"})");
    EXPECT_EQ(run({JUNOS_SIM, "--state", f.lab.device("a").string()}, "<rpc><lock-configuration/></rpc>]]>]]>").second,
              1);
    EXPECT_EQ(run({JUNOS_SIM, "--state", f.lab.device("a").string(), "--faults", "/nonexistent"}).second, 1);
}
