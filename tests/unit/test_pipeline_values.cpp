// What a good pipeline file becomes: the model's values, and what plugins see through their ConfigView.
#include <gtest/gtest.h>

#include "engine/pipeline/file.hpp"
#include "fixtures/fake_plugins.hpp"
#include "fixtures/files.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::put_file;

constexpr const char* text = R"(
schema = 1
[pipeline]
name = "pair"
state = "var/state"
seal_key = "file:seal.key"
parallel = 7
stop_after_failures = 3
[[stage]]
kind = "connect"
timeout = "20s"
retry = { attempts = 3, backoff = "2s" }
[[stage]]
kind = "key-source"
dec_retry_window = "500ms"
[[stage]]
kind = "key-id-transport"
[[stage]]
kind = "commit"
lead = "5m"
confirm = "120s"
assumed_commit = "3s"
verify = "next-run"
[[stage]]
kind = "persist"
plugin = "persist-fake"
[defaults.device]
plugin = "fake-junos"
user = "lab"
ssh_key = "file:ssh.key"
[device.mx1]
host = "192.0.2.1"
[device.mx2]
host = "192.0.2.2"
port = 2222
user = "other"
keepalive = "1m"
compact = true
[kme.alice]
plugin = "kme-fake"
url = "https://alice.example"
ca = "certs/root.crt"
cert = "certs/{sae}.crt"
key = "file:certs/{sae}.key"
extensions = ["a", "b"]
[defaults.link]
cipher = "gcm-aes-256"
connectivity_association = "CA_basic"
[[link]]
name = "one"
initiator = { device = "mx1", interfaces = ["et-0/0/1", "xe-0/0/1:0"], kme = "alice", sae = "sae1" }
responders = [ { device = "mx2", interfaces = ["et-0/0/1"], kme = "alice", sae = "sae2" } ]
[[link]]
name = "two"
group = "ring"
cipher = "gcm-aes-128"
connectivity_association = "CA_two"
key_chain = "chain"
ckn_prefix = "ABCD"
initiator = { device = "mx2", interfaces = ["et-0/0/2"], kme = "alice", sae = "sae2" }
responders = [ { device = "mx1", interfaces = ["et-0/0/2"], kme = "alice", sae = "sae1" } ]
key_ids = { plugin = "keyid-files", directory = "/var/tmp/x" }
)";

class PipelineValues : public testing::Test {
  protected:
    PipelineValues() : host_(dir_.path()) {
        test::add_fake_plugins(host_);
        put_file(dir_.path(), "seal.key", std::string(64, 'a'), 0600);
        put_file(dir_.path(), "ssh.key", "-----BEGIN X-----\n", 0600);
        for (const char* name : {"root.crt", "sae1.crt", "sae2.crt"})
            put_file(dir_.path(), std::string("certs/") + name, "#");
        put_file(dir_.path(), "certs/sae1.key", "key one\n", 0600);
        put_file(dir_.path(), "certs/sae2.key", "key two\n", 0600);
        loaded_ = load_pipeline(put_file(dir_.path(), "p.toml", text), host_);
    }
    void SetUp() override {
        for (const auto& finding : loaded_.findings) ADD_FAILURE() << to_string(finding);
    }
    [[nodiscard]] const Pipeline& pipeline() const { return loaded_.pipeline; }
    [[nodiscard]] fs::path at(const char* name) const { return dir_.path() / name; }

    support::TempDir dir_;
    PluginHost host_;
    LoadedPipeline loaded_;
};

TEST_F(PipelineValues, OfThePipelineAndItsStages) {
    EXPECT_EQ(pipeline().name, "pair");
    EXPECT_EQ(pipeline().mode, Mode::offbox);
    EXPECT_EQ(pipeline().state, at("var/state"));
    EXPECT_EQ(pipeline().seal_key, "file:" + at("seal.key").string());
    EXPECT_EQ(pipeline().parallel, 7U);
    EXPECT_EQ(pipeline().stop_after_failures, 3U);
    ASSERT_EQ(pipeline().stages.size(), 5U);
    EXPECT_EQ(pipeline().stage(StageKind::connect)->timeout, 20s);
    EXPECT_EQ(pipeline().stage(StageKind::connect)->retry.attempts, 3U);
    EXPECT_EQ(pipeline().stage(StageKind::connect)->retry.backoff, 2s);
    EXPECT_EQ(pipeline().stage(StageKind::commit)->timeout, 30s);
    EXPECT_EQ(pipeline().stage(StageKind::commit)->retry.attempts, 1U);
    EXPECT_EQ(pipeline().stage(StageKind::persist)->plugin, "persist-fake");
    EXPECT_EQ(pipeline().dec_retry_window, 500ms);
    EXPECT_EQ(pipeline().commit.rollover, Rollover::key_chain);
    EXPECT_EQ(pipeline().commit.lead, 5min);
    EXPECT_EQ(pipeline().commit.confirm, 2min);
    EXPECT_EQ(pipeline().commit.assumed_commit, 3s);
    EXPECT_EQ(pipeline().commit.max_clock_skew, 2s);
    EXPECT_EQ(pipeline().commit.verify, Verify::next_run);
    EXPECT_EQ(pipeline().persist.plugin, "persist-fake");
    EXPECT_EQ(pipeline().certs.plugin, "");
}

TEST_F(PipelineValues, OfLinks) {
    ASSERT_EQ(pipeline().links.size(), 2U);
    const Link& one = pipeline().links[0];
    EXPECT_EQ(one.cipher, Cipher::gcm_aes_256) << "from the defaults";
    EXPECT_EQ(one.connectivity_association, "CA_basic");
    EXPECT_EQ(one.key_chain, "QKD_CA_basic");
    EXPECT_EQ(one.key_ids.plugin, "keyid-memory") << "off-box default";
    ASSERT_EQ(one.members.size(), 2U);
    EXPECT_EQ(one.members[0].role, Role::initiator);
    EXPECT_EQ(one.members[0].interfaces, (std::vector<std::string>{"et-0/0/1", "xe-0/0/1:0"}));
    EXPECT_EQ(one.members[1].role, Role::responder);
    EXPECT_EQ(one.members[1].device, "mx2");
    EXPECT_EQ(one.members[1].kme, "alice");
    EXPECT_EQ(one.members[1].sae, "sae2");
    const Link& two = pipeline().links[1];
    EXPECT_EQ(two.cipher, Cipher::gcm_aes_128);
    EXPECT_EQ(two.group, "ring");
    EXPECT_EQ(two.key_chain, "chain");
    EXPECT_EQ(two.ckn_prefix, "abcd");
    EXPECT_EQ(two.key_ids.plugin, "keyid-files");
}

TEST_F(PipelineValues, OfDevicesAsPluginsSeeThem) {
    EXPECT_EQ(pipeline().devices.at("mx1").host, "192.0.2.1");
    const auto mx1 = config_view(pipeline(), pipeline().devices.at("mx1"), "sae1");
    EXPECT_EQ(mx1->name(), "device.mx1");
    EXPECT_EQ(mx1->string("user"), "lab") << "from the defaults";
    EXPECT_EQ(mx1->integer("port"), 830) << "from the plugin";
    EXPECT_EQ(mx1->duration("keepalive"), 30s);
    EXPECT_FALSE(mx1->boolean("compact"));
    EXPECT_TRUE(mx1->has("port"));
    EXPECT_FALSE(mx1->has("password"));
    EXPECT_FALSE(mx1->has("no_such_field"));
    EXPECT_EQ(mx1->integer("user"), 0) << "asked for by another type";
    EXPECT_EQ(mx1->secret_path("ssh_key"), at("ssh.key"));
    EXPECT_EQ(mx1->secret_path("password"), "");
    const auto mx2 = config_view(pipeline(), pipeline().devices.at("mx2"), "");
    EXPECT_EQ(mx2->string("user"), "other");
    EXPECT_EQ(mx2->integer("port"), 2222);
    EXPECT_EQ(mx2->duration("keepalive"), 1min);
    EXPECT_TRUE(mx2->boolean("compact"));
}

TEST_F(PipelineValues, OfKmesPerSae) {
    const Kme& kme = pipeline().kmes.at("alice");
    EXPECT_EQ(kme.url, "https://alice.example");
    const auto one = config_view(pipeline(), kme, "sae1");
    const auto two = config_view(pipeline(), kme, "sae2");
    EXPECT_EQ(one->path("ca"), at("certs/root.crt"));
    EXPECT_EQ(one->path("cert"), at("certs/sae1.crt"));
    EXPECT_EQ(two->path("cert"), at("certs/sae2.crt"));
    EXPECT_EQ(two->secret_path("key"), at("certs/sae2.key"));
    EXPECT_EQ(one->list("extensions"), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(one->path("cache"), at("var/state/kme-cache")) << "{state} in a default";
    support::TestContext context;
    EXPECT_EQ(one->secret("key", context)->reveal_text(), "key one");
    EXPECT_EQ(two->secret("key", context)->reveal_text(), "key two");
    EXPECT_FALSE(one->secret("url", context));
}

TEST_F(PipelineValues, AViewOutlivesItsPipeline) {
    const auto view = config_view(pipeline(), pipeline().kmes.at("alice"), "sae1");
    loaded_ = {};
    EXPECT_EQ(view->string("url"), "https://alice.example");
    EXPECT_EQ(view->path("cert"), at("certs/sae1.crt"));
}

TEST_F(PipelineValues, AFileThatNamesACommandMustBeOurs) {
    std::string command = text;
    const std::string plain = "ssh_key = \"file:ssh.key\"";
    command.replace(command.find(plain), plain.size(), "ssh_key = [\"command:\", \"cat\", \"ssh.key\"]");
    const auto findings_with_mode = [&](unsigned mode) {
        std::string all;
        for (const auto& f : load_pipeline(put_file(dir_.path(), "c.toml", command, mode), host_).findings)
            all += to_string(f);
        return all;
    };
    EXPECT_EQ(findings_with_mode(0644), "");
    EXPECT_NE(findings_with_mode(0664).find("somebody else can write it"), std::string::npos);
    EXPECT_NE(findings_with_mode(0666).find("chmod go-w"), std::string::npos);
}

TEST_F(PipelineValues, ThousandsOfDevicesAreFine) {
    std::string fleet = std::string(text).substr(0, std::string(text).find("[device.mx1]"));
    fleet +=
        "[kme.alice]\nplugin = \"kme-fake\"\nurl = \"https://a\"\nca = \"certs/root.crt\"\ncert = \"certs/root.crt\"\n"
        "key = \"file:certs/sae1.key\"\n";
    constexpr int devices = 4000;
    for (int i = 0; i < devices; ++i) {
        const std::string n = std::to_string(i);
        fleet += "[device.r" + n + "]\nhost = \"r" + n + ".example\"\n";
        if (i % 2 == 0) continue;
        const std::string m = std::to_string(i - 1);
        fleet += "[[link]]\nname = \"l" + n +
                 "\"\nconnectivity_association = \"CA\"\n"
                 "initiator = { device = \"r" +
                 m + "\", interfaces = [\"et-0/0/0\"], kme = \"alice\", sae = \"s" + m +
                 "\" }\n"
                 "responders = [ { device = \"r" +
                 n + "\", interfaces = [\"et-0/0/0\"], kme = \"alice\", sae = \"s" + n + "\" } ]\n";
    }
    const auto loaded = load_pipeline(put_file(dir_.path(), "fleet.toml", fleet), host_);
    for (const auto& finding : loaded.findings) ADD_FAILURE() << to_string(finding);
    EXPECT_EQ(loaded.pipeline.links.size(), static_cast<std::size_t>(devices / 2));
}

}  // namespace
}  // namespace qkd::engine
