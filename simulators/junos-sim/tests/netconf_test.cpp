// The NETCONF session: bytes as a device sends them, locks between sessions, and input no client should send.
#include <gtest/gtest.h>

#include <algorithm>

#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace {
const std::string reply_head =
    "<rpc-reply xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\" "
    "xmlns:junos=\"http://xml.juniper.net/junos/23.4R1/junos\" "
    "xmlns:nc=\"urn:ietf:params:xml:ns:netconf:base:1.0\" message-id=\"m1\">\n";
}

TEST(Netconf, RepliesAreByteForByteOfTheDefaultMode) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_EQ(client.raw("<lock-configuration/>"), "\n" + reply_head + "</rpc-reply>\n");
    EXPECT_TRUE(
        client.hello().starts_with("<!-- No zombies were killed during the creation of this user interface -->\n"
                                   "<!-- user lab, class j-super-user -->\n"
                                   "<hello xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">\n  <capabilities>\n"));
    EXPECT_NE(client.hello().find("<session-id>" + std::to_string(client.process().pid()) + "</session-id>"),
              std::string::npos);
    EXPECT_EQ(client.hello().find("base:1.1"), std::string::npos);
    EXPECT_EQ(client.hello().find("<?xml"), std::string::npos);
}

TEST(Netconf, RfcCompliantModePrefixesNetconfsOwnElements) {
    TestLab lab({"a"});
    lab.configure("a", "rfc_compliant", "true");
    Client client(lab.device("a"));
    EXPECT_NE(client.hello().find("<nc:hello xmlns:nc="), std::string::npos);
    EXPECT_NE(client.hello().find("<nc:session-id>"), std::string::npos);
    const auto reply = client.raw("<commit-configuration><check/></commit-configuration>");
    EXPECT_NE(reply.find("<nc:rpc-reply xmlns:nc="), std::string::npos) << reply;
    EXPECT_NE(reply.find("<nc:ok/>"), std::string::npos) << reply;
    EXPECT_NE(reply.find("<commit-check-success/>"), std::string::npos) << reply;
    const auto warned = client.raw(
        "<load-configuration action='set'><configuration-set>delete system "
        "domain-name</configuration-set></load-configuration>");
    EXPECT_EQ(warned.find("rpc-error"), std::string::npos) << "this mode leaves warnings out";
    const auto empty = client.raw(
        "<get-config><source><running/></source><filter><configuration><protocols/></configuration></filter></"
        "get-config>");
    EXPECT_EQ(empty.find("<configuration"), std::string::npos) << empty;
}

TEST(Netconf, ChunkedOnlyWhenBothOfferIt) {
    TestLab lab({"a"});
    lab.configure("a", "rfc_compliant", "true");
    lab.configure("a", "version_1_1", "true");
    Client chunked(lab.device("a"), {}, true);
    EXPECT_TRUE(chunked.ok("<get-configuration/>"));
    EXPECT_TRUE(chunked.ok("<close-session/>"));
    Client plain(lab.device("a"), {}, false);
    EXPECT_NE(plain.hello().find("base:1.1"), std::string::npos);
    EXPECT_TRUE(plain.ok("<get-configuration/>"));
}

TEST(Netconf, ConfiguredModeCounts) {
    TestLab lab({"a"});
    Client first(lab.device("a"));
    EXPECT_TRUE(first.load_set("set system services netconf rfc-compliant"));
    EXPECT_TRUE(first.commit());
    Client second(lab.device("a"));
    EXPECT_NE(second.hello().find("<nc:hello"), std::string::npos);
}

TEST(Netconf, AttributesOfTheCallAreEchoedEscaped) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    client.process().write("<rpc message-id=\"a&lt;&quot;b\" extra=\"1\"><get-system-information/></rpc>]]>]]>");
    const auto reply = client.receive();
    EXPECT_NE(reply.find(" message-id=\"a&lt;&quot;b\" extra=\"1\">"), std::string::npos) << reply;
}

TEST(Netconf, SessionEndsWithAComment) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.ok("<nc:close-session xmlns:nc=\"urn:ietf:params:xml:ns:netconf:base:1.0\"/>"));
    const auto all = client.everything();
    const auto end = all.rfind("]]>]]>\n");
    ASSERT_NE(end, std::string::npos);
    EXPECT_EQ(all.substr(end + 7), "<!-- session end at 2026-11-18 11:06:40 UTC -->\n");
    EXPECT_EQ(client.process().wait(), 0);
}

TEST(Netconf, UnknownCallIsAnError) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_EQ(client.error("<get-flux-capacitor/>"), "syntax error, expecting <command>");
    EXPECT_EQ(client.error("<command>show flux capacitor</command>"), "syntax error, expecting <command>");
    EXPECT_TRUE(client.ok("<get-system-information/>")) << "the session goes on";
}

TEST(Netconf, MalformedInputEndsTheSessionInOrder) {
    const std::string deep = [] {
        std::string text = "<rpc><get-configuration><configuration>";
        for (int i = 0; i < 20000; ++i) text += "<x>";
        return text;
    }();
    for (const std::string& bad : {std::string("<rpc><lock-configuration></rpc>]]>]]>"), std::string("nonsense]]>]]>"),
                                   std::string("<rpc message-id='1'/>]]>]]>"), std::string("<notrpc/>]]>]]>"),
                                   std::string("<rpc>\0\1\2</rpc>]]>]]>", 20), deep + "]]>]]>"}) {
        TestLab lab({"a"});
        Client client(lab.device("a"));
        client.process().write(bad);
        const auto reply = client.receive();
        EXPECT_NE(reply.find("malformed-message"), std::string::npos) << bad.substr(0, 60) << reply;
        EXPECT_EQ(client.process().wait(), 0) << bad.substr(0, 60);
    }
}

TEST(Netconf, DeeplyNestedInputIsHarmless) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    std::string open;
    std::string close;
    for (int i = 0; i < 20000; ++i) {
        open += "<x>";
        close += "</x>";
    }
    EXPECT_EQ(
        client.error("<load-configuration><configuration>" + open + close + "</configuration></load-configuration>"),
        "syntax error");
    EXPECT_TRUE(
        client.ok("<get-configuration><configuration>" + open + close + "</configuration></get-configuration>"));
}

TEST(Netconf, EndOfInputEndsTheSession) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.ok("<lock-configuration/>"));
    client.process().close_input();
    EXPECT_EQ(client.process().wait(), 0);
    Client next(lab.device("a"));
    EXPECT_TRUE(next.ok("<lock-configuration/>"));
}

TEST(Netconf, LockKeepsOthersOut) {
    TestLab lab({"a"});
    Client holder(lab.device("a"), {}, false, "alice");
    Client other(lab.device("a"), {}, false, "bob");
    EXPECT_TRUE(holder.ok("<lock-configuration/>"));
    const auto why = other.error("<lock-configuration/>");
    EXPECT_TRUE(why.starts_with("configuration database locked by:\n  alice terminal  (pid " +
                                std::to_string(holder.process().pid()) +
                                ") on since 2026-11-18 11:06:40 UTC, idle 00:00:00"))
        << why;
    for (const char* change :
         {"<load-configuration action='set'><configuration-set>set system host-name "
          "x</configuration-set></load-configuration>",
          "<commit-configuration/>", "<commit-configuration><check/></commit-configuration>", "<discard-changes/>",
          "<edit-config><target><candidate/></target><config><configuration/></config></edit-config>"}) {
        EXPECT_TRUE(other.error(change).starts_with("configuration database locked by:")) << change;
    }
    EXPECT_TRUE(other.ok("<get-configuration/>")) << "reading is free";
    EXPECT_EQ(other.error("<unlock-configuration/>"), "Configuration database is not open");
    EXPECT_TRUE(holder.ok("<unlock-configuration/>"));
    EXPECT_EQ(holder.error("<unlock-configuration/>"), "Configuration database is not open");
    EXPECT_TRUE(other.ok("<lock-configuration/>"));
}

TEST(Netconf, LockOfAKilledSessionIsFreeAndItsChangesAreGone) {
    TestLab lab({"a"});
    {
        Client crashed(lab.device("a"));
        EXPECT_TRUE(crashed.ok("<lock-configuration/>"));
        EXPECT_TRUE(crashed.load_set("set system host-name x"));
    }  // SIGKILL
    Client next(lab.device("a"));
    EXPECT_TRUE(next.ok("<lock-configuration/>"));
    EXPECT_EQ(trim(next.compare()), "");
}

TEST(Netconf, UnlockDropsUncommittedChanges) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(client.ok("<lock-configuration/>"));
    EXPECT_TRUE(client.load_set("set system host-name x"));
    EXPECT_TRUE(client.ok("<unlock-configuration/>"));
    EXPECT_EQ(client.compare(), "\n");
}

TEST(Netconf, ChangesLeftWithoutALockAreSeenByTheNextSession) {
    TestLab lab({"a"});
    {
        Client careless(lab.device("a"));
        EXPECT_TRUE(careless.load_set("set system host-name x"));
        EXPECT_TRUE(careless.ok("<close-session/>"));
    }
    Client next(lab.device("a"));
    EXPECT_EQ(next.error("<lock-configuration/>"), "configuration database modified");
    EXPECT_NE(next.compare().find("+  host-name x;"), std::string::npos);
    EXPECT_TRUE(next.ok("<discard-changes/>"));
    EXPECT_TRUE(next.ok("<lock-configuration/>"));
}

TEST(Netconf, KillSessionEndsTheOther) {
    TestLab lab({"a"});
    Client holder(lab.device("a"));
    Client other(lab.device("a"));
    EXPECT_TRUE(holder.ok("<lock-configuration/>"));
    EXPECT_EQ(other.error("<kill-session><session-id>1</session-id></kill-session>"), "no such session");
    EXPECT_EQ(other.error("<kill-session><session-id>" + std::to_string(other.process().pid()) +
                          "</session-id></kill-session>"),
              "no such session");
    EXPECT_TRUE(other.ok("<kill-session><session-id>" + std::to_string(holder.process().pid()) +
                         "</session-id></kill-session>"));
    EXPECT_EQ(holder.process().wait(), 0);
    EXPECT_TRUE(other.ok("<lock-configuration/>"));
}

TEST(Netconf, PrivateCandidatesMergeAtCommit) {
    TestLab lab({"a"});
    Client one(lab.device("a"));
    Client two(lab.device("a"));
    EXPECT_TRUE(one.ok("<open-configuration><private/></open-configuration>"));
    EXPECT_TRUE(two.ok("<open-configuration><private/></open-configuration>"));
    EXPECT_TRUE(one.load_set("set system domain-name one.example"));
    EXPECT_TRUE(two.load_set("set system host-name two"));
    EXPECT_EQ(two.compare().find("domain-name"), std::string::npos) << "each sees its own changes only";
    EXPECT_TRUE(one.commit());
    Client third(lab.device("a"));
    EXPECT_TRUE(third.ok("<lock-configuration/>"));
    EXPECT_FALSE(two.commit()) << "the exclusive lock holds back private commits too";
    EXPECT_TRUE(third.ok("<unlock-configuration/>"));
    EXPECT_TRUE(two.commit());
    EXPECT_TRUE(two.ok("<close-configuration/>"));
    const auto now = one.committed();
    EXPECT_NE(now.find("set system domain-name one.example"), std::string::npos) << now;
    EXPECT_NE(now.find("set system host-name two"), std::string::npos) << now;
}

TEST(Netconf, EditConfigIsWholeOrNothing) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    const auto edit = [](const std::string& inside, const std::string& more = {}) {
        return "<edit-config><target><candidate/></target>" + more + "<config><configuration>" + inside +
               "</configuration></config></edit-config>";
    };
    EXPECT_EQ(client.error(edit("<system><host-name>x</host-name><nope/></system>")), "syntax error");
    EXPECT_EQ(client.error(edit(
                  "<system><host-name>x</host-name><domain-name xmlns:nc='urn:ietf:params:xml:ns:netconf:base:1.0' "
                  "nc:operation='delete'/></system>")),
              "statement not found: domain-name");
    EXPECT_EQ(client.compare(), "\n");
    EXPECT_TRUE(client.ok(edit("<system><domain-name>d</domain-name></system>")));
    EXPECT_NE(client.compare().find("+  domain-name d;"), std::string::npos);
    EXPECT_TRUE(client.ok(
        edit("<system><host-name>only</host-name></system>", "<default-operation>replace</default-operation>")));
    EXPECT_NE(client.compare().find("-   services {"), std::string::npos);
    EXPECT_NE(client.error("<edit-config><target><running/></target><config><configuration/></config></edit-config>"),
              "");
    EXPECT_TRUE(client.ok("<nc:validate xmlns:nc='x'><nc:source><nc:candidate/></nc:source></nc:validate>"));
}

TEST(Netconf, LoadReplaceOverrideAndRollback) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    EXPECT_TRUE(
        client.load_set("set system domain-name d\nset security macsec connectivity-association C offset 30\n"
                        "set security macsec connectivity-association C cipher-suite gcm-aes-256"));
    EXPECT_TRUE(client.commit());
    EXPECT_TRUE(
        client.ok("<load-configuration action='replace' format='text'><configuration-text>security { macsec { replace: "
                  "connectivity-association C { offset 50; } } }</configuration-text></load-configuration>"));
    EXPECT_NE(client.compare().find("-     cipher-suite gcm-aes-256;"), std::string::npos) << client.compare();
    EXPECT_TRUE(client.ok("<load-configuration rollback='0'/>"));
    EXPECT_EQ(client.compare(), "\n");
    EXPECT_TRUE(
        client.ok("<load-configuration action='override'><configuration><system><host-name>bare</host-name></system>"
                  "</configuration></load-configuration>"));
    EXPECT_TRUE(client.commit());
    EXPECT_EQ(client.committed(), "set system host-name bare");
    EXPECT_TRUE(client.ok("<load-configuration compare='rollback' rollback='1'/>"));
    EXPECT_TRUE(client.commit());
    EXPECT_NE(client.committed().find("set system domain-name d"), std::string::npos);
    EXPECT_NE(client.error("<load-configuration rollback='49'/>"), "");
    EXPECT_NE(client.error("<load-configuration rollback='50'/>"), "");
    EXPECT_NE(client.error("<load-configuration rollback='x'/>"), "");
}

TEST(Netconf, FailedLoadChangesNothing) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    const auto reply = client.call(
        "<load-configuration action='set'><configuration-set>set system host-name x\nset system nope 1\n"
        "set nowhere 2</configuration-set></load-configuration>");
    EXPECT_STREQ(reply.select_node("//load-error-count").node().text().get(), "2");
    EXPECT_FALSE(reply.select_node("//ok"));
    EXPECT_EQ(client.compare(), "\n");
}

TEST(Netconf, MissingStatementIsAWarningWithOk) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    const auto reply = client.call(
        "<load-configuration action='set'><configuration-set>delete security macsec interfaces xe-9/9/9"
        "</configuration-set></load-configuration>");
    EXPECT_EQ(text_of(reply.select_node("//load-configuration-results/rpc-error/error-severity").node()), "warning");
    EXPECT_TRUE(reply.select_node("//load-configuration-results/ok"));
}

TEST(Netconf, StartTimeReadsBackWithTheDevicesZone) {
    TestLab lab({"a"});
    lab.configure("a", "zone", "\"Europe/Berlin\"");
    Client client(lab.device("a"));
    EXPECT_TRUE(
        client.load_set("set security authentication-key-chains key-chain K key 0 start-time 2026-07-05.16:43"));
    EXPECT_TRUE(client.commit());
    EXPECT_NE(client.committed().find("start-time \"2026-07-05.16:43:00 +0200\""), std::string::npos)
        << client.committed();
    lab.configure("a", "start_time_suffix", "false");
    EXPECT_TRUE(client.committed().ends_with("start-time 2026-07-05.16:43:00")) << client.committed();
}

TEST(Netconf, SecretsNeverReadBackInClear) {
    TestLab lab({"a"});
    Client client(lab.device("a"));
    const std::string cak(64, '7');
    EXPECT_TRUE(client.load_set("set security macsec connectivity-association C pre-shared-key cak " + cak));
    for (const char* call :
         {"<get-configuration/>", "<get-configuration format='text'/>", "<get-configuration format='set'/>",
          "<get-configuration compare='rollback' rollback='0' format='text'/>",
          "<get-config><source><candidate/></source></get-config>"}) {
        const auto reply = client.raw(call);
        EXPECT_EQ(reply.find(cak), std::string::npos) << call;
        EXPECT_NE(reply.find("$9$"), std::string::npos) << call;
    }
}

TEST(Netconf, ReadOnlyClassMayOnlyRead) {
    TestLab lab({"a"});
    lab.configure("a", "user_class", "\"j-read-only\"");
    Client client(lab.device("a"));
    for (const char* call : {"<lock-configuration/>", "<load-configuration rollback='0'/>", "<commit-configuration/>",
                             "<discard-changes/>", "<open-configuration><private/></open-configuration>",
                             "<kill-session><session-id>9</session-id></kill-session>"}) {
        EXPECT_EQ(client.error(call), "permission denied") << call;
    }
    EXPECT_TRUE(client.ok("<get-configuration/>"));
    lab.configure("a", "deny", "[\"get-configuration\"]");
    EXPECT_EQ(client.error("<get-configuration/>"), "permission denied");
}

TEST(Netconf, ClockIsTheDevicesOwn) {
    TestLab lab({"a"});
    lab.configure("a", "zone", "\"Europe/Berlin\"");
    lab.configure("a", "skew_ms", "5000");
    Client client(lab.device("a"));
    auto reply = client.call("<get-system-uptime-information/>");
    auto date = reply.select_node("//current-time/date-time").node();
    EXPECT_EQ(text_of(date), "2026-11-18 12:06:45 CET");
    EXPECT_EQ(attribute(date, "seconds"), std::to_string(lab.now() / 1000 + 5));
    lab.advance(3'600'000);
    EXPECT_TRUE(client.load_set("set system time-zone Asia/Kolkata"));
    EXPECT_TRUE(client.commit());
    reply = client.call("<get-system-uptime-information/>");
    EXPECT_EQ(text_of(reply.select_node("//current-time/date-time").node()), "2026-11-18 17:36:45 IST");
}

TEST(Netconf, FactsThatClientsAskFor) {
    TestLab lab({"a"});
    lab.configure("a", "routing_engines", "2");
    Client client(lab.device("a"));
    auto reply = client.call("<command>show version invoke-on all-routing-engines</command>");
    EXPECT_EQ(
        text_of(reply.select_node("//multi-routing-engine-item[re-name='re1']/software-information/host-name").node()),
        "a");
    reply = client.call(
        "<get-interface-information><routing-instance>__juniper_private1__</routing-instance><terse/></"
        "get-interface-information>");
    EXPECT_EQ(text_of(reply.select_node("//ifa-local").node()), "128.0.0.4/2");
    reply = client.call("<file-show><filename>/etc/hosts.junos</filename></file-show>");
    EXPECT_NE(text_of(reply.select_node("//file-content").node()).find("128.0.0.4        re0"), std::string::npos);
    reply = client.call("<command format='text'>show system uptime</command>");
    EXPECT_NE(text_of(reply.select_node("//output").node()).find("Current time: 2026-11-18 11:06:40 UTC"),
              std::string::npos);
}
