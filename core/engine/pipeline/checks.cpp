// What can only be said of a pipeline as a whole: does everything fit together, is everything there?
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "engine/base/text.hpp"
#include "engine/pipeline/draft.hpp"
#include "engine/secrets/references.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;

std::string in_quotes(std::string_view word) {
    return "'" + printable(word) + "'";
}

void check_unused(Draft& draft) {
    if (draft.findings.errors() != 0) return;  // a link that could not be read uses things too
    for (const auto& [name, device] : draft.devices) {
        if (!device.used) draft.findings.warning(device.place, "device " + in_quotes(name) + " is in no link");
    }
    for (const auto& [name, kme] : draft.kmes) {
        if (!kme.used && draft.pipeline.has(StageKind::key_source))
            draft.findings.warning(kme.place, "KME " + in_quotes(name) + " is in no link");
    }
    for (const auto& [noun, defaults] : draft.defaults) {
        if (defaults.table == nullptr || defaults.used) continue;
        draft.findings.warning(defaults.table->key_place, "[defaults." + noun + "] applies to nothing");
    }
}

/// Within a link and between links: nothing may be driven twice.
/// Two members see by MKA which key the other one has; of three, one may be left out without the other two seeing it.
void check_onbox_pairs(Draft& draft) {
    const Pipeline& pipeline = draft.pipeline;
    if (pipeline.mode != Mode::onbox || pipeline.commit.rollover != Rollover::pre_shared_key) return;
    for (std::size_t i = 0; i < pipeline.links.size(); ++i) {
        if (pipeline.links[i].members.size() <= 2) continue;
        draft.findings.error(draft.links[i].place,
                             "link " + in_quotes(pipeline.links[i].name) + " has " +
                                 std::to_string(pipeline.links[i].members.size()) +
                                 " members: on-box, rollover = \"pre-shared-key\" is for two",
                             "use rollover = \"key-chain\", or mode = \"offbox\"");
    }
}

void check_members(Draft& draft) {
    std::map<std::pair<std::string, std::string>, std::string> interfaces;
    std::map<std::pair<std::string, std::string>, std::string> associations;
    std::map<std::pair<std::string, std::string>, std::string> chains;
    const bool chain_used = draft.pipeline.commit.rollover == Rollover::key_chain;
    for (std::size_t i = 0; i < draft.links.size(); ++i) {
        const Link& link = draft.pipeline.links[i];
        const LinkDraft& more = draft.links[i];
        std::set<std::string> devices;
        std::set<std::string> saes;
        for (std::size_t m = 0; m < link.members.size(); ++m) {
            const Member& member = link.members[m];
            const FilePlace place = more.members[m];
            if (member.device.empty()) continue;
            if (!devices.insert(member.device).second) {
                draft.findings.error(
                    place,
                    "device " + in_quotes(member.device) + " is a member of link " + in_quotes(link.name) + " twice",
                    "a device is initiator or responder, with all its interfaces in one member");
                continue;
            }
            if (!member.sae.empty() && !saes.insert(member.sae).second) {
                draft.findings.error(
                    place, "SAE ID " + in_quotes(member.sae) + " stands in link " + in_quotes(link.name) + " twice",
                    "every member asks its KME under an SAE ID of its own");
            }
            const auto once = [&](auto& seen, const std::string& thing, const std::string& kind, const char* allowed) {
                if (thing.empty()) return;
                const auto [first, fresh] = seen.emplace(std::pair{member.device, thing}, link.name);
                if (fresh || first->second == link.name) return;
                draft.findings.error(place,
                                     kind + " " + in_quotes(thing) + " of device " + in_quotes(member.device) +
                                         " is in two links: " + in_quotes(first->second) + " and " +
                                         in_quotes(link.name),
                                     allowed);
            };
            for (const auto& name : member.interfaces)
                once(interfaces, name, "interface", "links never share an interface");
            once(associations, link.connectivity_association, "connectivity association", "links never share a key");
            if (chain_used) once(chains, link.key_chain, "key chain", "links never share a key");
        }
    }
}

/// Two names for one router would get round its lease.
void check_same_device(Draft& draft) {
    std::map<std::string, std::string> seen;
    for (const auto& [name, noun] : draft.devices) {
        if (noun.plugin == nullptr) continue;
        const auto& values = draft.tables->tables.at(noun.table).values;
        const bool here = values.text("transport") == "local";
        // On-box the tables of the other members say the same of other machines.
        if (here ? draft.pipeline.mode == Mode::onbox : values.text("host").empty()) continue;
        std::string address =
            values.text("host") + " port " + std::to_string(values.number("port")) + " user " + values.text("user");
        // Behind another jump host the same address is another router.
        if (here) address = "this machine";
        if (const auto* program = values.find(here ? "command" : "proxy_command"); program != nullptr) {
            for (const auto& word : program->list) address += (&word == program->list.data() ? " by " : " ") + word;
        }
        const auto [first, fresh] = seen.emplace(address, name);
        if (fresh) continue;
        draft.findings.error(
            noun.place,
            "devices " + in_quotes(first->second) + " and " + in_quotes(name) + " are the same: " + printable(address),
            "one router has one name");
    }
}

/// Does `device`'s plugin provide it? Says so once per pair of plugins.
void check_need(Draft& draft, FilePlace place, const std::string& user, Capability need, const std::string& device) {
    const auto found = draft.devices.find(device);
    if (found == draft.devices.end() || found->second.plugin == nullptr) return;
    const Plugin& plugin = *found->second.plugin;
    const StageInfo* info = plugin.stage(stage_of(need));
    const CapabilitySet provided = info == nullptr ? CapabilitySet() : info->provides;
    if (provided.has(need)) return;
    draft.findings.error(place,
                         user + " needs " + qualified_name(need) + ", which plugin " +
                             in_quotes(plugin.descriptor->name) + " of device " + in_quotes(device) +
                             " does not provide",
                         provided.empty() ? "it provides nothing of the kind; choose another plugin"
                                          : "it provides: " + join(words_of(provided), ", "));
}

void check_needs(Draft& draft, FilePlace place, const Plugin& plugin, StageKind kind, const std::string& device) {
    const StageInfo* stage = plugin.stage(kind);
    if (stage == nullptr) return;
    for (const Capability need : list(stage->needs)) {
        check_need(draft, place, std::string("plugin ") + in_quotes(plugin.descriptor->name), need, device);
    }
}

void check_capabilities(Draft& draft) {
    const Pipeline& pipeline = draft.pipeline;
    for (const auto& [name, noun] : draft.devices) {
        if (noun.plugin == nullptr || !noun.used) continue;
        for (const StageKind kind : {StageKind::initial_config, StageKind::commit}) {
            if (!pipeline.has(kind)) continue;
            if (noun.plugin->stage(kind) == nullptr) {
                draft.findings.error(
                    noun.place,
                    std::string("plugin ") + in_quotes(noun.plugin->descriptor->name) + " of device " +
                        in_quotes(name) + " has no stage " + to_string(kind),
                    std::string("leave the stage out, or choose a plugin that has ") + to_string(kind));
            } else {
                check_needs(draft, noun.place, *noun.plugin, kind, name);
            }
        }
        if (pipeline.has(StageKind::commit) && pipeline.commit.rollover == Rollover::key_chain) {
            check_need(draft, noun.place, "rollover = \"key-chain\"", Capability::clock, name);
        }
    }
    for (std::size_t i = 0; i < draft.links.size(); ++i) {
        const LinkDraft& more = draft.links[i];
        for (const Member& member : pipeline.links[i].members) {
            if (more.transport != nullptr) {
                check_needs(draft, more.transport_place, *more.transport, StageKind::key_id_transport, member.device);
            }
            if (draft.certs != nullptr)
                check_needs(draft, draft.certs_place, *draft.certs, StageKind::certs, member.device);
            if (draft.persist != nullptr) {
                check_needs(draft, draft.persist_place, *draft.persist, StageKind::persist, member.device);
            }
            const auto kme = draft.kmes.find(member.kme);
            if (kme != draft.kmes.end() && kme->second.plugin != nullptr) {
                check_needs(draft, kme->second.place, *kme->second.plugin, StageKind::key_source, member.device);
            }
        }
    }
}

/// The directories in which the certs stage will make what is not there yet.
std::vector<fs::path> directories_of_certs(const Draft& draft) {
    std::vector<fs::path> directories;
    if (draft.certs == nullptr) return directories;
    const CheckedTable& table = draft.tables->tables.at(draft.pipeline.certs.table).values;
    for (const auto& value : table.values) {
        if (value.field->type == FieldType::path) directories.emplace_back(draft.tables->expand(value.text, ""));
    }
    return directories;
}

bool is_inside(const fs::path& path, const std::vector<fs::path>& directories) {
    return std::any_of(directories.begin(), directories.end(), [&](const fs::path& directory) {
        const fs::path relative = path.lexically_normal().lexically_relative(directory.lexically_normal());
        return !relative.empty() && *relative.begin() != "..";
    });
}

Result<void> check_readable(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const int failure = errno;
    if (fd >= 0) {
        ::close(fd);
        return {};
    }
    const bool absent = failure == ENOENT || failure == ENOTDIR;
    return Error{
        absent ? ErrorCode::not_found : ErrorCode::config, Retry::never,
        absent ? "file " + path + " does not exist" : "file " + path + " cannot be read: " + std::strerror(failure),
        absent ? "make it, or correct the path" : "it must be readable for the user who runs qkd-macsec"};
}

/// One file or secret, for one SAE.
void check_one(Draft& draft, const CheckedValue& value, const std::string& sae, const std::vector<fs::path>& certs) {
    const std::string key = "'" + std::string(value.field->key) + "': ";
    std::string path;
    Result<void> there;
    bool secret_from_environment = false;
    if (value.field->type == FieldType::secret) {
        auto reference = parse_secret_ref(value.text);
        if (!reference) return;  // already reported
        if (reference->form == SecretRef::Form::file) {
            reference->text = draft.tables->expand(reference->text, sae);
            path = reference->text;
        }
        there = check_secret(*reference, draft.tables->seal_source());
        secret_from_environment =
            reference->form == SecretRef::Form::environment || reference->form == SecretRef::Form::credential;
    } else {
        path = draft.tables->expand(value.text, sae);
        there = check_readable(path);
    }
    if (there) return;
    if (secret_from_environment) {
        // The service's environment is not that of the person who checks; a run without it stops before it connects.
        draft.findings.warning(value.place, key + there.error().what, there.error().hint);
        return;
    }
    if (there.error().code == ErrorCode::not_found && !path.empty() && is_inside(path, certs)) {
        draft.findings.warning(value.place, key + there.error().what + " yet", "the certs stage has to make it");
    } else {
        draft.findings.error(value.place, key + there.error().what, there.error().hint);
    }
}

/// Files behind the values of a table that were given in the file. `paths`: are paths files that must be there? In
/// tables of devices and KMEs they are, unless the plugin says "new"; the other plugins make what they need.
void check_files(Draft& draft, std::size_t index, bool paths, const std::vector<std::string>& saes,
                 const std::vector<fs::path>& certs) {
    const CheckedTable& table = draft.tables->tables.at(index).values;
    for (const auto& value : table.values) {
        const bool secret = value.field->type == FieldType::secret;
        const bool path = value.field->type == FieldType::path && paths && value.field->allowed == nullptr;
        if (!value.given || (!secret && !path)) continue;
        if (value.text.find("{sae}") == std::string::npos) {
            check_one(draft, value, "", certs);
        } else {
            for (const auto& sae : saes) check_one(draft, value, sae, certs);
        }
    }
}

void check_all_files(Draft& draft) {
    const auto certs = directories_of_certs(draft);
    for (const auto& [name, noun] : draft.devices) {
        if (noun.plugin != nullptr) check_files(draft, noun.table, true, {}, certs);
    }
    for (const auto& [name, noun] : draft.kmes) {
        if (noun.plugin != nullptr) check_files(draft, noun.table, true, noun.saes, certs);
    }
    for (std::size_t i = 0; i < draft.links.size(); ++i) {
        if (draft.links[i].transport == nullptr) continue;
        std::vector<std::string> saes;
        for (const auto& member : draft.pipeline.links[i].members) saes.push_back(member.sae);
        check_files(draft, draft.pipeline.links[i].key_ids.table, false, saes, certs);
    }
    if (draft.certs != nullptr) check_files(draft, draft.pipeline.certs.table, false, {}, certs);
    if (draft.persist != nullptr) check_files(draft, draft.pipeline.persist.table, false, {}, certs);
}

/// Lets the plugin look at its values: configure() is pure, and some rules only the plugin knows.
void try_stage(Draft& draft, const Plugin& plugin, StageKind kind, const Noun& noun, FilePlace place,
               const std::string& sae) {
    Pipeline view_of;
    view_of.tables = draft.tables;
    const auto view = config_view(view_of, noun, sae);
    if (const auto stage = draft.host.create(plugin, kind, *view); !stage) {
        draft.findings.error(place, stage.error().what, stage.error().hint);
    }
}

void try_plugins(Draft& draft) {
    const Pipeline& pipeline = draft.pipeline;
    for (const auto& [name, noun] : draft.devices) {
        if (noun.plugin == nullptr || !noun.sound) continue;
        for (const StageKind kind : {StageKind::connect, StageKind::initial_config, StageKind::commit}) {
            if (!pipeline.has(kind) || noun.plugin->stage(kind) == nullptr) continue;
            try_stage(draft, *noun.plugin, kind, pipeline.devices.at(name), noun.place, "");
        }
    }
    for (const auto& [name, noun] : draft.kmes) {
        if (noun.plugin == nullptr || !noun.sound) continue;
        const std::string sae = noun.saes.empty() ? "sae" : noun.saes.front();
        try_stage(draft, *noun.plugin, StageKind::key_source, pipeline.kmes.at(name), noun.place, sae);
    }
    for (std::size_t i = 0; i < draft.links.size(); ++i) {
        const LinkDraft& more = draft.links[i];
        const Link& link = pipeline.links[i];
        if (more.transport == nullptr || !more.transport_sound) continue;
        const std::string sae = link.members.empty() ? "" : link.members.front().sae;
        try_stage(draft, *more.transport, StageKind::key_id_transport, link.key_ids, more.transport_place, sae);
    }
    if (draft.certs != nullptr && draft.certs_sound) {
        try_stage(draft, *draft.certs, StageKind::certs, pipeline.certs, draft.certs_place, "");
    }
    if (draft.persist != nullptr && draft.persist_sound) {
        try_stage(draft, *draft.persist, StageKind::persist, pipeline.persist, draft.persist_place, "");
    }
}

}  // namespace

void check_whole(Draft& draft) {
    check_members(draft);
    check_onbox_pairs(draft);
    check_same_device(draft);
    check_capabilities(draft);
    check_all_files(draft);
    try_plugins(draft);
    check_unused(draft);
}

}  // namespace qkd::engine
