// The commands: one file each.
#pragma once

#include <vector>

#include "cli/arguments.hpp"

namespace qkd::cli {

/// Exit codes, the same for all commands.
enum Exit : int {
    exit_ok = 0,
    exit_failed = 1,    ///< links failed or are degraded, devices could not be read, probes failed
    exit_usage = 2,     ///< usage, configuration or plugin refusal, before any connection
    exit_internal = 3,  ///< a defect of this program, or its output could not be written
    exit_interrupted = 130
};

Command run_command();
Command check_command();
Command plan_command();
Command status_command();
Command withdraw_command();
Command serve_command();
Command plugins_command();
Command import_command();
Command secret_command();

/// plan, also under the name `run --dry-run`.
int run_plan(const Arguments& arguments);

}  // namespace qkd::cli
