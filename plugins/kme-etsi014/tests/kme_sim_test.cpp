// The plugin against a running kme-sim: two KMEs, three SAEs, real keys over real mutual TLS.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "conformance/laws.hpp"
#include "kme_bench.hpp"
#include "support/test_context.hpp"

using namespace qkd::etsi014::testing;
using qkd::ErrorCode;
using qkd::support::TestContext;
using qkd::support::write_file;

namespace {

/// A kme-sim of one's own, ended by its process ID.
class KmeSim {
  public:
    explicit KmeSim(const std::filesystem::path& config) {
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
    KmeSim(const KmeSim&) = delete;
    KmeSim& operator=(const KmeSim&) = delete;
    ~KmeSim() {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] std::string url(const std::string& kme) const {
        const auto at = ready_.find(" " + kme + "=") + kme.size() + 2;
        return "https://127.0.0.1:" + ready_.substr(at, ready_.find_first_of(" \n", at) - at);
    }

  private:
    pid_t pid_ = -1;
    std::string ready_;
};

class WithKmeSim : public testing::Test {
  protected:
    WithKmeSim() { write_config("max_key_count = 5\nrefill_per_second = 0\n"); }
    void write_config(const std::string& pool) {
        std::string text = "ca = \"ca.crt\"\nfaults = \"faults.json\"\n[limits]\nmax_SAE_ID_count = 1\n";
        text += "[pool]\n" + pool;
        for (const char* kme : {"kme-1", "kme-2"}) {
            text += "[[kme]]\nname = \"" + std::string(kme) + "\"\ncert = \"kme.crt\"\nkey = \"kme.key\"\n";
        }
        for (const auto& [sae, kme] : {std::pair{"sae-a", "kme-1"}, {"sae-b", "kme-2"}, {"sae-c", "kme-2"}}) {
            text += "[[sae]]\nname = \"" + std::string(sae) + "\"\nkme = \"" + kme + "\"\n";
        }
        write_file(bench_.dir.path() / "kme-sim.toml", text);
    }
    Source source(const KmeSim& sim, const std::string& sae, const std::string& kme) {
        return {qkd_plugin_v1, qkd::StageKind::key_source, bench_.values(sim.url(kme), bench_.pki.issue(sae))};
    }
    void fault(const std::string& entries) {
        write_file(bench_.dir.path() / "faults.json", R"({"faults":[)" + entries + "]}");
    }

    Bench bench_;
    TestContext context_;
};

TEST_F(WithKmeSim, BothEndsGetTheSameKeysOnce) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    ASSERT_TRUE(a->probe(context_));
    const auto status = a->status(context_, "sae-b");
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_EQ(status->source_kme, "kme-1");
    EXPECT_EQ(status->target_kme, "kme-2");
    EXPECT_EQ(status->stored_keys, 5U);

    const auto minted = a->mint(context_, {"sae-b", {}, 2, 128});
    ASSERT_TRUE(minted) << minted.error().what;
    const std::vector<std::string> ids{(*minted)[1].id, (*minted)[0].id};
    const auto fetched = b->fetch(context_, {"sae-a", ids, 128});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE((*fetched)[0].bytes.same_as((*minted)[1].bytes));
    EXPECT_TRUE((*fetched)[1].bytes.same_as((*minted)[0].bytes));
    const auto again = b->fetch(context_, {"sae-a", {ids[0]}, 128});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::not_found);
    EXPECT_FALSE(again.error().maybe_consumed);
}

TEST_F(WithKmeSim, AnEmptyPoolIsExhausted) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    ASSERT_TRUE(a->mint(context_, {"sae-b", {}, 5, 256}));
    const auto dry = a->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_FALSE(dry);
    EXPECT_EQ(dry.error().code, ErrorCode::exhausted);
    EXPECT_NE(dry.error().what.find("not enough keys"), std::string::npos) << dry.error().what;
}

TEST_F(WithKmeSim, AdditionalRespondersGetTheKeyAsFarAsTheKmeAllows) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto c = source(sim, "sae-c", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {"sae-c"}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    const auto fetched = c->fetch(context_, {"sae-a", {minted->front().id}, 256});
    ASSERT_TRUE(fetched) << fetched.error().what;
    EXPECT_TRUE(fetched->front().bytes.same_as(minted->front().bytes));

    const auto too_many = a->mint(context_, {"sae-b", {"sae-c", "sae-d"}, 1, 256});
    ASSERT_FALSE(too_many);
    EXPECT_EQ(too_many.error().code, ErrorCode::rejected);
    EXPECT_NE(too_many.error().what.find("allows 1 additional SAEs"), std::string::npos) << too_many.error().what;
}

TEST_F(WithKmeSim, AKeyWhoseAnswerWasLostIsReportedAsPerhapsUsedUp) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, 1, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    ASSERT_TRUE(b->status(context_, "sae-a")) << "so that the connection is a kept one";
    fault(R"({"kme":"kme-2","call":"dec_keys","nth":1,"action":"consume-then-drop"})");
    const auto lost = b->fetch(context_, {"sae-a", {minted->front().id}, 256});
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::unreachable) << lost.error().what;
    EXPECT_TRUE(lost.error().maybe_consumed);
    const auto after = b->fetch(context_, {"sae-a", {minted->front().id}, 256});
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, ErrorCode::not_found) << "it really was used up";
}

TEST_F(WithKmeSim, DistortedAnswersAreNeverTakenForKeys) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto a = source(sim, "sae-a", "kme-1");
    auto b = source(sim, "sae-b", "kme-2");
    const auto minted = a->mint(context_, {"sae-b", {}, 4, 256});
    ASSERT_TRUE(minted) << minted.error().what;
    std::size_t next = 0;
    for (const char* action : {"garbage", "short-key", "wrong-id", "duplicate"}) {
        fault(R"({"kme":"kme-2","call":"dec_keys","nth":1,"action":")" + std::string(action) + R"("})");
        const auto fetched = b->fetch(context_, {"sae-a", {(*minted)[next++].id}, 256});
        ASSERT_FALSE(fetched) << action;
        EXPECT_EQ(fetched.error().code, ErrorCode::protocol) << action << ": " << fetched.error().what;
        EXPECT_TRUE(fetched.error().maybe_consumed) << action;
    }
}

TEST_F(WithKmeSim, KeepsEveryLawForKeySources) {
    write_config("");
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    const auto sae_b = bench_.pki.issue("sae-b");
    qkd::conformance::Subject subject;
    subject.plugin = &qkd_plugin_v1;
    subject.keys_available = true;
    const auto view = [](const qkd::support::Values& values) {
        return std::make_unique<qkd::support::MapConfig>(qkd_plugin_v1, qkd::Scope::kme, values);
    };
    subject.config = [&](qkd::StageKind, qkd::conformance::End end) {
        const bool first = end == qkd::conformance::End::initiator;
        return view(bench_.values(sim.url(first ? "kme-1" : "kme-2"), first ? bench_.sae : sae_b));
    };
    subject.config_at_port = [&](qkd::StageKind, std::uint16_t port) {
        return view(bench_.values("https://127.0.0.1:" + std::to_string(port), bench_.sae));
    };
    const auto outcomes = qkd::conformance::run_laws(subject);
    EXPECT_TRUE(qkd::conformance::kept(outcomes)) << qkd::conformance::to_text(outcomes);
    for (const auto& outcome : outcomes) {
        if (outcome.law == "key-source.once") continue;  // the KME's business, so the plugin does not promise it
        EXPECT_EQ(outcome.verdict, qkd::conformance::Verdict::held) << outcome.law << ": " << outcome.detail;
    }
}

TEST_F(WithKmeSim, AnSaeOfAnotherKmeIsNotAccepted) {
    const KmeSim sim(bench_.dir.path() / "kme-sim.toml");
    auto stranger = source(sim, "sae-b", "kme-1");
    const auto keys = stranger->mint(context_, {"sae-a", {}, 1, 256});
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code, ErrorCode::auth) << keys.error().what;
}

}  // namespace
