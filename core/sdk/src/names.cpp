// The words by which enumerations appear in files, reports and logs.
#include "qkd/sdk/capability.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

const char* to_string(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::config: return "config";
        case ErrorCode::unreachable: return "unreachable";
        case ErrorCode::auth: return "auth";
        case ErrorCode::timeout: return "timeout";
        case ErrorCode::cancelled: return "cancelled";
        case ErrorCode::protocol: return "protocol";
        case ErrorCode::busy: return "busy";
        case ErrorCode::not_found: return "not_found";
        case ErrorCode::exhausted: return "exhausted";
        case ErrorCode::rejected: return "rejected";
        case ErrorCode::unsupported: return "unsupported";
        case ErrorCode::conflict: return "conflict";
        case ErrorCode::unknown_outcome: return "unknown_outcome";
        case ErrorCode::internal: return "internal";
    }
    return "internal";
}

const char* to_string(StageKind kind) noexcept {
    switch (kind) {
        case StageKind::connect: return "connect";
        case StageKind::certs: return "certs";
        case StageKind::initial_config: return "initial-config";
        case StageKind::key_source: return "key-source";
        case StageKind::key_id_transport: return "key-id-transport";
        case StageKind::commit: return "commit";
        case StageKind::persist: return "persist";
    }
    return "?";
}

static_assert(
    [] {
        for (std::size_t i = 0; i < capability_table.size(); ++i) {
            if (static_cast<std::size_t>(capability_table[i].capability) != i) return false;
        }
        return true;
    }(),
    "capability_table stands in the order of the enumeration");

namespace {

/// nullptr for a number that this SDK does not know.
const CapabilityInfo* info_of(Capability capability) noexcept {
    const auto index = static_cast<std::size_t>(capability);
    return index < capability_table.size() ? &capability_table[index] : nullptr;
}

}  // namespace

const char* to_string(Capability capability) noexcept {
    const CapabilityInfo* info = info_of(capability);
    return info != nullptr ? info->word : "?";
}

StageKind stage_of(Capability capability) noexcept {
    const CapabilityInfo* info = info_of(capability);
    return info != nullptr ? info->stage : StageKind::connect;
}

std::string qualified_name(Capability capability) {
    return std::string(to_string(stage_of(capability))) + ":" + to_string(capability);
}

std::vector<Capability> list(CapabilitySet capabilities) {
    std::vector<Capability> all;
    for (const CapabilityInfo& one : capability_table) {
        if (capabilities.has(one.capability)) all.push_back(one.capability);
    }
    return all;
}

std::vector<std::string> words_of(CapabilitySet capabilities) {
    std::vector<std::string> words;
    for (const Capability one : list(capabilities)) words.emplace_back(to_string(one));
    return words;
}

const char* to_string(Cipher cipher) noexcept {
    switch (cipher) {
        case Cipher::gcm_aes_128: return "gcm-aes-128";
        case Cipher::gcm_aes_256: return "gcm-aes-256";
        case Cipher::gcm_aes_xpn_128: return "gcm-aes-xpn-128";
        case Cipher::gcm_aes_xpn_256: return "gcm-aes-xpn-256";
    }
    return "?";
}

std::size_t cak_octets(Cipher cipher) noexcept {
    return cipher == Cipher::gcm_aes_128 || cipher == Cipher::gcm_aes_xpn_128 ? 16 : 32;
}

const char* to_string(Rollover rollover) noexcept {
    return rollover == Rollover::key_chain ? "key-chain" : "pre-shared-key";
}

const char* to_string(MkaState state) noexcept {
    switch (state) {
        case MkaState::secured: return "secured";
        case MkaState::preceding: return "preceding";
        case MkaState::fallback: return "fallback";
        case MkaState::down: return "down";
        case MkaState::unknown: return "unknown";
    }
    return "unknown";
}

const char* to_string(NoticeKind kind) noexcept {
    switch (kind) {
        case NoticeKind::offer: return "offer";
        case NoticeKind::armed: return "armed";
        case NoticeKind::withdrawn: return "withdrawn";
        case NoticeKind::live: return "live";
        case NoticeKind::in_use: return "in-use";
    }
    return "?";
}

const char* to_string(KeyRound round) noexcept {
    switch (round) {
        case KeyRound::schedule: return "schedule";
        case KeyRound::fallback: return "fallback";
        case KeyRound::first: return "first";
    }
    return "?";
}

}  // namespace qkd
