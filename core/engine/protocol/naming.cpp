// CKNs and random keys by OpenSSL.
#include "engine/protocol/naming.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

std::string to_hex(const unsigned char* data, std::size_t size) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(size * 2);
    for (std::size_t i = 0; i < size; ++i) {
        text += digits[data[i] >> 4U];
        text += digits[data[i] & 15U];
    }
    return text;
}

constexpr std::size_t ckn_digits = 64;

}  // namespace

Result<std::string> derive_ckn(std::string_view link, std::string_view key_id, std::string_view prefix) {
    if (!prefix.empty()) {
        std::string digits;
        for (const char c : key_id) {
            if (c == '-') continue;
            if (std::isxdigit(static_cast<unsigned char>(c)) == 0) {
                return Error{ErrorCode::config, Retry::never,
                             "key_ID " + std::string(key_id) + " of link " + std::string(link) + " is no UUID",
                             "leave out ckn_prefix, so that the CKN is a hash of the key_ID"};
            }
            digits += c;
        }
        if (digits.size() != 32) {
            return Error{ErrorCode::config, Retry::never,
                         "key_ID " + std::string(key_id) + " of link " + std::string(link) + " is no UUID",
                         "leave out ckn_prefix, so that the CKN is a hash of the key_ID"};
        }
        std::string ckn = canonical_hex(std::string(prefix) + digits);
        ckn.resize(std::min(ckn.size(), ckn_digits));
        return ckn;
    }
    std::string input = "qkd-macsec ckn v1";
    input += '\0';
    input += link;
    input += '\0';
    input += key_id;
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(input.data(), input.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
        return Error{ErrorCode::internal, Retry::never, "SHA-256 is not available", "check the OpenSSL installation"};
    }
    return to_hex(digest.data(), size);
}

Result<NamedSecret> random_key(std::size_t octets) {
    std::array<unsigned char, ckn_digits / 2> name{};
    NamedSecret key{{}, SecretBytes::zeros(octets)};
    if (RAND_bytes(name.data(), static_cast<int>(name.size())) != 1 ||
        RAND_priv_bytes(key.secret.writable().data(), static_cast<int>(octets)) != 1) {
        return Error{ErrorCode::internal, Retry::never, "the random generator failed",
                     "check the OpenSSL installation"};
    }
    key.name = to_hex(name.data(), name.size());
    return key;
}

std::string new_run_id() {
    std::array<unsigned char, 8> id{};
    // A run ID is a label, not a secret: a failing generator gives a poor label, no harm.
    (void)RAND_bytes(id.data(), static_cast<int>(id.size()));
    return to_hex(id.data(), id.size());
}

}  // namespace qkd::engine
