// Writes the report as JSON.
#include "engine/reporting/report.hpp"
#include "engine/base/rfc3339.hpp"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

namespace qkd::engine {
namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

/// Microseconds are as fine as a measurement here can be; more digits would only be noise.
Json milliseconds_json(double ms) {
    return std::isfinite(ms) ? Json(std::round(ms * 1000) / 1000) : Json(nullptr);
}
Json milliseconds_json(const std::optional<double>& ms) {
    return ms ? milliseconds_json(*ms) : Json(nullptr);
}

Json error_json(const std::optional<Error>& error) {
    if (!error) return nullptr;
    return {{"code", to_string(error->code)},
            {"what", error->what},
            {"hint", error->hint},
            {"retry", error->retry == Retry::safe ? "safe" : "never"}};
}

Json stage_json(const StageReport& stage) {
    return {{"kind", to_string(stage.kind)},     {"plugin", stage.plugin},     {"result", to_string(stage.result)},
            {"ms", milliseconds_json(stage.ms)}, {"attempts", stage.attempts}, {"error", error_json(stage.error)}};
}

Json member_json(const MemberReport& member) {
    Json interfaces = Json::array();
    for (const auto& one : member.interfaces) {
        interfaces.push_back({{"name", one.name}, {"mka", to_string(one.state)}, {"ckn", text_or_null(one.ckn)}});
    }
    Json stages = Json::array();
    for (const auto& stage : member.stages) stages.push_back(stage_json(stage));
    return {{"device", member.device},
            {"role", to_string(member.role)},
            {"mka", to_string(member.mka)},
            {"interfaces", std::move(interfaces)},
            {"stages", std::move(stages)}};
}

Json link_json(const LinkReport& link) {
    Json members = Json::array();
    for (const auto& member : link.members) members.push_back(member_json(member));
    return {{"name", link.name},
            {"result", to_string(link.result)},
            {"key_id", text_or_null(link.key_id)},
            {"previous_key_id", link.previous_key_id ? text_or_null(*link.previous_key_id) : Json(nullptr)},
            {"ckn", text_or_null(link.ckn)},
            {"rollover", to_string(link.rollover)},
            {"start_time", link.start_time ? Json(rfc3339(*link.start_time)) : Json(nullptr)},
            {"out_of_sync_ms", milliseconds_json(link.out_of_sync_ms)},
            {"clock_skew_ms", milliseconds_json(link.clock_skew_ms)},
            {"members", std::move(members)},
            {"error", error_json(link.error)}};
}

/// Lays out objects and the arrays named here line by line; everything below them stays on one line.
void write(std::string& out, const Json& value, std::size_t depth) {
    const bool opens = value.is_object() && depth < 5;
    const bool lists = value.is_array() && !value.empty() && value.front().is_object() && depth < 4;
    if (!opens && !lists) {
        out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
        return;
    }
    const auto new_line = [&](std::size_t spaces) { out += "\n" + std::string(spaces, ' '); };
    out += opens ? '{' : '[';
    bool first = true;
    for (const auto& item : value.items()) {
        if (!first) out += ',';
        first = false;
        new_line(depth + 1);
        if (opens) out += Json(item.key()).dump() + ": ";
        write(out, item.value(), depth + 1);
    }
    new_line(depth);
    out += opens ? '}' : ']';
}

}  // namespace

const char* to_string(StageResult result) noexcept {
    switch (result) {
        case StageResult::ok: return "ok";
        case StageResult::failed: return "failed";
        case StageResult::skipped: return "skipped";
        case StageResult::reverted: return "reverted";
    }
    return "failed";
}

const char* to_string(RunResult result) noexcept {
    switch (result) {
        case RunResult::success: return "success";
        case RunResult::partial: return "partial";
        case RunResult::failure: return "failure";
        case RunResult::interrupted: return "interrupted";
    }
    return "failure";
}

const char* to_string(Role role) noexcept {
    return role == Role::initiator ? "initiator" : "responder";
}

std::string to_json(const RunReport& report) {
    Json links = Json::array();
    for (const auto& link : report.links) links.push_back(link_json(link));
    Json object = {{"schema", 1},
                   {"pipeline", report.pipeline},
                   {"run_id", report.run_id},
                   {"started", rfc3339(report.started)},
                   {"finished", rfc3339(report.finished)},
                   {"result", to_string(report.result)},
                   {"links", std::move(links)}};
    if (report.error) object["error"] = error_json(report.error);
    std::string text;
    write(text, object, 0);
    return text + "\n";
}

}  // namespace qkd::engine
