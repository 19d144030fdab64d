// What a stage of a plugin can do beyond the calls of its class: words that check, plan and the engine decide by.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "qkd/sdk/stage.hpp"

namespace qkd {

/// Each belongs to one kind of stage. New ones are added at the end: the numbers are part of the ABI.
enum class Capability : std::uint8_t {
    // connect: what its sessions offer
    files,    ///< DeviceSession::files()
    lldp,     ///< DeviceSession::lldp()
    clock,    ///< DeviceSession::clock()
    macsec,   ///< the device encrypts links by MACsec
    netconf,  ///< the session speaks NETCONF (RFC 6241)
    // key-source
    multicast,  ///< a key for more than two SAEs
    once,       ///< each SAE gets a key once
    // key-id-transport
    in_process,     ///< off-box only: the ends must be in one process
    one_end,        ///< on-box only: the ends must be on different machines
    writes,         ///< announce, acknowledge and retract change something on devices
    commits,        ///< what it writes may be a commit of configuration: the engine takes the device lease
    watches,        ///< receive and acknowledgements wait by themselves
    authenticated,  ///< refuses to work without a secret
    // commit
    confirmed,       ///< a commit can be taken back by the device itself
    key_chain,       ///< Rollover::key_chain
    pre_shared_key,  ///< Rollover::pre_shared_key
    // persist
    durable  ///< survives the loss of power
};

struct CapabilityInfo {
    Capability capability;
    StageKind stage;   ///< the one kind of stage that can provide it
    const char* word;  ///< "in-process"
};

/// By number.
inline constexpr std::array capability_table{
    CapabilityInfo{Capability::files, StageKind::connect, "files"},
    CapabilityInfo{Capability::lldp, StageKind::connect, "lldp"},
    CapabilityInfo{Capability::clock, StageKind::connect, "clock"},
    CapabilityInfo{Capability::macsec, StageKind::connect, "macsec"},
    CapabilityInfo{Capability::netconf, StageKind::connect, "netconf"},
    CapabilityInfo{Capability::multicast, StageKind::key_source, "multicast"},
    CapabilityInfo{Capability::once, StageKind::key_source, "once"},
    CapabilityInfo{Capability::in_process, StageKind::key_id_transport, "in-process"},
    CapabilityInfo{Capability::one_end, StageKind::key_id_transport, "one-end"},
    CapabilityInfo{Capability::writes, StageKind::key_id_transport, "writes"},
    CapabilityInfo{Capability::commits, StageKind::key_id_transport, "commits"},
    CapabilityInfo{Capability::watches, StageKind::key_id_transport, "watches"},
    CapabilityInfo{Capability::authenticated, StageKind::key_id_transport, "authenticated"},
    CapabilityInfo{Capability::confirmed, StageKind::commit, "confirmed"},
    CapabilityInfo{Capability::key_chain, StageKind::commit, "key-chain"},
    CapabilityInfo{Capability::pre_shared_key, StageKind::commit, "pre-shared-key"},
    CapabilityInfo{Capability::durable, StageKind::persist, "durable"},
};

/// Constant data: stands in descriptors, which are read before any code of a plugin runs.
class CapabilitySet {
  public:
    constexpr CapabilitySet() noexcept = default;
    constexpr CapabilitySet(std::initializer_list<Capability> capabilities) noexcept {
        for (const Capability one : capabilities) bits_ |= bit(one);
    }

    [[nodiscard]] constexpr bool has(Capability one) const noexcept { return (bits_ & bit(one)) != 0; }
    [[nodiscard]] constexpr bool has_all(CapabilitySet others) const noexcept { return (others.bits_ & ~bits_) == 0; }
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
    [[nodiscard]] constexpr CapabilitySet operator|(CapabilitySet others) const noexcept {
        others.bits_ |= bits_;
        return others;
    }
    bool operator==(const CapabilitySet&) const = default;

  private:
    static constexpr std::uint64_t bit(Capability one) noexcept {
        return std::uint64_t{1} << (static_cast<unsigned>(one) & 63U);
    }
    std::uint64_t bits_ = 0;
};

/// Everything that a stage of this kind can provide.
constexpr CapabilitySet capabilities_of(StageKind kind) noexcept {
    CapabilitySet all;
    for (const CapabilityInfo& one : capability_table) {
        if (one.stage == kind) all = all | CapabilitySet{one.capability};
    }
    return all;
}

/// What a stage may need of the plugin of a device.
inline constexpr CapabilitySet device_capabilities = capabilities_of(StageKind::connect) |
                                                     capabilities_of(StageKind::initial_config) |
                                                     capabilities_of(StageKind::commit);

/// "in-process".
const char* to_string(Capability capability) noexcept;
/// The one kind of stage that can provide it.
StageKind stage_of(Capability capability) noexcept;
/// With the kind of stage in front: "connect:files".
std::string qualified_name(Capability capability);
/// In the order of the enumeration.
std::vector<Capability> list(CapabilitySet capabilities);
std::vector<std::string> words_of(CapabilitySet capabilities);

}  // namespace qkd
