// The configuration database: every way in gives the same tree, what is unknown or out of range is refused, and
// differences read as Junos writes them.
#include <gtest/gtest.h>

#include "config_load.hpp"
#include "secret9.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;

namespace {

Node loaded(const Loaded& from, Node onto = empty_configuration()) {
    EXPECT_TRUE(from.issues.empty()) << from.issues.front().path << " " << from.issues.front().message << " "
                                     << from.issues.front().bad_element;
    EXPECT_TRUE(apply(from.patches, onto, false).empty());
    return onto;
}

Node from_set(const std::string& lines, Node onto = empty_configuration()) {
    return loaded(read_set(lines, "UTC"), std::move(onto));
}

Loaded read_xml_text(const std::string& text, Operation initial = Operation::merge) {
    pugi::xml_document doc;
    EXPECT_TRUE(doc.load_string(text.c_str()));
    return read_xml(doc.document_element(), "UTC", initial);
}

std::string set_text(const Node& node) {
    return to_set(node, Secrets::clear);
}

const std::string rich_set =
    "set system host-name r1\n"
    "set system services netconf ssh\n"
    "set system static-host-mapping kme-1 inet 192.0.2.7\n"
    "set interfaces et-0/0/9 description \"to r2 | {\\\"id\\\": 1}\"\n"
    "set interfaces et-0/0/9 unit 0 family inet address 192.0.2.1/31\n"
    "set protocols lldp port-description-type interface-description\n"
    "set protocols lldp interface all\n"
    "set event-options generate-event every10mins time-interval 600\n"
    "set event-options generate-event every10mins start-time 00:00:00\n"
    "set event-options policy qkd events every10mins\n"
    "set event-options policy qkd then event-script onbox.py\n"
    "set event-options event-script file onbox.py python-script-user admin\n"
    "set event-options traceoptions file script.log\n"
    "set event-options traceoptions file size 10m\n"
    "set security authentication-key-chains key-chain QKD_CA1 key 0 key-name abcd\n"
    "set security authentication-key-chains key-chain QKD_CA1 key 0 secret 0011\n"
    "set security authentication-key-chains key-chain QKD_CA1 key 0 start-time \"2026-01-01.00:01:00 +0000\"\n"
    "set security macsec connectivity-association CA1 cipher-suite gcm-aes-xpn-256\n"
    "set security macsec connectivity-association CA1 security-mode static-cak\n"
    "set security macsec connectivity-association CA1 fallback-key ckn aaaa\n"
    "set security macsec connectivity-association CA1 fallback-key cak bbbb\n"
    "set security macsec connectivity-association CA1 pre-shared-key-chain QKD_CA1\n"
    "set security macsec connectivity-association CA1 exclude-protocol lldp\n"
    "set security macsec connectivity-association CA1 replay-protect replay-window-size 5\n"
    "set security macsec connectivity-association CA1 mka transmit-interval 2000\n"
    "set security macsec connectivity-association CA1 mka should-secure\n"
    "set security macsec interfaces et-0/0/9 apply-macro qkd kme-ca false\n"
    "set security macsec interfaces et-0/0/9 connectivity-association CA1\n";

}  // namespace

TEST(Configuration, SetFormRoundTrips) {
    EXPECT_EQ(set_text(from_set(rich_set)), rich_set);
}

TEST(Configuration, XmlFormRoundTrips) {
    const Node tree = from_set(rich_set);
    pugi::xml_document doc;
    append_xml(doc.append_child("configuration"), tree, Secrets::obfuscated);
    EXPECT_EQ(set_text(loaded(read_xml(doc.document_element(), "UTC"))), rich_set);
}

TEST(Configuration, CurlyFormRoundTrips) {
    const Node tree = from_set(rich_set);
    const std::string text = to_curly(tree, Secrets::obfuscated);
    EXPECT_NE(text.find("; ## SECRET-DATA\n"), std::string::npos);
    EXPECT_EQ(set_text(loaded(read_curly(text, "UTC"))), rich_set);
}

TEST(Configuration, CurlyOnOneLineAndWithComments) {
    const auto tree = loaded(read_curly(
        "security { macsec { /* x */ connectivity-association CA { mka { key-server-priority 5; } } } } # end\n"
        "event-options { policy p { events [ a b ]; } }",
        "UTC"));
    EXPECT_EQ(set_text(tree),
              "set event-options policy p events a\nset event-options policy p events b\n"
              "set security macsec connectivity-association CA mka key-server-priority 5\n");
}

TEST(Configuration, ChainedStatementsInOneSetLine) {
    EXPECT_EQ(set_text(from_set("set event-options generate-event e time-interval 600 start-time 00:00:00")),
              "set event-options generate-event e time-interval 600\nset event-options generate-event e start-time "
              "00:00:00\n");
}

TEST(Configuration, XmlUsesJunosNames) {
    pugi::xml_document doc;
    append_xml(doc.append_child("configuration"), from_set(rich_set), Secrets::clear);
    const auto root = doc.document_element();
    EXPECT_STREQ(root.select_node("interfaces/interface/name").node().text().get(), "et-0/0/9");
    EXPECT_STREQ(root.select_node("security/macsec/interfaces/apply-macro/data/value").node().text().get(), "false");
    EXPECT_STREQ(root.select_node("security/macsec/connectivity-association/exclude-protocol/name").node().text().get(),
                 "lldp");
    EXPECT_STREQ(root.select_node("security/authentication-key-chains/key-chain/key/name").node().text().get(), "0");
    EXPECT_STREQ(root.select_node("event-options/traceoptions/file/filename").node().text().get(), "script.log");
}

TEST(Configuration, DeleteRemovesTheStatementAndWarnsWhenMissing) {
    Node tree = from_set(rich_set);
    auto gone = read_set(
        "delete security macsec connectivity-association CA1 pre-shared-key-chain\n"
        "delete security macsec interfaces\n",
        "UTC");
    EXPECT_TRUE(apply(gone.patches, tree, false).empty());
    EXPECT_EQ(set_text(tree).find("interfaces et-0/0/9 connectivity"), std::string::npos);
    EXPECT_EQ(set_text(tree).find("pre-shared-key-chain"), std::string::npos);
    const auto issues = apply(read_set("delete security macsec interfaces xe-9/9/9", "UTC").patches, tree, false);
    ASSERT_EQ(issues.size(), 1U);
    EXPECT_TRUE(issues[0].warning);
    EXPECT_EQ(issues[0].message, "statement not found: xe-9/9/9");
}

TEST(Configuration, DeletingTheLastLeafRemovesTheContainer) {
    Node tree = from_set("set security macsec connectivity-association C pre-shared-key ckn aa");
    tree = from_set("delete security macsec connectivity-association C pre-shared-key ckn", std::move(tree));
    EXPECT_EQ(set_text(tree), "set security macsec connectivity-association C\n");
}

TEST(Configuration, XmlOperations) {
    Node tree = from_set(
        "set system host-name a\nset system domain-name d\n"
        "set security macsec connectivity-association C cipher-suite gcm-aes-256\n"
        "set security macsec connectivity-association C offset 30\n");
    tree = loaded(
        read_xml_text("<configuration><security><macsec><connectivity-association replace='replace'><name>C</name>"
                      "<offset>50</offset></connectivity-association></macsec></security>"
                      "<system><domain-name delete='delete'/></system></configuration>"),
        std::move(tree));
    EXPECT_EQ(set_text(tree), "set system host-name a\nset security macsec connectivity-association C offset 50\n");
    tree = loaded(
        read_xml_text("<configuration xmlns:nc='urn:ietf:params:xml:ns:netconf:base:1.0'><security><macsec>"
                      "<connectivity-association nc:operation='remove'><name>nope</name></connectivity-association>"
                      "<connectivity-association nc:operation='delete'><name>C</name></connectivity-association>"
                      "</macsec></security></configuration>"),
        std::move(tree));
    EXPECT_EQ(set_text(tree), "set system host-name a\n");
}

TEST(Configuration, StrictDeletionAndCreationAndNone) {
    Node tree = from_set("set system host-name a");
    auto issues = apply(
        read_xml_text("<configuration><system><domain-name operation='delete'/></system></configuration>").patches,
        tree, true);
    ASSERT_EQ(issues.size(), 1U);
    EXPECT_FALSE(issues[0].warning);
    EXPECT_EQ(issues[0].tag, "data-missing");
    issues = apply(
        read_xml_text("<configuration><system><host-name operation='create'>b</host-name></system></configuration>")
            .patches,
        tree, true);
    ASSERT_EQ(issues.size(), 1U);
    EXPECT_EQ(issues[0].tag, "data-exists");
    issues =
        apply(read_xml_text("<configuration><protocols><lldp><interface operation='merge'><name>all</name></interface>"
                            "</lldp></protocols></configuration>",
                            Operation::none)
                  .patches,
              tree, true);
    ASSERT_EQ(issues.size(), 1U) << "default-operation none creates nothing on the way";
}

TEST(Configuration, UnknownStatementsAreRefusedWithTheirPlace) {
    const auto set = read_set("set security macsec nonsense 1", "UTC");
    ASSERT_EQ(set.issues.size(), 1U);
    EXPECT_EQ(set.issues[0].path, "[edit security macsec]");
    EXPECT_EQ(set.issues[0].message, "syntax error");
    EXPECT_EQ(set.issues[0].bad_element, "nonsense");
    const auto xml = read_xml_text(
        "<configuration><security><macsec><connectivity-association><name>C</name><mka><nope/></mka>"
        "</connectivity-association></macsec></security></configuration>");
    ASSERT_EQ(xml.issues.size(), 1U);
    EXPECT_EQ(xml.issues[0].path, "[edit security macsec connectivity-association C mka]");
    EXPECT_EQ(xml.issues[0].bad_element, "nope");
    for (const char* text : {"routing-options { static; }", "system { host-name; }", "system { host-name a",
                             "system } {", "} system", ";", "system { inactive: host-name a; }"}) {
        EXPECT_TRUE(read_curly(text, "UTC").failed()) << text;
    }
    for (const char* line : {"set", "show system", "set system host-name", "set system host-name a b",
                             "delete system host-name a domain-name"}) {
        EXPECT_TRUE(read_set(line, "UTC").failed()) << line;
    }
}

TEST(Configuration, RangesAndLengths) {
    const std::string long65(65, 'a');
    const std::vector<std::pair<std::string, std::string>> refused = {
        {"set security authentication-key-chains key-chain K key 64", "Value 64 is not within range (0..63)"},
        {"set security authentication-key-chains key-chain K key 1 key-name " + long65,
         "Length 65 is not within range (2..64)"},
        {"set security authentication-key-chains key-chain K key 1 secret " + long65,
         "Length 65 is not within range (1..64)"},
        {"set security macsec connectivity-association C pre-shared-key ckn abc",
         "key format must be an even number of hex digits"},
        {"set security macsec connectivity-association C pre-shared-key ckn zz",
         "key format must be an even number of hex digits"},
        {"set security macsec connectivity-association C pre-shared-key cak " + long65,
         "Length 65 is not within range (1..64)"},
        {"set security macsec connectivity-association C mka transmit-interval 1999",
         "Value 1999 is not within range (2000..6000)"},
        {"set security macsec connectivity-association C mka key-server-priority 256",
         "Value 256 is not within range (0..255)"},
        {"set security macsec connectivity-association C cipher-suite des", "invalid value 'des'"},
        {"set security macsec connectivity-association " + std::string(33, 'n'),
         "Length 33 is not within range (1..32)"},
        {"set security authentication-key-chains key-chain K key 1 start-time soon", "Invalid date and time: 'soon'"},
        {"set security authentication-key-chains key-chain K key 1 secret $9$broken\"", "invalid encrypted string"},
        {"set event-options generate-event e time-interval 59", "Value 59 is not within range (60..2592000)"},
        {"set system time-zone Mars/Olympus", "Unknown time-zone: 'Mars/Olympus'"},
    };
    for (const auto& [line, message] : refused) {
        const auto result = read_set(line, "UTC");
        ASSERT_EQ(result.issues.size(), 1U) << line;
        EXPECT_EQ(result.issues[0].message, message) << line;
    }
}

TEST(Configuration, SecretsGoInClearOrObfuscatedAndComeOutObfuscated) {
    const std::string path = "set security macsec connectivity-association C pre-shared-key cak ";
    const Node clear = from_set(path + "00ff");
    const Node obfuscated = from_set(path + "\"" + encode9("00ff") + "\"");
    EXPECT_EQ(set_text(clear), set_text(obfuscated));
    EXPECT_EQ(compare(clear, obfuscated), "") << "the salt is no difference";
    const std::string out = to_set(clear, Secrets::obfuscated);
    EXPECT_EQ(out.find("00ff"), std::string::npos);
    EXPECT_EQ(set_text(from_set(out)), set_text(clear));
}

TEST(Configuration, CompareReadsAsOnTheDevice) {
    const Node before = from_set(
        "set system host-name a\nset system domain-name d\nset interfaces et-0/0/1 description x\n"
        "set security macsec connectivity-association C pre-shared-key ckn aa");
    const Node after = from_set(
        "set system host-name b\nset system domain-name d\n"
        "set security macsec connectivity-association C pre-shared-key ckn bb\n"
        "set security macsec interfaces et-0/0/1 connectivity-association C");
    EXPECT_EQ(compare(before, after),
              "[edit]\n"
              "-  interfaces {\n"
              "-      et-0/0/1 {\n"
              "-          description x;\n"
              "-      }\n"
              "-  }\n"
              "[edit system]\n"
              "-  host-name a;\n"
              "+  host-name b;\n"
              "[edit security macsec]\n"
              "+    interfaces et-0/0/1 {\n"
              "+        connectivity-association C;\n"
              "+    }\n"
              "[edit security macsec connectivity-association C pre-shared-key]\n"
              "-      ckn aa;\n"
              "+      ckn bb;\n");
    EXPECT_EQ(compare(after, after), "");
}

TEST(Configuration, PatchBetweenBringsOneToTheOther) {
    const Node before = from_set(rich_set);
    Node after = from_set(
        "delete security macsec interfaces\ndelete system static-host-mapping\nset system host-name z\n"
        "set security authentication-key-chains key-chain QKD_CA1 key 1 key-name beef",
        before);
    Node moved = before;
    EXPECT_TRUE(apply({patch_between(before, after)}, moved, false).empty());
    EXPECT_EQ(compare(after, moved), "");
}

TEST(Configuration, FiltersSelectSubtreesKeysAndValues) {
    const Node tree = from_set(rich_set);
    const auto selected = [&](const std::string& filter) {
        pugi::xml_document doc;
        EXPECT_TRUE(doc.load_string(("<configuration>" + filter + "</configuration>").c_str()));
        return set_text(select(doc.document_element(), tree));
    };
    EXPECT_EQ(selected("<system><host-name/></system>"), "set system host-name r1\n");
    EXPECT_EQ(selected("<security><macsec><interfaces><name>et-0/0/9</name></interfaces></macsec></security>"),
              "set security macsec interfaces et-0/0/9 apply-macro qkd kme-ca false\n"
              "set security macsec interfaces et-0/0/9 connectivity-association CA1\n");
    EXPECT_EQ(selected("<security><macsec><interfaces><name>et-9/9/9</name></interfaces></macsec></security>"), "");
    EXPECT_EQ(selected("<security><macsec><connectivity-association><name>CA1</name><mka/></connectivity-association></"
                       "macsec></security>"),
              "set security macsec connectivity-association CA1 mka transmit-interval 2000\n"
              "set security macsec connectivity-association CA1 mka should-secure\n");
    EXPECT_EQ(selected("<routing-options/>"), "");
    EXPECT_EQ(selected(""), rich_set);
}
