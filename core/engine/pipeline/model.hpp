// The checked model of a pipeline file: what is left of the file once every finding is out of the way.
// Plain data; made by load_pipeline() only, read by everything after it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd::engine {

using std::chrono::milliseconds;

struct Retries {
    unsigned attempts = 1;       ///< in all, at least 1
    milliseconds backoff{1000};  ///< pause before the second attempt; doubles up to a minute
};

/// One [[stage]].
struct StagePolicy {
    StageKind kind = StageKind::connect;
    std::string plugin;           ///< certs and persist only
    milliseconds timeout{30000};  ///< for one call
    Retries retry;
};

enum class Mode : std::uint8_t { offbox, onbox };
enum class Verify : std::uint8_t { wait, next_run };
/// What happens to a link when no KME gives it a new key.
enum class KmeLoss : std::uint8_t {
    keep,        ///< it stays on its key, however old
    fail_closed  ///< once the key is older than max_key_age, every member gets keys that nobody else has
};

/// The commit stage's own settings.
struct CommitPolicy {
    Rollover rollover = Rollover::key_chain;
    std::optional<milliseconds> lead;  ///< key-chain: from staging to the start-time; unset = computed
    std::chrono::minutes confirm{1};   ///< the device's own timer
    milliseconds max_clock_skew{2000};
    milliseconds assumed_commit{10000};  ///< how long a commit may take, as long as nothing was measured
    Verify verify = Verify::wait;
};

/// A reference to a plugin with the values of one table. `values` outlives every stage object made for it.
struct Noun {
    std::string name;
    std::string plugin;
    std::size_t table = 0;  ///< index for Pipeline::config()
};

struct Device : Noun {
    std::string host;  ///< for messages; empty when the plugin has no such field
};

struct Kme : Noun {
    std::string url;  ///< for initial-config and messages; empty when the plugin has no such field
};

enum class Role : std::uint8_t { initiator, responder };

struct Member {
    Role role = Role::responder;
    std::string device;  ///< key of Pipeline::devices
    std::vector<std::string> interfaces;
    std::string kme;  ///< key of Pipeline::kmes; empty when the pipeline has no key-source stage
    std::string sae;
};

struct Link {
    std::string name;
    std::string group;
    std::string connectivity_association;
    std::string key_chain;
    Cipher cipher = Cipher::gcm_aes_xpn_256;
    std::string ckn_prefix;       ///< empty: CKN is a hash; else prefix + UUID without dashes
    std::vector<Member> members;  ///< driven by this process; off-box all of them, the initiator first
    std::vector<Member> peers;  ///< on-box: driven by processes of their own, the initiator first if it is one of them
    Noun key_ids;               ///< plugin empty when the pipeline has no key-id-transport stage

    /// Member or peer. Every link has exactly one.
    [[nodiscard]] const Member& initiator() const noexcept {
        return !peers.empty() && peers.front().role == Role::initiator ? peers.front() : members.front();
    }
    /// In file order, but for a responder that this process drives while others drive the rest: it comes first.
    [[nodiscard]] std::vector<const Member*> responders() const {
        std::vector<const Member*> all;
        for (const auto* list : {&members, &peers}) {
            for (const auto& member : *list) {
                if (member.role == Role::responder) all.push_back(&member);
            }
        }
        return all;
    }
};

class Tables;  // the values behind ConfigView, see file.cpp

struct Pipeline {
    std::filesystem::path file;
    std::string name;
    Mode mode = Mode::offbox;
    std::filesystem::path state;  ///< directory, absolute
    std::string seal_key;         ///< secret reference as written; empty = a key file is made in `state`
    unsigned parallel = 64;
    std::optional<unsigned> stop_after_failures;
    std::vector<StagePolicy> stages;  ///< in file order
    CommitPolicy commit;
    milliseconds dec_retry_window{10000};
    milliseconds peer_wait{120000};  ///< on-box: how long a member waits for the others
    KmeLoss on_kme_loss = KmeLoss::keep;
    std::optional<milliseconds> max_key_age;
    std::map<std::string, Device> devices;
    std::map<std::string, Kme> kmes;
    std::vector<Link> links;
    Noun certs;                 ///< plugin empty when there is no certs stage
    Noun persist;               ///< plugin empty when there is no persist stage
    bool seal_records = false;  ///< what persist keeps is sealed under seal_key
    std::shared_ptr<const Tables> tables;

    [[nodiscard]] const StagePolicy* stage(StageKind kind) const noexcept {
        for (const auto& stage : stages) {
            if (stage.kind == kind) return &stage;
        }
        return nullptr;
    }
    [[nodiscard]] bool has(StageKind kind) const noexcept { return stage(kind) != nullptr; }
};

/// The values of one noun's table for a stage object. `sae` replaces {sae}; the pipeline's state directory replaces
/// {state}. The result keeps what it needs alive.
std::unique_ptr<ConfigView> config_view(const Pipeline& pipeline, const Noun& noun, const std::string& sae);

}  // namespace qkd::engine
