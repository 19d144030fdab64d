// Reader of known_hosts lines.
#include "known_hosts.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>

namespace qkd::net {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t largest_file = 16U << 20U;

std::string_view next_word(std::string_view& text) {
    const auto begin = text.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) {
        text = {};
        return {};
    }
    const auto end = std::min(text.find_first_of(" \t\r", begin), text.size());
    const auto word = text.substr(begin, end - begin);
    text.remove_prefix(end);
    return word;
}

std::optional<Bytes> decode_base64(std::string_view text) {
    if (text.empty() || text.size() % 4 != 0) return std::nullopt;
    Bytes bytes(text.size() / 4 * 3);
    const int size = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
    if (size < 0) return std::nullopt;
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    bytes.resize(static_cast<std::size_t>(size) - padding);
    return bytes;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

// '*' and '?' as in a shell, without recursion.
bool matches_pattern(std::string_view pattern, std::string_view name) {
    std::size_t p = 0;
    std::size_t n = 0;
    std::size_t star = std::string_view::npos;
    std::size_t resume = 0;
    while (n < name.size()) {
        if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*') {
            ++p;
            ++n;
        } else if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = n;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

bool matches_hash(std::string_view entry, const std::string& name) {
    entry.remove_prefix(3);  // "|1|"
    const auto bar = entry.find('|');
    if (bar == std::string_view::npos) return false;
    const auto salt = decode_base64(entry.substr(0, bar));
    const auto hash = decode_base64(entry.substr(bar + 1));
    if (!salt || !hash || salt->empty()) return false;
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
    unsigned size = 0;
    if (HMAC(EVP_sha1(), salt->data(), static_cast<int>(salt->size()),
             reinterpret_cast<const unsigned char*>(name.data()), name.size(), mac.data(), &size) == nullptr)
        return false;
    return hash->size() == size && std::equal(hash->begin(), hash->end(), mac.begin());
}

bool matches_hosts(std::string_view hosts, const std::string& name) {
    if (hosts.starts_with("|1|")) return matches_hash(hosts, name);
    bool found = false;
    while (!hosts.empty()) {
        const auto comma = std::min(hosts.find(','), hosts.size());
        auto pattern = hosts.substr(0, comma);
        hosts.remove_prefix(std::min(comma + 1, hosts.size()));
        const bool negated = pattern.starts_with('!');
        if (negated) pattern.remove_prefix(1);
        if (!matches_pattern(lower(pattern), name)) continue;
        if (negated) return false;
        found = true;
    }
    return found;
}

}  // namespace

std::string blob_type(std::span<const std::uint8_t> blob) {
    if (blob.size() < 4) return {};
    const std::size_t size = static_cast<std::size_t>(blob[0]) << 24U | static_cast<std::size_t>(blob[1]) << 16U |
                             static_cast<std::size_t>(blob[2]) << 8U | static_cast<std::size_t>(blob[3]);
    if (size == 0 || size > 64 || size > blob.size() - 4) return {};
    return {reinterpret_cast<const char*>(blob.data()) + 4, size};
}

std::string fingerprint(std::span<const std::uint8_t> blob) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(blob.data(), blob.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) return "SHA256:?";
    std::array<unsigned char, 64> text{};
    const int length = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(size));
    std::string out = "SHA256:" + std::string(reinterpret_cast<char*>(text.data()), static_cast<std::size_t>(length));
    while (out.ends_with('=')) out.pop_back();
    return out;
}

KnownHost find_known_host(std::string_view file, const std::string& host, std::uint16_t port) {
    const std::string name = port == 22 ? lower(host) : "[" + lower(host) + "]:" + std::to_string(port);
    KnownHost known;
    while (!file.empty()) {
        const auto end = std::min(file.find('\n'), file.size());
        auto line = file.substr(0, end);
        file.remove_prefix(std::min(end + 1, file.size()));
        auto hosts = next_word(line);
        if (hosts.empty() || hosts.starts_with('#')) continue;
        std::string_view marker;
        if (hosts.starts_with('@')) {
            marker = hosts;
            hosts = next_word(line);
        }
        const auto type = next_word(line);
        const auto key = next_word(line);
        auto blob = decode_base64(key);
        if (!blob || blob_type(*blob) != type) continue;
        if (!matches_hosts(hosts, name)) continue;
        HostKey entry{std::string(type), std::move(*blob)};
        if (marker.empty()) {
            known.keys.push_back(std::move(entry));
        } else if (marker == "@revoked") {
            known.revoked.push_back(std::move(entry));
        } else if (marker == "@cert-authority") {
            known.certificate_authority = true;
        }
    }
    return known;
}

Result<KnownHost> find_known_host(const std::filesystem::path& file, const std::string& host, std::uint16_t port) {
    const auto unreadable = [&](const std::string& why) {
        return Error{ErrorCode::config, Retry::never, "known_hosts " + file.string() + ": " + why,
                     "make it with: ssh-keyscan -p " + std::to_string(port) + " -t ed25519,ecdsa " + host + " > " +
                         file.string() + "   (and compare the fingerprints with the device's own)"};
    };
    std::ifstream in(file, std::ios::binary);
    if (!in) return unreadable("cannot be opened");
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad()) return unreadable("cannot be read");
    if (text.size() > largest_file) return unreadable("is larger than 16 MiB");
    return find_known_host(std::string_view(text), host, port);
}

}  // namespace qkd::net
