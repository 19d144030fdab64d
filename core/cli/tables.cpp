// Words the results of commands.
#include "cli/tables.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/console.hpp"
#include "engine/base/rfc3339.hpp"
#include "engine/reporting/live_view.hpp"
#include "engine/reporting/text_table.hpp"

namespace qkd::cli {
namespace {

using engine::Align;
using engine::Cell;
using engine::Health;
using engine::LinkResult;
using engine::Style;
using engine::TextTable;
using Json = nlohmann::ordered_json;

Cell mka_cell(MkaState state) {
    switch (state) {
        case MkaState::secured: return {to_string(state), Style::good};
        case MkaState::preceding:
        case MkaState::fallback: return {to_string(state), Style::warn};
        case MkaState::down:
        case MkaState::unknown: break;
    }
    return {to_string(state), Style::bad};
}

Cell result_cell(LinkResult result) {
    return {to_string(result), engine::style_of(result)};
}

Cell health_cell(Health health) {
    return {to_string(health), health == Health::healthy    ? Style::good
                               : health == Health::degraded ? Style::warn
                                                            : Style::bad};
}

/// Enough to tell keys apart; the whole name is in the report.
std::string short_ckn(const std::string& ckn) {
    constexpr std::size_t shown = 12;
    return ckn.size() <= shown ? ckn : ckn.substr(0, shown) + "..";
}

std::string milliseconds_text(const std::optional<double>& ms) {
    if (!ms) return {};
    char text[40];
    std::snprintf(text, sizeof text, "%.1f ms", *ms);
    return text;
}

std::string start_text(const std::optional<UtcSeconds>& start) {
    return start ? engine::rfc3339(*start) : std::string();
}

/// Lines of an error under a table.
std::string error_text(const std::string& where, const Error& error, bool colour) {
    std::string text = "  " + engine::styled(engine::one_line(where), Style::bad, colour) + ": " +
                       engine::one_line(error.what) + " (" + to_string(error.code) + ")\n";
    if (!error.hint.empty()) text += "      hint: " + engine::one_line(error.hint) + "\n";
    return text;
}

/// One row per interface, or one for a member of which none is known.
template <class Members>
void add_members(TextTable& table, const std::string& link, const Members& members) {
    for (const auto& member : members) {
        for (const auto& one : member.interfaces) {
            table.add_row(
                {link, member.device, to_string(member.role), one.name, mka_cell(one.state), short_ckn(one.ckn)});
        }
        if (member.interfaces.empty()) {
            table.add_row({link, member.device, to_string(member.role), "", mka_cell(member.mka), ""});
        }
    }
}

TextTable member_table() {
    return TextTable({{"LINK"}, {"DEVICE"}, {"ROLE"}, {"INTERFACE"}, {"MKA"}, {"CKN"}});
}

std::string result_line(const engine::RunReport& report, bool colour) {
    std::string counts;
    for (const auto result : {LinkResult::rotated, LinkResult::unchanged, LinkResult::pending, LinkResult::degraded,
                              LinkResult::reverted, LinkResult::failed}) {
        const auto number = std::count_if(report.links.begin(), report.links.end(),
                                          [&](const auto& link) { return link.result == result; });
        if (number > 0) counts += (counts.empty() ? "" : ", ") + std::to_string(number) + " " + to_string(result);
    }
    char seconds[40];
    std::snprintf(seconds, sizeof seconds, "%.1f s",
                  std::chrono::duration<double>(report.finished - report.started).count());
    const Style style = report.result == engine::RunResult::success ? Style::good : Style::bad;
    return engine::styled(to_string(report.result), style, colour) + ": " + counted(report.links.size(), "link") +
           (counts.empty() ? "" : ", ") + counts + " in " + seconds + " (run " + report.run_id + ")\n";
}

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

Json error_json(const std::optional<Error>& error) {
    if (!error) return nullptr;
    return {{"code", to_string(error->code)},
            {"what", error->what},
            {"hint", error->hint},
            {"retry", error->retry == Retry::safe ? "safe" : "never"}};
}

Health worst(const std::vector<engine::LinkStatus>& links) {
    Health health = Health::healthy;
    for (const auto& link : links) health = std::max(health, link.health);
    return health;
}

}  // namespace

std::string short_age(std::chrono::seconds age) {
    const auto s = age.count();
    char text[48];
    if (s < 60) {
        std::snprintf(text, sizeof text, "%llds", static_cast<long long>(s));
    } else if (s < 3600) {
        std::snprintf(text, sizeof text, "%lldm", static_cast<long long>(s / 60));
    } else if (s < 86400) {
        std::snprintf(text, sizeof text, "%lldh%02lldm", static_cast<long long>(s / 3600),
                      static_cast<long long>(s % 3600 / 60));
    } else {
        std::snprintf(text, sizeof text, "%lldd%02lldh", static_cast<long long>(s / 86400),
                      static_cast<long long>(s % 86400 / 3600));
    }
    return text;
}

std::string run_summary(const engine::RunReport& report, bool colour) {
    TextTable links({{"LINK"},
                     {"RESULT"},
                     {"KEY_ID"},
                     {"CKN"},
                     {"START-TIME"},
                     {"OUT-OF-SYNC", Align::right},
                     {"SKEW", Align::right}});
    TextTable members = member_table();
    std::string errors;
    if (report.error) errors += error_text(report.pipeline, *report.error, colour);
    for (const auto& link : report.links) {
        links.add_row({link.name, result_cell(link.result), link.key_id, short_ckn(link.ckn),
                       start_text(link.start_time), milliseconds_text(link.out_of_sync_ms),
                       milliseconds_text(link.clock_skew_ms)});
        add_members(members, link.name, link.members);
        std::set<std::string> told;
        for (const auto& member : link.members) {
            for (const auto& stage : member.stages) {
                if (!stage.error) continue;
                told.insert(stage.error->what);
                errors +=
                    error_text(link.name + " / " + member.device + " / " + to_string(stage.kind), *stage.error, colour);
            }
        }
        if (link.error && !told.contains(link.error->what)) errors += error_text(link.name, *link.error, colour);
    }
    std::string text;
    if (!links.empty()) text += links.render(colour) + "\n";
    if (!members.empty()) text += members.render(colour) + "\n";
    if (!errors.empty()) text += "errors:\n" + errors + "\n";
    return text + result_line(report, colour);
}

std::string withdraw_summary(const engine::RunReport& report, bool colour) {
    TextTable links({{"LINK"}, {"RESULT"}, {"KEY_ID"}, {"CKN"}, {"START-TIME"}});
    TextTable members = member_table();
    std::string errors;
    for (const auto& link : report.links) {
        const Cell result = link.error                                     ? Cell{"failed", Style::bad}
                            : link.result == engine::LinkResult::unchanged ? Cell{"nothing pending", Style::plain}
                                                                           : Cell{"withdrawn", Style::good};
        links.add_row({link.name, result, link.key_id, short_ckn(link.ckn), start_text(link.start_time)});
        add_members(members, link.name, link.members);
        if (link.error) errors += error_text(link.name, *link.error, colour);
    }
    std::string text = links.render(colour);
    if (!members.empty()) text += "\n" + members.render(colour);
    if (!errors.empty()) text += "\nerrors:\n" + errors;
    return text;
}

std::string status_summary(const std::vector<engine::LinkStatus>& links, bool colour) {
    TextTable table({{"LINK"}, {"HEALTH"}, {"KEY_ID"}, {"CKN"}, {"AGE", Align::right}, {"NEXT-START"}});
    TextTable members = member_table();
    std::string errors;
    for (const auto& link : links) {
        table.add_row({link.name, health_cell(link.health), link.key_id, short_ckn(link.ckn),
                       link.age ? short_age(*link.age) : std::string(), start_text(link.next_start)});
        add_members(members, link.name, link.members);
        for (const auto& member : link.members) {
            if (member.error) errors += error_text(link.name + " / " + member.device, *member.error, colour);
        }
    }
    std::string text;
    if (!table.empty()) text += table.render(colour);
    if (!members.empty()) text += "\n" + members.render(colour);
    if (!errors.empty()) text += "\nerrors:\n" + errors;
    return text;
}

std::string status_json(const std::string& pipeline, const std::vector<engine::LinkStatus>& links) {
    Json list = Json::array();
    for (const auto& link : links) {
        Json members = Json::array();
        for (const auto& member : link.members) {
            Json interfaces = Json::array();
            for (const auto& one : member.interfaces) {
                interfaces.push_back(
                    {{"name", one.name}, {"mka", to_string(one.state)}, {"ckn", text_or_null(one.ckn)}});
            }
            members.push_back({{"device", member.device},
                               {"role", to_string(member.role)},
                               {"mka", to_string(member.mka)},
                               {"interfaces", std::move(interfaces)},
                               {"error", error_json(member.error)}});
        }
        list.push_back({{"name", link.name},
                        {"health", to_string(link.health)},
                        {"key_id", text_or_null(link.key_id)},
                        {"ckn", text_or_null(link.ckn)},
                        {"age_s", link.age ? Json(link.age->count()) : Json(nullptr)},
                        {"next_start", link.next_start ? Json(engine::rfc3339(*link.next_start)) : Json(nullptr)},
                        {"members", std::move(members)}});
    }
    const Json object = {
        {"schema", 1}, {"pipeline", pipeline}, {"health", to_string(worst(links))}, {"links", std::move(list)}};
    return object.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string plan_summary(const std::vector<engine::MemberPlan>& plans, bool colour) {
    std::string text;
    std::size_t changed = 0;
    std::size_t unread = 0;
    for (const auto& plan : plans) {
        text +=
            engine::styled(engine::one_line("device " + plan.device + ", link " + plan.link), Style::strong, colour) +
            "\n";
        for (const auto& note : plan.notes) text += "  note: " + engine::one_line(note) + "\n";
        for (const auto& line : plan.lines) {
            // Devices show differences as patches or as commands.
            const bool adds = line.starts_with('+') || line.starts_with("set ");
            const bool removes = line.starts_with('-') || line.starts_with("delete ");
            const Style style = adds ? Style::good : removes ? Style::bad : Style::plain;
            text += "    " + engine::styled(engine::one_line(line), style, colour) + "\n";
        }
        if (plan.error) {
            ++unread;
            text += error_text("error", *plan.error, colour);
        } else if (!plan.lines.empty() || !plan.notes.empty()) {
            ++changed;
        } else {
            text += "  nothing would change\n";
        }
        text += "\n";
    }
    text += "plan: " + counted(plans.size(), "member") + ", " + std::to_string(changed) + " would change";
    if (unread > 0) text += ", " + std::to_string(unread) + " could not be planned";
    return text + "; nothing was touched\n";
}

std::string probe_summary(const std::vector<engine::ProbeResult>& probes, bool colour) {
    TextTable table({{"PROBE"}, {"RESULT"}, {"TIME", Align::right}});
    std::string errors;
    std::size_t failed = 0;
    for (const auto& probe : probes) {
        table.add_row({probe.what, probe.error ? Cell("failed", Style::bad) : Cell("ok", Style::good),
                       milliseconds_text(probe.ms)});
        if (!probe.error) continue;
        ++failed;
        errors += error_text(probe.what, *probe.error, colour);
    }
    std::string text;
    if (!table.empty()) text += table.render(colour);
    if (!errors.empty()) text += "\nerrors:\n" + errors;
    text += failed == 0 ? "\nok: " : "\n" + std::to_string(failed) + " failed of ";
    return text + counted(probes.size(), "probe") + "\n";
}

}  // namespace qkd::cli
