// The seven stages of a pipeline and what all of them have in common.
#pragma once

#include <cstdint>

#include "qkd/sdk/config.hpp"
#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd {

enum class StageKind : std::uint8_t { connect, certs, initial_config, key_source, key_id_transport, commit, persist };
inline constexpr int stage_kind_count = 7;

/// The word of the pipeline file: "connect", "initial-config", "key-id-transport", ...
const char* to_string(StageKind kind) noexcept;

/// Base of everything a plugin makes.
/// Made by the descriptor's create(), destroyed by its destroy(), both on the engine's side of the boundary.
/// One object is used by one thread at a time; several objects of one plugin run at the same time in different threads.
/// No call throws, sleeps, starts threads, changes process state (environment, signals, directory, umask) or logs by
/// itself.
class Stage {
  public:
    virtual ~Stage() = default;
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    /// Called once, before anything else. Pure: reads the values, does no I/O. `config` outlives this object.
    virtual Result<void> configure(const ConfigView& config) = 0;
    /// Read-only I/O that proves that the stage could work (`check --online`): mints nothing, loads nothing, locks
    /// nothing.
    virtual Result<void> probe(Context& context) = 0;

  protected:
    Stage() = default;
};

}  // namespace qkd
