// The doors into the engine: run, plan, status and the online check of a loaded pipeline.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/host/plugin_host.hpp"
#include "engine/members/session_pool.hpp"
#include "engine/pipeline/model.hpp"
#include "engine/reporting/events.hpp"
#include "engine/reporting/report.hpp"

namespace qkd::engine {

/// Which links a command works on and how.
struct RunOptions {
    std::vector<std::string> links;    ///< names; empty = all
    std::vector<std::string> devices;  ///< links that have one of these members
    unsigned threads = 0;              ///< links in flight at once; 0 = the pipeline's `parallel`
    bool renew_certificates = false;   ///< those that are good as well
    /// How to wait while devices do their part; false when stopped. Tests put their own time here.
    std::function<bool(std::chrono::milliseconds, const std::stop_token&)> pause;
    milliseconds jitter{0};  ///< each link begins at a random moment of this long
    /// Sessions of good rotations stay open in here; null: they end with the rotation. Not owned.
    SessionPool* sessions = nullptr;
};

/// An on-box pipeline as one of its members runs it: the links that have `device`, each with that member to drive and the
/// others as peers. An error names the devices there are.
Result<Pipeline> as_member(Pipeline pipeline, const std::string& device);

/// Indices into Pipeline::links. An error names the word that matches nothing.
Result<std::vector<std::size_t>> select_links(const Pipeline& pipeline, const RunOptions& options);

/// Rotates the selected links. `stop` asks for an orderly end: what is not confirmed is reverted.
RunReport run(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
              std::stop_token stop);

/// Takes the pending keys of the selected links away again, on all members, before they become active.
RunReport withdraw(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
                   std::stop_token stop);

/// What a run would change on one member.
struct MemberPlan {
    std::string link;
    std::string device;
    std::vector<std::string> notes;  ///< what else a run would do here, in words (certificates, first keys)
    std::vector<std::string> lines;  ///< the configuration diff, secrets masked
    std::optional<Error> error;
};
/// Connects and reads; mints, locks, loads and commits nothing.
std::vector<MemberPlan> plan(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
                             std::stop_token stop);

enum class Health : std::uint8_t { healthy, degraded, down };
const char* to_string(Health health) noexcept;

struct MemberStatus {
    std::string device;
    Role role = Role::responder;
    MkaState mka = MkaState::unknown;
    std::vector<InterfaceMka> interfaces;
    std::optional<Error> error;
};
struct LinkStatus {
    std::string name;
    Health health = Health::down;
    std::string key_id;                       ///< of the active key; empty when not remembered
    std::string ckn;                          ///< on which MKA runs at all members; empty when they differ
    std::optional<std::chrono::seconds> age;  ///< since the active key's start
    std::optional<UtcSeconds> next_start;     ///< of a pending key
    std::vector<MemberStatus> members;
};
std::vector<LinkStatus> status(const Pipeline& pipeline, PluginHost& host, const RunOptions& options,
                               Observer& observer, std::stop_token stop);

/// One probe of `check --online`.
struct ProbeResult {
    std::string what;  ///< "device mx1: connect", "kme alice: status"
    std::optional<Error> error;
    double ms = 0;
};
std::vector<ProbeResult> check_online(const Pipeline& pipeline, PluginHost& host, const RunOptions& options,
                                      Observer& observer, std::stop_token stop);

}  // namespace qkd::engine
