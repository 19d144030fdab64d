// What commands print: for people as tables, for programs as JSON.
#pragma once

#include <string>
#include <vector>

#include "engine/commands/run.hpp"

namespace qkd::cli {

/// The summary of a run: links, interfaces, errors with their hints, and one last line.
std::string run_summary(const engine::RunReport& report, bool colour);

/// What `withdraw` took away.
std::string withdraw_summary(const engine::RunReport& report, bool colour);

std::string status_summary(const std::vector<engine::LinkStatus>& links, bool colour);
/// {"schema":1,"pipeline":..,"health":..,"links":[{"name","health","key_id","ckn","age_s","next_start",
///  "members":[{"device","role","mka","interfaces":[{"name","mka","ckn"}],"error"}]}]}
std::string status_json(const std::string& pipeline, const std::vector<engine::LinkStatus>& links);

std::string plan_summary(const std::vector<engine::MemberPlan>& plans, bool colour);
std::string probe_summary(const std::vector<engine::ProbeResult>& probes, bool colour);

/// "45s", "12m", "2h05m", "3d04h".
std::string short_age(std::chrono::seconds age);

}  // namespace qkd::cli
