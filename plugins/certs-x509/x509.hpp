// Keys and certificates (RFC 5280) by OpenSSL: makes a CA, signs client certificates, judges what is there. No files.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::certs {

enum class KeyType : std::uint8_t { ec_p256, rsa_2048, rsa_3072 };

/// A certificate and its private key, both PEM.
struct Pair {
    std::string cert;
    SecretBytes key;
};

/// How long before its making a certificate becomes valid, for clocks that are behind.
constexpr std::chrono::seconds validity_head_start{3600};

struct Wish {
    std::string name;  ///< common name; for clients the DNS subject alternative name as well
    int valid_days = 1;
    KeyType key_type = KeyType::ec_p256;
    std::chrono::sys_seconds made{};  ///< when it is made
};

/// A self-signed CA. Making a key ends with the context's deadline or interruption.
Result<Pair> make_ca(Context& context, const Wish& wish);
/// A client certificate that outlives its CA by no day.
Result<Pair> issue(Context& context, const Pair& ca, const Wish& wish);

/// A CA that can be used to check: a certificate with CA:TRUE that is valid now. Its key, when not empty, belongs to it.
struct CaState {
    std::string unusable;  ///< why not; empty when it is good
    std::chrono::sys_seconds expires{};
};
CaState judge_ca(const std::string& cert, const SecretBytes& key, std::chrono::sys_seconds now);

enum class Health : std::uint8_t {
    good,
    expiring,  ///< still good, but not for as long as wanted
    bad
};
struct Judgement {
    Health health = Health::good;
    std::string why;                     ///< empty when good
    std::chrono::sys_seconds made{};     ///< when it is not bad; by its notBefore
    std::chrono::sys_seconds expires{};  ///< when it is not bad
};
/// Is this `name`'s certificate, signed by that CA, valid now and for `min_days` more, and does the key belong to it?
Judgement judge(const std::string& ca_cert, const std::string& cert, const SecretBytes& key, const std::string& name,
                int min_days, std::chrono::sys_seconds now);

}  // namespace qkd::certs
