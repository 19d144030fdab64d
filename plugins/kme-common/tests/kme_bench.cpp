// Starts servers and a kme-sim, and tries what every KME client must do with them.
#include "kme_bench.hpp"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "kit/laws.hpp"

namespace qkd::kme::testing {

void expect_refused(const Refused& row, const Result<std::vector<Key>>& keys) {
    ASSERT_FALSE(keys) << row.name;
    const Error& error = keys.error();
    EXPECT_EQ(to_string(error.code), std::string(to_string(row.code))) << row.name << ": " << error.what;
    EXPECT_EQ(error.retry, row.retry) << row.name;
    EXPECT_EQ(error.maybe_consumed, row.consumed) << row.name;
    EXPECT_NE(error.what.find(row.says), std::string::npos) << row.name << ": " << error.what;
    EXPECT_FALSE(error.hint.empty()) << row.name;
    for (const char* key : {"AAECAw", "000102"}) EXPECT_EQ(error.what.find(key), std::string::npos) << error.what;
}

support::TlsServer WithServers::serve(support::TlsServer::Handler handler) const {
    return {{.identity = bench_.kme, .client_ca = bench_.pki.ca()}, std::move(handler)};
}

support::TlsServer WithServers::serve(const support::Reply& reply) const {
    return serve([reply](const support::SeenRequest&) { return reply; });
}

void WithServers::obeys_tls_settings(const FetchRequest& request, const support::Reply& good,
                                     const support::Values& extra) const {
    const auto fetch = [&](int version, const support::Identity& identity, support::Values values) {
        const support::TlsServer server(
            {.identity = identity, .client_ca = bench_.pki.ca(), .min_version = version, .max_version = version},
            [&](const support::SeenRequest&) { return good; });
        support::TestContext context;
        values.merge(support::Values(extra));
        auto keys = bench_.source(server.url(), values)->fetch(context, request);
        if (!keys) {
            EXPECT_EQ(keys.error().code, ErrorCode::auth) << keys.error().what;
        }
        return keys.ok();
    };
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        EXPECT_TRUE(fetch(version, bench_.kme, {})) << version;
        EXPECT_EQ(fetch(version, bench_.kme, {{"tls_min", "1.3"}}), version == TLS1_3_VERSION) << version;
    }
    const auto alice = bench_.pki.issue("alice", "DNS:kme.alice");
    EXPECT_FALSE(fetch(0, alice, {}));
    EXPECT_TRUE(fetch(0, alice, {{"expected_kme_name", "kme.alice"}}));
}

KmeSim::KmeSim(const std::filesystem::path& config) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string words[] = {QKD_KME_SIM, "--config", config.string()};
    char* argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
    const int failure = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    pollfd wait{ends[0], POLLIN, 0};
    char text[512] = {};
    if (failure == 0 && ::poll(&wait, 1, 20000) == 1) (void)!::read(ends[0], text, sizeof text - 1);
    ::close(ends[0]);
    ready_ = text;
    if (!ready_.starts_with("ready ")) throw std::runtime_error("kme-sim did not start: " + ready_);
}

KmeSim::~KmeSim() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
}

std::string KmeSim::url(const std::string& kme) const {
    const auto at = ready_.find(" " + kme + "=") + kme.size() + 2;
    return "https://127.0.0.1:" + ready_.substr(at, ready_.find_first_of(" \n", at) - at);
}

void WithKmeSim::write_config(const std::string& pool) const {
    std::string text = "ca = \"ca.crt\"\nfaults = \"faults.json\"\n[limits]\nmax_SAE_ID_count = 1\n";
    text += "[pool]\n" + pool;
    for (const char* kme : {"kme-1", "kme-2"}) {
        text += "[[kme]]\nname = \"" + std::string(kme) + "\"\ncert = \"kme.crt\"\nkey = \"kme.key\"\n";
    }
    for (const auto& [sae, kme] : {std::pair{"sae-a", "kme-1"}, {"sae-b", "kme-2"}, {"sae-c", "kme-2"}}) {
        text += "[[sae]]\nname = \"" + std::string(sae) + "\"\nkme = \"" + kme + "\"\n";
    }
    support::write_file(bench_.dir.path() / "kme-sim.toml", text);
}

Source WithKmeSim::source(const KmeSim& sim, const std::string& sae, const std::string& kme,
                          support::Values extra) const {
    extra.merge(bench_.values(sim.url(kme), bench_.pki.issue(sae)));
    extra.merge(support::Values(bench_.quiet));
    return {qkd_plugin, extra, "", sae};
}

void WithKmeSim::fault(const std::string& entries) const {
    support::write_file(bench_.dir.path() / "faults.json", R"({"faults":[)" + entries + "]}");
}

Error WithKmeSim::both_ends_get_the_same_keys_once() {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, 2, 256});
    EXPECT_TRUE(minted) << minted.error().what;
    if (!minted) return minted.error();
    const std::vector<std::string> ids{(*minted)[1].id, (*minted)[0].id};
    const auto fetched = b->fetch(context_, {"sae-a", ids, 256});
    EXPECT_TRUE(fetched) << fetched.error().what;
    if (!fetched) return fetched.error();
    EXPECT_TRUE((*fetched)[0].bytes.same_as((*minted)[1].bytes));
    EXPECT_TRUE((*fetched)[1].bytes.same_as((*minted)[0].bytes));
    auto again = b->fetch(context_, {"sae-a", {ids[0]}, 256});
    EXPECT_FALSE(again);
    if (again) return {};
    EXPECT_EQ(again.error().code, ErrorCode::not_found) << again.error().what;
    return std::move(again).error();
}

void WithKmeSim::distorted_answers_are_never_taken_for_keys(const std::vector<std::string>& actions) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, static_cast<unsigned>(actions.size()), 256});
    ASSERT_TRUE(minted) << minted.error().what;
    for (std::size_t i = 0; i < actions.size(); ++i) {
        fault(R"({"kme":"kme-2","call":"dec_keys","nth":1,"action":")" + actions[i] + R"("})");
        const auto fetched = b->fetch(context_, {"sae-a", {(*minted)[i].id}, 256});
        ASSERT_FALSE(fetched) << actions[i];
        const bool lost = actions[i] == "consume-then-drop";
        EXPECT_EQ(fetched.error().code, lost ? ErrorCode::unreachable : ErrorCode::protocol)
            << actions[i] << ": " << fetched.error().what;
        EXPECT_TRUE(fetched.error().maybe_consumed) << actions[i];
    }
}

void WithKmeSim::a_stranger_is_not_accepted() {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    const auto keys = source(sim, "sae-b", "kme-1")->mint(context_, {"sae-a", {}, 1, 256});
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code, ErrorCode::auth) << keys.error().what;
}

void WithKmeSim::keeps_every_law() const {
    write_config("");
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    const auto sae_b = bench_.pki.issue("sae-b");
    conformance::Subject subject;
    subject.plugin = &qkd_plugin;
    subject.keys_available = true;
    const auto view = [this](support::Values values, const std::string& sae) {
        values.merge(support::Values(bench_.quiet));
        return std::make_unique<support::MapConfig>(qkd_plugin, Scope::kme, values, "", sae);
    };
    subject.config = [&](StageKind, conformance::End end) {
        const bool first = end == conformance::End::initiator;
        return view(bench_.values(sim.url(first ? "kme-1" : "kme-2"), first ? bench_.sae : sae_b),
                    first ? "sae-a" : "sae-b");
    };
    subject.config_at_port = [&](StageKind, std::uint16_t port) {
        return view(bench_.values("https://127.0.0.1:" + std::to_string(port), bench_.sae), "sae-a");
    };
    const auto outcomes = conformance::run_laws(subject);
    EXPECT_TRUE(conformance::kept(outcomes)) << conformance::to_text(outcomes);
    for (const auto& outcome : outcomes) {
        if (outcome.law == "key-source.once") continue;  // the KME's business, so the plugin does not promise it
        EXPECT_EQ(outcome.verdict, conformance::Verdict::held) << outcome.law << ": " << outcome.detail;
    }
}

}  // namespace qkd::kme::testing
