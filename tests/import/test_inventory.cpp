// The script's inventory: the golden example, and each thing that can be wrong with one.
#include <gtest/gtest.h>

#include "engine/pipeline/toml_document.hpp"
#include "import/pipeline_text.hpp"
#include "support/temp_dir.hpp"

namespace qkd::inventory {
namespace {

namespace fs = std::filesystem;
using engine::Finding;
using support::read_file;

const fs::path golden = QKD_GOLDEN;

constexpr std::string_view least =
    "secrets: {username: lab, password: pw}\n"
    "CA_server: {c_a: CA_basic}\n"
    "qkd_roles: {master: a, slave: b}\n"
    "a: {ip: 192.0.2.1, interfaces: [et-0/0/0], kme: {kme_name: kme-1}}\n"
    "b: {ip: 192.0.2.2, interfaces: [et-0/0/0], kme: {kme_name: kme-2}}\n";

Reading read(const std::string& text) {
    const auto tree = read_yaml({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    if (const auto* problem = std::get_if<Problem>(&tree)) throw std::runtime_error(problem->what);
    return read_inventory(std::get<Node>(tree), "targets.yaml");
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
    std::string out(text);
    const auto at = out.find(from);
    if (at == std::string::npos) throw std::runtime_error("not in the text: " + std::string(from));
    return out.replace(at, from.size(), to);
}

std::string said(const Reading& reading) {
    std::string all;
    for (const auto& finding : reading.findings) all += to_string(finding) + "\n";
    return all;
}

PipelineOptions options() {
    PipelineOptions made;
    made.name = "ring";
    made.source = "targets.yaml";
    made.known_hosts = "known_hosts";
    made.device_password = "file:ring.device-password";
    return made;
}

TEST(Inventory, TheGoldenExampleAsYamlAndAsJson) {
    for (const char* name : {"targets.yaml", "targets.json"}) {
        const auto reading = read_inventory(golden / name);
        ASSERT_TRUE(reading.ok()) << said(reading);
        EXPECT_EQ(reading.inventory.members.size(), 4U);
        EXPECT_TRUE(reading.inventory.password.same_as(SecretBytes(std::string_view("correct horse battery"))));
        if (std::string_view(name) == "targets.yaml") {
            const auto text = pipeline_text(reading.inventory, options(), reading.findings);
            EXPECT_EQ(text, read_file(golden / "ring.toml"))
                << "if this is right: qkd-macsec import targets.yaml -o ring.toml, in tests/golden/import";
        }
    }
}

TEST(Inventory, TheLeastThatWorks) {
    const auto reading = read(std::string(least));
    ASSERT_TRUE(reading.ok()) << said(reading);
    const auto& inventory = reading.inventory;
    EXPECT_FALSE(inventory.threads);
    EXPECT_EQ(inventory.user, "lab");
    EXPECT_EQ(inventory.ca, CaSource::provided);
    EXPECT_EQ(inventory.association, "CA_basic");
    ASSERT_EQ(inventory.members.size(), 2U);
    EXPECT_EQ(inventory.members[0].name, "a");
    EXPECT_EQ(inventory.members[0].port, 22U);
    EXPECT_EQ(inventory.members[0].kme.host, "kme-1");
}

struct Wrong {
    const char* from;
    const char* to;
    const char* says;
};

TEST(Inventory, EveryMistakeIsSaidAtItsPlace) {
    constexpr Wrong cases[] = {
        {"secrets: {username: lab, password: pw}\n", "", "there is no 'secrets'"},
        {"username: lab", "username: 'l ab'", ":1:21: 'username' cannot be 'l ab'"},
        {"username: lab", "user: lab", "has no username"},
        {"password: pw", "password: [pw]", "'password' is a list"},
        {"password: pw", "password: \"p\\nw\"", "line end"},
        {"c_a: CA_basic", "c_a: CA_basic_CA_basic_CA_basic_CA_basic", "longer than 32"},
        {"c_a: CA_basic", "c_a: 'CA basic'", "'c_a' cannot be"},
        {"c_a: CA_basic", "CA_cert: {fetch: perhaps}, c_a: CA", "neither true nor false"},
        {"c_a: CA_basic", "CA_cert: {fetch: true}, c_a: CA", "no ca_server_ip"},
        {"{c_a: CA_basic}", "[1]", "'CA_server' is a list"},
        {"master: a", "master: c", "master 'c' is no device of this file"},
        {"master: a", "mster: a", "qkd_roles has no master"},
        {"slave: b", "slave: a", "'a' has two roles"},
        {"slave: b", "slave: b, additional_slave_SAE_IDs: c", "is no list"},
        {"slave: b", "slave: b, additional_slave_SAE_IDs: [b]", "'b' has two roles"},
        {"192.0.2.1", "'192.0.2.1; reboot'", "neither an address nor a host name"},
        {"ip: 192.0.2.1, ", "", "'a' has no ip"},
        {"ip: 192.0.2.1", "ip: 192.0.2.1, port: 70000", "'port' is no number in 1..65535"},
        {"interfaces: [et-0/0/0], kme: {kme_name: kme-1}", "kme: {kme_name: kme-1}", "has no list of interfaces"},
        {"[et-0/0/0]", "[et-0/0/0, et-0/0/0]", "named twice"},
        {"[et-0/0/0]", "['et-0/0/0\"']", "no interface name"},
        {", kme: {kme_name: kme-1}", "", "has no kme"},
        {"kme_name: kme-1", "kme_name: 'https://u:p@kme-1'", "'kme_name' is no address of a KME"},
        {"kme_name: kme-1", "kme_name: kme-1, kme_ip: kme-1", "no IP address"},
        {"a: {ip", "'a b': {ip", "'a b' is no device name"},
        {"b: {ip: 192.0.2.2", "a: {ip: 192.0.2.2", "'a' is there a second time"},
        {"kme_name: kme-2", "kme_name: kme-2, kme_name: kme-3", "'kme_name' is there a second time"},
    };
    for (const auto& wrong : cases) {
        const auto reading = read(replaced(least, wrong.from, wrong.to));
        EXPECT_FALSE(reading.ok()) << wrong.to;
        EXPECT_NE(said(reading).find(wrong.says), std::string::npos) << wrong.to << "\n" << said(reading);
    }
    for (const char* whole : {"", "[a]", "text"}) EXPECT_NE(said(read(whole)).find("not a map"), std::string::npos);
    EXPECT_NE(said(read("topology: links\nlinks: []\n")).find("later version"), std::string::npos);
}

TEST(Inventory, AllMistakesAtOnce) {
    auto text = replaced(least, "username: lab", "username: 'l ab'");
    text = replaced(text, "slave: b", "slave: c");
    const auto reading = read(text);
    EXPECT_NE(said(reading).find("l ab"), std::string::npos);
    EXPECT_NE(said(reading).find("slave 'c'"), std::string::npos);
}

TEST(Inventory, WhatIsLeftOutIsSaid) {
    auto text = replaced(least, "c_a: CA_basic", "c_a: CA_basic, ca_server_ip: 192.0.2.9, ca_pass: hush");
    text = replaced(text, "ip: 192.0.2.1", "ip: 192.0.2.1, root_enc_pass: hush, colour: red");
    text +=
        "c: {ip: 192.0.2.3, interfaces: [et-0/0/0], kme: {kme_name: kme-1}}\nsystem: {event_options: {start_time: "
        "x}}\n";
    const auto reading = read(text);
    ASSERT_TRUE(reading.ok()) << said(reading);
    for (const char* word : {"CA server", "root_enc_pass", "'colour'", "device c has no role", "start_time"}) {
        EXPECT_NE(said(reading).find(word), std::string::npos) << word << "\n" << said(reading);
    }
    const auto toml = pipeline_text(reading.inventory, options(), reading.findings);
    EXPECT_EQ((said(reading) + toml).find("hush"), std::string::npos) << "a secret was repeated";
    for (const auto& finding : reading.findings) EXPECT_NE(toml.find(finding.what), std::string::npos) << finding.what;
}

TEST(Inventory, TheCaServer) {
    const auto reading =
        read(replaced(least, "c_a: CA_basic",
                      "CA_cert: {fetch: true, generate: true}, c_a: CA_basic, ca_server_ip: 192.0.2.9, "
                      "ca_user: ca, ca_pass: hush, ca_path: /srv/ca, ca_cert_name: r.pem, "
                      "ca_key_name: k.pem"));
    ASSERT_TRUE(reading.ok()) << said(reading);
    EXPECT_EQ(reading.inventory.ca, CaSource::fetch);
    EXPECT_TRUE(reading.inventory.ca_password.same_as(SecretBytes(std::string_view("hush"))));
    auto with = options();
    with.ca_password = "file:ring.ca-password";
    const auto toml = pipeline_text(reading.inventory, with, {});
    for (const char* line :
         {"ca = \"fetch\"", "ca_host = \"192.0.2.9\"", "ca_user = \"ca\"", "ca_password = \"file:ring.ca-password\"",
          "ca_cert_file = \"/srv/ca/r.pem\"", "ca_key_file = \"/srv/ca/k.pem\"", "ca_known_hosts = \"known_hosts\""}) {
        EXPECT_NE(toml.find(std::string("\n") + line + "\n"), std::string::npos) << line << "\n" << toml;
    }
    const auto generate = read(replaced(least, "c_a: CA_basic", "CA_cert: {generate: yes}, c_a: CA_basic"));
    EXPECT_EQ(generate.inventory.ca, CaSource::generate);
}

TEST(Inventory, AddressesOfKmes) {
    struct Case {
        const char* kme;
        const char* url;
        const char* bears;
    };
    constexpr Case cases[] = {
        {"kme_name: 'https://kme-1', kme_ip: 198.51.100.1", "https://198.51.100.1", "kme-1"},
        {"kme_name: 'https://kme-1:8443/api/', kme_ip: 198.51.100.1", "https://198.51.100.1:8443/api", "kme-1"},
        {"kme_name: 'https://127.0.0.1:8443', kme_ip: 127.0.0.1", "https://127.0.0.1:8443", ""},
        {"kme_name: kme-1", "https://kme-1", ""},
        {"kme_ip: 198.51.100.1", "https://198.51.100.1", ""},
        {"kme_ip: '2001:db8::1'", "https://[2001:db8::1]", ""},
        {"kme_name: 'https://kme-1', kme_ip: '2001:db8::1'", "https://[2001:db8::1]", "kme-1"},
    };
    for (const auto& one : cases) {
        const auto reading = read(replaced(least, "kme_name: kme-1", one.kme));
        ASSERT_TRUE(reading.ok()) << one.kme << "\n" << said(reading);
        const auto toml = pipeline_text(reading.inventory, options(), {});
        EXPECT_NE(toml.find(std::string("url = \"") + one.url + "\"\n"), std::string::npos) << toml;
        EXPECT_EQ(reading.inventory.members[0].kme.bears, one.bears) << one.kme;
    }
    const auto plain = read(replaced(least, "kme_name: kme-1", "kme_name: 'http://kme-1'"));
    EXPECT_TRUE(plain.ok());
    EXPECT_NE(said(plain).find("becomes https"), std::string::npos);
    // Two members at one KME share its table.
    const auto shared = read(replaced(least, "kme_name: kme-2", "kme_name: kme-1"));
    const auto toml = pipeline_text(shared.inventory, options(), {});
    EXPECT_EQ(toml.find("[kme.kme-1]"), toml.rfind("[kme."));
}

// Where the script's manual was copied out of its pages, tables lost their indentation.
TEST(Inventory, LostIndentationIsTakenAsItWasMeantAndSaid) {
    const auto reading = read(
        "secrets: {username: lab, password: pw}\nCA_server:\nCA_cert:\n  fetch: false\nc_a: \"CA_basic\"\n"
        "qkd_roles: {master: a, slave: b}\n"
        "a:\n  ip: 192.0.2.1\n  interfaces: [et-0/0/0]\nkme:\n  kme_name: kme-1\n"
        "b:\n  ip: 192.0.2.2\n  interfaces: [et-0/0/0]\nkme:\n  kme_name: kme-2\n");
    ASSERT_TRUE(reading.ok()) << said(reading);
    EXPECT_EQ(reading.inventory.association, "CA_basic");
    EXPECT_EQ(reading.inventory.members[1].kme.host, "kme-2");
    EXPECT_NE(said(reading).find("taken as part of b"), std::string::npos);
}

TEST(Inventory, AFileThatCannotBeRead) {
    const support::TempDir dir;
    EXPECT_NE(said(read_inventory(dir.path() / "absent.yaml")).find("cannot be read"), std::string::npos);
    EXPECT_NE(said(read_inventory(dir.path())).find("no regular file"), std::string::npos);
    support::write_file(dir.path() / "big.yaml", std::string(most_octets + 1, '#'));
    EXPECT_NE(said(read_inventory(dir.path() / "big.yaml")).find("1 MiB"), std::string::npos);
}

TEST(PipelineText, NothingOfTheInventoryBecomesToml) {
    Inventory inventory;
    inventory.user = "x\"\nmode = \"onbox";
    inventory.association = "\\";
    inventory.members = {{"a\"b", "h\x01", 22, {"i\"1"}, {"h", 443, "", "", "\"]"}},
                         {"c", "h", 830, {"i"}, {"h", 1, "", "", "k"}}};
    auto with = options();
    with.source = "x\nmode = 1";
    const std::string text =
        pipeline_text(inventory, with, {{Finding::Severity::warning, "f", 1, 1, "a\nb = 1", "", ""}});
    const support::TempDir dir;
    support::write_file(dir.path() / "p.toml", text);
    auto read_back = engine::read_toml(dir.path() / "p.toml", 0);
    const auto* root = std::get_if<engine::TomlValue>(&read_back);
    ASSERT_NE(root, nullptr) << std::get<engine::TomlProblem>(read_back).what << "\n" << text;
    EXPECT_EQ(root->find("defaults")->find("device")->find("user")->text, inventory.user);
    EXPECT_EQ(root->find("pipeline")->find("mode")->text, "offbox");
    EXPECT_EQ(root->find("mode"), nullptr);
    EXPECT_EQ(root->find("b"), nullptr);
}

TEST(PipelineText, NamesOfPipelines) {
    EXPECT_EQ(pipeline_name("ring"), "ring");
    EXPECT_EQ(pipeline_name("my ring (2)"), "my-ring--2-");
    EXPECT_EQ(pipeline_name("--x"), "x");
    EXPECT_EQ(pipeline_name("\xc3\xa9"), "imported");
}

}  // namespace
}  // namespace qkd::inventory
