// The plugins of this tree, loaded as the engine loads them, under the laws of the conformance kit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <regex>
#include <sstream>

#include "engine/host/plugin_host.hpp"
#include "keyid-common/tests/net_sandbox.hpp"
#include "kit/laws.hpp"
#include "support/pki.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace qkd;
using namespace qkd::conformance;

engine::PluginHost& host() {
    static engine::PluginHost only(engine::PluginHost::default_directory());
    return only;
}

/// What a plugin needs to be tried. {state} is a private directory.
struct Setting {
    support::Values values;  ///< beyond the defaults
    bool keys_available = false;
    /// Sends the plugin to a port of 127.0.0.1; empty when it has no peer.
    std::function<void(support::Values&, std::uint16_t)> point_to;
    /// It speaks on network interfaces: the wires a - b, c - d, e - f and g - h must be there.
    bool on_wires = false;
};

/// Those that need more than their defaults. `pki` holds a certificate and its key.
std::map<std::string, Setting> settings(const std::string& pki) {
    std::map<std::string, Setting> all;
    all["kme-mock"].keys_available = true;
    all["keyid-88b7"].values = {{"secret", "text:0123456789abcdef0123456789abcdef"}};
    all["keyid-88b7"].on_wires = true;
    const Setting https = {{{"url", "https://127.0.0.1:1"},
                            {"ca", pki + "/cert.pem"},
                            {"cert", pki + "/cert.pem"},
                            {"key", "file:" + pki + "/key.pem"}},
                           false,
                           [](support::Values& values, std::uint16_t port) {
                               values["url"] = "https://127.0.0.1:" + std::to_string(port);
                           }};
    for (const char* plugin : {"kme-etsi014", "kme-skip", "kme-rest"}) all[plugin] = https;
    all["kme-rest"].values.insert({{"mint", "POST /keys"},
                                   {"mint_body", R"({"peer": "{peer_sae}", "bits": {bits}})"},
                                   {"mint_key_id", "/id"},
                                   {"fetch", "GET /keys/{key_id}"},
                                   {"fetch_key", "/key"}});
    all["certs-x509"].values = {{"directory", "{state}/certs"}, {"ca", "generate"}};
    all["junos-netconf"] = {{{"host", "127.0.0.1"},
                             {"port", "1"},
                             {"user", "lab"},
                             {"password", "text:no secret"},
                             {"host_key", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
                            false,
                            [](support::Values& values, std::uint16_t port) { values["port"] = std::to_string(port); }};
    return all;
}

/// A simulated device of the lab that QKD_CONFORMANCE_LAB names, if it does: made by `scripts/lab up DIR`, which writes one
/// key a line. With QKD_CONFORMANCE_TRANSPORT=local as if this ran on that device. Without it the laws that need a device are not tried.
struct Lab {
    std::string folder;
    std::string device;
    std::string interface_name;
    support::Values values;

    static std::optional<Lab> from_environment() {
        const char* folder = std::getenv("QKD_CONFORMANCE_LAB");
        if (folder == nullptr) return std::nullopt;
        Lab lab{folder, {}, {}, {}};
        std::ifstream file(lab.folder + "/pipeline.toml");
        const std::regex table(R"re(^\[device\.([^\]]+)\]$)re");
        const std::regex line(R"re(^(host|port|user|ssh_key|known_hosts) = "?([^"]*)"?$)re");
        const std::regex member(R"re(^initiator = .*device = "([^"]*)", interfaces = \["([^"]*)")re");
        std::string section;
        std::map<std::string, support::Values> devices;
        std::smatch found;
        for (std::string text; std::getline(file, text);) {
            if (std::regex_search(text, found, table)) section = found[1];
            if (std::regex_search(text, found, line)) devices[section][found[1]] = found[2];
            if (!lab.device.empty() || !std::regex_search(text, found, member)) continue;
            lab.device = found[1];
            lab.interface_name = found[2];
        }
        lab.values = devices[lab.device];
        if (const char* transport = std::getenv("QKD_CONFORMANCE_TRANSPORT")) {
            const std::string state = lab.folder + "/devices/" + lab.device;
            lab.values = {{"transport", transport},
                          {"command", std::string(QKD_JUNOS_SIM) + "\n--state\n" + state},
                          {"files_root", state + "/fs"}};
        }
        return lab;
    }

    bool advance(std::chrono::seconds time) const {
        const std::string command =
            std::string(QKD_LAB_SCRIPT) + " advance '" + folder + "' " + std::to_string(time.count());
        return std::system(command.c_str()) == 0;  // NOLINT(concurrency-mt-unsafe, cert-env33-c): our own script
    }
};

class Plugins : public ::testing::TestWithParam<std::string> {};

TEST_P(Plugins, KeepTheLaws) {
    const auto loaded = host().load(GetParam());
    ASSERT_TRUE(loaded) << loaded.error().what;
    const PluginDescriptor& plugin = *(*loaded)->descriptor;

    const support::TempDir temp;
    const auto pki = temp.path() / "pki";
    std::filesystem::create_directory(pki);
    support::write_self_signed(pki);
    const Setting setting = settings(pki.string())[GetParam()];
    std::optional<support::NetSandbox> network;
    if (setting.on_wires) {
        if (const std::string reason = support::NetSandbox::impossible(); !reason.empty()) GTEST_SKIP() << reason;
        network.emplace();
        network->wire("a", "b");
        network->wire("c", "d");
        network->wire("e", "f");
        network->wire("g", "h");
    }
    Subject subject;
    subject.plugin = &plugin;
    subject.scratch = temp.path() / "state";
    std::filesystem::create_directory(subject.scratch);
    subject.keys_available = setting.keys_available;
    subject.initiator_sae = "sae-a";
    subject.responder_sae = "sae-b";
    const auto view = [&](StageKind kind, const support::Values& values, const std::string& sae) {
        return std::make_unique<support::MapConfig>(plugin, support::scope_of(kind), values, subject.scratch.string(),
                                                    sae);
    };
    subject.config = [&](StageKind kind, End end) {
        return view(kind, setting.values, end == End::initiator ? subject.initiator_sae : subject.responder_sae);
    };
    if (setting.point_to) {
        subject.config_at_port = [&](StageKind kind, std::uint16_t port) {
            support::Values values = setting.values;
            setting.point_to(values, port);
            return view(kind, values, subject.initiator_sae);
        };
    }
    const auto lab = GetParam() == "junos-netconf" ? Lab::from_environment() : std::nullopt;
    if (lab) {
        ASSERT_FALSE(lab->device.empty()) << lab->folder << " is no lab";
        MemberTarget target;
        target.link = "conformance";
        target.device = lab->device;
        target.connectivity_association = "CA_conformance";
        target.key_chain = "QKD_CA_conformance";
        target.interfaces = {lab->interface_name};
        target.kme = {"kme.example", 443, "192.0.2.101"};
        subject.target = target;
        subject.advance = [&](std::chrono::seconds time) { return lab->advance(time); };
        subject.config = [&](StageKind kind, End) { return view(kind, lab->values, subject.initiator_sae); };
    }
    const auto outcomes = run_laws(subject);
    EXPECT_TRUE(kept(outcomes)) << to_text(outcomes);
    for (const Outcome& outcome : outcomes) {
        if (outcome.law == "key-id-transport.same") {
            EXPECT_EQ(outcome.verdict, Verdict::held) << outcome.detail;
        }
        if (outcome.verdict == Verdict::not_tried)
            std::cout << "not tried: " << outcome.law << ": " << outcome.detail << '\n';
    }
}

std::vector<std::string> names() {
    std::vector<std::string> all;
    std::istringstream words(QKD_PLUGINS_UNDER_TEST);
    for (std::string word; words >> word;) all.push_back(word);
    return all;
}

INSTANTIATE_TEST_SUITE_P(OfThisTree, Plugins, ::testing::ValuesIn(names()), [](const auto& parameter) {
    std::string name = parameter.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

}  // namespace
