// What the tests of KME clients share: certificates for KMEs and SAEs, plugin objects that use them, scripted servers, a
// kme-sim, and what every client must make of them.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "pki.hpp"
#include "qkd/sdk/key_source.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"
#include "tls_server.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace qkd::kme::testing {

// What such tests speak of, so that one using-directive is enough.
using qkd::ErrorCode;
using qkd::FetchRequest;
using qkd::Key;
using qkd::MintRequest;
using qkd::Result;
using qkd::Retry;
using support::answer;
using support::Reply;
using support::SeenRequest;
using support::TestContext;
using support::TlsServer;
using support::Values;
using Source = support::PluginObject<KeySource>;

struct Bench {
    support::TempDir dir;
    support::Pki pki{dir.path()};
    support::Identity kme = pki.issue("kme", "IP:127.0.0.1");
    support::Identity sae = pki.issue("sae-a");
    Values quiet{};  ///< for every source, unless it is given otherwise: what this plugin needs

    [[nodiscard]] Values values(const std::string& url, const support::Identity& who) const {
        return {{"url", url}, {"ca", pki.ca()}, {"cert", who.cert}, {"key", "file:" + who.key.string()}};
    }
    [[nodiscard]] Source source(const std::string& url, Values extra = {}) const {
        extra.merge(values(url, sae));
        extra.merge(Values(quiet));
        return {qkd_plugin, extra};
    }
};

/// A reply, and what it must come to.
struct Refused {
    std::string name;
    Reply reply;
    ErrorCode code;
    Retry retry;
    bool consumed;
    std::string says{};  ///< part of the error's text
};
/// Keys that start with the octets 0, 1, 2 stand in no error.
void expect_refused(const Refused& row, const Result<std::vector<Key>>& keys);

/// Servers that answer as they are told and insist on a client certificate.
class WithServers : public ::testing::Test {
  protected:
    [[nodiscard]] TlsServer serve(TlsServer::Handler handler) const;
    [[nodiscard]] TlsServer serve(const Reply& reply) const;
    /// `good`: the reply to a fetch of `request`. TLS 1.2 and 1.3, the one insisted on if so configured; and the
    /// certificate's name. `extra`: what the plugin needs besides.
    void obeys_tls_settings(const FetchRequest& request, const Reply& good, const Values& extra = {}) const;

    Bench bench_;
    TestContext context_;
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
                                Values extra = {}) const;
    void fault(const std::string& entries) const;
    /// Every law for key sources, with a KME that gives keys.
    void keeps_every_law() const;
    /// Two keys, asked for in another order than they were made in; and not a second time: that error is returned.
    Error both_ends_get_the_same_keys_once();
    /// kme-sim's faults of that name: none gives a key, and each says that one may be used up.
    void distorted_answers_are_never_taken_for_keys(const std::vector<std::string>& actions);
    /// The first KME knows no sae-b.
    void a_stranger_is_not_accepted();

    Bench bench_;
    TestContext context_;
};

}  // namespace qkd::kme::testing
