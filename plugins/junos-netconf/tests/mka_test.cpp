// MKA tables and blocks as routers print them (names and identifiers replaced): which key an interface runs on.
#include "mka_reply.hpp"

#include <gtest/gtest.h>

#include "support/temp_dir.hpp"

namespace qkd::junos {
namespace {

std::string ckn(char last) {
    return "aa" + std::string(61, '0') + last;
}

std::vector<InterfaceMka> from_text(const std::string& fixture, const std::vector<std::string>& interfaces) {
    bool understood = false;
    const auto entries = read_mka_text(support::read_file(std::string(FIXTURES) + "/" + fixture), understood);
    EXPECT_TRUE(understood);
    return judge_mka(entries, interfaces);
}

void expect(const InterfaceMka& mka, const char* name, MkaState state, const std::string& key) {
    EXPECT_EQ(mka.name, name);
    EXPECT_EQ(mka.state, state) << name;
    EXPECT_EQ(mka.ckn, key) << name;
}

TEST(Mka, Summary) {
    const auto mka =
        from_text("mka_summary.txt", {"xe-0/0/1:0", "et-0/0/9", "ge-0/0/1", "ge-0/0/2", "et-9/9/9", "ge-0/0"});
    ASSERT_EQ(mka.size(), 6U);
    expect(mka[0], "xe-0/0/1:0", MkaState::preceding, ckn('1'));
    // A new key on its way does not make the live one less live, nor is it taken for it.
    expect(mka[1], "et-0/0/9", MkaState::secured, ckn('1'));
    expect(mka[2], "ge-0/0/1", MkaState::down, "");
    expect(mka[3], "ge-0/0/2", MkaState::fallback, ckn('f'));
    expect(mka[4], "et-9/9/9", MkaState::down, "");
    expect(mka[5], "ge-0/0", MkaState::down, "");
}

TEST(Mka, Brief) {
    const auto mka = from_text("mka_brief.txt", {"et-2/0/0", "et-2/0/2", "et-2/0/4"});
    expect(mka[0], "et-2/0/0", MkaState::secured, "aa00000001");
    expect(mka[1], "et-2/0/2", MkaState::preceding, "aa00000002");
    expect(mka[2], "et-2/0/4", MkaState::down, "");
}

TEST(Mka, Detail) {
    const auto mka = from_text("mka_detail.txt", {"et-2/0/0", "et-2/0/2"});
    expect(mka[0], "et-2/0/0", MkaState::secured, "aa00000001");
    expect(mka[1], "et-2/0/2", MkaState::fallback, "aa0000000f");
}

TEST(Mka, SummaryAroundARollover) {
    const auto mka = from_text("mka_summary_rollover.txt", {"ge-0/0/1", "et-0/0/9", "xe-0/0/1:0", "xe-0/0/2:0"});
    // The preceding key still answers for a while; the primary is what it runs on.
    expect(mka[0], "ge-0/0/1", MkaState::secured, ckn('2'));
    expect(mka[1], "et-0/0/9", MkaState::secured, ckn('1'));
    expect(mka[2], "xe-0/0/1:0", MkaState::preceding, ckn('1'));
    expect(mka[3], "xe-0/0/2:0", MkaState::preceding, ckn('1'));
}

TEST(Mka, SummaryOfReleasesWithoutTypes) {
    const auto mka = from_text("mka_summary_states.txt", {"et-0/0/20:2", "et-0/0/20:3"});
    expect(mka[0], "et-0/0/20:2", MkaState::secured, ckn('1'));
    expect(mka[1], "et-0/0/20:3", MkaState::down, "");
}

TEST(Mka, BriefInItsOtherLayouts) {
    expect(from_text("mka_block_flush.txt", {"et-0/0/20:2"})[0], "et-0/0/20:2", MkaState::secured, ckn('1'));
    // A key that waits for its start-time is not listed; the one before is live.
    expect(from_text("mka_brief_rekeyed.txt", {"et-2/0/4"})[0], "et-2/0/4", MkaState::secured, ckn('1'));
}

TEST(Mka, DetailOnThePrecedingKeyAndUnsecured) {
    const auto mka = from_text("mka_detail_preceding.txt", {"et-2/0/2", "et-2/0/4"});
    expect(mka[0], "et-2/0/2", MkaState::preceding, ckn('1'));
    expect(mka[1], "et-2/0/4", MkaState::down, "");
}

TEST(Mka, XmlWithAnEntryForEveryKey) {
    const auto session = [](const std::string& name, const std::string& state, const std::string& main,
                            const std::string& keys) {
        return "<mka-session-information><interface-name>" + name + "</interface-name><interface-state>" + state +
               "</interface-state>" + main + "<preceding-key>enabled</preceding-key>" + keys +
               "</mka-session-information>";
    };
    const auto key = [](const std::string& element, const std::string& name, const std::string& type,
                        const std::string& status) {
        return "<" + element + "><cak-name>" + name + "</cak-name><cak-type>" + type + "</cak-type>" +
               (status.empty() ? "" : "<cak-status>" + status + "</cak-status>") + "</" + element + ">";
    };
    const auto plain = [](const std::string& name, const std::string& type) {
        return "<cak-name>" + name + "</cak-name><cak-type>" + type + "</cak-type>";
    };
    const std::string text =
        "<rpc-reply>" +
        session(
            "et-0/0/1", "Secured - Preceding", plain("AA01", "preceding"),
            key("session-live", "AA01", "preceding", "live") + key("session-cak", "AA02", "primary", "in-progress") +
                key("session-cak", "AA01", "preceding", "live") + key("session-cak", "AA0F", "fallback", "active")) +
        session("et-0/0/2", "Secured - Fallback", plain("AA0F", "fallback"),
                key("session-live", "AA0F", "fallback", "live") + key("session-cak", "AA02", "primary", "in-progress") +
                    key("session-cak", "AA0F", "fallback", "live")) +
        session("et-0/0/3", "Secured - Primary", plain("AA02", "primary"),
                key("session-live", "AA02", "primary", "live") + key("session-cak", "AA02", "primary", "live") +
                    key("session-cak", "AA01", "preceding", "active")) +
        session("et-0/0/4", "Unsecured", plain("AA02", "primary"),
                key("session-cak", "AA02", "primary", "in-progress")) +
        "</rpc-reply>";
    auto document = XmlDocument::parse(SecretBytes(std::string_view(text)));
    ASSERT_TRUE(document);
    bool understood = false;
    const auto mka =
        judge_mka(read_mka_xml(document->root(), understood), {"et-0/0/1", "et-0/0/2", "et-0/0/3", "et-0/0/4"});
    EXPECT_TRUE(understood);
    expect(mka[0], "et-0/0/1", MkaState::preceding, "aa01");
    expect(mka[1], "et-0/0/2", MkaState::fallback, "aa0f");
    expect(mka[2], "et-0/0/3", MkaState::secured, "aa02");
    expect(mka[3], "et-0/0/4", MkaState::down, "");
}

TEST(Mka, XmlFlatAndNested) {
    for (const char* text :
         {"<rpc-reply><mka-session-information style='brief'><interface-name>et-0/0/9</interface-name>"
          "<interface-state>Secured - Primary</interface-state><member-identifier>01</member-identifier>"
          "<cak-name>AA01</cak-name><cak-type>primary</cak-type><interface-name>et-0/0/8</interface-name>"
          "<interface-state>Secured - Fallback</interface-state><cak-name>AA0F</cak-name><cak-type>fallback</cak-type>"
          "</mka-session-information></rpc-reply>",
          "<rpc-reply><mka-session-information><interface-name>et-0/0/9</interface-name><cak-name>AA01</cak-name>"
          "<cak-type>primary</cak-type><cak-status>live</cak-status></mka-session-information>"
          "<mka-session-information><interface-name>et-0/0/8</interface-name><cak-name>AA02</cak-name>"
          "<cak-type>primary</cak-type><cak-status>in-progress</cak-status></mka-session-information>"
          "<mka-session-information><interface-name>et-0/0/8</interface-name><cak-name>AA0F</cak-name>"
          "<cak-type>fallback</cak-type><cak-status>live</cak-status></mka-session-information></rpc-reply>"}) {
        auto document = XmlDocument::parse(SecretBytes(std::string_view(text)));
        ASSERT_TRUE(document);
        bool understood = false;
        const auto mka = judge_mka(read_mka_xml(document->root(), understood), {"et-0/0/9", "et-0/0/8"});
        EXPECT_TRUE(understood);
        expect(mka[0], "et-0/0/9", MkaState::secured, "aa01");
        expect(mka[1], "et-0/0/8", MkaState::fallback, "aa0f");
    }
}

// Some releases write names in lower case, some in upper case; the engine compares with its own lower-case writing.
TEST(Mka, AnUpperCaseCknIsTheSameCkn) {
    const std::string header =
        "Interface    Member-ID                  Type        Status        Tx        Rx        CAK Name\n"
        "et-0/0/20:2  0102030405060708090A0B0C   primary     live          43        39        ";
    for (const std::string name : {"AABBCC0F", "aabbcc0f", "AaBbCc0f"}) {
        bool understood = false;
        const auto mka = judge_mka(read_mka_text(header + name + "\n", understood), {"et-0/0/20:2", "et-0/0/20"});
        EXPECT_TRUE(understood);
        expect(mka[0], "et-0/0/20:2", MkaState::secured, "aabbcc0f");
        expect(mka[1], "et-0/0/20", MkaState::down, "");
    }
}

TEST(Mka, SaysWhenItDoesNotUnderstand) {
    bool understood = false;
    EXPECT_TRUE(read_mka_text("\n", understood).empty());
    EXPECT_TRUE(understood);  // no session
    EXPECT_TRUE(read_mka_text("Port State\nx up\n", understood).empty());
    EXPECT_FALSE(understood);
}

}  // namespace
}  // namespace qkd::junos
