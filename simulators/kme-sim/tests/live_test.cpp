// The KMEs on the network: mutual TLS 1.2 and 1.3, connection reuse, lost answers, the audit file, a prompt stop.
#include <curl/curl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "server.hpp"
#include "temp_folder.hpp"

namespace qkd::kme_sim {
namespace {

using Json = nlohmann::json;

struct KeyAndCert {
    EVP_PKEY* key = nullptr;
    X509* cert = nullptr;
};

/// A P-256 certificate NAME.crt, NAME.key in the folder; signed by `issuer`, or by itself as a CA.
KeyAndCert make_certificate(const TempFolder& folder, const std::string& name, const KeyAndCert* issuer) {
    KeyAndCert made{EVP_EC_gen("P-256"), X509_new()};
    X509_set_version(made.cert, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.cert), std::hash<std::string>{}(name) >> 1U);
    X509_gmtime_adj(X509_getm_notBefore(made.cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(made.cert), 3600);
    X509_NAME* subject = X509_get_subject_name(made.cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1,
                               -1, 0);
    const auto extension = [&](int nid, const char* value) {
        X509_EXTENSION* made_extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
        X509_add_ext(made.cert, made_extension, -1);
        X509_EXTENSION_free(made_extension);
    };
    extension(NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (issuer != nullptr) extension(NID_subject_alt_name, "IP:127.0.0.1");
    X509_set_issuer_name(made.cert, X509_get_subject_name(issuer == nullptr ? made.cert : issuer->cert));
    X509_set_pubkey(made.cert, made.key);
    X509_sign(made.cert, issuer == nullptr ? made.key : issuer->key, EVP_sha256());
    const auto save = [&](const std::string& path, const std::function<void(BIO*)>& write) {
        BIO* out = BIO_new_file(path.c_str(), "w");
        write(out);
        BIO_free(out);
    };
    save(folder.file(name + ".crt"), [&](BIO* out) { PEM_write_bio_X509(out, made.cert); });
    save(folder.file(name + ".key"),
         [&](BIO* out) { PEM_write_bio_PrivateKey(out, made.key, nullptr, nullptr, 0, nullptr, nullptr); });
    return made;
}

struct Reply {
    CURLcode code = CURLE_OK;
    long status = 0;
    long new_connections = 0;
    std::string body;
};

std::size_t append(const char* data, std::size_t size, std::size_t count, void* out) {
    static_cast<std::string*>(out)->append(data, size * count);
    return size * count;
}

/// One caller with its own connection cache.
class Caller {
  public:
    Caller(const TempFolder& folder, const std::string& name) : curl_(curl_easy_init()) {
        set(CURLOPT_CAINFO, folder.file("root.crt"));
        if (!name.empty()) {
            set(CURLOPT_SSLCERT, folder.file(name + ".crt"));
            set(CURLOPT_SSLKEY, folder.file(name + ".key"));
        }
        curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, append);
        curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, 10000L);
        curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl_, CURLOPT_PROXY, "");
    }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;
    ~Caller() { curl_easy_cleanup(curl_); }

    void tls(long version) { curl_easy_setopt(curl_, CURLOPT_SSLVERSION, version); }
    void timeout(long ms) { curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, ms); }

    /// `call` runs once, when TLS is up and the request is about to be sent.
    void on_connected(std::function<void()> call) {
        connected_ = std::move(call);
        curl_easy_setopt(curl_, CURLOPT_PREREQDATA, this);
        const auto function = [](void* self, char*, char*, int, int) {
            static_cast<Caller*>(self)->connected_();
            return CURL_PREREQFUNC_OK;
        };
        curl_easy_setopt(curl_, CURLOPT_PREREQFUNCTION, +function);
    }

    Reply get(const KmeServer& server, const std::string& rest) {
        Reply reply;
        set(CURLOPT_URL, "https://127.0.0.1:" + std::to_string(server.port()) + "/api/v1/keys/" + rest);
        curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &reply.body);
        reply.code = curl_easy_perform(curl_);
        curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &reply.status);
        curl_easy_getinfo(curl_, CURLINFO_NUM_CONNECTS, &reply.new_connections);
        return reply;
    }

  private:
    void set(CURLoption option, const std::string& value) { curl_easy_setopt(curl_, option, value.c_str()); }
    CURL* curl_;
    std::function<void()> connected_;
};

class Live : public testing::Test {
  protected:
    void SetUp() override {
        const KeyAndCert root = make_certificate(folder_, "root", nullptr);
        std::vector<KeyAndCert> made = {root};
        for (const char* name : {"kme", "a", "b", "stranger"}) made.push_back(make_certificate(folder_, name, &root));
        made.push_back(make_certificate(folder_, "foreign", nullptr));
        for (const KeyAndCert& one : made) {
            EVP_PKEY_free(one.key);
            X509_free(one.cert);
        }
        for (const char* name : {"k1", "k2"}) {
            config_.kmes.push_back({.name = name, .cert = folder_.file("kme.crt"), .key = folder_.file("kme.key")});
        }
        config_.saes = {{"a", "k1"}, {"b", "k2"}};
        audit_ = AuditFile::open(folder_.file("audit.jsonl")).value();
        pool_ = std::make_unique<KeyPool>(config_.pool, *audit_, now);
        service_ = std::make_unique<Service>(config_, *pool_, faults_);
        for (int i : {0, 1}) {
            auto server =
                KmeServer::start(config_.kmes[static_cast<std::size_t>(i)], folder_.file("root.crt"), *service_);
            ASSERT_TRUE(server.ok()) << server.error().what;
            (i == 0 ? k1_ : k2_) = std::move(server).value();
        }
    }

    TempFolder folder_;
    Config config_;
    FaultScript faults_{folder_.file("faults.json")};
    std::unique_ptr<AuditFile> audit_;
    std::unique_ptr<KeyPool> pool_;
    std::unique_ptr<Service> service_;
    std::unique_ptr<KmeServer> k1_;
    std::unique_ptr<KmeServer> k2_;
};

TEST_F(Live, TwoKmesShareAKeyOverOneConnectionEach) {
    for (long version : {long{CURL_SSLVERSION_TLSv1_2} | CURL_SSLVERSION_MAX_TLSv1_2, long{CURL_SSLVERSION_TLSv1_3}}) {
        Caller a(folder_, "a");
        Caller b(folder_, "b");
        a.tls(version);
        b.tls(version);
        for (int i = 0; i < 3; ++i) {
            const Reply issued = a.get(*k1_, "b/enc_keys?number=1&size=256");
            ASSERT_EQ(issued.status, 200) << curl_easy_strerror(issued.code);
            EXPECT_EQ(issued.new_connections, i == 0 ? 1 : 0) << "kept alive";
            const std::string id = Json::parse(issued.body)["keys"][0]["key_ID"];
            const Reply fetched = b.get(*k2_, "a/dec_keys?key_ID=" + id);
            ASSERT_EQ(fetched.status, 200);
            EXPECT_EQ(fetched.body, issued.body);
        }
    }
}

TEST_F(Live, OnlyKnownCertificatesGetIn) {
    EXPECT_NE(Caller(folder_, "").get(*k1_, "b/status").code, CURLE_OK) << "no certificate";
    EXPECT_NE(Caller(folder_, "foreign").get(*k1_, "b/status").code, CURLE_OK) << "unknown CA";
    const Reply stranger = Caller(folder_, "stranger").get(*k1_, "b/status");
    EXPECT_EQ(stranger.status, 401);
    EXPECT_TRUE(stranger.body.empty());
    EXPECT_EQ(Caller(folder_, "a").get(*k2_, "b/status").status, 401) << "a is served by k1";
    Caller old(folder_, "a");
    old.tls(long{CURL_SSLVERSION_TLSv1_1} | CURL_SSLVERSION_MAX_TLSv1_1);
    EXPECT_NE(old.get(*k1_, "b/status").code, CURLE_OK);
}

TEST_F(Live, ALostAnswerMayHaveUsedTheKey) {
    Caller a(folder_, "a");
    Caller b(folder_, "b");
    folder_.write("faults.json", R"({"faults":[{"kme":"k2","call":"dec_keys","nth":1,"action":"drop"},
                                               {"kme":"k2","call":"dec_keys","nth":2,"action":"consume-then-drop"}]})");
    const std::string id = Json::parse(a.get(*k1_, "b/enc_keys").body)["keys"][0]["key_ID"];
    const std::string fetch = "a/dec_keys?key_ID=" + id;
    EXPECT_EQ(b.get(*k2_, fetch).status, 0);
    EXPECT_EQ(b.get(*k2_, fetch).status, 0);
    EXPECT_EQ(b.get(*k2_, fetch).status, 400) << "the second answer was lost, but it was given";
}

TEST_F(Live, HangsUntilTheCallerGivesUpAndStillStopsAtOnce) {
    Caller a(folder_, "a");
    folder_.write("faults.json", R"({"faults":[{"every":true,"action":"hang"}]})");
    a.timeout(200);
    EXPECT_EQ(a.get(*k1_, "b/status").code, CURLE_OPERATION_TIMEDOUT);

    std::promise<void> connected;
    std::thread waiting([&] {
        Caller b(folder_, "b");
        b.timeout(60000);
        b.on_connected([&] { connected.set_value(); });
        EXPECT_EQ(b.get(*k2_, "a/status").status, 0);
    });
    connected.get_future().wait();
    const auto begin = std::chrono::steady_clock::now();
    k2_->stop();
    waiting.join();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30)) << "not the caller's 60 s";
}

TEST_F(Live, TheAuditHoldsTheKeysForItsOwnerOnlyAndBridgesARestart) {
    const Json issued = Json::parse(Caller(folder_, "a").get(*k1_, "b/enc_keys").body)["keys"][0];
    struct stat about {};
    ASSERT_EQ(::stat(folder_.file("audit.jsonl").c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0600U);
    std::ofstream(folder_.file("audit.jsonl"), std::ios::app) << R"({"event":"iss)";  // as a crash leaves it

    const auto events = read_audit(folder_.file("audit.jsonl"));
    ASSERT_TRUE(events.ok());
    ASSERT_EQ(events->size(), 1U);
    EXPECT_EQ(to_base64((*events)[0].key), issued["key"]);
    EXPECT_EQ((*events)[0].key_id, issued["key_ID"]);

    // A new process, the old file: the slave still gets its key, and both events are readable afterwards.
    const auto audit = AuditFile::open(folder_.file("audit.jsonl")).value();
    KeyPool pool(config_.pool, *audit, now);
    pool.replay(*events);
    EXPECT_EQ(pool.fetch("k2", "b", "a", {issued["key_ID"]}).outcome, KeyPool::Outcome::ok);
    EXPECT_EQ(read_audit(folder_.file("audit.jsonl"))->size(), 2U);
}

TEST_F(Live, SaysWhyItCannotStart) {
    KmeSettings settings = config_.kmes[0];
    settings.port = k1_->port();
    const auto taken = KmeServer::start(settings, folder_.file("root.crt"), *service_);
    ASSERT_FALSE(taken.ok());
    EXPECT_NE(taken.error().what.find("cannot listen"), std::string::npos);
    settings.cert = folder_.file("a.crt");
    const auto mismatch = KmeServer::start(settings, folder_.file("root.crt"), *service_);
    ASSERT_FALSE(mismatch.ok());
    EXPECT_FALSE(KmeServer::start(config_.kmes[0], folder_.file("none.crt"), *service_).ok());
}

}  // namespace
}  // namespace qkd::kme_sim
