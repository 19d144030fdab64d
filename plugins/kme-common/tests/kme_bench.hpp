// What the tests of KME clients share: certificates for KMEs and SAEs, plugin objects that use them, and a kme-sim.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <string>

#include "pki.hpp"
#include "qkd/sdk/key_source.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin_v1;

namespace qkd::kme::testing {

using Source = support::PluginObject<KeySource>;

struct Bench {
    support::TempDir dir;
    support::Pki pki{dir.path()};
    support::Identity kme = pki.issue("kme", "IP:127.0.0.1");
    support::Identity sae = pki.issue("sae-a");
    support::Values quiet{};  ///< for every source, unless it is given otherwise

    [[nodiscard]] support::Values values(const std::string& url, const support::Identity& who) const {
        return {{"url", url}, {"ca", pki.ca()}, {"cert", who.cert}, {"key", "file:" + who.key.string()}};
    }
    [[nodiscard]] Source source(const std::string& url, support::Values extra = {}) const {
        extra.merge(values(url, sae));
        extra.merge(support::Values(quiet));
        return {qkd_plugin_v1, StageKind::key_source, extra};
    }
};

/// A kme-sim of one's own, ended by its process ID.
class KmeSim {
  public:
    explicit KmeSim(const std::filesystem::path& config);
    KmeSim(const KmeSim&) = delete;
    KmeSim& operator=(const KmeSim&) = delete;
    ~KmeSim();
    [[nodiscard]] std::string url(const std::string& kme) const;

  private:
    pid_t pid_ = -1;
    std::string ready_;
};

/// Two KMEs: kme-1 with sae-a, kme-2 with sae-b and sae-c. One additional SAE per key; 5 keys per pair unless
/// write_config() says otherwise.
class WithKmeSim : public ::testing::Test {
  protected:
    WithKmeSim() { write_config("max_key_count = 5\nrefill_per_second = 0\n"); }
    void write_config(const std::string& pool) const;
    [[nodiscard]] Source source(const KmeSim& sim, const std::string& sae, const std::string& kme,
                                support::Values extra = {}) const;
    void fault(const std::string& entries) const;
    /// Every law for key sources, with a KME that gives keys; `extra`: what the plugin needs besides the URL and so on.
    void keeps_every_law(const support::Values& extra = {}) const;

    Bench bench_;
    support::TestContext context_;
};

}  // namespace qkd::kme::testing
