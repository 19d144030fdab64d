// The test CA, on OpenSSL.
#include "pki.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <utility>

namespace qkd::support {
namespace {

struct Free {
    void operator()(X509* x) const { X509_free(x); }
    void operator()(EVP_PKEY* x) const { EVP_PKEY_free(x); }
    void operator()(X509_EXTENSION* x) const { X509_EXTENSION_free(x); }
    void operator()(std::FILE* x) const { (void)std::fclose(x); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

void require(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(std::string("test certificates: ") + what);
}

Owned<X509> make(EVP_PKEY* key, const std::string& common_name, X509* issuer, EVP_PKEY* signer, long days,
                 std::initializer_list<std::pair<int, std::string>> extensions) {
    Owned<X509> x(X509_new());
    X509_set_version(x.get(), X509_VERSION_3);
    std::uint64_t serial = 0;
    require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "serial");
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x.get()), serial >> 1U);
    X509_gmtime_adj(X509_getm_notBefore(x.get()), -3600);
    X509_time_adj_ex(X509_getm_notAfter(x.get()), static_cast<int>(days), 0, nullptr);
    X509_set_pubkey(x.get(), key);
    X509_NAME* subject = X509_get_subject_name(x.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509_set_issuer_name(x.get(), X509_get_subject_name(issuer != nullptr ? issuer : x.get()));
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer != nullptr ? issuer : x.get(), x.get(), nullptr, nullptr, 0);
    for (const auto& [nid, value] : extensions) {
        if (value.empty()) continue;
        Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
        require(extension != nullptr, value.c_str());
        X509_add_ext(x.get(), extension.get(), -1);
    }
    require(X509_sign(x.get(), signer, EVP_sha256()) > 0, "sign");
    return x;
}

void write_pem(const std::filesystem::path& file, auto&& write) {
    Owned<std::FILE> out(std::fopen(file.c_str(), "we"));
    require(out != nullptr && write(out.get()) == 1, file.c_str());
}

}  // namespace

struct Pki::Keys {
    Owned<EVP_PKEY> key;
    Owned<X509> cert;
};

Pki::Pki(std::filesystem::path directory, const std::string& name)
    : directory_(std::move(directory)), ca_(directory_ / (name + ".crt")), keys_(new Keys) {
    keys_->key.reset(EVP_EC_gen("P-256"));
    keys_->cert = make(keys_->key.get(), "test CA " + name, nullptr, keys_->key.get(), 2,
                       {{NID_basic_constraints, "critical,CA:TRUE"},
                        {NID_key_usage, "critical,keyCertSign,cRLSign"},
                        {NID_subject_key_identifier, "hash"}});
    write_pem(ca_, [&](std::FILE* out) { return PEM_write_X509(out, keys_->cert.get()); });
}

Pki::~Pki() {
    delete keys_;
}

Identity Pki::issue(const std::string& common_name, const std::string& names, long valid_days,
                    const std::string& passphrase) const {
    Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
    const auto cert = make(key.get(), common_name, keys_->cert.get(), keys_->key.get(), valid_days,
                           {{NID_basic_constraints, "CA:FALSE"},
                            {NID_subject_key_identifier, "hash"},
                            {NID_authority_key_identifier, "keyid"},
                            {NID_subject_alt_name, names}});
    Identity identity{directory_ / (common_name + ".crt"), directory_ / (common_name + ".key")};
    write_pem(identity.cert, [&](std::FILE* out) { return PEM_write_X509(out, cert.get()); });
    write_pem(identity.key, [&](std::FILE* out) {
        return PEM_write_PrivateKey(out, key.get(), passphrase.empty() ? nullptr : EVP_aes_256_cbc(),
                                    reinterpret_cast<const unsigned char*>(passphrase.data()),
                                    static_cast<int>(passphrase.size()), nullptr, nullptr);
    });
    std::filesystem::permissions(identity.key,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return identity;
}

}  // namespace qkd::support
