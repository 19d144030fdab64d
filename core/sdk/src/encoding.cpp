// Hexadecimal and base64 over SecretBytes.
#include "qkd/sdk/encoding.hpp"

namespace qkd {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";
constexpr char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

Error malformed(const char* what, const char* hint) {
    return {ErrorCode::protocol, Retry::never, what, hint};
}

}  // namespace

SecretBytes hex_encode(const SecretBytes& bytes) {
    SecretBytes text = SecretBytes::zeros(bytes.size() * 2);
    auto out = text.writable();
    std::size_t i = 0;
    for (const std::uint8_t byte : bytes.reveal()) {
        out[i++] = static_cast<std::uint8_t>(hex_digits[byte >> 4U]);
        out[i++] = static_cast<std::uint8_t>(hex_digits[byte & 15U]);
    }
    return text;
}

Result<SecretBytes> hex_decode(std::string_view text) {
    if (text.size() % 2 != 0) return malformed("hexadecimal text of odd length", "two digits stand for one octet");
    SecretBytes bytes = SecretBytes::zeros(text.size() / 2);
    auto out = bytes.writable();
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = hex_value(text[2 * i]);
        const int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) return malformed("text that is not hexadecimal", "only 0-9, a-f and A-F are allowed");
        out[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return bytes;
}

SecretBytes base64_encode(const SecretBytes& bytes) {
    const auto in = bytes.reveal();
    SecretBytes text = SecretBytes::zeros((in.size() + 2) / 3 * 4);
    auto out = text.writable();
    std::size_t o = 0;
    for (std::size_t i = 0; i < in.size(); i += 3) {
        const std::size_t left = in.size() - i;
        const unsigned group = static_cast<unsigned>(in[i]) << 16U |
                               (left > 1 ? static_cast<unsigned>(in[i + 1]) << 8U : 0U) |
                               (left > 2 ? static_cast<unsigned>(in[i + 2]) : 0U);
        out[o++] = static_cast<std::uint8_t>(base64_digits[group >> 18U & 63U]);
        out[o++] = static_cast<std::uint8_t>(base64_digits[group >> 12U & 63U]);
        out[o++] = static_cast<std::uint8_t>(left > 1 ? base64_digits[group >> 6U & 63U] : '=');
        out[o++] = static_cast<std::uint8_t>(left > 2 ? base64_digits[group & 63U] : '=');
    }
    return text;
}

Result<SecretBytes> base64_decode(std::string_view text) {
    const char* hint = "RFC 4648 section 4: standard alphabet, padded";
    if (text.size() % 4 != 0) return malformed("base64 text whose length is no multiple of 4", hint);
    std::size_t padding = 0;
    if (!text.empty() && text.back() == '=') padding = text[text.size() - 2] == '=' ? 2 : 1;
    SecretBytes bytes = SecretBytes::zeros(text.size() / 4 * 3 - padding);
    auto out = bytes.writable();
    std::size_t o = 0;
    for (std::size_t i = 0; i < text.size(); i += 4) {
        const bool last = i + 4 == text.size();
        unsigned group = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            const bool pad = last && k >= 4 - padding;
            const int value = pad ? 0 : base64_value(text[i + k]);
            if (value < 0) return malformed("text that is not base64", hint);
            group = group << 6U | static_cast<unsigned>(value);
        }
        if (last && ((padding == 1 && (group & 0xffU) != 0) || (padding == 2 && (group & 0xffffU) != 0))) {
            return malformed("base64 text with stray bits at its end", hint);
        }
        for (unsigned k = 0; k < 3 && o < out.size(); ++k)
            out[o++] = static_cast<std::uint8_t>(group >> (16U - 8U * k));
    }
    return bytes;
}

std::string canonical_hex(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    }
    return lower;
}

}  // namespace qkd
