// Replies: errors and warnings are told apart wherever they stand, commit histories are understood, secrets are masked.
#include <gtest/gtest.h>

#include "commit_log.hpp"
#include "lock_holder.hpp"
#include "netconf_session.hpp"

namespace qkd::junos {
namespace {

Reply reply(std::string_view text) {
    auto parsed = XmlDocument::parse(SecretBytes(text));
    EXPECT_TRUE(parsed) << parsed.error().what;
    Reply out{std::move(*parsed), {}, {}};
    collect_errors(out.root(), out);
    return out;
}

TEST(Replies, AWarningIsNoError) {
    const auto r = reply(
        "<rpc-reply xmlns='urn:ietf:params:xml:ns:netconf:base:1.0'><load-configuration-results><rpc-error>"
        "<error-severity>warning</error-severity><error-message>\nstatement not found: x\n</error-message></rpc-error>"
        "<ok/></load-configuration-results></rpc-reply>");
    EXPECT_TRUE(r.errors.empty());
    EXPECT_EQ(r.warnings, std::vector<std::string>{"statement not found: x"});
}

TEST(Replies, FindsErrorsAtEveryPlace) {
    for (const char* text :
         {"<rpc-reply><rpc-error><error-severity>error</error-severity><error-message>no</error-message></rpc-error>"
          "<cli><banner>x</banner></cli></rpc-reply>",
          "<nc:rpc-reply xmlns:nc='u'><nc:rpc-error><nc:error-severity>error</nc:error-severity>"
          "<nc:error-message>no</nc:error-message></nc:rpc-error></nc:rpc-reply>",
          "<rpc-reply><commit-results><routing-engine><name>re1</name><rpc-error><error-message>no</error-message>"
          "</rpc-error></routing-engine></commit-results><ok/></rpc-reply>",
          "<rpc-reply><commit-results><xnm:error xmlns:xnm='u'><message>no</message></xnm:error></commit-results>"
          "</rpc-reply>"}) {
        const auto r = reply(text);
        ASSERT_EQ(r.errors.size(), 1U) << text;
        EXPECT_EQ(r.errors[0].message, "no");
    }
    EXPECT_TRUE(reply("<rpc-reply><interface><error>CRC</error></interface></rpc-reply>").errors.empty());
}

TEST(Replies, ComplaintSaysPathAndElementAndNoKey) {
    const std::string cak(64, 'd');
    const auto r = reply(
        "<rpc-reply><rpc-error><error-path>\n[edit security macsec]\n</error-path><error-message>\nsyntax\n  error in "
        "'" +
        cak +
        "'</error-message><error-info><bad-element>$9$ABC/.def\"</bad-element></error-info></rpc-error></rpc-reply>");
    EXPECT_EQ(r.complaint(), "syntax error in '<64 hex digits>' at [edit security macsec] (/* SECRET-DATA */\")");
}

TEST(Replies, RefusesWhatIsNotWellFormedOrTooDeep) {
    for (const char* wrong : {"<a>", "<a></b>", "", "text", "<a", "<a b=c/>", "<a/><!--"})
        EXPECT_FALSE(XmlDocument::parse(SecretBytes(std::string_view(wrong)))) << wrong;
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += "<a>";
    for (int i = 0; i < 100000; ++i) deep += "</a>";
    EXPECT_FALSE(XmlDocument::parse(SecretBytes(std::string_view(deep))));
}

TEST(CommitLog, TellsPendingFromConfirmed) {
    // As Junos 24.4 writes it: its own remark stays after the confirm, only <commit-confirmed> goes.
    const auto entries = [](const std::string& marker) {
        const auto r = reply(
            "<rpc-reply xmlns:junos='u'><commit-information><commit-history><sequence-number>0</sequence-number>"
            "<user>ops</user><client>netconf</client><date-time junos:seconds='1'>2026-10-05 22:03:43 UTC</date-time>"
            "<comment>commit confirmed, rollback in 5mins</comment><log>rotation 7</log>" +
            marker +
            "</commit-history><commit-history><sequence-number>1</sequence-number><user>root</user><client>other</"
            "client>"
            "</commit-history><commit-history><sequence-number>rescue</sequence-number><user>root</user></"
            "commit-history>"
            "</commit-information></rpc-reply>");
        return read_commit_log(r.root());
    };
    auto log = entries("<commit-confirmed>rollback pending</commit-confirmed>");
    ASSERT_EQ(log.size(), 2U);
    EXPECT_TRUE(log[0].pending);
    EXPECT_EQ(log[0].comment, "rotation 7");
    EXPECT_EQ(log[0].user, "ops");
    EXPECT_EQ(log[1].client, "other");
    EXPECT_EQ(find_comment(log, "rotation 7"), 0U);
    EXPECT_FALSE(find_comment(log, "rotation"));
    EXPECT_FALSE(entries("")[0].pending);
}

TEST(Replies, NameTheHolderOfTheLock) {
    const auto holder_in = [](const std::string& message) {
        const auto r = reply("<rpc-reply><rpc-error><error-severity>error</error-severity><error-message>" + message +
                             "</error-message></rpc-error></rpc-reply>");
        return read_lock_holder("192.0.2.1: " + r.complaint());
    };
    const std::string since = " on since 2021-05-06 11:04:06 UTC, idle 00:04:48\n      exclusive \n";
    for (const char* terminal : {"admin terminal  (pid 32260)", "admin terminal p0 (pid 32260)", "admin (pid 32260)"}) {
        const auto holder = holder_in("\nconfiguration database locked by:\n  " + std::string(terminal) + since);
        ASSERT_TRUE(holder) << terminal;
        EXPECT_EQ(holder->user, "admin");
        EXPECT_EQ(holder->pid, "32260");
    }
    for (const char* other :
         {"configuration database modified", "configuration database locked by: admin",
          "configuration database locked by: (pid 7)", "configuration database locked by: admin terminal (pid x7)",
          "configuration database locked by: admin terminal (pid 7", "",
          "configuration database locked by: admin terminal (pid 7) on since x bob terminal (pid 8) on since y"}) {
        const auto holder = holder_in(other);
        EXPECT_FALSE(holder && holder->user == "admin" && holder->pid == "7") << other;
    }
}

}  // namespace
}  // namespace qkd::junos
