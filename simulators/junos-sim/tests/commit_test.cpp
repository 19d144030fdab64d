// Commits: what the checks refuse, the history, and the rules of confirmed commits, which expire though nobody looks.
#include <gtest/gtest.h>

#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace {

const std::string confirmed_2 = "<confirmed/><confirm-timeout>2</confirm-timeout>";

std::string host_name(Client& client) {
    const auto lines = client.committed();
    const std::string head = "set system host-name ";
    const auto at = lines.find(head);
    return lines.substr(at + head.size(), lines.find('\n', at) - at - head.size());
}

bool pending(Client& client) {
    const auto info = client.call("<get-commit-information/>");
    return static_cast<bool>(info.select_node("//commit-history[sequence-number='0']/commit-confirmed"));
}

std::string history(Client& client, int index, const char* field) {
    const auto info = client.call("<get-commit-information/>");
    return text_of(
        info.select_node(("//commit-history[sequence-number='" + std::to_string(index) + "']/" + field).c_str())
            .node());
}

}  // namespace

TEST(Commit, HistoryTellsWhoWhenAndWhy) {
    TestLab lab({"a"});
    Client client(lab.device("a"), {}, false, "alice");
    lab.advance(60'000);
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit("<log>rotation 7</log><synchronize/>"));
    EXPECT_EQ(history(client, 0, "user"), "alice");
    EXPECT_EQ(history(client, 0, "client"), "netconf");
    EXPECT_EQ(history(client, 0, "log"), "rotation 7");
    EXPECT_EQ(history(client, 0, "date-time"), "2026-11-18 11:07:40 UTC");
    EXPECT_EQ(history(client, 0, "date-time/@*[1]"), "");
    EXPECT_EQ(history(client, 1, "user"), "root");
    EXPECT_EQ(history(client, 1, "client"), "other");
}

TEST(Commit, RollbacksAreKeptAndBounded) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    for (int i = 0; i < 60; ++i) {
        EXPECT_TRUE(client.load_set("set system host-name h" + std::to_string(i)));
        EXPECT_TRUE(client.commit());
    }
    for (const int index : {1, 10, 49}) {
        EXPECT_NE(client.compare(index).find("-  host-name h" + std::to_string(59 - index) + ";"), std::string::npos)
            << index;
    }
    const auto files = std::distance(std::filesystem::directory_iterator(lab.device("a") / "sim" / "config"), {});
    EXPECT_LE(files, 70) << "old configurations are cleared away";
}

TEST(Commit, ConfirmedCommitIsConfirmedByALaterCommit) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    Client other(lab.device("a"), {}, false, "somebody");
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit(confirmed_2 + "<log>one</log>"));
    EXPECT_EQ(history(client, 0, "comment"), "commit confirmed, rollback in 2mins");
    EXPECT_TRUE(pending(client));
    EXPECT_TRUE(other.commit()) << "anybody's commit will do";
    EXPECT_FALSE(pending(client));
    lab.advance(600'000);
    EXPECT_EQ(host_name(client), "x");
    EXPECT_EQ(history(client, 1, "comment"), "commit confirmed, rollback in 2mins") << "the mark stays with the entry";
}

TEST(Commit, ConfirmedCommitIsConfirmedByACommitCheck) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit(confirmed_2));
    EXPECT_TRUE(client.commit("<check/>"));
    EXPECT_FALSE(pending(client));
    lab.advance(600'000);
    EXPECT_EQ(host_name(client), "x");
    EXPECT_EQ(history(client, 0, "user"), "lab") << "a check leaves no entry";
}

TEST(Commit, FailedCheckConfirmsNothing) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit(confirmed_2));
    EXPECT_TRUE(client.load_set("set security macsec interfaces et-0/0/0 connectivity-association NOPE"));
    EXPECT_FALSE(client.commit("<check/>"));
    EXPECT_TRUE(pending(client));
}

TEST(Commit, ConfirmedCommitExpiresWithNoSessionOpen) {
    TestLab lab({"a"});
    {
        Client client(lab.device("a"));
        EXPECT_TRUE(client.load_set("set system host-name x"));
        EXPECT_TRUE(client.commit(confirmed_2));
        EXPECT_TRUE(client.ok("<close-session/>"));
        EXPECT_EQ(client.process().wait(), 0);
    }
    lab.advance(119'999);
    EXPECT_EQ(text_of(lab.show("a").select_node("//host-name").node()), "x");
    lab.advance(600'001);
    EXPECT_EQ(text_of(lab.show("a").select_node("//host-name").node()), "a");
    Client later(lab.device("a"));
    EXPECT_EQ(history(later, 0, "user"), "root");
    EXPECT_EQ(history(later, 0, "client"), "other");
    EXPECT_EQ(history(later, 0, "date-time"), "2026-11-18 11:08:40 UTC") << "at its instant, not when somebody looked";
    EXPECT_NE(later.compare(1).find("-  host-name x;"), std::string::npos) << "what expired is rollback 1";
}

TEST(Commit, LateConfirmIsAnOrdinaryEmptyCommit) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit(confirmed_2));
    lab.advance(120'000);
    EXPECT_TRUE(client.commit());
    EXPECT_EQ(host_name(client), "a");
    EXPECT_EQ(history(client, 1, "user"), "root");
}

TEST(Commit, SecondConfirmedCommitConfirmsTheFirst) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit(confirmed_2));
    EXPECT_TRUE(client.load_set("set system host-name y"));
    EXPECT_TRUE(client.commit("<confirmed/>"));
    EXPECT_EQ(history(client, 0, "comment"), "commit confirmed, rollback in 10mins");
    lab.advance(599'999);
    EXPECT_EQ(host_name(client), "y");
    lab.advance(1);
    EXPECT_EQ(host_name(client), "x");
}

TEST(Commit, NetconfCommitCountsSeconds) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.ok("<commit><confirmed/><confirm-timeout>30</confirm-timeout></commit>"));
    EXPECT_EQ(history(client, 0, "comment"), "commit confirmed, rollback in 1mins");
    lab.advance(30'000);
    EXPECT_EQ(host_name(client), "a");
    EXPECT_NE(client.error("<commit><confirmed/><confirm-timeout>0</confirm-timeout></commit>"), "");
}

TEST(Commit, UncommittedChangesSurviveAnExpiry) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.commit(confirmed_2));
    EXPECT_TRUE(client.load_set("set system domain-name d"));
    lab.advance(120'000);
    EXPECT_EQ(host_name(client), "a");
    EXPECT_NE(client.compare().find("+  domain-name d;"), std::string::npos);
}

TEST(Commit, ChecksRefuseWhatCannotWork) {
    const std::string ca = "set security macsec connectivity-association C ";
    const std::string key = "set security authentication-key-chains key-chain K key ";
    const std::vector<std::pair<std::string, std::string>> refused = {
        {"set security macsec interfaces et-0/0/0 connectivity-association NOPE",
         "connectivity association NOPE is not defined"},
        {ca + "security-mode static-cak", "pre-shared key or fallback-key or pre-shared-key-chain required"},
        {ca + "pre-shared-key ckn aa", "missing mandatory statement: cak"},
        {ca + "fallback-key cak aa", "missing mandatory statement: ckn"},
        {ca + "pre-shared-key ckn aa\n" + ca + "pre-shared-key cak xyz", "key format must be hex digits"},
        {ca + "pre-shared-key-chain K", "authentication-key-chains not defined"},
        {ca + "pre-shared-key-chain K\n" + key + "0 key-name aa", "missing mandatory statement: secret"},
        {ca + "pre-shared-key-chain K\n" + key + "0 key-name aa\n" + key + "0 secret bb\n" + key +
             "0 start-time 2026-01-01.00:00\n" + key + "1 key-name cc\n" + key + "1 secret dd\n" + key +
             "1 start-time \"2026-01-01.01:00:00 +0100\"",
         "duplicate start-time in key-chain K"},
    };
    for (const auto& [lines, message] : refused) {
        TestLab lab({"a"});
        Client client(lab.device("a"));
        ASSERT_TRUE(client.load_set(lines)) << lines;
        const auto reply = client.call("<commit-configuration/>");
        EXPECT_EQ(message_of(reply), message) << lines;
        EXPECT_EQ(text_of(reply.select_node("//commit-results/rpc-error[last()]/error-message").node()),
                  "configuration check-out failed");
        EXPECT_FALSE(reply.select_node("//ok")) << lines;
        EXPECT_EQ(history(client, 0, "user"), "root") << "nothing was committed";
    }
}

TEST(Commit, ShortCknIsOnlyAWarning) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(
        client.load_set("set security macsec connectivity-association C pre-shared-key ckn aa\n"
                        "set security macsec connectivity-association C pre-shared-key cak bb"));
    const auto reply = client.call("<commit-configuration/>");
    EXPECT_EQ(text_of(reply.select_node("//commit-results/rpc-error/error-severity").node()), "warning");
    EXPECT_TRUE(reply.select_node("/rpc-reply/ok"));
}

TEST(Commit, DualRoutingEnginesBothReport) {
    TestLab lab({"a"});
    lab.configure("a", "routing_engines", "2");
    Client client(lab.device("a"));
    auto reply = client.call("<commit-configuration><check/></commit-configuration>");
    EXPECT_TRUE(reply.select_node("//routing-engine[name='re0']/commit-check-success"));
    EXPECT_TRUE(reply.select_node("//routing-engine[name='re1']/commit-check-success"));
    reply = client.call("<commit-configuration/>");
    EXPECT_TRUE(reply.select_node("//routing-engine[name='re1']/commit-success"));
    lab.configure("a", "bare_commit_ok", "true");
    EXPECT_EQ(client.raw("<commit-configuration/>").find("commit-results"), std::string::npos);
}

TEST(Commit, InitialConfigurationOfTheLabIsRunning) {
    TestLab lab({"a"});
    write_file(lab.device("a") / "running.xml",
               "<configuration><system><host-name>given</host-name></"
               "system><security><macsec><connectivity-association><name>C</name>"
               "<pre-shared-key><ckn>aa</ckn><cak>bb</cak></pre-shared-key></connectivity-association></macsec></"
               "security></configuration>");
    const auto shown = lab.show("a");
    EXPECT_EQ(text_of(shown.select_node("//host-name").node()), "given");
    EXPECT_EQ(text_of(shown.select_node("//cak").node()), "bb") << "--show tells secrets in clear";
    TestLab broken({"a"});
    write_file(broken.device("a") / "running.xml", "<configuration><nope/></configuration>");
    EXPECT_EQ(run({JUNOS_SIM, "--state", broken.device("a").string(), "--show"}).second, 1);
}
