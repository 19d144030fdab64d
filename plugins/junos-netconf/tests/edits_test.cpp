// From what is configured and what is wanted to statements, their text, their XML, and the proof that nothing else changed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "config_model.hpp"
#include "kme_macro.hpp"

namespace qkd::junos {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

const std::string ckn_a(64, 'a');
const std::string ckn_b(64, 'b');
const std::string hex_5a = [] {
    std::string text;
    for (int i = 0; i < 32; ++i) text += "5a";
    return text;
}();

XmlDocument parse(const std::string& text) {
    auto document = XmlDocument::parse(SecretBytes(std::string_view(text)));
    EXPECT_TRUE(document) << document.error().what;
    return std::move(*document);
}

ConfigModel model(const std::string& inside) {
    return ConfigModel(parse("<configuration>" + inside + "</configuration>").root());
}

MemberTarget target() {
    MemberTarget t;
    t.connectivity_association = "CA_1";
    t.key_chain = "QKD_CA_1";
    t.interfaces = {"et-0/0/9"};
    t.cipher = Cipher::gcm_aes_256;
    return t;
}

const std::string chain_with_two_keys =
    "<security><authentication-key-chains><key-chain><name>QKD_CA_1</name>"
    "<key><name>0</name><key-name>" +
    ckn_a + "</key-name><secret>" + hex_5a +
    "</secret><start-time>2026-1-2.03:04:05 +0000</start-time></key>"
    "<key inactive='inactive'><name>1</name><key-name>" +
    std::string(64, 'c') +
    "</key-name></key>"
    "</key-chain></authentication-key-chains><macsec><connectivity-association><name>CA_1</name>"
    "<cipher-suite>gcm-aes-256</cipher-suite><security-mode>static-cak</security-mode>"
    "<pre-shared-key-chain>QKD_CA_1</pre-shared-key-chain></connectivity-association>"
    "<connectivity-association><name>CA_2</name><replay-protect/></connectivity-association>"
    "<interfaces><name>et-0/0/9</name><connectivity-association>CA_1</connectivity-association></interfaces>"
    "<interfaces><name>et-0/0/8</name><connectivity-association>CA_2</connectivity-association></interfaces></macsec>"
    "</security>";

SecretBytes key_5a() {
    SecretBytes key = SecretBytes::zeros(32);
    for (auto& byte : key.writable()) byte = 0x5a;
    return key;
}

constexpr UtcSeconds start = std::chrono::sys_days{std::chrono::year{2026} / 1 / 2} + 3h + 4min + 5s;

TEST(Edits, StateIsReadFromTheConfiguration) {
    MemberState state;
    fill_state(model(chain_with_two_keys), DeviceZone(), target(), state);
    EXPECT_TRUE(state.association_exists);
    EXPECT_TRUE(state.uses_chain);
    EXPECT_EQ(state.bound_interfaces, Lines{"et-0/0/9"});
    ASSERT_EQ(state.keys.size(), 1U) << "an inactive key is none";
    EXPECT_EQ(state.keys[0].ckn, ckn_a);
    EXPECT_TRUE(state.keys[0].cak.same_as(key_5a()));
    EXPECT_EQ(state.keys[0].start, start);
}

TEST(Edits, WhatIsThereAlreadyIsNotWrittenAgain) {
    const auto now = model(chain_with_two_keys);
    const auto key = key_5a();
    MemberChange change;
    change.use_chain = true;
    change.add_to_chain = {{ckn_a, &key, start}};
    auto plan = plan_change(now, DeviceZone(), target(), change, false);
    ASSERT_TRUE(plan);
    EXPECT_EQ(set_lines(*plan), Lines{});
    auto t = target();
    EXPECT_TRUE(plan_initial(now, DeviceZone(), t, {}).empty());
    t.cipher = Cipher::gcm_aes_xpn_256;
    EXPECT_EQ(set_lines(plan_initial(now, DeviceZone(), t, {})),
              Lines{"set security macsec connectivity-association CA_1 cipher-suite gcm-aes-xpn-256"});
}

// Operators and other tools write names in upper case, and routers keep the writing.
TEST(Edits, AnUpperCaseCknIsTheSameCkn) {
    const auto upper = [](std::string text, const std::string& word) {
        std::string big = word;
        for (auto& c : big) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at))
            text.replace(at, word.size(), big);
        return text;
    };
    const std::string chain = upper(upper(chain_with_two_keys, ckn_a), hex_5a);
    ASSERT_NE(chain, chain_with_two_keys);
    const auto now = model(chain);
    MemberState state;
    fill_state(now, DeviceZone(), target(), state);
    ASSERT_EQ(state.keys.size(), 1U);
    EXPECT_EQ(state.keys[0].ckn, ckn_a);
    EXPECT_TRUE(state.keys[0].cak.same_as(key_5a()));
    EXPECT_EQ(find_slot(now, "QKD_CA_1", ckn_a), "0");
    // It is there already: not written once more in another case, which would be another key to the router.
    const auto key = key_5a();
    MemberChange same;
    same.use_chain = true;
    same.add_to_chain = {{ckn_a, &key, start}};
    auto plan = plan_change(now, DeviceZone(), target(), same, false);
    ASSERT_TRUE(plan) << plan.error().what;
    EXPECT_EQ(set_lines(*plan), Lines{});
    MemberChange removal;
    removal.remove_from_chain = {ckn_a};
    plan = plan_change(now, DeviceZone(), target(), removal, false);
    ASSERT_TRUE(plan) << plan.error().what;
    EXPECT_EQ(set_lines(*plan), Lines{"delete security authentication-key-chains key-chain QKD_CA_1 key 0"});

    const auto pre_shared = model("<security><macsec><connectivity-association><name>CA_1</name><pre-shared-key><ckn>" +
                                  upper(ckn_a, ckn_a) + "</ckn><cak>" + upper(hex_5a, hex_5a) +
                                  "</cak></pre-shared-key></connectivity-association></macsec></security>");
    MemberState psk;
    fill_state(pre_shared, DeviceZone(), target(), psk);
    ASSERT_EQ(psk.keys.size(), 1U);
    EXPECT_EQ(psk.keys[0].ckn, ckn_a);
    EXPECT_TRUE(psk.keys[0].cak.same_as(key_5a()));
    MemberChange replace;
    replace.pre_shared = NamedKey{ckn_a, &key, {}};
    plan = plan_change(pre_shared, DeviceZone(), target(), replace, false);
    ASSERT_TRUE(plan) << plan.error().what;
    EXPECT_EQ(set_lines(*plan), Lines{});
}

TEST(Edits, ChannelsOfAPortAreInterfacesLikeOthers) {
    auto t = target();
    t.interfaces = {"et-0/0/20:2", "xe-0/0/1:0"};
    const auto now = model(
        "<security><macsec><interfaces><name>et-0/0/20:2</name><connectivity-association>CA_1</"
        "connectivity-association>"
        "</interfaces><interfaces><name>et-0/0/20</name><connectivity-association>CA_2</connectivity-association></"
        "interfaces>"
        "</macsec></security>");
    MemberState state;
    fill_state(now, DeviceZone(), t, state);
    EXPECT_EQ(state.bound_interfaces, Lines{"et-0/0/20:2"});
    const auto lines = set_lines(plan_initial(now, DeviceZone(), t, {}));
    const auto has = [&](const std::string& line) {
        return std::find(lines.begin(), lines.end(), line) != lines.end();
    };
    EXPECT_TRUE(has("set security macsec interfaces xe-0/0/1:0 connectivity-association CA_1"));
    EXPECT_FALSE(has("set security macsec interfaces et-0/0/20:2 connectivity-association CA_1"));
}

TEST(Edits, ANewKeyTakesTheFirstFreeSlotAndAnOldOneGoes) {
    const auto key = key_5a();
    MemberChange change;
    change.add_to_chain = {{ckn_b, &key, start + 1h}};
    change.remove_from_chain = {ckn_a, std::string(64, 'f')};
    const DeviceZone zone("Europe/Berlin", 60min, start);
    auto plan = plan_change(model(chain_with_two_keys), zone, target(), change, false);
    ASSERT_TRUE(plan);
    // Slot 0 goes in the same commit, slot 1 is inactive but there.
    EXPECT_EQ(set_lines(*plan),
              (Lines{"set security authentication-key-chains key-chain QKD_CA_1 key 2 key-name " + ckn_b,
                     "set security authentication-key-chains key-chain QKD_CA_1 key 2 secret /* SECRET-DATA */",
                     "set security authentication-key-chains key-chain QKD_CA_1 key 2 start-time 2026-01-02.05:04:05",
                     "delete security authentication-key-chains key-chain QKD_CA_1 key 0"}));
    const auto tree = new_tree();
    append_configuration(tree->append_child("load"), *plan);
    const SecretBytes xml = to_text(*tree);
    EXPECT_EQ(
        xml.reveal_text(),
        "<load><configuration><security><authentication-key-chains><key-chain><name>QKD_CA_1</name>"
        "<key><name>2</name><key-name>" +
            ckn_b + "</key-name><secret>" + hex_5a +
            "</secret><start-time>2026-01-02.05:04:05</start-time></key><key delete=\"delete\"><name>0</name></key>"
            "</key-chain></authentication-key-chains></security></configuration></load>");
}

TEST(Edits, TheSameNameWithAnotherKeyIsAConflict) {
    SecretBytes key = key_5a();
    key.writable()[31] = 0;
    MemberChange change;
    change.add_to_chain = {{ckn_a, &key, start}};
    auto plan = plan_change(model(chain_with_two_keys), DeviceZone(), target(), change, false);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::conflict);
}

TEST(Edits, AFullChainIsSaidToBeFull) {
    std::string keys;
    for (int i = 0; i < 64; ++i) keys += "<key><name>" + std::to_string(i) + "</name><key-name>ab</key-name></key>";
    const auto now = model("<security><authentication-key-chains><key-chain><name>QKD_CA_1</name>" + keys +
                           "</key-chain></authentication-key-chains></security>");
    const auto key = key_5a();
    MemberChange change;
    change.add_to_chain = {{ckn_b, &key, start}};
    auto plan = plan_change(now, DeviceZone(), target(), change, false);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::exhausted);
}

TEST(Edits, InAFullChainANewKeyTakesThePlaceOfOneThatGoes) {
    const auto ckn_of = [](int i) { return "ab" + std::string(i < 10 ? "0" : "") + std::to_string(i); };
    std::string keys;
    for (int i = 0; i < 64; ++i)
        keys += "<key><name>" + std::to_string(i) + "</name><key-name>" + ckn_of(i) + "</key-name>" +
                (i == 7 ? "<options>basic</options>" : "") + "</key>";
    const auto now = model("<security><authentication-key-chains><key-chain><name>QKD_CA_1</name>" + keys +
                           "</key-chain></authentication-key-chains></security>");
    const auto key = key_5a();
    MemberChange change;
    change.add_to_chain = {{ckn_b, &key, start}};
    change.remove_from_chain = {ckn_of(7), ckn_of(9), ckn_of(7)};
    auto plan = plan_change(now, DeviceZone(), target(), change, false);
    ASSERT_TRUE(plan) << plan.error().what;
    const std::string slot = "security authentication-key-chains key-chain QKD_CA_1 key ";
    EXPECT_EQ(set_lines(*plan), (Lines{"delete " + slot + "7 options", "set " + slot + "7 key-name " + ckn_b,
                                       "set " + slot + "7 secret /* SECRET-DATA */",
                                       "set " + slot + "7 start-time 2026-01-02.03:04:05", "delete " + slot + "9"}));
    change.add_to_chain.assign(3, change.add_to_chain.front());
    for (const int i : {0, 1, 2}) change.add_to_chain[static_cast<std::size_t>(i)].ckn = "cd0" + std::to_string(i);
    plan = plan_change(now, DeviceZone(), target(), change, false);
    ASSERT_FALSE(plan) << "two places for three keys";
    EXPECT_EQ(plan.error().code, ErrorCode::exhausted);
}

TEST(Edits, AChainThatLosesItsLastKeyGoesWhenNobodyNamesIt) {
    const auto key = key_5a();
    const std::string chain = "security authentication-key-chains key-chain QKD_CA_1";
    const std::string ca = "security macsec connectivity-association CA_1 ";
    auto text = chain_with_two_keys;  // its other key is inactive, and there all the same
    MemberChange change;
    change.remove_from_chain = {ckn_a};
    change.pre_shared = NamedKey{ckn_b, &key, std::nullopt};
    const Lines replaced{"delete " + ca + "pre-shared-key-chain", "set " + ca + "pre-shared-key ckn " + ckn_b,
                         "set " + ca + "pre-shared-key cak /* SECRET-DATA */"};
    const auto lines = [&](const Lines& first) {
        auto plan = plan_change(model(text), DeviceZone(), target(), change, false);
        EXPECT_TRUE(plan);
        Lines expected = first;
        if (change.pre_shared) expected.insert(expected.end(), replaced.begin(), replaced.end());
        EXPECT_EQ(set_lines(*plan), expected);
    };
    lines({"delete " + chain + " key 0"});
    const auto inactive = text.find("<key inactive");
    text.erase(inactive, text.find("</key>", inactive) + 6 - inactive);
    lines({"delete " + chain});
    // Still named, by its own association or by an interface: the device is to refuse.
    change.pre_shared.reset();
    lines({"delete " + chain + " key 0"});
    change.pre_shared = NamedKey{ckn_b, &key, std::nullopt};
    const std::string bound = "<name>et-0/0/8</name>";
    text.insert(text.find(bound) + bound.size(), "<pre-shared-key-chain>QKD_CA_1</pre-shared-key-chain>");
    lines({"delete " + chain + " key 0"});
}

TEST(Edits, AnUnknownKeyIsNeverWritten) {
    MemberChange change;
    change.add_to_chain = {{ckn_b, nullptr, start}};
    EXPECT_FALSE(plan_change(model(""), DeviceZone(), target(), change, false));
    EXPECT_TRUE(plan_change(model(""), DeviceZone(), target(), change, true));
    const auto key = key_5a();
    for (const char* wrong : {"", "abc", "xy", "AB", "ab cd"}) {
        change.add_to_chain = {{wrong, &key, start}};
        EXPECT_FALSE(plan_change(model(""), DeviceZone(), target(), change, false)) << wrong;
    }
    change.add_to_chain = {{ckn_b, &key, std::nullopt}};
    EXPECT_FALSE(plan_change(model(""), DeviceZone(), target(), change, false));
}

TEST(Edits, LldpAndKmeStatements) {
    auto t = target();
    t.lldp_in_clear = true;
    t.kme = {"kme.example", 8443, "2001:db8::1"};
    const auto now =
        model("<protocols><lldp><interface><name>all</name></interface></lldp></protocols>" + chain_with_two_keys);
    EXPECT_EQ(set_lines(plan_initial(now, DeviceZone(), t, {})),
              (Lines{"set security macsec connectivity-association CA_1 exclude-protocol lldp",
                     "set security macsec interfaces et-0/0/9 apply-macro qkd kme-ca true",
                     "set security macsec interfaces et-0/0/9 apply-macro qkd kme-keyid-check true",
                     "set security macsec interfaces et-0/0/9 apply-macro qkd kme-method get",
                     "set security macsec interfaces et-0/0/9 apply-macro qkd kme-port 8443",
                     "set security macsec interfaces et-0/0/9 apply-macro qkd kme-host kme.example",
                     "set security macsec interfaces et-0/0/9 apply-macro qkd written-by-qkd-macsec \"kme-ca=true "
                     "kme-keyid-check=true kme-method=get kme-port=8443\"",
                     "set system static-host-mapping kme.example inet6 2001:db8::1"}));
    EXPECT_EQ(set_lines(plan_initial(now, DeviceZone(), t, {.kme_macro = false, .host_mapping = false})),
              Lines{"set security macsec connectivity-association CA_1 exclude-protocol lldp"});
    // exclude-protocol in either of the ways in which a list of names may be written.
    for (const char* form :
         {"<exclude-protocol>lldp</exclude-protocol>", "<exclude-protocol><name>lldp</name></exclude-protocol>"}) {
        auto text = chain_with_two_keys;
        text.insert(text.find("<security-mode>"), form);
        t.kme = {};
        const auto lines = set_lines(plan_initial(model(text), DeviceZone(), t, {}));
        EXPECT_EQ(lines, Lines{"set protocols lldp interface et-0/0/9"}) << form;
    }
}

// An interface with this in its apply-macro qkd.
std::string with_macro(const std::map<std::string, std::string>& values) {
    std::string data;
    for (const auto& [name, value] : values)
        data += "<data><name>" + name + "</name><value>" + value + "</value></data>";
    auto text = chain_with_two_keys;
    const std::string place = "<interfaces><name>et-0/0/9</name>";
    return text.insert(text.find(place) + place.size(), "<apply-macro><name>qkd</name>" + data + "</apply-macro>");
}

TEST(Macro, WhatWasWrittenHereFollowsThePipelineAndIsNoOverride) {
    auto t = target();
    t.kme = {"kme.example", 443, "", "get"};
    const std::map<std::string, std::string> ours{
        {"kme-ca", "true"},
        {"kme-host", "kme.example"},
        {"kme-keyid-check", "true"},
        {"kme-method", "get"},
        {"kme-port", "443"},
        {"written-by-qkd-macsec", "kme-ca=true kme-keyid-check=true kme-method=get kme-port=443"}};
    const auto now = model(with_macro(ours));
    EXPECT_TRUE(plan_initial(now, DeviceZone(), t, {}).empty());
    EXPECT_TRUE(read_overrides(now, t).empty());
    t.kme = {"other.example", 8443, "", "post"};
    const std::string at = "set security macsec interfaces et-0/0/9 apply-macro qkd ";
    EXPECT_EQ(set_lines(plan_initial(now, DeviceZone(), t, {})),
              (Lines{at + "kme-method post", at + "kme-port 8443", at + "kme-host other.example",
                     at + "written-by-qkd-macsec \"kme-ca=true kme-keyid-check=true kme-method=post kme-port=8443\""}));
}

TEST(Macro, WhatOthersWroteStaysAndIsAnOverride) {
    auto t = target();
    t.kme = {"kme.example", 443, "", "get"};
    // As the Python script left it.
    auto now = model(with_macro(
        {{"kme-ca", "false"}, {"kme-host", "https://kme.example"}, {"kme-port", "8443"}, {"kme-keyid-check", "true"}}));
    auto said = read_overrides(now, t);
    ASSERT_EQ(said.size(), 1U);
    EXPECT_EQ(said[0].interface_name, "et-0/0/9");
    EXPECT_EQ(said[0].port, "8443");
    EXPECT_EQ(said[0].ca, "false");
    EXPECT_EQ(said[0].keyid_check, "true");
    EXPECT_EQ(said[0].method, "");
    const std::string at = "set security macsec interfaces et-0/0/9 apply-macro qkd ";
    EXPECT_EQ(set_lines(plan_initial(now, DeviceZone(), t, {})),
              (Lines{at + "kme-method get", at + "kme-host kme.example", at + "written-by-qkd-macsec kme-method=get"}));

    // Ours, and then changed by somebody.
    now =
        model(with_macro({{"kme-ca", "true"},
                          {"kme-host", "kme.example"},
                          {"kme-keyid-check", "true"},
                          {"kme-method", "post"},
                          {"kme-port", "443"},
                          {"written-by-qkd-macsec", "kme-ca=true kme-keyid-check=true kme-method=get kme-port=443"}}));
    said = read_overrides(now, t);
    ASSERT_EQ(said.size(), 1U);
    EXPECT_EQ(said[0].method, "post");
    EXPECT_EQ(said[0].port, "");
    EXPECT_TRUE(plan_initial(now, DeviceZone(), t, {}).empty()) << "and it stays";
    MemberState state;
    fill_state(now, DeviceZone(), t, state);
    EXPECT_EQ(state.kme_overrides.size(), 1U);
}

TEST(Events, AreWrittenOnceAndTheirStartIsComparedAsAnInstant) {
    auto t = target();
    t.kme = {};
    const InitialOptions options{.kme_macro = false,
                                 .event = {"qkd.py", "qkd", std::chrono::seconds{300}, "2026-09-01.16:50:00"}};
    EXPECT_EQ(set_lines(plan_initial(model(chain_with_two_keys), DeviceZone(), t, options)),
              (Lines{"set event-options generate-event qkd-macsec time-interval 300",
                     "set event-options generate-event qkd-macsec start-time 2026-09-01.16:50:00",
                     "set event-options policy qkd-macsec events qkd-macsec",
                     "set event-options policy qkd-macsec then event-script qkd.py",
                     "set event-options event-script file qkd.py python-script-user qkd"}));
    const auto configured = [](const std::string& when) {
        return chain_with_two_keys +
               "<event-options><generate-event><name>qkd-macsec</name><time-interval>300</time-interval><start-time>" +
               when +
               "</start-time></generate-event><policy><name>qkd-macsec</name><events>qkd-macsec</"
               "events><then><event-script>"
               "<name>qkd.py</name></event-script></then></policy><event-script><file><name>qkd.py</name>"
               "<python-script-user>qkd</python-script-user></file></event-script></event-options>";
    };
    EXPECT_TRUE(plan_initial(model(configured("2026-9-1.16:50:00 +0000")), DeviceZone(), t, options).empty());
    EXPECT_EQ(plan_initial(model(configured("2026-9-1.16:50:00 -0700")), DeviceZone(), t, options).size(), 1U);
}

std::vector<Statement> one(Statement statement) {
    std::vector<Statement> list;
    list.push_back(std::move(statement));
    return list;
}

TEST(Deviation, FindsWhatWasNotAskedFor) {
    const auto before = model(chain_with_two_keys);
    const auto plan =
        one(remove_at({{"security", ""}, {"authentication-key-chains", ""}, {"key-chain", "QKD_CA_1"}, {"key", "0"}}));
    auto text = chain_with_two_keys;
    const auto begin = text.find("<key><name>0");
    text.erase(begin, text.find("</key>", begin) + 6 - begin);
    EXPECT_EQ(find_deviation(before, model(text), DeviceZone(), plan), "");
    EXPECT_NE(find_deviation(before, before, DeviceZone(), plan), "") << "nothing was done";
    auto foreign = text;
    foreign.replace(foreign.find("<replay-protect/>"), 17, "");
    EXPECT_NE(find_deviation(before, model(foreign), DeviceZone(), plan), "") << "something else went";
    foreign = text;
    foreign.replace(foreign.find("gcm-aes-256"), 11, "gcm-aes-128");
    EXPECT_EQ(find_deviation(before, model(foreign), DeviceZone(), plan),
              "security macsec connectivity-association CA_1 cipher-suite");
}

TEST(Deviation, AStartTimeIsComparedAsAnInstant) {
    const DeviceZone zone("Europe/Berlin", 60min, start);
    auto statement = set_leaf({{"security", ""},
                               {"authentication-key-chains", ""},
                               {"key-chain", "QKD_CA_1"},
                               {"key", "0"},
                               {"start-time", ""}},
                              "2026-01-02.04:04:05");
    statement.instant = start;
    const auto plan = one(std::move(statement));
    EXPECT_EQ(find_deviation(model(chain_with_two_keys), model(chain_with_two_keys), zone, plan), "");
    auto text = chain_with_two_keys;
    text.replace(text.find("03:04:05"), 8, "04:04:05");  // the device read local time as UTC
    EXPECT_NE(find_deviation(model(chain_with_two_keys), model(text), zone, plan), "");
}

TEST(ForeignChange, OnlyOursPass) {
    const auto plan = [] {
        auto list = one(set_leaf({{"security", ""},
                                  {"authentication-key-chains", ""},
                                  {"key-chain", "QKD_CA_1"},
                                  {"key", "2"},
                                  {"key-name", ""}},
                                 "ab"));
        list.push_back(remove_at(
            {{"security", ""}, {"macsec", ""}, {"connectivity-association", "CA_1"}, {"pre-shared-key", ""}}));
        list.push_back(set_leaf({{"interfaces", ""}, {"interface", "et-0/0/9"}, {"description", ""}}, "to r2 | x"));
        return list;
    }();
    const char* ours[] = {
        "",
        "[edit security authentication-key-chains key-chain QKD_CA_1]\n+    key 2 {\n+        key-name ab;\n+    }\n",
        "[edit security]\n+   authentication-key-chains {\n+       key-chain QKD_CA_1 {\n+           key 2 {\n"
        "+               key-name ab;\n+           }\n+       }\n+   }\n",
        "[edit security macsec connectivity-association CA_1]\n-    pre-shared-key {\n-        ckn ab;\n"
        "-        cak \"$9$x\"; ## SECRET-DATA\n-    }\n",
        "[edit interfaces et-0/0/9]\n+  description \"to r2 | x\";\n",
        "[edit interfaces]\n   et-0/0/9 {\n-      description old;\n+      description \"to {r2}; x\";\n   }\n"};
    for (const char* diff : ours) EXPECT_EQ(find_foreign_change(diff, plan), "") << diff;
    const std::pair<const char*, const char*> foreign[] = {
        {"[edit system]\n-  host-name a;\n+  host-name b;\n", "system host-name"},
        {"[edit security authentication-key-chains key-chain QKD_CA_1]\n+    key 3 {\n+        key-name ab;\n+    }\n",
         "security authentication-key-chains key-chain QKD_CA_1 key 3"},
        {"[edit security authentication-key-chains key-chain QKD_CA_1 key 2]\n+     secret \"$9$x\";\n",
         "security authentication-key-chains key-chain QKD_CA_1 key 2 secret"},
        {"[edit interfaces]\n   et-0/0/9 {\n+      disable;\n   }\n", "interfaces et-0/0/9"},
        {"[edit interfaces]\n+   et-0/0/8 {\n+      description x;\n+   }\n", "interfaces et-0/0/8"},
        {"[edit security macsec interfaces et-0/0/9]\n!     inactive: connectivity-association CA_1;\n",
         "security macsec interfaces et-0/0/9 connectivity-association"},
        {"[edit]\n+  snmp {\n+      community public;\n+  }\n", "snmp"}};
    for (const auto& [diff, where] : foreign) EXPECT_EQ(find_foreign_change(diff, plan), where) << diff;
}

}  // namespace
}  // namespace qkd::junos
