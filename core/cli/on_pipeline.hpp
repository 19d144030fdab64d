// The frame of plan, status and withdraw: read the pipeline, talk to its devices, answer, and word the end as an exit code.
#pragma once

#include <functional>
#include <string>

#include "cli/session.hpp"

namespace qkd::cli {

/// What such a command says on standard output, and whether all it looked at is well.
struct Answer {
    std::string text;
    bool good = true;
};

/// Prepares the pipeline that the arguments name, opens a session and calls `command` in it. Gives the exit code: exit_usage
/// before any connection, exit_interrupted, exit_failed where the answer is not good, exit_internal where the session's files
/// could not be written.
int on_pipeline(const Arguments& arguments, Session::Kind kind, const std::function<Answer(Work&, Session&)>& command);

}  // namespace qkd::cli
