// Entry of the pipeline reader: the files, their top level and [pipeline].
#include "engine/pipeline/file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "engine/base/text.hpp"
#include "engine/pipeline/draft.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;
using Type = TomlValue::Type;

constexpr std::array pipeline_fields = {
    Field{core_scope, FieldType::string, "name", true, nullptr, nullptr, "Name of the pipeline in reports and logs."},
    Field{core_scope, FieldType::one_of, "mode", false, "offbox", "offbox|onbox",
          "offbox: one process drives all members; onbox: one process per member, run with --as DEVICE."},
    Field{core_scope, FieldType::path, "state", false, "state", nullptr,
          "Directory for journal, lock, audit and what persist keeps."},
    Field{core_scope, FieldType::secret, "seal_key", false, nullptr, nullptr, "Seals the journal and sealed: values."},
    Field{core_scope, FieldType::path, "inventory", false, nullptr, nullptr,
          "A second file with defaults, devices, KMEs and links."},
    Field{core_scope, FieldType::integer, "parallel", false, "64", "1..10000", "Links in flight at once."},
    Field{core_scope, FieldType::integer, "stop_after_failures", false, nullptr, "1..1000000",
          "Start no further link after so many have failed."},
};

/// Reads a file into draft.roots; false, with a finding, when there is nothing to go on with. `named_at` is where the
/// file is named: a file that cannot be opened is a mistake there.
bool read_file(Draft& draft, const fs::path& path, FilePlace named_at) {
    const auto index = static_cast<std::uint32_t>(draft.files.size());
    draft.files.push_back({path.string(), fs::absolute(path).parent_path().lexically_normal()});
    auto read = read_toml(path, index);
    if (auto* problem = std::get_if<TomlProblem>(&read)) {
        draft.all_files_read = false;
        if (problem->place.line != 0) {
            draft.findings.error(problem->place, std::move(problem->what), std::move(problem->hint));
        } else {
            draft.findings.error(named_at, "cannot read " + path.string() + ": " + problem->what,
                                 std::move(problem->hint));
        }
        return false;
    }
    draft.roots.push_back(std::move(*std::get_if<TomlValue>(&read)));
    return true;
}

/// `schema = 1`. A file of another schema is not looked into any further.
bool check_schema(Draft& draft, const TomlValue& root, bool required) {
    const FilePlace top = {root.place.file, 1, 1};
    const TomlValue* schema = root.find("schema");
    if (schema == nullptr) {
        if (required) draft.findings.error(top, "missing key 'schema'", "begin the file with: schema = 1");
        return true;
    }
    if (schema->type != Type::integer) {
        wrong_type(*schema, "the file", "an integer", draft.findings);
        return true;
    }
    if (schema->integer == 1) return true;
    draft.findings.error(schema->place, "schema " + std::to_string(schema->integer) + " is unknown",
                         "this version of qkd-macsec reads schema 1");
    return false;
}

void check_top_level(Draft& draft, const TomlValue& root) {
    const bool main = root.place.file == 0;
    const std::vector<std::string> everywhere = {"schema", "defaults", "device", "kme", "link"};
    std::vector<std::string> known = {"schema", "pipeline", "stage", "defaults", "device", "kme", "link"};
    for (const auto& entry : root.children) {
        const bool is_known = std::find(known.begin(), known.end(), entry.key) != known.end();
        if (!is_known) {
            draft.findings.error(entry.key_place, "unknown key '" + printable(entry.key) + "' at the top of the file",
                                 "known keys: " + join(main ? known : everywhere, ", "), nearest(entry.key, known));
        } else if (!main && (entry.key == "pipeline" || entry.key == "stage")) {
            draft.findings.error(entry.key_place, "'" + entry.key + "' cannot stand in an inventory",
                                 "move it into the pipeline file; an inventory holds: " + join(everywhere, ", "));
        } else if (entry.key == "stage" || entry.key == "link") {
            if (entry.type != Type::array) {
                draft.findings.error(entry.place,
                                     "'" + entry.key + "' must be an array of tables, not " + type_name(entry.type),
                                     "write [[" + entry.key + "]]");
            }
        } else if (entry.key != "schema" && entry.type != Type::table) {
            const std::string form = entry.key == "device" || entry.key == "kme" ? entry.key + ".NAME" : entry.key;
            draft.findings.error(entry.place, "'" + entry.key + "' must be a table, not " + type_name(entry.type),
                                 "write [" + form + "]");
        }
    }
}

void read_defaults(Draft& draft, const TomlValue& root) {
    const TomlValue* defaults = root.find("defaults");
    if (defaults == nullptr || defaults->type != Type::table) return;
    const std::vector<std::string> nouns = {"device", "kme", "link"};
    for (const auto& table : defaults->children) {
        if (std::find(nouns.begin(), nouns.end(), table.key) == nouns.end()) {
            draft.findings.error(table.key_place, "unknown key '" + printable(table.key) + "' in [defaults]",
                                 "there are defaults for: device, kme, link", nearest(table.key, nouns));
        } else if (table.type != Type::table) {
            wrong_type(table, "[defaults]", "a table", draft.findings);
        } else if (auto& slot = draft.defaults[table.key]; slot.table != nullptr) {
            draft.findings.error(table.key_place,
                                 "[defaults." + table.key + "] is already given in " + draft.files[0].shown,
                                 "keep one of the two");
        } else {
            slot.table = &table;
        }
    }
}

/// The state directory is made by the first run; here only what would keep it from that.
void check_state_directory(Draft& draft, FilePlace place) {
    const fs::path& state = draft.pipeline.state;
    struct stat info {};
    if (stat(state.c_str(), &info) != 0) {
        fs::path above = state.parent_path();
        while (stat(above.c_str(), &info) != 0 && above != above.parent_path()) above = above.parent_path();
        if (!S_ISDIR(info.st_mode) || eaccess(above.c_str(), W_OK | X_OK) != 0) {
            draft.findings.error(place, "state directory " + state.string() + " cannot be made in " + above.string(),
                                 "make it writable for the user who runs qkd-macsec, or choose another place");
        }
        return;
    }
    if (!S_ISDIR(info.st_mode)) {
        return draft.findings.error(place, "state " + state.string() + " is no directory", "choose another place");
    }
    if (info.st_uid != geteuid()) {
        return draft.findings.error(
            place, "state directory " + state.string() + " belongs to user " + std::to_string(info.st_uid),
            "run as that user, or choose another place");
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return draft.findings.error(place, "state directory " + state.string() + " is writable by its group or others",
                                    "chmod go-w " + state.string());
    }
    if (eaccess(state.c_str(), R_OK | W_OK | X_OK) != 0) {
        draft.findings.error(place, "state directory " + state.string() + " is not writable",
                             "chmod u+rwx " + state.string());
    }
}

/// Words of the file that may run programs are as powerful as the program itself.
bool has_command(const TomlValue& value) {
    if (value.type == Type::string) return value.text.starts_with("command:");
    return std::any_of(value.children.begin(), value.children.end(), has_command);
}

void check_who_may_write(Draft& draft, const fs::path& file, const TomlValue& root) {
    struct stat info {};
    if (!has_command(root) || stat(file.c_str(), &info) != 0) return;
    const bool ours = info.st_uid == 0 || info.st_uid == geteuid();
    if (ours && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
    draft.findings.error({root.place.file, 0, 0}, "this file names a command, and somebody else can write it",
                         "it must belong to root or to us: chmod go-w " + file.string());
}

LoadedPipeline finish(Draft& draft) {
    LoadedPipeline loaded;
    draft.pipeline.tables = std::move(draft.tables);
    loaded.pipeline = std::move(draft.pipeline);
    loaded.findings = std::move(draft.findings).take(draft.files);
    return loaded;
}

LoadedPipeline load(const fs::path& file, PluginHost& host) {
    Draft draft(host);
    draft.pipeline.file = file;
    draft.roots.reserve(2);  // defaults point into the roots
    if (!read_file(draft, file, {})) return finish(draft);
    if (!check_schema(draft, draft.roots[0], true)) return finish(draft);
    check_top_level(draft, draft.roots[0]);
    check_who_may_write(draft, file, draft.roots[0]);
    read_pipeline_table(draft);
    for (const auto& root : draft.roots) read_defaults(draft, root);
    read_stages(draft);
    read_nouns(draft);
    read_links(draft);
    check_whole(draft);
    return finish(draft);
}

}  // namespace

bool check_name(Draft& draft, const NameRule& rule, const std::string& name, FilePlace place) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    const std::string_view others = rule.others;
    const bool good = !name.empty() && name.size() <= rule.longest && plain(name.front()) &&
                      std::all_of(name.begin(), name.end(),
                                  [&](char c) { return plain(c) || others.find(c) != std::string_view::npos; });
    if (good) return true;
    draft.findings.error(place, "'" + printable(name) + "' is no " + rule.kind,
                         "1 to " + std::to_string(rule.longest) + " letters, digits and " + rule.others +
                             " with a letter or digit in front");
    return false;
}

const Plugin* bind_plugin(Draft& draft, const TomlValue& value, StageKind stage, std::string_view label) {
    if (value.type != Type::string) {
        wrong_type(value, label, "the name of a plugin (a string)", draft.findings);
        return nullptr;
    }
    const auto plugin = draft.host.load(value.text);
    if (!plugin) {
        const auto names = draft.host.names();
        const bool absent = plugin.error().code == ErrorCode::not_found;
        draft.findings.error(value.place, "plugin '" + printable(value.text) + "' is refused: " + plugin.error().what,
                             plugin.error().hint, absent ? nearest(value.text, names) : "");
        return nullptr;
    }
    if ((*plugin)->stage(stage) == nullptr) {
        std::vector<std::string> kinds;
        const auto& descriptor = *(*plugin)->descriptor;
        for (std::size_t i = 0; i < descriptor.stage_count; ++i)
            kinds.emplace_back(to_string(descriptor.stages[i].kind));
        draft.findings.error(value.place, "plugin '" + value.text + "' has no stage " + to_string(stage),
                             "it has: " + join(kinds, ", "));
        return nullptr;
    }
    return *plugin;
}

std::size_t keep_table(Draft& draft, const TableSpec& spec, std::span<const TableEntry> entries, std::string name,
                       bool& sound) {
    auto checked = check_table(spec, entries, draft.files, draft.findings);
    sound = checked.sound;
    draft.tables->tables.push_back({std::move(name), std::move(checked)});
    return draft.tables->tables.size() - 1;
}

std::span<const Field> fields_of_plugin(const Plugin& plugin) {
    return {plugin.descriptor->fields, plugin.descriptor->field_count};
}

void read_pipeline_table(Draft& draft) {
    const TomlValue& root = draft.roots[0];
    const TomlValue* table = root.find("pipeline");
    const TomlValue empty;
    if (table == nullptr)
        draft.findings.error({0, 1, 1}, "missing table [pipeline]", "it names the pipeline and its state directory");
    const bool usable = table != nullptr && table->type == Type::table;
    TableSpec spec{"[pipeline]", usable ? table->key_place : FilePlace{0, 1, 1}, "", {}, {}};
    for (const auto& field : pipeline_fields) {
        if (usable || !field.required) spec.fields.push_back(&field);
    }
    const auto entries = entries_of(usable ? *table : empty, spec.label);
    const auto values = check_table(spec, entries, draft.files, draft.findings);

    Pipeline& pipeline = draft.pipeline;
    pipeline.name = values.text("name");
    if (const auto* name = values.find("name")) check_name(draft, pipeline_name, pipeline.name, name->place);
    pipeline.mode = values.text("mode") == "onbox" ? Mode::onbox : Mode::offbox;
    pipeline.parallel = static_cast<unsigned>(std::max<std::int64_t>(1, values.number("parallel")));
    if (const auto* stop = values.find("stop_after_failures")) {
        pipeline.stop_after_failures = static_cast<unsigned>(stop->number);
    }
    if (const auto* state = values.find("state")) {
        if (state->text.find('{') != std::string::npos) {
            draft.findings.error(state->place, "no placeholder can stand in 'state'", "give a path");
        } else {
            pipeline.state = state->text;
            check_state_directory(draft, state->place);
        }
    }
    draft.tables->state = pipeline.state;
    pipeline.seal_key = values.text("seal_key");
    draft.tables->seal_key = pipeline.seal_key;
    if (const auto* seal = values.find("seal_key"); seal != nullptr) {
        if (const auto reference = parse_secret_ref(seal->text)) {
            if (const auto there = check_seal_key(*reference); !there)
                draft.findings.error(seal->place, "seal_key: " + there.error().what, there.error().hint);
        }
    } else if (usable && table->find("seal_key") == nullptr) {
        draft.findings.warning(spec.place,
                               "no seal_key in [pipeline]: the key that seals the journal will lie beside it in " +
                                   (pipeline.state / "seal.key").string(),
                               "seal_key = \"file:PATH\" keeps it elsewhere");
    }
    if (const auto* inventory = values.find("inventory")) {
        const TomlValue* written = table->find("inventory");
        const fs::path shown = (pipeline.file.parent_path() / written->text).lexically_normal();
        if (read_file(draft, shown, inventory->place)) {
            if (check_schema(draft, draft.roots[1], false)) {
                check_top_level(draft, draft.roots[1]);
                check_who_may_write(draft, inventory->text, draft.roots[1]);
            } else {
                draft.roots.pop_back();
            }
        }
    }
}

LoadedPipeline load_pipeline(const fs::path& file, PluginHost& host) {
    try {
        return load(file, host);
    } catch (const std::exception& failure) {
        // Out of memory, or a defect of the reader: a finding all the same, so that nothing is run.
        LoadedPipeline broken;
        broken.findings.push_back({Finding::Severity::error, file.string(), 0, 0,
                                   "reading it failed: " + printable(failure.what()), "report this as a defect", ""});
        return broken;
    }
}

}  // namespace qkd::engine
