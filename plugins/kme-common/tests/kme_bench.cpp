// Starts a kme-sim, and puts plugins that talk to it under the laws.
#include "kme_bench.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "kit/laws.hpp"

namespace qkd::kme::testing {

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
    return {qkd_plugin_v1, StageKind::key_source, extra, "", sae};
}

void WithKmeSim::fault(const std::string& entries) const {
    support::write_file(bench_.dir.path() / "faults.json", R"({"faults":[)" + entries + "]}");
}

void WithKmeSim::keeps_every_law(const support::Values& extra) const {
    write_config("");
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    const auto sae_b = bench_.pki.issue("sae-b");
    conformance::Subject subject;
    subject.plugin = &qkd_plugin_v1;
    subject.keys_available = true;
    const auto view = [&extra](support::Values values, const std::string& sae) {
        values.merge(support::Values(extra));
        return std::make_unique<support::MapConfig>(qkd_plugin_v1, Scope::kme, values, "", sae);
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
