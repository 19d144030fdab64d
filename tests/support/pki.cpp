// A self-signed certificate by OpenSSL.
#include "support/pki.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "support/temp_dir.hpp"

namespace qkd::support {
namespace {

template <class T, void (*Free)(T*)>
struct Deleter {
    void operator()(T* object) const noexcept { Free(object); }
};
template <class T, void (*Free)(T*)>
using Owned = std::unique_ptr<T, Deleter<T, Free>>;

void must(bool done) {
    if (!done) throw std::runtime_error("OpenSSL cannot make a certificate");
}

template <class Write>
std::string pem(Write&& write) {
    const Owned<BIO, BIO_free_all> memory(BIO_new(BIO_s_mem()));
    must(memory != nullptr && write(memory.get()) == 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

}  // namespace

void write_self_signed(const std::filesystem::path& directory) {
    const Owned<EVP_PKEY, EVP_PKEY_free> key(EVP_EC_gen("P-256"));
    const Owned<X509, X509_free> certificate(X509_new());
    must(key != nullptr && certificate != nullptr);
    X509* x509 = certificate.get();
    X509_NAME* name = X509_get_subject_name(x509);
    const auto* host = reinterpret_cast<const unsigned char*>("localhost");
    must(X509_set_version(x509, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x509), 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(x509), -60) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(x509), 86400) != nullptr && X509_set_pubkey(x509, key.get()) == 1 &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0) == 1 &&
         X509_set_issuer_name(x509, name) == 1 && X509_sign(x509, key.get(), EVP_sha256()) != 0);
    write_file(directory / "cert.pem", pem([&](BIO* out) { return PEM_write_bio_X509(out, x509); }));
    write_file(directory / "key.pem", pem([&](BIO* out) {
                   return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
               }));
    using std::filesystem::perms;
    std::filesystem::permissions(directory / "key.pem", perms::owner_read | perms::owner_write);
}

}  // namespace qkd::support
