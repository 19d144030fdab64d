// What a server offered before the key exchange failed, from the bytes it sent in clear: libssh2 only says "failed".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace qkd::net {

struct ServerOffer {
    std::string banner;  ///< "SSH-2.0-..."; empty when none came
    bool complete = false;
    std::vector<std::string> kex;
    std::vector<std::string> host_keys;
    std::vector<std::string> ciphers;
    std::vector<std::string> macs;
};

/// Reads the identification string and the SSH_MSG_KEXINIT packet (RFC 4253 sections 4.2 and 7.1).
ServerOffer read_server_offer(std::span<const std::uint8_t> bytes);

/// True when there are host keys and every one of them is RSA.
bool only_rsa(const ServerOffer& offer);

}  // namespace qkd::net
