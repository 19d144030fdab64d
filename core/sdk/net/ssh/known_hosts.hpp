// OpenSSH's known_hosts, read by us: libssh2 takes the markers @revoked and @cert-authority for host names and knows
// no wildcards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::net {

struct HostKey {
    std::string type;                ///< "ssh-ed25519"
    std::vector<std::uint8_t> blob;  ///< RFC 4253 section 6.6
};

/// What the file says of one host.
struct KnownHost {
    std::vector<HostKey> keys;
    std::vector<HostKey> revoked;
    bool certificate_authority = false;  ///< a @cert-authority line matches
};

/// sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". For a port other than 22 only "[host]:port" entries count, as with ssh.
/// Lines that cannot be understood are passed over, as ssh does.
KnownHost find_known_host(std::string_view file, const std::string& host, std::uint16_t port);
/// The same, from a file. `config` error when it cannot be read.
Result<KnownHost> find_known_host(const std::filesystem::path& file, const std::string& host, std::uint16_t port);

/// The type named inside a key blob; empty when it is damaged.
std::string blob_type(std::span<const std::uint8_t> blob);
/// "SHA256:" and the unpadded base64 of the SHA-256 of the blob, as ssh-keygen -l prints it.
std::string fingerprint(std::span<const std::uint8_t> blob);

}  // namespace qkd::net
