// X.509 on OpenSSL 3.
#include "x509.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <utility>

namespace qkd::certs {
namespace {

struct Free {
    void operator()(X509* x) const { X509_free(x); }
    void operator()(EVP_PKEY* x) const { EVP_PKEY_free(x); }
    void operator()(EVP_PKEY_CTX* x) const { EVP_PKEY_CTX_free(x); }
    void operator()(BIO* x) const { BIO_free(x); }
    void operator()(BIGNUM* x) const { BN_free(x); }
    void operator()(X509_EXTENSION* x) const { X509_EXTENSION_free(x); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// OpenSSL's own reason, which names algorithms and formats, never values.
Error failed(const std::string& what) {
    std::array<char, 256> reason{};
    const unsigned long code = ERR_peek_last_error();
    if (code != 0) ERR_error_string_n(code, reason.data(), reason.size());
    ERR_clear_error();
    return {ErrorCode::internal, Retry::never, "OpenSSL cannot " + what + (code != 0 ? ": " : "") + reason.data(),
            "is OpenSSL restricted on this machine?"};
}

int go_on(EVP_PKEY_CTX* context) {
    const auto& call = *static_cast<const Context*>(EVP_PKEY_CTX_get_app_data(context));
    return !call.stop_requested() && call.remaining().count() > 0 ? 1 : 0;
}

Result<Owned<EVP_PKEY>> make_key(Context& context, KeyType type) {
    const Owned<EVP_PKEY_CTX> maker(
        EVP_PKEY_CTX_new_id(type == KeyType::ec_p256 ? EVP_PKEY_EC : EVP_PKEY_RSA, nullptr));
    if (maker == nullptr || EVP_PKEY_keygen_init(maker.get()) != 1) return failed("make a key");
    const int set = type == KeyType::ec_p256
                        ? EVP_PKEY_CTX_set_ec_paramgen_curve_nid(maker.get(), NID_X9_62_prime256v1)
                        : EVP_PKEY_CTX_set_rsa_keygen_bits(maker.get(), type == KeyType::rsa_2048 ? 2048 : 3072);
    EVP_PKEY_CTX_set_app_data(maker.get(), &context);
    EVP_PKEY_CTX_set_cb(maker.get(), &go_on);  // RSA primes may take seconds
    EVP_PKEY* key = nullptr;
    if (set == 1 && EVP_PKEY_keygen(maker.get(), &key) == 1) return Owned<EVP_PKEY>(key);
    if (go_on(maker.get()) == 0) {
        ERR_clear_error();
        const bool stopped = context.stop_requested();
        return Error{stopped ? ErrorCode::cancelled : ErrorCode::timeout, Retry::safe, "no time left to make a key",
                     stopped ? "run again when ready" : "give the certs stage more timeout"};
    }
    return failed("make a key");
}

Owned<BIO> reader(std::string_view text) {
    return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Owned<X509> read_cert(const std::string& pem) {
    Owned<X509> cert(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    return cert;
}

Owned<EVP_PKEY> read_key(const SecretBytes& pem) {
    // Without a callback of our own OpenSSL asks for a passphrase on the terminal.
    const auto no_passphrase = [](char*, int, int, void*) { return -1; };
    Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader(pem.reveal_text()).get(), nullptr, no_passphrase, nullptr));
    ERR_clear_error();
    return key;
}

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
    std::tm fields{};
    if (ASN1_TIME_to_tm(time, &fields) != 1) return {};
    return std::chrono::sys_seconds{std::chrono::seconds{::timegm(&fields)}};
}

std::string date(std::chrono::sys_seconds time) {
    const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(time)};
    std::array<char, 16> text{};
    (void)std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", static_cast<int>(day.year()),
                        static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
    return text.data();
}

std::string common_name(X509* cert) {
    std::array<char, 256> text{};
    if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text.data(), text.size()) < 0) return {};
    return text.data();
}

struct Extension {
    int nid;
    std::string value;
};

/// `issuer` and `signer` null: self-signed.
Result<Pair> make(Context& context, const Wish& wish, X509* issuer, EVP_PKEY* signer,
                  std::initializer_list<Extension> extensions) {
    auto made = make_key(context, wish.key_type);
    if (!made) return std::move(made).error();
    const Owned<EVP_PKEY> key = std::move(made).value();
    const Owned<X509> cert(X509_new());
    const Owned<BIGNUM> serial(BN_new());
    std::time_t made_at = std::chrono::system_clock::to_time_t(wish.made);
    const int head_start = static_cast<int>(validity_head_start.count());
    // RFC 5280 section 4.1.2.2: positive, at most 20 octets; random, so that no counter has to be kept.
    bool ok = cert != nullptr && serial != nullptr &&
              BN_rand(serial.get(), 159, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(cert.get())) != nullptr &&
              X509_set_version(cert.get(), X509_VERSION_3) == 1 && X509_set_pubkey(cert.get(), key.get()) == 1 &&
              X509_time_adj_ex(X509_getm_notBefore(cert.get()), 0, -head_start, &made_at) != nullptr &&
              X509_time_adj_ex(X509_getm_notAfter(cert.get()), wish.valid_days, 0, &made_at) != nullptr;
    if (!ok) return failed("make a certificate");
    if (issuer != nullptr && time_of(X509_get0_notAfter(issuer)) < time_of(X509_get0_notAfter(cert.get()))) {
        ok = X509_set1_notAfter(cert.get(), X509_get0_notAfter(issuer)) == 1;
    }
    X509_NAME* subject = X509_get_subject_name(cert.get());
    ok = ok && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                          reinterpret_cast<const unsigned char*>(wish.name.data()),
                                          static_cast<int>(wish.name.size()), -1, 0) == 1;
    X509* authority = issuer != nullptr ? issuer : cert.get();
    ok = ok && X509_set_issuer_name(cert.get(), X509_get_subject_name(authority)) == 1;
    X509V3_CTX extension_context;
    X509V3_set_ctx(&extension_context, authority, cert.get(), nullptr, nullptr, 0);
    for (const Extension& extension : extensions) {
        const Owned<X509_EXTENSION> made_extension(
            X509V3_EXT_conf_nid(nullptr, &extension_context, extension.nid, extension.value.c_str()));
        ok = ok && made_extension != nullptr && X509_add_ext(cert.get(), made_extension.get(), -1) == 1;
    }
    ok = ok && X509_sign(cert.get(), signer != nullptr ? signer : key.get(), EVP_sha256()) > 0;
    if (!ok) return failed("make a certificate");

    const auto text_of = [](BIO* bio) {
        char* data = nullptr;
        const long size = BIO_get_mem_data(bio, &data);
        return std::string_view(data, size > 0 ? static_cast<std::size_t>(size) : 0);
    };
    const Owned<BIO> cert_out(BIO_new(BIO_s_mem()));
    const Owned<BIO> key_out(BIO_new(BIO_s_secmem()));  // wiped when freed
    if (PEM_write_bio_X509(cert_out.get(), cert.get()) != 1 ||
        PEM_write_bio_PKCS8PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return failed("write a certificate");
    }
    return Pair{std::string(text_of(cert_out.get())), SecretBytes(text_of(key_out.get()))};
}

}  // namespace

Result<Pair> make_ca(Context& context, const Wish& wish) {
    return make(context, wish, nullptr, nullptr,
                {{NID_basic_constraints, "critical,CA:TRUE"},
                 {NID_key_usage, "critical,keyCertSign,cRLSign"},
                 {NID_subject_key_identifier, "hash"}});
}

Result<Pair> issue(Context& context, const Pair& ca, const Wish& wish) {
    const Owned<X509> issuer = read_cert(ca.cert);
    const Owned<EVP_PKEY> signer = read_key(ca.key);
    if (issuer == nullptr || signer == nullptr) return failed("read the CA");
    return make(context, wish, issuer.get(), signer.get(),
                {{NID_basic_constraints, "critical,CA:FALSE"},
                 {NID_key_usage, "critical,digitalSignature"},
                 {NID_ext_key_usage, "clientAuth"},
                 {NID_subject_key_identifier, "hash"},
                 {NID_authority_key_identifier, "keyid"},
                 {NID_subject_alt_name, "DNS:" + wish.name}});
}

CaState judge_ca(const std::string& cert, const SecretBytes& key, std::chrono::sys_seconds now) {
    CaState state;
    const Owned<X509> ca = read_cert(cert);
    if (ca == nullptr) {
        state.unusable = "it is no PEM certificate";
        return state;
    }
    state.expires = time_of(X509_get0_notAfter(ca.get()));
    const Owned<EVP_PKEY> own = key.empty() ? nullptr : read_key(key);
    if (X509_check_ca(ca.get()) != 1) {
        state.unusable = "it is no CA certificate (basic constraints CA:TRUE)";
    } else if (state.expires <= now) {
        state.unusable = "it expired on " + date(state.expires);
    } else if (!key.empty() && own == nullptr) {
        state.unusable = "its key is no unencrypted PEM key";
    } else if (own != nullptr && X509_check_private_key(ca.get(), own.get()) != 1) {
        state.unusable = "its key belongs to another certificate";
    }
    ERR_clear_error();
    return state;
}

Judgement judge(const std::string& ca_cert, const std::string& cert, const SecretBytes& key, const std::string& name,
                int min_days, std::chrono::sys_seconds now) {
    const auto bad = [](std::string why) { return Judgement{Health::bad, std::move(why), {}, {}}; };
    const Owned<X509> ca = read_cert(ca_cert);
    const Owned<X509> own = read_cert(cert);
    if (own == nullptr) return bad("the certificate is no PEM certificate");
    const Owned<EVP_PKEY> own_key = read_key(key);
    if (own_key == nullptr) return bad("the key is no unencrypted PEM key");
    const bool matches = X509_check_private_key(own.get(), own_key.get()) == 1;
    const bool ours = ca != nullptr && X509_check_issued(ca.get(), own.get()) == X509_V_OK &&
                      X509_verify(own.get(), X509_get0_pubkey(ca.get())) == 1;
    const bool named =
        common_name(own.get()) == name ||
        X509_check_host(own.get(), name.data(), name.size(),
                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS, nullptr) == 1;
    ERR_clear_error();
    if (!matches) return bad("the key belongs to another certificate");
    if (!ours) return bad("the certificate is not signed by this CA");
    if (!named) return bad("the certificate is for '" + common_name(own.get()) + "'");
    const auto begin = time_of(X509_get0_notBefore(own.get()));
    const auto end = time_of(X509_get0_notAfter(own.get()));
    if (begin > now) return bad("the certificate is valid from " + date(begin) + " only");
    if (end <= now) return bad("the certificate expired on " + date(end));
    // Others give no head start: then that time would not have come yet.
    const auto made = begin + validity_head_start <= now ? begin + validity_head_start : begin;
    if (end <= now + std::chrono::days{min_days}) {
        return {Health::expiring, "the certificate expires on " + date(end), made, end};
    }
    return {Health::good, "", made, end};
}

}  // namespace qkd::certs
