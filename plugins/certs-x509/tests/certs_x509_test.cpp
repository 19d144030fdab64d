// certs-x509: what it makes is right, what is good it leaves alone, what is not it renews or refuses.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "certs_x509.hpp"
#include "qkd/sdk/certs.hpp"
#include "schedule.hpp"
#include "support/fake_network.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"
#include "x509.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

using namespace std::chrono_literals;
using qkd::Change;
using qkd::ErrorCode;
using qkd::SecretBytes;
using qkd::certs::KeyType;
using qkd::certs::Pair;
using qkd::certs::Wish;
using qkd::support::read_file;
using qkd::support::TestContext;
using qkd::support::Values;
using qkd::support::write_file;
namespace fs = std::filesystem;

namespace {

using Certs = qkd::support::PluginObject<qkd::CertStage>;
using CertPtr = std::unique_ptr<X509, decltype(&X509_free)>;

std::chrono::sys_seconds now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

CertPtr parse(const std::string& pem) {
    BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    CertPtr cert(PEM_read_bio_X509(in, nullptr, nullptr, nullptr), &X509_free);
    BIO_free(in);
    return cert;
}

unsigned mode_of(const fs::path& file) {
    struct stat status {};
    return ::stat(file.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
}

class X509Certs : public testing::Test {
  protected:
    Certs certs(Values values = {}) {
        values.insert({"directory", folder_});
        return {qkd_plugin, values};
    }
    Change must(Certs& stage, const std::string& sae = "mx1") {
        auto done = stage->ensure(context_, {sae, "r1"}, *session_);
        EXPECT_TRUE(done) << done.error().what;
        return done ? *done : Change::unchanged;
    }
    std::string planned(Certs& stage, const std::string& sae = "mx1") {
        auto text = stage->plan(context_, {sae, "r1"}, *session_);
        EXPECT_TRUE(text) << text.error().what;
        return text ? *text : "";
    }
    void put(const Pair& pair, const std::string& name) {
        write_file(folder_ / (name + ".crt"), pair.cert);
        write_file(folder_ / (name + ".key"), pair.key.reveal_text());
        fs::permissions(folder_ / (name + ".key"), fs::perms::owner_read | fs::perms::owner_write);
    }
    Pair ca(int days = 1000, const std::string& name = "some CA") {
        auto made = qkd::certs::make_ca(context_, {name, days, KeyType::ec_p256, now()});
        EXPECT_TRUE(made) << made.error().what;
        return std::move(made).value();
    }
    Pair client(const Pair& authority, const std::string& name = "mx1", int days = 100) {
        auto made = qkd::certs::issue(context_, authority, {name, days, KeyType::ec_p256, now()});
        EXPECT_TRUE(made) << made.error().what;
        return std::move(made).value();
    }
    /// A folder with a CA and a pair of it that is good for so many days; gives the CA.
    Pair provision(int days) {
        Pair root = ca();
        fs::create_directories(folder_);
        put(root, "root");
        put(client(root, "mx1", days), "mx1");
        return root;
    }
    [[nodiscard]] std::string here(const std::string& name) const { return read_file(folder_ / name); }
    /// What is refused, and why.
    ErrorCode refusal(Certs& stage, const std::string& sae = "mx1") {
        const auto done = stage->ensure(context_, {sae, "r1"}, *session_);
        EXPECT_FALSE(done) << sae;
        return done ? ErrorCode::internal : done.error().code;
    }
    qkd::certs::Judgement judged(const std::string& sae, int days) {
        return qkd::certs::judge(here("root.crt"), here(sae + ".crt"), SecretBytes(here(sae + ".key")), sae, days,
                                 now());
    }
    /// A subject whose certificate a KME will be asked with.
    Change tried(qkd::CertStage& stage, std::optional<std::chrono::sys_seconds> renew_made_before = {}) {
        auto done = stage.ensure(context_, {"mx1", "r1", true, renew_made_before}, *session_);
        EXPECT_TRUE(done) << done.error().what;
        return done ? *done : Change::unchanged;
    }
    void conclude(qkd::CertStage& stage, bool accepted) {
        auto done = stage.conclude(context_, {"mx1", "r1", true}, *session_, accepted);
        EXPECT_TRUE(done) << done.error().what;
    }
    std::string on_device(const std::string& name) {
        const auto& all = network_.device("r1").files;
        for (const auto& [path, file] : all) {
            if (fs::path(path).filename() == name) return file.content;
        }
        return {};
    }
    bool logged(const std::string& words) {
        for (const auto& line : context_.lines()) {
            if (line.find(words) != std::string::npos) return true;
        }
        return false;
    }
    std::map<std::string, std::string> files() { return qkd::support::files_below(folder_); }

    qkd::support::TempDir dir_;
    fs::path folder_ = dir_.path() / "pki" / "certs";
    qkd::support::FakeNetwork network_;
    std::unique_ptr<qkd::DeviceSession> session_ = network_.session("r1");
    TestContext context_;
};

TEST_F(X509Certs, MakesACaAndAClientCertificateThatVerify) {
    auto stage = certs();
    EXPECT_EQ(must(stage), Change::changed);
    const auto root = parse(here("root.crt"));
    const auto own = parse(here("mx1.crt"));
    ASSERT_TRUE(root && own);

    EXPECT_EQ(X509_check_ca(root.get()), 1);
    EXPECT_EQ(X509_get_key_usage(root.get()), static_cast<unsigned>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
    int critical = 0;
    BASIC_CONSTRAINTS_free(
        static_cast<BASIC_CONSTRAINTS*>(X509_get_ext_d2i(root.get(), NID_basic_constraints, &critical, nullptr)));
    EXPECT_EQ(critical, 1);
    EXPECT_NE(X509_get0_subject_key_id(root.get()), nullptr);

    X509_STORE* store = X509_STORE_new();
    X509_STORE_add_cert(store, root.get());
    X509_STORE_CTX* verification = X509_STORE_CTX_new();
    X509_STORE_CTX_init(verification, store, own.get(), nullptr);
    X509_STORE_CTX_set_purpose(verification, X509_PURPOSE_SSL_CLIENT);
    EXPECT_EQ(X509_verify_cert(verification), 1)
        << X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification));
    X509_STORE_CTX_free(verification);
    X509_STORE_free(store);

    EXPECT_EQ(X509_check_host(own.get(), "mx1", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr), 1);
    EXPECT_EQ(X509_get_key_usage(own.get()), static_cast<unsigned>(KU_DIGITAL_SIGNATURE));
    EXPECT_EQ(X509_get_extended_key_usage(own.get()), static_cast<unsigned>(XKU_SSL_CLIENT));
    EXPECT_EQ(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(own.get()), X509_get0_subject_key_id(root.get())), 0);
    EXPECT_EQ(X509_check_ca(own.get()), 0);
    EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(own.get()), X509_get0_serialNumber(root.get())), 0);

    EXPECT_EQ(mode_of(folder_ / "root.key"), 0600U);
    EXPECT_EQ(mode_of(folder_ / "mx1.key"), 0600U);
    EXPECT_EQ(mode_of(folder_ / "mx1.crt"), 0644U);
    EXPECT_EQ(files().size(), 4U) << "nothing is left lying about";
}

TEST_F(X509Certs, PutsCopiesOnTheDeviceAndLeavesGoodOnesAlone) {
    auto stage = certs();
    must(stage);
    const auto& on_device = network_.device("r1").files;
    ASSERT_EQ(on_device.size(), 3U);
    for (const auto& [path, file] : on_device) {
        EXPECT_EQ(file.content, read_file(folder_ / fs::path(path).filename())) << path;
        EXPECT_EQ(file.mode, path.ends_with(".key") ? 0600U : 0644U) << path;
    }
    const auto local = files();
    network_.clear_calls();
    EXPECT_EQ(must(stage), Change::unchanged);
    EXPECT_EQ(planned(stage), "");
    EXPECT_EQ(network_.count("files.put"), 0U);
    EXPECT_EQ(files(), local);

    // One copy goes bad on the device: just that one is written again.
    network_.device("r1").files.begin()->second.content = "rubbish";
    EXPECT_NE(planned(stage).find("upload"), std::string::npos);
    EXPECT_EQ(must(stage), Change::changed);
    EXPECT_EQ(network_.count("files.put"), 1U);
    EXPECT_EQ(files(), local);
}

TEST_F(X509Certs, AnUploadThatDoesNotReadBackIsAnError) {
    auto stage = certs();
    network_.intercept = [](qkd::Context&, const qkd::support::FakeCall& call) -> std::optional<qkd::Error> {
        if (call.operation == "files.get") return qkd::Error{ErrorCode::not_found, qkd::Retry::never, "absent", ""};
        return std::nullopt;
    };
    EXPECT_EQ(refusal(stage), ErrorCode::conflict);
}

TEST_F(X509Certs, WithoutFilesOrUploadNothingGoesToTheDevice) {
    auto no_upload = certs({{"upload", "false"}});
    EXPECT_EQ(must(no_upload), Change::changed);
    network_.device("r1").offers_files = false;
    auto stage = certs();
    EXPECT_EQ(must(stage), Change::unchanged);
    EXPECT_EQ(planned(stage), "");
    EXPECT_TRUE(network_.calls().empty());
}

TEST_F(X509Certs, UploadsIntoNestedDirectories) {
    auto stage = certs({{"device_directory", "/var/tmp/qkd/pki/"}});
    must(stage);
    EXPECT_TRUE(network_.device("r1").files.contains("/var/tmp/qkd/pki/mx1.key"));
}

TEST_F(X509Certs, RenewsWhatIsNoGood) {
    const Pair root = ca();
    const Pair other = ca(1000, "another CA");
    struct Row {
        const char* name;
        std::function<void()> spoil;
        const char* why;
    };
    const Row rows[] = {
        {"missing",
         [&] {
             fs::remove(folder_ / "mx1.crt"), fs::remove(folder_ / "mx1.key");
             network_.device("r1").files.clear();
         },
         "no certificate yet"},
        {"no key", [&] { fs::remove(folder_ / "mx1.key"); }, "no unencrypted PEM key"},
        {"no certificate", [&] { fs::remove(folder_ / "mx1.crt"); }, "no PEM certificate"},
        {"rubbish", [&] { write_file(folder_ / "mx1.crt", "rubbish"); }, "no PEM certificate"},
        {"another key", [&] { write_file(folder_ / "mx1.key", client(root).key.reveal_text()); }, "belongs to another"},
        {"another CA", [&] { put(client(other), "mx1"); }, "not signed by this CA"},
        {"another SAE", [&] { put(client(root, "mx2"), "mx1"); }, "is for 'mx2'"},
        {"soon over", [&] { put(client(root, "mx1", 9), "mx1"); }, "expires on 20"},
        {"over", [&] { put(client(root, "mx1", -1), "mx1"); }, "expired on 20"},
    };
    auto stage = certs();
    for (const Row& row : rows) {
        fs::remove_all(folder_);
        fs::create_directories(folder_);
        put(root, "root");
        put(client(root), "mx1");
        must(stage);
        EXPECT_EQ(planned(stage), "") << row.name;
        row.spoil();
        const auto before = files();
        EXPECT_NE(planned(stage).find(row.why), std::string::npos) << row.name << ": " << planned(stage);
        EXPECT_EQ(files(), before) << row.name << ": plan only looks";
        EXPECT_EQ(must(stage), Change::changed) << row.name;
        EXPECT_EQ(here("root.crt"), root.cert) << row.name << ": the CA stays";
        const auto result = judged("mx1", 360);
        EXPECT_EQ(result.health, qkd::certs::Health::good) << row.name << ": " << result.why;
        EXPECT_EQ(mode_of(folder_ / "mx1.key"), 0600U) << row.name;
        EXPECT_EQ(must(stage), Change::unchanged) << row.name;
    }
}

TEST_F(X509Certs, AProvidedCaNeedsNoKeyAsLongAsTheCertificateIsGood) {
    auto stage = certs({{"ca", "provided"}});
    EXPECT_EQ(refusal(stage), ErrorCode::config) << "no CA";
    const Pair root = ca();
    write_file(folder_ / "root.crt", root.cert);
    EXPECT_EQ(refusal(stage), ErrorCode::config) << "no certificate, and no key to make one";
    put(client(root), "mx1");
    (void)must(stage);
    EXPECT_EQ(must(stage), Change::unchanged);
    EXPECT_FALSE(fs::exists(folder_ / "root.key"));

    put(client(root, "mx1", 5), "mx1");
    (void)must(stage);
    EXPECT_TRUE(logged("root.key is not here"))
        << "a certificate that nobody can renew, but that still works, is no reason to stop";
    put(client(root, "mx1", -1), "mx1");
    EXPECT_FALSE(stage->ensure(context_, {"mx1", "r1"}, *session_));
}

TEST_F(X509Certs, ACaThatCannotBeUsedIsNeverReplacedByItself) {
    fs::create_directories(folder_);
    auto stage = certs();
    const Pair root = ca();
    const Pair other = ca();
    struct Row {
        const char* name;
        std::string cert;
        std::string_view key;
    };
    const Pair expired = ca(-1);
    const Pair no_ca = client(root);
    const Row rows[] = {{"rubbish", "rubbish", root.key.reveal_text()},
                        {"another key", root.cert, other.key.reveal_text()},
                        {"rubbish key", root.cert, "rubbish"},
                        {"expired", expired.cert, expired.key.reveal_text()},
                        {"no CA", no_ca.cert, no_ca.key.reveal_text()}};
    for (const Row& row : rows) {
        write_file(folder_ / "root.crt", row.cert);
        write_file(folder_ / "root.key", row.key);
        const auto before = files();
        EXPECT_EQ(refusal(stage), ErrorCode::config) << row.name;
        EXPECT_FALSE(stage->plan(context_, {"mx1", "r1"}, *session_)) << row.name;
        EXPECT_FALSE(stage->probe(context_)) << row.name;
        EXPECT_EQ(files(), before) << row.name;
    }
    fs::remove(folder_ / "root.crt");
    EXPECT_FALSE(stage->ensure(context_, {"mx1", "r1"}, *session_)) << "a key without its certificate";
}

TEST_F(X509Certs, ACertificateDoesNotOutliveItsCaAndIsNotRenewedForNothing) {
    fs::create_directories(folder_);
    put(ca(5), "root");
    auto stage = certs();
    EXPECT_EQ(must(stage), Change::changed);
    const auto root = parse(here("root.crt"));
    const auto own = parse(here("mx1.crt"));
    EXPECT_EQ(ASN1_TIME_compare(X509_get0_notAfter(own.get()), X509_get0_notAfter(root.get())), 0);
    EXPECT_EQ(must(stage), Change::unchanged);
}

TEST_F(X509Certs, ClosesKeysThatAreOpenToOthers) {
    auto stage = certs();
    must(stage);
    fs::permissions(folder_ / "mx1.key", fs::perms::group_read, fs::perm_options::add);
    EXPECT_NE(planned(stage).find("close"), std::string::npos);
    EXPECT_EQ(must(stage), Change::changed);
    EXPECT_EQ(mode_of(folder_ / "mx1.key"), 0600U);
}

TEST_F(X509Certs, RefusesSaeIdsThatCannotBeFileNames) {
    auto stage = certs();
    for (const std::string& sae : {std::string(), std::string("../x"), std::string("a/b"), std::string(".hidden"),
                                   std::string("root"), std::string("a,DNS:b"), std::string(65, 'a')}) {
        EXPECT_EQ(refusal(stage, sae), ErrorCode::config) << sae;
        EXPECT_FALSE(stage->plan(context_, {sae, "r1"}, *session_)) << sae;
    }
    EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(X509Certs, ManyAtOnceShareOneCa) {
    std::vector<std::thread> threads;
    std::array<bool, 8> good{};
    for (std::size_t i = 0; i < good.size(); ++i) {
        threads.emplace_back([&, i] {
            TestContext context;
            const auto session = network_.session("r" + std::to_string(i));
            const std::string sae = "sae-" + std::to_string(i / 2);  // two of each
            good[i] = certs()->ensure(context, {sae, "r"}, *session).ok();
        });
    }
    for (auto& thread : threads) thread.join();
    for (const bool one : good) EXPECT_TRUE(one);
    EXPECT_EQ(files().size(), 10U);
    for (int i = 0; i < 4; ++i) {
        const std::string sae = "sae-" + std::to_string(i);
        const auto result = judged(sae, 10);
        EXPECT_EQ(result.health, qkd::certs::Health::good) << result.why;
    }
}

TEST_F(X509Certs, WaitsForTheLockUntilItsDeadlineOnly) {
    fs::create_directories(folder_);
    const int fd = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ(::flock(fd, LOCK_EX), 0);
    auto stage = certs();
    TestContext brief(50ms);
    const auto done = stage->ensure(brief, {"mx1", "r1"}, *session_);
    EXPECT_LT(std::chrono::steady_clock::now() - brief.deadline(), qkd::support::promptly);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::timeout);
    ::close(fd);
    EXPECT_EQ(must(stage), Change::changed);
}

TEST_F(X509Certs, MakesRsaKeysAndStopsMakingThemInTime) {
    auto stage = certs({{"key_type", "rsa-2048"}});
    EXPECT_EQ(must(stage), Change::changed);
    const auto own = parse(here("mx1.crt"));
    EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(own.get())), 2048);

    TestContext over(0ms);
    const auto made = qkd::certs::make_ca(over, {"CA", 10, KeyType::rsa_3072, now()});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::timeout);
}

TEST_F(X509Certs, RefusesTimesThatContradictEachOther) {
    EXPECT_THROW(certs({{"valid_days", "10"}, {"min_valid_days", "10"}}), std::runtime_error);
    EXPECT_THROW(certs({{"ca_valid_days", "5"}, {"min_valid_days", "10"}}), std::runtime_error);
    EXPECT_THROW(certs({{"ca_name", ""}}), std::runtime_error);
    EXPECT_THROW(certs({{"device_directory", ""}}), std::runtime_error);
}

TEST_F(X509Certs, ProbeLooksAtFolderAndCa) {
    EXPECT_TRUE(certs()->probe(context_)) << "can be made";
    EXPECT_FALSE(certs({{"ca", "provided"}})->probe(context_));
    write_file(dir_.path() / "file", "");
    EXPECT_FALSE(certs({{"directory", (dir_.path() / "file" / "x").string()}})->probe(context_));
    EXPECT_FALSE(fs::exists(folder_)) << "probe only looks";
    auto stage = certs();
    must(stage);
    EXPECT_TRUE(certs({{"ca", "provided"}})->probe(context_));
}

TEST_F(X509Certs, NoLogLineHoldsAKey) {
    auto stage = certs();
    must(stage);
    const std::string key = here("mx1.key");
    const std::string inside = key.substr(key.find('\n') + 1, 40);
    for (const auto& line : context_.lines()) EXPECT_EQ(line.find(inside), std::string::npos) << line;
}

TEST_F(X509Certs, RenewsWhatExpiresInNineDaysAndLeavesElevenAlone) {
    const Pair root = provision(11);
    auto stage = certs();
    const std::string eleven = here("mx1.crt");
    must(stage);
    EXPECT_EQ(here("mx1.crt"), eleven);
    put(client(root, "mx1", 9), "mx1");
    const std::string nine = here("mx1.crt");
    EXPECT_EQ(must(stage), Change::changed);
    EXPECT_NE(here("mx1.crt"), nine);
}

TEST_F(X509Certs, TheOldPairStaysUntilTheKmeAcceptedTheNewOne) {
    provision(9);
    auto stage = certs();
    const std::string old = here("mx1.crt");
    network_.device("r1").files.clear();

    EXPECT_EQ(tried(*stage), Change::on_trial);
    const std::string renewed = here("mx1.crt");
    EXPECT_NE(renewed, old) << "the KME must see the new one";
    EXPECT_EQ(here("mx1.crt.before"), old);
    EXPECT_EQ(mode_of(folder_ / "mx1.key.before"), 0600U);
    EXPECT_EQ(on_device("mx1.crt"), "") << "the device gets no certificate that nobody has tried";
    EXPECT_NE(on_device("root.crt"), "");

    // A run that dies here leaves a trial that goes on, with the same certificate.
    auto next = certs();
    EXPECT_EQ(tried(*next), Change::on_trial);
    EXPECT_EQ(here("mx1.crt"), renewed);

    conclude(*next, true);
    EXPECT_EQ(here("mx1.crt"), renewed);
    EXPECT_EQ(on_device("mx1.crt"), renewed);
    EXPECT_FALSE(fs::exists(folder_ / "mx1.crt.before"));
    EXPECT_FALSE(fs::exists(folder_ / "mx1.key.before"));
    EXPECT_EQ(tried(*next), Change::unchanged);
    conclude(*next, false);
    EXPECT_EQ(here("mx1.crt"), renewed) << "there is no trial to conclude any more";
}

TEST_F(X509Certs, ARefusedCertificateGivesWayToTheOneBefore) {
    provision(9);
    auto stage = certs();
    const auto before = files();
    EXPECT_EQ(tried(*stage), Change::on_trial);
    conclude(*stage, false);
    EXPECT_EQ(files(), before);
    EXPECT_EQ(mode_of(folder_ / "mx1.key"), 0600U);
    EXPECT_TRUE(logged("refused the new certificate"));
}

TEST_F(X509Certs, ATrialEndsWhenTheOldPairIsNoGoodOrTheNewOneIsDamaged) {
    const Pair root = provision(9);
    auto stage = certs();
    const std::string old = here("mx1.crt");
    EXPECT_EQ(tried(*stage), Change::on_trial);
    write_file(folder_ / "mx1.crt", "cut off");
    EXPECT_NE(planned(stage).find("back"), std::string::npos) << planned(stage);
    EXPECT_EQ(tried(*stage), Change::on_trial) << "the old one came back, and is renewed again";
    EXPECT_EQ(here("mx1.crt.before"), old);

    put(client(root, "mx1", -1), "gone");
    fs::rename(folder_ / "gone.crt", folder_ / "mx1.crt.before");
    fs::rename(folder_ / "gone.key", folder_ / "mx1.key.before");
    EXPECT_EQ(tried(*stage), Change::changed);
    EXPECT_FALSE(fs::exists(folder_ / "mx1.key.before"));
    EXPECT_EQ(on_device("mx1.crt"), here("mx1.crt"));
}

TEST_F(X509Certs, WithoutAKmeInThePipelineTheNewPairCountsAtOnce) {
    provision(9);
    auto stage = certs();
    EXPECT_EQ(must(stage), Change::changed);
    EXPECT_EQ(on_device("mx1.crt"), here("mx1.crt"));
    EXPECT_TRUE(fs::exists(folder_ / "mx1.key.before")) << "for whoever asks a KME next";
    EXPECT_EQ(must(stage), Change::unchanged);
}

TEST_F(X509Certs, RenewsAGoodCertificateOnceWhenAskedTo) {
    auto stage = certs();
    must(stage);
    const std::string first = here("mx1.crt");
    const auto later = now() + 2s;
    qkd::certs::X509Certs at_that_time([&] { return later; });
    const qkd::support::MapConfig config(qkd_plugin, qkd::Scope::certs, {{"directory", folder_}});
    ASSERT_TRUE(at_that_time.configure(config));
    EXPECT_EQ(tried(at_that_time, later), Change::on_trial);
    const std::string second = here("mx1.crt");
    EXPECT_NE(second, first);
    conclude(at_that_time, true);
    // Another link of the same run, with the same SAE.
    EXPECT_EQ(tried(at_that_time, later), Change::unchanged);
    EXPECT_EQ(here("mx1.crt"), second);
}

TEST_F(X509Certs, RenewsWhatOthersMadeJustNowWhenAskedTo) {
    const Pair root = ca();
    fs::create_directories(folder_);
    put(root, "root");
    // Valid from now on, as openssl makes them: without our head start.
    auto fresh = qkd::certs::issue(context_, root, {"mx1", 100, KeyType::ec_p256, now() + 3600s});
    ASSERT_TRUE(fresh);
    put(*fresh, "mx1");
    auto stage = certs();
    EXPECT_EQ(must(stage), Change::changed) << "copied to the device";
    EXPECT_EQ(tried(*stage, now() + 2s), Change::on_trial);
    EXPECT_NE(here("mx1.crt"), fresh->cert);
}

TEST_F(X509Certs, TakesThePairThatTheDeviceHas) {
    auto stage = certs();
    must(stage);
    const auto all = files();
    fs::remove(folder_ / "mx1.crt");
    fs::remove(folder_ / "mx1.key");
    EXPECT_NE(planned(stage).find("from the device"), std::string::npos) << planned(stage);
    EXPECT_EQ(must(stage), Change::changed);
    EXPECT_EQ(files(), all);
    EXPECT_EQ(mode_of(folder_ / "mx1.key"), 0600U);
}

/// Local time, as the window is.
std::chrono::sys_seconds local(int year, int month, int day, int hour, int minute) {
    std::tm fields{};
    fields.tm_year = year - 1900;
    fields.tm_mon = month - 1;
    fields.tm_mday = day;
    fields.tm_hour = hour;
    fields.tm_min = minute;
    fields.tm_isdst = -1;
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::from_time_t(::mktime(&fields)));
}

TEST(Window, IsTheFirstHourOfEveryFifthDay) {
    for (int day = 1; day <= 31; ++day) {
        const bool wanted = day == 1 || day == 6 || day == 11 || day == 16 || day == 21 || day == 26 || day == 31;
        EXPECT_EQ(qkd::certs::in_window(local(2026, 1, day, 0, 0)), wanted) << day;
        EXPECT_EQ(qkd::certs::in_window(local(2026, 1, day, 1, 0)), wanted) << day;
        EXPECT_FALSE(qkd::certs::in_window(local(2026, 1, day, 1, 1))) << day;
        EXPECT_FALSE(qkd::certs::in_window(local(2026, 1, day, 23, 59))) << day;
    }
}

TEST(Window, ClosesAtTheLatestInSixDays) {
    EXPECT_EQ(qkd::certs::window_closes(local(2026, 1, 6, 0, 30)), local(2026, 1, 6, 1, 1));
    EXPECT_EQ(qkd::certs::window_closes(local(2026, 1, 6, 1, 1)), local(2026, 1, 11, 1, 1));
    EXPECT_EQ(qkd::certs::window_closes(local(2026, 1, 31, 2, 0)), local(2026, 2, 1, 1, 1));
    EXPECT_EQ(qkd::certs::window_closes(local(2026, 2, 26, 2, 0)), local(2026, 3, 1, 1, 1));
    EXPECT_EQ(qkd::certs::window_closes(local(2026, 4, 26, 2, 0)), local(2026, 5, 1, 1, 1));
}

TEST_F(X509Certs, InTheWindowOnlyMeansThatWhatWorksWaits) {
    auto time = local(2026, 1, 3, 12, 0);
    qkd::certs::X509Certs stage([&] { return time; });
    const qkd::support::MapConfig config(qkd_plugin, qkd::Scope::certs,
                                         {{"directory", folder_}, {"when", "window"}, {"valid_days", "20"}});
    ASSERT_TRUE(stage.configure(config));
    EXPECT_EQ(tried(stage), Change::changed) << "what is missing does not wait";
    const std::string first = here("mx1.crt");

    time = local(2026, 1, 14, 12, 0);  // expires on the 23rd: within ten days
    EXPECT_EQ(tried(stage), Change::unchanged);
    EXPECT_TRUE(logged("next window"));
    EXPECT_EQ(tried(stage, time), Change::on_trial) << "asked for: at once";
    conclude(stage, false);
    EXPECT_EQ(here("mx1.crt"), first);
    time = local(2026, 1, 16, 0, 59);
    EXPECT_EQ(tried(stage), Change::on_trial);
    conclude(stage, false);
    time = local(2026, 1, 16, 1, 1);
    EXPECT_EQ(tried(stage), Change::unchanged);
    time = local(2026, 1, 21, 1, 30);  // the next window is on the 26th: too late
    EXPECT_EQ(tried(stage), Change::on_trial);
}

TEST_F(X509Certs, ACaServerNeedsToBeDescribedWhole) {
    const Values whole{{"ca", "fetch"},
                       {"ca_host", "127.0.0.1"},
                       {"ca_port", "1"},
                       {"ca_user", "ca"},
                       {"ca_ssh_key", "text:x"},
                       {"ca_host_key", "SHA256:x"},
                       {"ca_cert_file", "/opt/ca/root.crt"}};
    for (const char* key : {"ca_host", "ca_user", "ca_ssh_key", "ca_host_key", "ca_cert_file"}) {
        Values part = whole;
        part.erase(key);
        EXPECT_THROW(certs(part), std::runtime_error) << key;
    }
    EXPECT_THROW(certs({{"ca_host", "ca.example"}}), std::runtime_error) << "without ca = fetch it has no meaning";
    auto stage = certs(whole);
    EXPECT_NE(planned(stage).find("fetch the CA"), std::string::npos);
    const auto done = stage->ensure(context_, {"mx1", "r1"}, *session_);
    ASSERT_FALSE(done) << "nobody listens there";
    EXPECT_NE(done.error().what.find("CA server 127.0.0.1"), std::string::npos) << done.error().what;
    EXPECT_TRUE(files().empty());

    // A certificate that still works is no reason to stop a rotation because its CA server is down.
    const Pair root = ca();
    write_file(folder_ / "root.crt", root.cert);
    put(client(root, "mx1", 5), "mx1");
    Values with_key = whole;
    with_key["ca_key_file"] = "/opt/ca/root.key";
    auto later = certs(with_key);
    const auto before = files();
    (void)must(later);
    EXPECT_EQ(files(), before);
    EXPECT_TRUE(logged("cannot be renewed"));
}

}  // namespace
