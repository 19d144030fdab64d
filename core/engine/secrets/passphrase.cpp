// scrypt by OpenSSL.
#include "engine/secrets/passphrase.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <charconv>
#include <mutex>

#include "engine/base/text.hpp"
#include "engine/secrets/seal.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

constexpr std::string_view version = "1";
constexpr std::size_t new_salt_octets = 16;
constexpr std::size_t least_salt_octets = 16;
constexpr std::size_t most_salt_octets = 64;

Error wrong(std::string what, ErrorCode code = ErrorCode::config) {
    return {code, Retry::never, "scrypt: " + std::move(what), "make it by `qkd-macsec secret passphrase KEY`"};
}

/// A number of one of the fields, all digits and within its range; 0 when it is not.
unsigned number(std::string_view text, unsigned least, unsigned most) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc() && end == text.data() + text.size() && value >= least && value <= most;
    return good ? value : 0;
}

/// What was derived last, and of what.
struct Latest {
    std::mutex mutex;
    std::string parameters;
    SecretBytes passphrase;
    SecretBytes key;
};

}  // namespace

Result<Scrypt> parse_scrypt(std::string_view text) {
    const auto fields = split(text, ',');
    if (fields.empty() || fields.front() != version) {
        const bool later = !fields.empty() && number(fields.front(), 2, 1'000'000) != 0;
        return wrong(later ? "a version of the parameters that is not known" : "no parameters behind it",
                     later ? ErrorCode::unsupported : ErrorCode::config);
    }
    if (fields.size() != 5) return wrong("parameters that are not VERSION,LOG2N,R,P,BASE64SALT");
    Scrypt scrypt;
    scrypt.log2_n = number(fields[1], 14, 20);
    scrypt.r = number(fields[2], 8, 16);
    scrypt.p = number(fields[3], 1, 16);
    if (scrypt.log2_n == 0 || scrypt.r == 0 || scrypt.p == 0)
        return wrong("parameters out of range: LOG2N 14..20, R 8..16, P 1..16");
    const auto salt = base64_decode(fields[4]);
    if (!salt || salt->size() < least_salt_octets || salt->size() > most_salt_octets)
        return wrong("a salt that is not 16 to 64 octets of base64");
    const auto octets = salt->reveal();
    scrypt.salt.assign(octets.begin(), octets.end());
    return scrypt;
}

std::string to_string(const Scrypt& scrypt) {
    const SecretBytes salt = base64_encode(SecretBytes(std::span<const std::uint8_t>(scrypt.salt)));
    return std::string(version) + "," + std::to_string(scrypt.log2_n) + "," + std::to_string(scrypt.r) + "," +
           std::to_string(scrypt.p) + "," + std::string(salt.reveal_text());
}

Result<Scrypt> new_scrypt() {
    Scrypt scrypt;
    scrypt.salt.resize(new_salt_octets);
    if (RAND_bytes(scrypt.salt.data(), static_cast<int>(scrypt.salt.size())) != 1)
        return wrong("no random octets from OpenSSL", ErrorCode::internal);
    return scrypt;
}

Result<SecretBytes> derive_seal_key(const Scrypt& scrypt, const SecretBytes& passphrase) {
    if (passphrase.size() < least_passphrase_octets) {
        return Error{
            ErrorCode::config, Retry::never,
            "the passphrase of seal_key is shorter than " + std::to_string(least_passphrase_octets) + " characters",
            "take several words, or a key instead: openssl rand -hex 32"};
    }
    static Latest latest;
    const std::lock_guard lock(latest.mutex);
    const std::string parameters = to_string(scrypt);
    if (latest.parameters == parameters && latest.passphrase.same_as(passphrase)) return latest.key.clone();
    const std::uint64_t n = std::uint64_t{1} << scrypt.log2_n;
    // Its own reckoning of what it needs (RFC 7914 section 2), and a little more.
    const std::uint64_t memory = 128 * scrypt.r * (n + scrypt.p + 4);
    SecretBytes key = SecretBytes::zeros(seal_key_octets);
    const auto text = passphrase.reveal_text();
    if (EVP_PBE_scrypt(text.data(), text.size(), scrypt.salt.data(), scrypt.salt.size(), n, scrypt.r, scrypt.p, memory,
                       key.writable().data(), key.size()) != 1) {
        return Error{ErrorCode::internal, Retry::never, "OpenSSL refused scrypt",
                     "it needs " + std::to_string(memory >> 20U) + " MiB of memory"};
    }
    latest.parameters = parameters;
    latest.passphrase = passphrase.clone();
    latest.key = key.clone();
    return key;
}

}  // namespace qkd::engine
