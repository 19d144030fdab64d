// AES-256-GCM by OpenSSL's EVP interface.
#include "engine/secrets/seal.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <memory>

#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

constexpr std::uint8_t version = 1;
constexpr std::size_t nonce_octets = 12;
constexpr std::size_t tag_octets = 16;
constexpr std::size_t overhead = 1 + nonce_octets + tag_octets;
constexpr std::size_t longest = std::size_t{16} << 20U;

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Error failed(ErrorCode code, const char* what, const char* hint) {
    return {code, Retry::never, what, hint};
}
Error library_failed() {
    return failed(ErrorCode::internal, "OpenSSL refused AES-256-GCM", "check the OpenSSL installation of this machine");
}

/// Purpose and version are authenticated, not stored twice.
std::string bound_data(std::string_view purpose) {
    std::string data(purpose);
    data += '\0';
    data += static_cast<char>(version);
    return data;
}

int length(std::size_t size) {
    return static_cast<int>(size);  // bounded by `longest`
}

const std::uint8_t* octets(const std::string& text) {
    return reinterpret_cast<const std::uint8_t*>(text.data());
}

}  // namespace

Result<SecretBytes> parse_seal_key(const SecretBytes& content) {
    if (content.size() == seal_key_octets) return content.clone();
    auto text = content.reveal_text();
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.size() == 2 * seal_key_octets) {
        if (auto key = hex_decode(text)) return key;
    }
    return failed(ErrorCode::config, "a seal key must be 32 octets or 64 hexadecimal digits",
                  "make one: (umask 077; openssl rand -hex 32 > seal.key)");
}

Result<SecretBytes> new_seal_key() {
    SecretBytes key = SecretBytes::zeros(seal_key_octets);
    if (RAND_priv_bytes(key.writable().data(), length(seal_key_octets)) != 1) return library_failed();
    return key;
}

Result<std::vector<std::uint8_t>> seal(const SecretBytes& key, const SecretBytes& plain, std::string_view purpose) {
    if (key.size() != seal_key_octets || plain.size() > longest) {
        return failed(ErrorCode::internal, "a text that cannot be sealed", "report this as a defect");
    }
    std::vector<std::uint8_t> out(plain.size() + overhead);
    out[0] = version;
    std::uint8_t* const nonce = out.data() + 1;
    std::uint8_t* const body = nonce + nonce_octets;
    const std::string bound = bound_data(purpose);
    const CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    int written = 0;
    int rest = 0;
    const bool done =
        RAND_bytes(nonce, length(nonce_octets)) == 1 && context != nullptr &&
        EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.reveal().data(), nonce) == 1 &&
        EVP_EncryptUpdate(context.get(), nullptr, &rest, octets(bound), length(bound.size())) == 1 &&
        EVP_EncryptUpdate(context.get(), body, &written, plain.reveal().data(), length(plain.size())) == 1 &&
        EVP_EncryptFinal_ex(context.get(), body + written, &rest) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, length(tag_octets), body + plain.size()) == 1;
    if (!done) return library_failed();
    return out;
}

Result<SecretBytes> unseal(const SecretBytes& key, std::span<const std::uint8_t> sealed, std::string_view purpose) {
    const auto closed = [] {
        return failed(ErrorCode::config, "a sealed text does not open: another seal key, or it was changed",
                      "seal the secret again under the present seal_key");
    };
    if (key.size() != seal_key_octets) {
        return failed(ErrorCode::internal, "a seal key of the wrong length", "report this as a defect");
    }
    if (sealed.size() < overhead || sealed.size() > longest + overhead) return closed();
    if (sealed[0] != version) {
        return failed(ErrorCode::unsupported, "a sealed text of an unknown format version", "use a newer qkd-macsec");
    }
    const std::uint8_t* const nonce = sealed.data() + 1;
    const std::uint8_t* const body = nonce + nonce_octets;
    SecretBytes plain = SecretBytes::zeros(sealed.size() - overhead);
    std::vector<std::uint8_t> tag(sealed.end() - static_cast<std::ptrdiff_t>(tag_octets), sealed.end());
    // OpenSSL wants a place to write to even when there is nothing to write.
    std::uint8_t nowhere = 0;
    std::uint8_t* const out = plain.empty() ? &nowhere : plain.writable().data();
    const std::string bound = bound_data(purpose);
    const CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    int written = 0;
    int rest = 0;
    const bool done = context != nullptr &&
                      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.reveal().data(), nonce) == 1 &&
                      EVP_DecryptUpdate(context.get(), nullptr, &rest, octets(bound), length(bound.size())) == 1 &&
                      EVP_DecryptUpdate(context.get(), out, &written, body, length(plain.size())) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, length(tag_octets), tag.data()) == 1 &&
                      EVP_DecryptFinal_ex(context.get(), out + written, &rest) == 1;
    if (!done) return closed();
    return plain;
}

Result<std::string> sealed_reference(const SecretBytes& key, const SecretBytes& plain) {
    auto sealed = seal(key, plain, seal_purpose_secret);
    if (!sealed) return std::move(sealed).error();
    const SecretBytes text = base64_encode(SecretBytes(std::span<const std::uint8_t>(*sealed)));
    return "sealed:" + std::string(text.reveal_text());
}

}  // namespace qkd::engine
