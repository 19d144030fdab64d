// Replies held against real devices' ones. The fixtures are minimal and anonymised: identifiers, addresses, names and
// figures are replaced; words, punctuation, line structure and columns are as the devices wrote them.
#include <gtest/gtest.h>

#include <regex>

#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace {

// What differs between any two devices becomes a sign for its kind.
std::string shape(std::string text) {
    const std::vector<std::pair<std::string, std::string>> rules = {
        {"([0-9A-F]{2}:){5}[0-9A-F]{2}", "MAC"},
        {"\\d+d \\d\\d:\\d\\d:\\d\\d", "TIME"},
        {"\\d\\d:\\d\\d:\\d\\d(?!:)", "TIME"},
        {"\\b[0-9A-F]{24,64}\\b", "HEX"},
        {"\\b\\d{4}-\\d\\d-\\d\\d\\b", "DATE"},
        {"\\b(et|xe|ge)-[0-9/:]+", "PORT"},
        {"\\b\\d+\\b", "N"},
        {"(yes|no)(?= +Key server)", "YESNO"},
        {"[ \\t]+(?=\\n)", ""},
        {"([^ \\n])   *", "$1  "},  // columns differ by the width of a figure
    };
    for (const auto& [pattern, sign] : rules) text = std::regex_replace(text, std::regex(pattern), sign);
    return trim(text);
}

struct SecuredPair : TestLab {
    SecuredPair();
};

SecuredPair::SecuredPair() : TestLab({"r1", "r2"}, {{"r1", "et-2/0/4", "r2", "et-2/0/4"}}) {
    TestLab& lab = *this;
    for (const std::string name : {"r1", "r2"}) {
        Client client(lab.device(name));
        EXPECT_TRUE(client.load_set(
            "set security macsec connectivity-association CA1 security-mode static-cak\n"
            "set security macsec connectivity-association CA1 cipher-suite gcm-aes-xpn-256\n"
            "set security macsec connectivity-association CA1 mka sak-rekey-interval 300\n"
            "set security macsec connectivity-association CA1 pre-shared-key ckn " +
            std::string(64, 'a') + "\nset security macsec connectivity-association CA1 pre-shared-key cak " +
            std::string(64, 'b') + "\nset security macsec interfaces et-2/0/4 connectivity-association CA1"));
        EXPECT_TRUE(client.commit());
    }
    lab.advance(60'000);
}

std::string mka_text(const TestLab& lab, const std::string& level) {
    Client client(lab.device("r1"));
    return client.call("<get-mka-session-information format='text'>" + level + "</get-mka-session-information>")
        .select_node("//output")
        .node()
        .text()
        .get();
}

// Element names in document order, indented by depth: the structure without the values.
std::string outline(const pugi::xml_node& node, const std::string& pad = {}) {
    std::string out = pad + std::string(local_name(node)) + "\n";
    for (const auto& c : node) {
        if (c.type() == pugi::node_element) out += outline(c, pad + " ");
    }
    return out;
}

pugi::xml_document xml_fixture(const std::string& name) {
    pugi::xml_document doc;
    EXPECT_TRUE(doc.load_string(fixture(name).c_str())) << name;
    return doc;
}

}  // namespace

TEST(Samples, MkaSummaryColumns) {
    const SecuredPair lab;
    const auto real = split(trim(fixture("mka_summary.txt")), '\n');
    const auto ours = split(trim(mka_text(lab, "<summary/>")), '\n');
    ASSERT_EQ(ours.size(), 2U);
    EXPECT_EQ(ours[0], real[0]);
    for (const char* column : {"Member-ID", "Type", "Status", "Tx", "Rx", "CAK Name"}) {
        const auto at = real[0].find(column);
        for (const auto& row : {ours[1], real[1], real[2]}) {
            EXPECT_NE(row[at], ' ') << column;
            EXPECT_EQ(row[at - 1], ' ') << column;
        }
    }
    EXPECT_EQ(shape(ours[1]), shape(real[1]));
}

TEST(Samples, MkaBlockForm) {
    EXPECT_EQ(shape(mka_text(SecuredPair(), "")), shape(fixture("mka_sessions.txt")));
}

TEST(Samples, MkaDetailForm) {
    EXPECT_EQ(shape(mka_text(SecuredPair(), "<detail/>")), shape(fixture("mka_sessions_detail.txt")));
}

TEST(Samples, MacsecConnections) {
    const SecuredPair lab;
    Client client(lab.device("r1"));
    const auto reply = client.call("<get-macsec-connection-information/>");
    EXPECT_EQ(outline(reply.document_element().child("macsec-connection-information")),
              outline(xml_fixture("macsec_connections.xml").document_element()));
    const auto text = client.call("<get-macsec-connection-information format='text'/>");
    EXPECT_EQ(shape(text.select_node("//output").node().text().get()), shape(fixture("macsec_connections.txt")));
}

TEST(Samples, CommitInformation) {
    TestLab lab({"r1"});
    Client client(lab.device("r1"));
    EXPECT_TRUE(client.load_set("set system domain-name d"));
    EXPECT_TRUE(client.commit("<confirmed/><confirm-timeout>10</confirm-timeout><log>by the tool</log>"));
    const auto reply = client.call("<get-commit-information/>");
    const auto real = xml_fixture("commit_information.xml");
    EXPECT_EQ(outline(reply.document_element().first_child()), outline(real.document_element()));
    EXPECT_EQ(text_of(reply.select_node("//comment").node()), text_of(real.select_node("//comment").node()));
}

TEST(Samples, HelloOffersWhatADeviceOffers) {
    TestLab lab({"r1"});
    Client client(lab.device("r1"));
    auto ours = std::regex_replace(client.hello(), std::regex("session-id>\\d+"), "session-id>1");
    EXPECT_EQ(trim(ours), trim(fixture("hello.xml")));
}

TEST(Samples, LockDenied) {
    TestLab lab({"r1"});
    Client holder(lab.device("r1"), {}, false, "admin");
    Client other(lab.device("r1"));
    EXPECT_TRUE(holder.ok("<lock-configuration/>"));
    const auto strip = [](const std::string& text) {
        return std::regex_replace(shape(text), std::regex("DATE TIME UTC"), "WHEN");
    };
    EXPECT_EQ(strip(other.error("<lock-configuration/>")), strip(fixture("lock_denied.txt")));
}
