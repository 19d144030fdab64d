// The report of a run: what --report writes as JSON and the summary table prints. Holds no secret.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "engine/pipeline/model.hpp"
#include "engine/protocol/conclude.hpp"
#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::engine {

enum class StageResult : std::uint8_t { ok, failed, skipped, reverted };
enum class RunResult : std::uint8_t { success, partial, failure, interrupted };
const char* to_string(StageResult result) noexcept;
const char* to_string(RunResult result) noexcept;
const char* to_string(Role role) noexcept;

struct StageReport {
    StageKind kind = StageKind::connect;
    std::string plugin;
    StageResult result = StageResult::skipped;
    double ms = 0;  ///< time spent in the plugin
    unsigned attempts = 0;
    std::optional<Error> error;
};

struct MemberReport {
    std::string device;
    Role role = Role::responder;
    MkaState mka = MkaState::unknown;  ///< that of its worst interface
    std::vector<InterfaceMka> interfaces;
    std::vector<StageReport> stages;  ///< in pipeline order
};

struct LinkReport {
    std::string name;
    LinkResult result = LinkResult::failed;
    std::string key_id;
    std::optional<std::string> previous_key_id;
    std::string ckn;
    Rollover rollover = Rollover::key_chain;
    std::optional<UtcSeconds> start_time;
    std::optional<double> out_of_sync_ms;
    std::optional<double> clock_skew_ms;
    std::vector<MemberReport> members;
    std::optional<Error> error;
};

struct RunReport {
    std::string pipeline;
    std::string run_id;
    UtcMillis started;
    UtcMillis finished;
    RunResult result = RunResult::failure;
    std::vector<LinkReport> links;
    std::optional<Error> error{};  ///< why no link was begun
};

/// The JSON object of the report, one line per member of the outer objects. "schema": 1.
std::string to_json(const RunReport& report);

}  // namespace qkd::engine
