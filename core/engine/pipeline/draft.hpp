// A pipeline while it is being read: what the readers of the single tables share. Internal to this folder.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/pipeline/config_tables.hpp"
#include "engine/pipeline/file.hpp"
#include "engine/pipeline/finding.hpp"
#include "engine/pipeline/model.hpp"
#include "engine/pipeline/toml_document.hpp"

namespace qkd::engine {

/// A device or KME with what only the checks need.
struct NounDraft {
    FilePlace place;
    const Plugin* plugin = nullptr;  ///< null when it cannot be used
    std::size_t table = 0;
    bool sound = false;             ///< its table has no errors
    bool used = false;              ///< by a link
    std::vector<std::string> saes;  ///< of the members that use this KME
};

struct LinkDraft {
    FilePlace place;
    std::vector<FilePlace> members;  ///< in the order of Link::members
    const Plugin* transport = nullptr;
    FilePlace transport_place;
    bool transport_sound = false;
};

/// [defaults.device|kme|link].
struct Defaults {
    const TomlValue* table = nullptr;
    bool used = false;
};

struct Draft {
    explicit Draft(PluginHost& plugin_host) : host(plugin_host) {}

    PluginHost& host;
    Pipeline pipeline;
    Findings findings;
    std::vector<SourceFile> files;
    std::vector<TomlValue> roots;  ///< the pipeline file, then its inventory
    std::shared_ptr<Tables> tables = std::make_shared<Tables>();
    std::map<std::string, Defaults, std::less<>> defaults;

    bool all_files_read = true;

    std::map<StageKind, FilePlace> stage_places;
    const Plugin* certs = nullptr;  ///< plugin of the certs stage
    FilePlace certs_place;
    bool certs_sound = false;
    const Plugin* persist = nullptr;
    FilePlace persist_place;
    bool persist_sound = false;

    std::map<std::string, NounDraft> devices;
    std::map<std::string, NounDraft> kmes;
    std::vector<LinkDraft> links;  ///< parallel to pipeline.links
};

/// Is this text fit for a name of the given kind? Says what is wrong with it otherwise.
struct NameRule {
    const char* kind;    ///< "device name"
    const char* others;  ///< allowed besides letters and digits, not at the beginning
    std::size_t longest;
};
inline constexpr NameRule pipeline_name = {"pipeline name", "._-", 64};
inline constexpr NameRule device_name = {"device name", "._-", 64};
inline constexpr NameRule kme_name = {"KME name", "._-", 64};
inline constexpr NameRule link_name = {"link name", "._:@+-", 128};
inline constexpr NameRule group_name = {"group name", "._:@+-", 128};
inline constexpr NameRule interface_name = {"interface name", "/._:-", 64};
inline constexpr NameRule association_name = {"connectivity association", "._-", 32};
inline constexpr NameRule key_chain_name = {"key chain", "._-", 64};
inline constexpr NameRule sae_name = {"SAE ID", "._:@+=~-", 128};

/// False, with a finding, when the name breaks the rule.
bool check_name(Draft& draft, const NameRule& rule, const std::string& name, FilePlace place);

/// The plugin that `value` names, if it can be used and has the stage; else null, with a finding that says why.
const Plugin* bind_plugin(Draft& draft, const TomlValue& value, StageKind stage, std::string_view label);

/// Checks a table against the plugin's fields of `scope` and keeps the values. Returns the index into draft.tables.
std::size_t keep_table(Draft& draft, const TableSpec& spec, std::span<const TableEntry> entries, std::string name,
                       bool& sound);

/// The fields of a plugin as a span.
std::span<const Field> fields_of_plugin(const Plugin& plugin);

void read_pipeline_table(Draft& draft);  // file.cpp
void read_stages(Draft& draft);          // stages.cpp
void read_nouns(Draft& draft);           // nouns.cpp
void read_links(Draft& draft);           // links.cpp
void check_whole(Draft& draft);          // checks.cpp

}  // namespace qkd::engine
