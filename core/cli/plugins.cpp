// qkd-macsec plugins: what is installed, what it can do, and how it is configured. Reads descriptors only.
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/sample.hpp"
#include "cli/session.hpp"
#include "engine/text.hpp"
#include "engine/text_table.hpp"

namespace qkd::cli {
namespace {

using engine::Cell;
using engine::Style;
using Json = nlohmann::ordered_json;

/// Descriptors come from elsewhere; a missing text is no reason to fall over.
std::string text(const char* words) {
    return words == nullptr ? std::string() : std::string(words);
}

std::vector<std::string> stage_words(const PluginDescriptor& descriptor) {
    std::vector<std::string> words;
    for (std::size_t i = 0; i < descriptor.stage_count; ++i) words.emplace_back(to_string(descriptor.stages[i].kind));
    return words;
}

std::string abi_of(const PluginDescriptor& descriptor) {
    return std::to_string(descriptor.abi_major) + "." + std::to_string(descriptor.abi_minor);
}

Json optional_text(const char* words) {
    return words == nullptr ? Json(nullptr) : Json(words);
}

int refuse(const Error& error) {
    complain(error);
    return exit_usage;
}

Json list_json(const std::vector<engine::PluginStatus>& all) {
    Json list = Json::array();
    for (const auto& one : all) {
        const auto* d = one.descriptor;
        const bool good = d != nullptr && one.refused.empty();
        list.push_back({{"name", one.name},
                        {"version", good ? optional_text(d->version) : Json(nullptr)},
                        {"stages", good ? Json(stage_words(*d)) : Json::array()},
                        {"status", good ? "ok" : "refused"},
                        {"reason", good ? Json(nullptr) : Json(one.refused)},
                        {"maturity", good ? optional_text(d->status) : Json(nullptr)},
                        {"vendor", good ? optional_text(d->vendor) : Json(nullptr)},
                        {"summary", good ? optional_text(d->summary) : Json(nullptr)},
                        {"abi", good ? Json(abi_of(*d)) : Json(nullptr)},
                        {"file", one.file.string()}});
    }
    return list;
}

int list(const Arguments& arguments, engine::PluginHost& host) {
    const auto all = host.list();
    if (arguments.has("json")) {
        answer(list_json(all).dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
        return exit_ok;
    }
    const bool colour = colour_wanted(arguments, STDOUT_FILENO);
    answer(engine::one_line(host.directory().string()) +
           "   ABI " QKD_STRINGIZE(QKD_ABI_MAJOR) "." QKD_STRINGIZE(QKD_ABI_MINOR) "   " + QKD_FINGERPRINT "\n");
    engine::TextTable table({{"NAME"}, {"VERSION"}, {"STAGES"}, {"STATUS"}});
    for (const auto& one : all) {
        if (one.descriptor == nullptr || !one.refused.empty()) {
            table.add_row({one.name, "", "", {"REFUSED  " + one.refused, Style::bad}});
            continue;
        }
        const std::string maturity = text(one.descriptor->status);
        table.add_row({one.name,
                       text(one.descriptor->version),
                       engine::join(stage_words(*one.descriptor), " "),
                       {"ok" + (maturity.empty() || maturity == "stable" ? "" : " (" + maturity + ")"), Style::good}});
    }
    answer(table.empty() ? "no plugins\n" : table.render(colour, 2));
    return exit_ok;
}

Json inspect_json(const engine::Plugin& plugin) {
    const auto& d = *plugin.descriptor;
    Json stages = Json::array();
    for (std::size_t i = 0; i < d.stage_count; ++i) {
        stages.push_back({{"kind", to_string(d.stages[i].kind)},
                          {"provides", engine::split(text(d.stages[i].provides), ' ')},
                          {"needs", engine::split(text(d.stages[i].needs), ' ')}});
    }
    Json fields = Json::array();
    for (std::size_t i = 0; i < d.field_count; ++i) {
        const Field& field = d.fields[i];
        fields.push_back({{"scope", scope_word(field.scope)},
                          {"key", text(field.key)},
                          {"type", type_word(field.type)},
                          {"required", field.required},
                          {"default", optional_text(field.default_value)},
                          {"allowed", optional_text(field.allowed)},
                          {"doc", text(field.doc)}});
    }
    return {{"name", text(d.name)},
            {"version", text(d.version)},
            {"vendor", text(d.vendor)},
            {"summary", text(d.summary)},
            {"maturity", text(d.status)},
            {"status", "ok"},
            {"abi", abi_of(d)},
            {"fingerprint", text(d.fingerprint)},
            {"file", plugin.file.string()},
            {"stages", std::move(stages)},
            {"fields", std::move(fields)}};
}

std::string inspect_text(const engine::Plugin& plugin, bool colour) {
    const auto& d = *plugin.descriptor;
    const auto line = [](const std::string& name, const std::string& value) {
        std::string padded = "  " + name;
        padded.resize(12, ' ');
        return padded + engine::one_line(value) + "\n";
    };
    std::string out = engine::styled(engine::one_line(text(d.name) + " " + text(d.version)), Style::strong, colour) +
                      "  " + engine::one_line(text(d.summary)) + "\n";
    out += line("file", plugin.file.string());
    out += line("vendor", text(d.vendor));
    out += line("maturity", text(d.status));
    out += line("abi", abi_of(d) + "   " + text(d.fingerprint));
    for (std::size_t i = 0; i < d.stage_count; ++i) {
        const StageInfo& stage = d.stages[i];
        std::string words = to_string(stage.kind);
        if (!text(stage.provides).empty()) words += "   provides: " + text(stage.provides);
        if (!text(stage.needs).empty()) words += "   needs: " + text(stage.needs);
        out += line("stage", words);
    }
    for (const Scope scope : scopes_of(d)) {
        out += "\n  " + engine::styled(scope_table(scope), Style::strong, colour) + "\n";
        engine::TextTable table({{"FIELD"}, {"TYPE"}, {"DEFAULT"}, {"ALLOWED"}, {"MEANING"}});
        for (std::size_t i = 0; i < d.field_count; ++i) {
            const Field& field = d.fields[i];
            if (field.scope != scope) continue;
            table.add_row({text(field.key), type_word(field.type),
                           field.required ? Cell("required", Style::warn) : Cell(text(field.default_value)),
                           text(field.allowed), text(field.doc)});
        }
        out += table.empty() ? "    no fields besides plugin\n" : table.render(colour, 4);
    }
    return out;
}

int inspect(const Arguments& arguments, engine::PluginHost& host, const std::string& name) {
    auto plugin = host.load(name);
    if (!plugin) return refuse(plugin.error());
    if (arguments.has("json")) {
        answer(inspect_json(**plugin).dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
    } else if (arguments.has("sample")) {
        answer(sample_toml(*(*plugin)->descriptor));
    } else {
        answer(inspect_text(**plugin, colour_wanted(arguments, STDOUT_FILENO)));
    }
    return exit_ok;
}

int plugins(const Arguments& arguments) {
    const auto usage = [](std::string what) {
        return refuse({ErrorCode::config, Retry::never, std::move(what), "see `qkd-macsec plugins --help`"});
    };
    const auto& words = arguments.words();
    const std::vector<std::string> actions = {"list", "inspect"};
    if (std::find(actions.begin(), actions.end(), words[0]) == actions.end()) {
        const auto near = engine::nearest(words[0], actions);
        return usage("plugins does not know '" + engine::printable(words[0]) + "'; there are list, inspect" +
                     (near.empty() ? "" : "; did you mean '" + near + "'?"));
    }
    if (arguments.has("json") && arguments.has("sample")) return usage("--json and --sample exclude each other");
    if (words[0] == "list") {
        if (words.size() > 1) return usage("unexpected argument '" + engine::printable(words[1]) + "'");
        if (arguments.has("sample")) return usage("--sample belongs to `plugins inspect NAME`");
    } else if (words.size() < 2) {
        return usage("the NAME of a plugin is missing");
    }
    auto directory = plugin_directory(arguments);
    if (!directory) return refuse(directory.error());
    engine::PluginHost host(*directory);
    return words[0] == "list" ? list(arguments, host) : inspect(arguments, host, words[1]);
}

}  // namespace

Command plugins_command() {
    return {"plugins",
            "list plugins, and say what one can do and how it is configured",
            {"plugins list [--json]", "plugins inspect NAME [--json | --sample]"},
            "list opens every file of the plugin folder and shows what it is, also those that are refused, with the "
            "reason. inspect shows the stages and fields of one plugin. Both read descriptors and run no code of the "
            "plugins.",
            {{"json", 0, nullptr, false, "JSON instead of a table: an array (list), an object (inspect)"},
             {"sample", 0, nullptr, false, "a TOML table to start from, defaults as comments"}},
            1,
            2,
            "say `plugins list` or `plugins inspect NAME`",
            "  0    done; refused plugins are shown, not hidden\n"
            "  2    wrong usage, no such folder, or the named plugin is refused\n"
            "  3    internal error",
            "  qkd-macsec plugins list\n"
            "  qkd-macsec plugins list --json | jq -r '.[] | select(.status == \"refused\") | .reason'\n"
            "  qkd-macsec plugins inspect kme-etsi014 --sample >> pipeline.toml",
            plugins};
}

}  // namespace qkd::cli
