// [device.NAME] and [kme.NAME] with their defaults: one plugin each, which owns the rest of the table.
#include <algorithm>

#include "engine/base/text.hpp"
#include "engine/pipeline/draft.hpp"

namespace qkd::engine {
namespace {

using Type = TomlValue::Type;

struct NounKind {
    const char* word;  ///< "device"
    Scope scope;
    StageKind stage;  ///< what its plugin must have
    NameRule rule;
    const char* plugin_does;
};
constexpr NounKind device_kind = {"device", Scope::device, StageKind::connect, device_name,
                                  "name the plugin that speaks to this device"};
constexpr NounKind kme_kind = {"kme", Scope::kme, StageKind::key_source, kme_name,
                               "name the plugin that speaks to this KME"};

/// The table's own entries and those defaults that it does not override. A table that names another plugin than the
/// defaults do takes none of them: they belong to that other plugin.
std::vector<TableEntry> with_defaults(Draft& draft, const NounKind& kind, const TomlValue& table,
                                      std::string_view label, std::string_view defaults_label) {
    auto entries = entries_of(table, label);
    const auto found = draft.defaults.find(kind.word);
    if (found == draft.defaults.end() || found->second.table == nullptr) return entries;
    const TomlValue& defaults = *found->second.table;
    const TomlValue* own = table.find("plugin");
    const TomlValue* general = defaults.find("plugin");
    if (own != nullptr && general != nullptr && own->text != general->text) return entries;
    found->second.used = true;
    for (const auto& entry : defaults.children) {
        if (table.find(entry.key) == nullptr) entries.push_back({&entry, defaults_label});
    }
    return entries;
}

void read_noun(Draft& draft, const NounKind& kind, const TomlValue& table, Noun& noun, NounDraft& more) {
    const std::string label = std::string("[") + kind.word + "." + printable(table.key) + "]";
    const std::string defaults_label = std::string("[defaults.") + kind.word + "]";
    more.place = table.key_place;
    noun.name = table.key;
    const auto entries = with_defaults(draft, kind, table, label, defaults_label);
    const auto plugin = std::find_if(entries.begin(), entries.end(),
                                     [](const TableEntry& entry) { return entry.value->key == "plugin"; });
    if (plugin == entries.end()) {
        return draft.findings.error(more.place, "missing key 'plugin' in " + label, kind.plugin_does);
    }
    more.plugin = bind_plugin(draft, *plugin->value, kind.stage, plugin->table);
    if (more.plugin == nullptr) return;
    noun.plugin = more.plugin->descriptor->name;
    const TableSpec spec{
        label, more.place, noun.plugin, fields_of(fields_of_plugin(*more.plugin), kind.scope), {"plugin"}};
    noun.table = keep_table(draft, spec, entries, std::string(kind.word) + "." + table.key, more.sound);
    more.table = noun.table;
}

/// Calls `take` for each table of this kind in all files; names that are taken or unfit are reported.
template <class Taken, class Take>
void for_each_noun(Draft& draft, const NounKind& kind, const Taken& taken, Take take) {
    for (const auto& root : draft.roots) {
        const TomlValue* tables = root.find(kind.word);
        if (tables == nullptr || tables->type != Type::table) continue;
        for (const auto& table : tables->children) {
            if (table.type != Type::table) {
                draft.findings.error(table.key_place,
                                     "'" + printable(table.key) + "' in [" + kind.word + "] must be a table, not " +
                                         type_name(table.type),
                                     std::string("write [") + kind.word + ".NAME]");
                continue;
            }
            if (!check_name(draft, kind.rule, table.key, table.key_place)) continue;
            if (const auto known = taken.find(table.key); known != taken.end()) {
                const FilePlace& first = known->second.place;
                draft.findings.error(
                    table.key_place, std::string(kind.word) + " '" + table.key + "' is already defined",
                    "the first one is in " + draft.files.at(first.file).shown + ", line " + std::to_string(first.line));
                continue;
            }
            take(table);
        }
    }
}

/// The text of a field that some plugins have, for messages.
std::string text_of(const Draft& draft, const NounDraft& noun, std::string_view key) {
    return noun.plugin == nullptr ? std::string() : draft.tables->tables.at(noun.table).values.text(key);
}

}  // namespace

void read_nouns(Draft& draft) {
    for_each_noun(draft, device_kind, draft.devices, [&](const TomlValue& table) {
        Device device;
        NounDraft& more = draft.devices[table.key];
        read_noun(draft, device_kind, table, device, more);
        device.host = text_of(draft, more, "host");
        draft.pipeline.devices.emplace(table.key, std::move(device));
    });
    for_each_noun(draft, kme_kind, draft.kmes, [&](const TomlValue& table) {
        Kme kme;
        NounDraft& more = draft.kmes[table.key];
        read_noun(draft, kme_kind, table, kme, more);
        kme.url = text_of(draft, more, "url");
        draft.pipeline.kmes.emplace(table.key, std::move(kme));
    });
}

}  // namespace qkd::engine
