// MACsec as the engine sees it, free of any vendor: what a link member should run, what it runs, and changes to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/device.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd {

/// IEEE 802.1AEcg-2017 cipher suites in the spelling of the pipeline file.
enum class Cipher : std::uint8_t { gcm_aes_128, gcm_aes_256, gcm_aes_xpn_128, gcm_aes_xpn_256 };
const char* to_string(Cipher cipher) noexcept;  ///< "gcm-aes-xpn-256"
/// Length of the CAK that belongs to the suite: 16 or 32 octets (IEEE 802.1X-2020 clause 9.3).
std::size_t cak_octets(Cipher cipher) noexcept;

/// How the device changes key.
enum class Rollover : std::uint8_t {
    key_chain,      ///< scheduled keys with a start-time; the device rolls over by itself
    pre_shared_key  ///< the key is replaced at commit, the replaced one stays as fallback
};
const char* to_string(Rollover rollover) noexcept;  ///< "key-chain", "pre-shared-key"

/// What initial-config tells a device about its KME, for scripts and people on the device.
struct KmeInfo {
    std::string host;
    std::uint16_t port = 443;
    std::string address;         ///< IP address when known, for a static host mapping; else empty
    std::string method = "get";  ///< how keys are asked for: "get" or "post"
};

/// One member of one link: what its device should run.
struct MemberTarget {
    std::string link;
    std::string device;
    std::string connectivity_association;
    std::string key_chain;
    Cipher cipher = Cipher::gcm_aes_xpn_256;
    Rollover rollover = Rollover::key_chain;
    std::vector<std::string> interfaces;
    KmeInfo kme;
    bool lldp_in_clear = false;  ///< the key_ID travels by LLDP, so LLDP must stay outside the encryption
};

/// A key with its name. The engine owns the CAK; a null cak stands for a key not known yet (plan, --dry-run).
struct NamedKey {
    std::string ckn;  ///< canonical: lower-case hex, 2..64 digits
    const SecretBytes* cak = nullptr;
    std::optional<UtcSeconds> start;  ///< key chains only
};

/// Where a key stands in the configuration.
enum class KeyPlace : std::uint8_t { chain, pre_shared, fallback };

struct ConfiguredKey {
    KeyPlace place = KeyPlace::chain;
    std::string slot;                 ///< the device's own index in the chain; empty elsewhere
    std::string ckn;                  ///< canonical
    SecretBytes cak;                  ///< raw octets; empty when the device does not show it or it is not hex
    std::optional<UtcSeconds> start;  ///< chain keys; the device's local time turned into an instant
};

/// MKA on one interface. Order = from best to worst.
enum class MkaState : std::uint8_t { secured, preceding, fallback, down, unknown };
const char* to_string(MkaState state) noexcept;

struct InterfaceMka {
    std::string name;
    MkaState state = MkaState::unknown;
    std::string ckn;  ///< canonical name of the key that is live; empty when none
};

/// A commit that the device takes back by itself unless it is confirmed.
struct PendingCommit {
    std::string comment;
    std::string user;
};

/// What stands on the device about the KME of one interface, apart from what this program wrote there itself. Words as
/// they stand, not checked; empty = nothing.
struct KmeOverride {
    std::string interface_name;
    std::string method;       ///< "get" or "post": how a responder asks for a key
    std::string port;         ///< TCP port of the KME
    std::string ca;           ///< "true" or "false": is the KME verified?
    std::string keyid_check;  ///< "false": a responder asks for a key although its key_ID is not new
};

/// What is configured for a member and how the device stands, read in one go.
struct MemberState {
    bool association_exists = false;
    std::vector<std::string> bound_interfaces;  ///< interfaces of the device that use this connectivity association
    bool uses_chain = false;                    ///< the association names our key chain
    std::vector<ConfiguredKey> keys;            ///< chain (in slot order), pre-shared, fallback
    std::optional<PendingCommit> pending;       ///< the device's one confirmed commit, whoever made it
    std::vector<std::string> recent_comments;   ///< comments of the latest commits, newest first
    std::vector<InterfaceMka> mka;              ///< one entry per interface of the target, in its order
    std::vector<KmeOverride> kme_overrides;     ///< for interfaces of the target, where there is any
    /// What this device lacks although its configuration is in force, in a few words; the link is degraded then.
    std::string shortcoming;
};

/// Edits of a device family, made by initial-config and carried through commit without the engine looking inside.
class ConfigEdits {
  public:
    virtual ~ConfigEdits() = default;
    [[nodiscard]] virtual bool empty() const = 0;
};

/// One change of a member, made by one commit.
struct MemberChange {
    const ConfigEdits* initial = nullptr;        ///< from InitialConfig of the same plugin; may be null
    std::vector<NamedKey> add_to_chain;          ///< each with start
    std::vector<std::string> remove_from_chain;  ///< CKNs of our own keys that go
    bool use_chain = false;                      ///< point the association to the key chain, drop the pre-shared key
    std::optional<NamedKey> pre_shared;          ///< replace the pre-shared key
    std::optional<NamedKey> fallback;            ///< replace the fallback key
};

}  // namespace qkd
