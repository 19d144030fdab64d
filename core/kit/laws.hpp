// The conformance kit: laws that every plugin of a stage kind must keep, tried on a plugin with a configuration.
// One and the same for the plugins of this project and for those of others.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/plugin.hpp"

namespace qkd::conformance {

enum class Verdict : std::uint8_t {
    held,
    broken,
    not_tried  ///< does not apply, or the subject offers no means to try it
};
const char* to_string(Verdict verdict) noexcept;  ///< "held", "BROKEN", "not tried"

/// One law and how the plugin stood to it.
struct Outcome {
    std::string law;      ///< "key-source.order"
    std::string demands;  ///< one sentence
    Verdict verdict = Verdict::held;
    std::string detail;  ///< what was seen; empty when held
    double ms = 0;
};

/// Which member of a link an object works for.
enum class End : std::uint8_t { initiator, responder };

/// A plugin and what the laws need around it. Only the first two members are required; laws that need another one are
/// not tried without it.
struct Subject {
    const PluginDescriptor* plugin = nullptr;
    /// A new view of the table that configures this stage ([kme.NAME] for key_source and so on) at this end. The values
    /// must be good.
    std::function<std::unique_ptr<ConfigView>(StageKind, End)> config;
    /// The same, but with the peer of the plugin (a KME, a device) at this port of 127.0.0.1.
    std::function<std::unique_ptr<ConfigView>(StageKind, std::uint16_t port)> config_at_port;

    /// A private, empty directory of this machine; persist and certs must be configured to write into it only.
    std::filesystem::path scratch;

    /// key-source: there is something behind `config` that gives keys to these two.
    bool keys_available = false;
    std::string initiator_sae = "sae-a";
    std::string responder_sae = "sae-b";

    /// connect, initial-config, commit: a device that may be configured at will, and the member to be made of it.
    std::optional<MemberTarget> target;
    /// Lets so much time pass on that device; false when it cannot.
    std::function<bool(std::chrono::seconds)> advance;

    /// So long after the deadline of its last call a law that is still under way is given up.
    std::chrono::milliseconds patience = std::chrono::minutes{1};
};

/// Tries all laws of the plugin's stages, in the same order each time. Does not throw, whatever the plugin does: each law
/// runs in a process of its own, so one that the plugin crashes or hangs in is broken, and the next one is tried. The
/// calling process has one thread.
std::vector<Outcome> run_laws(const Subject& subject);

/// True when no law is broken.
bool kept(const std::vector<Outcome>& outcomes) noexcept;

/// One line per law, broken ones with their detail.
std::string to_text(const std::vector<Outcome>& outcomes);

}  // namespace qkd::conformance
