// qkd-macsec plugins: what is installed, what it can do, how it is configured, and whether it keeps the laws.
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/plugin_docs.hpp"
#include "cli/plugin_trial.hpp"
#include "cli/sample.hpp"
#include "cli/session.hpp"
#include "engine/base/text.hpp"
#include "engine/reporting/text_table.hpp"
#include "kit/laws.hpp"
#include "kit/support/temp_dir.hpp"

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

/// "connect:files" and the like.
std::vector<std::string> needs_of(const StageInfo& stage) {
    std::vector<std::string> needs;
    for (const Capability need : list(stage.needs)) needs.push_back(qualified_name(need));
    return needs;
}

Json inspect_json(const engine::Plugin& plugin) {
    const auto& d = *plugin.descriptor;
    Json stages = Json::array();
    for (std::size_t i = 0; i < d.stage_count; ++i) {
        stages.push_back({{"kind", to_string(d.stages[i].kind)},
                          {"provides", words_of(d.stages[i].provides)},
                          {"needs", needs_of(d.stages[i])}});
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
        if (!stage.provides.empty()) words += "   provides: " + engine::join(words_of(stage.provides), " ");
        if (!stage.needs.empty()) words += "   needs: " + engine::join(needs_of(stage), " ");
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

int docs(const Arguments& arguments, engine::PluginHost& host, const std::string& name) {
    auto plugin = host.load(name);
    if (!plugin) return refuse(plugin.error());
    if (!arguments.has("into")) {
        answer(docs_markdown(*(*plugin)->descriptor));
        return exit_ok;
    }
    if (auto done = docs_into(arguments.value("into"), *(*plugin)->descriptor); !done) return refuse(done.error());
    return exit_ok;
}

using conformance::Outcome;
using conformance::Verdict;

std::size_t number_of(const std::vector<Outcome>& outcomes, Verdict verdict) {
    return static_cast<std::size_t>(
        std::count_if(outcomes.begin(), outcomes.end(), [&](const Outcome& one) { return one.verdict == verdict; }));
}

std::string test_text(const std::vector<Outcome>& outcomes, bool colour) {
    engine::TextTable table(
        {{"LAW"}, {"VERDICT"}, {"MS", engine::Align::right}, {"WHAT IT DEMANDS, OR WHAT WAS SEEN"}});
    for (const Outcome& one : outcomes) {
        const auto style = one.verdict == Verdict::broken ? Style::bad
                           : one.verdict == Verdict::held ? Style::good
                                                          : Style::warn;
        table.add_row({one.law,
                       {conformance::to_string(one.verdict), style},
                       std::to_string(static_cast<long>(one.ms)),
                       one.verdict == Verdict::held ? one.demands : one.detail});
    }
    return table.render(colour) + "\n" + std::to_string(number_of(outcomes, Verdict::held)) + " held, " +
           std::to_string(number_of(outcomes, Verdict::broken)) + " broken, " +
           std::to_string(number_of(outcomes, Verdict::not_tried)) + " not tried\n";
}

Json test_json(const PluginDescriptor& plugin, const std::vector<Outcome>& outcomes,
               const std::vector<std::string>& remarks) {
    Json laws = Json::array();
    for (const Outcome& one : outcomes) {
        laws.push_back({{"law", one.law},
                        {"demands", one.demands},
                        {"verdict", one.verdict == Verdict::broken ? "broken" : conformance::to_string(one.verdict)},
                        {"detail", one.detail},
                        {"ms", one.ms}});
    }
    return {{"plugin", text(plugin.name)},
            {"version", text(plugin.version)},
            {"kept", conformance::kept(outcomes)},
            {"held", number_of(outcomes, Verdict::held)},
            {"broken", number_of(outcomes, Verdict::broken)},
            {"not_tried", number_of(outcomes, Verdict::not_tried)},
            {"remarks", remarks},
            {"laws", std::move(laws)}};
}

int test(const Arguments& arguments, engine::PluginHost& host, const std::string& name) {
    auto plugin = host.load(name);
    if (!plugin) return refuse(plugin.error());
    const support::TempDir temp;
    const auto scratch = temp.path() / "state";
    std::filesystem::create_directory(scratch);
    const auto trial = prepare_trial(**plugin, arguments.value("config"), scratch);
    const std::string findings = findings_text(trial.findings, colour_wanted(arguments, STDERR_FILENO));
    std::fwrite(findings.data(), 1, findings.size(), stderr);
    if (!trial.ok()) {
        return refuse({ErrorCode::config, Retry::never,
                       name + " cannot be configured: " + findings_count(trial.findings), "nothing was tried"});
    }
    for (const auto& remark : trial.remarks) std::fprintf(stderr, "%s\n", engine::one_line(remark).c_str());
    const auto outcomes = conformance::run_laws(trial.subject);
    if (arguments.has("json")) {
        const Json json = test_json(*(*plugin)->descriptor, outcomes, trial.remarks);
        answer(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
    } else {
        answer(test_text(outcomes, colour_wanted(arguments, STDOUT_FILENO)));
    }
    return conformance::kept(outcomes) ? exit_ok : exit_failed;
}

/// Which options belong to which action.
struct Action {
    const char* name;
    int (*run)(const Arguments&, engine::PluginHost&, const std::string& name);  ///< null: takes no name
    std::vector<std::string> options;
};

int plugins(const Arguments& arguments) {
    const auto usage = [](std::string what) {
        return refuse({ErrorCode::config, Retry::never, std::move(what), "see `qkd-macsec plugins --help`"});
    };
    const std::vector<Action> actions = {{"list", nullptr, {"json"}},
                                         {"inspect", &inspect, {"json", "sample"}},
                                         {"docs", &docs, {"into"}},
                                         {"test", &test, {"config", "json"}}};
    const auto& words = arguments.words();
    const auto action =
        std::find_if(actions.begin(), actions.end(), [&](const Action& one) { return one.name == words[0]; });
    if (action == actions.end()) {
        std::vector<std::string> names;
        for (const auto& one : actions) names.emplace_back(one.name);
        const auto near = engine::nearest(words[0], names);
        return usage("plugins does not know '" + engine::printable(words[0]) + "'; there are " +
                     engine::join(names, ", ") + (near.empty() ? "" : "; did you mean '" + near + "'?"));
    }
    if (arguments.has("json") && arguments.has("sample")) return usage("--json and --sample exclude each other");
    for (const char* option : {"json", "sample", "into", "config"}) {
        const bool takes = std::find(action->options.begin(), action->options.end(), option) != action->options.end();
        if (takes || !arguments.has(option)) continue;
        std::vector<std::string> those;
        for (const auto& one : actions) {
            if (std::find(one.options.begin(), one.options.end(), option) == one.options.end()) continue;
            those.push_back("`plugins " + std::string(one.name) + (one.run == nullptr ? "`" : " NAME`"));
        }
        return usage("--" + std::string(option) + " belongs to " + engine::join(those, ", "));
    }
    if (action->run == nullptr) {
        if (words.size() > 1) return usage("unexpected argument '" + engine::printable(words[1]) + "'");
    } else if (words.size() < 2) {
        return usage("the NAME of a plugin is missing");
    }
    auto directory = plugin_directory(arguments);
    if (!directory) return refuse(directory.error());
    engine::PluginHost host(*directory);
    return action->run == nullptr ? list(arguments, host) : action->run(arguments, host, words[1]);
}

}  // namespace

Command plugins_command() {
    return {
        "plugins",
        "list plugins, say what one can do and how it is configured, and test it",
        {"plugins list [--json]", "plugins inspect NAME [--json | --sample]", "plugins docs NAME [--into README]",
         "plugins test NAME [--config FILE] [--json]"},
        "list opens every file of the plugin folder and shows what it is, also those that are refused, with the "
        "reason. inspect shows the stages and fields of one plugin, docs writes the fields as the Markdown table of "
        "its README. These three read descriptors and run no code of the plugins. test tries the laws that every "
        "plugin must keep. Its FILE is laid out as `inspect --sample` prints it and may be left out when no field is "
        "required; of two tables for the plugin the first is the initiator's, the second the responder's. A table "
        "[test] may hold initiator_sae and responder_sae (default sae-a, sae-b) and, of a device that may be "
        "configured at will, interfaces, connectivity_association and key_chain. A law that needs a counterpart "
        "which is not there is not tried, and the reason stands beside it.",
        {{"json", 0, nullptr, false, "JSON instead of a table: an array (list), an object (inspect, test)"},
         {"sample", 0, nullptr, false, "a TOML table to start from, defaults as comments"},
         {"into", 0, "README", false, "put the table between its two comment lines in this file"},
         {"config", 0, "FILE", false, "how the plugin is configured for the test"}},
        1,
        2,
        "say `plugins list`, `plugins inspect NAME`, `plugins docs NAME` or `plugins test NAME`",
        "  0    done; refused plugins are shown, not hidden; all laws that could be tried were kept\n"
        "  1    test: a law was broken\n"
        "  2    wrong usage, no such folder, a plugin that is refused or cannot be configured so\n"
        "  3    internal error",
        "  qkd-macsec plugins list\n"
        "  qkd-macsec plugins list --json | jq -r '.[] | select(.status == \"refused\") | .reason'\n"
        "  qkd-macsec plugins inspect kme-etsi014 --sample >> pipeline.toml\n"
        "  qkd-macsec plugins test kme-mock",
        plugins};
}

}  // namespace qkd::cli
