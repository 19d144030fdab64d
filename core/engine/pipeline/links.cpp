// [[link]]: the members that share one key.
#include <algorithm>
#include <array>
#include <set>

#include "engine/base/text.hpp"
#include "engine/pipeline/draft.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

using Type = TomlValue::Type;

constexpr const char* default_transport = "keyid-memory";

constexpr std::array link_fields = {
    Field{core_scope, FieldType::string, "name", true, nullptr, nullptr, "a name that no other link has"},
    Field{core_scope, FieldType::string, "group", false, nullptr, nullptr, "At most one link of a group is in flight."},
    Field{core_scope, FieldType::string, "connectivity_association", true, nullptr, nullptr,
          "name of the connectivity association on the devices"},
    Field{core_scope, FieldType::string, "key_chain", false, nullptr, nullptr,
          "Name of the key chain; QKD_ and the connectivity association unless given."},
    Field{core_scope, FieldType::one_of, "cipher", false, "gcm-aes-xpn-256",
          "gcm-aes-128|gcm-aes-256|gcm-aes-xpn-128|gcm-aes-xpn-256", "Cipher suite."},
    Field{core_scope, FieldType::string, "ckn_prefix", false, nullptr, nullptr,
          "Hex digits in front of the key_ID's, instead of a hash."},
};
constexpr std::array member_fields = {
    Field{core_scope, FieldType::string, "device", true, nullptr, nullptr, "the NAME of a [device.NAME]"},
    Field{core_scope, FieldType::string_list, "interfaces", true, nullptr, nullptr,
          "the device's interfaces of this link"},
};
constexpr std::array kme_fields = {
    Field{core_scope, FieldType::string, "kme", true, nullptr, nullptr, "the NAME of a [kme.NAME]"},
    Field{core_scope, FieldType::string, "kme", false, nullptr, nullptr, "the NAME of a [kme.NAME]"},
};
constexpr std::array sae_fields = {
    Field{core_scope, FieldType::string, "sae", true, nullptr, nullptr, "the member's SAE ID at its KME"},
    Field{core_scope, FieldType::string, "sae", false, nullptr, nullptr, "the member's SAE ID at its KME"},
};

Cipher cipher_of(std::string_view word) {
    for (const Cipher cipher : {Cipher::gcm_aes_128, Cipher::gcm_aes_256, Cipher::gcm_aes_xpn_128}) {
        if (word == to_string(cipher)) return cipher;
    }
    return Cipher::gcm_aes_xpn_256;
}

template <class Map>
std::vector<std::string> names_of(const Map& map) {
    std::vector<std::string> names;
    for (const auto& [name, value] : map) names.push_back(name);
    return names;
}

/// "known devices: a, b, c, ..." without flooding the terminal of somebody who has thousands.
std::string known(const char* kind, const std::vector<std::string>& names) {
    constexpr std::size_t most = 12;
    if (names.empty()) return std::string("there are no ") + kind;
    const std::size_t shown = std::min(names.size(), most);
    std::string text = std::string("known ") + kind + ": " + join(std::span(names).first(shown), ", ");
    if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
    return text;
}

/// ckn_prefix in lower case. 32 hex digits of the key_ID follow it, and a CKN has 64 at most.
std::string canonical_prefix(Draft& draft, const CheckedTable& values) {
    const CheckedValue* prefix = values.find("ckn_prefix");
    if (prefix == nullptr) return {};
    const bool hex = prefix->text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    if (!hex || prefix->text.size() % 2 != 0 || prefix->text.size() < 2 || prefix->text.size() > 32) {
        draft.findings.error(prefix->place, "'ckn_prefix' cannot be '" + printable(prefix->text) + "'",
                             "allowed: 2 to 32 hexadecimal digits, an even number");
        return {};
    }
    return canonical_hex(prefix->text);
}

void read_member(Draft& draft, const TomlValue& table, Role role, const std::string& link_label, Link& link,
                 LinkDraft& more) {
    const bool initiator = role == Role::initiator;
    const std::string label = (initiator ? "initiator of " : "responder of ") + link_label;
    if (table.type != Type::table) {
        return draft.findings.error(table.place, label + " must be a table, not " + type_name(table.type),
                                    R"(write { device = "...", interfaces = ["..."], kme = "...", sae = "..." })");
    }
    const bool keys = draft.pipeline.has(StageKind::key_source);
    const bool certs = draft.pipeline.has(StageKind::certs);
    TableSpec spec{label, table.place, "", {}, {}};
    for (const auto& field : member_fields) spec.fields.push_back(&field);
    spec.fields.push_back(&kme_fields[keys ? 0 : 1]);
    spec.fields.push_back(&sae_fields[keys || certs ? 0 : 1]);
    const auto values = check_table(spec, entries_of(table, label), draft.files, draft.findings);

    Member member;
    member.role = role;
    member.device = values.text("device");
    member.sae = values.text("sae");
    if (const auto* sae = values.find("sae"); sae != nullptr && !check_name(draft, sae_name, member.sae, sae->place)) {
        member.sae.clear();
    }
    if (const auto* device = values.find("device")) {
        if (const auto found = draft.devices.find(member.device); found != draft.devices.end()) {
            found->second.used = true;
        } else {
            const auto names = names_of(draft.devices);
            draft.findings.error(device->place, "there is no device '" + printable(member.device) + "'",
                                 known("devices", names), nearest(member.device, names));
        }
    }
    if (const auto* kme = values.find("kme")) {
        if (const auto found = draft.kmes.find(kme->text); found != draft.kmes.end()) {
            found->second.used = true;
            auto& saes = found->second.saes;
            if (!member.sae.empty() && std::find(saes.begin(), saes.end(), member.sae) == saes.end())
                saes.push_back(member.sae);
        } else {
            const auto names = names_of(draft.kmes);
            draft.findings.error(kme->place, "there is no KME '" + printable(kme->text) + "'", known("KMEs", names),
                                 nearest(kme->text, names));
        }
        if (keys) member.kme = kme->text;
    }
    if (const auto* interfaces = values.find("interfaces")) {
        member.interfaces = interfaces->list;
        if (member.interfaces.empty()) {
            draft.findings.error(interfaces->place, "'interfaces' of the " + label + " is empty",
                                 "name at least one interface");
        }
        std::set<std::string_view> seen;
        for (const auto& name : member.interfaces) {
            check_name(draft, interface_name, name, interfaces->place);
            if (!seen.insert(name).second) {
                draft.findings.error(interfaces->place, "interface '" + printable(name) + "' is named twice",
                                     "name it once");
            }
        }
    }
    link.members.push_back(std::move(member));
    more.members.push_back(table.place);
}

void read_key_ids(Draft& draft, const TomlValue* table, const std::string& link_label, Link& link, LinkDraft& more) {
    const bool wanted = draft.pipeline.has(StageKind::key_id_transport);
    const TomlValue empty;
    TomlValue name;
    const std::string label = "key_ids of " + link_label;
    FilePlace place = more.place;
    if (table == nullptr) {
        if (!wanted) return;
        if (draft.pipeline.mode == Mode::onbox) {
            return draft.findings.error(
                more.place, "missing key 'key_ids' in " + link_label + ": on-box the key_IDs have to travel",
                R"(key_ids = { plugin = "keyid-..." })");
        }
        name.type = Type::string;
        name.text = default_transport;
        name.place = more.place;
        table = &empty;
    } else if (table->type != Type::table) {
        return wrong_type(*table, link_label, "a table such as { plugin = \"keyid-memory\" }", draft.findings);
    } else if (const TomlValue* given = table->find("plugin"); given != nullptr) {
        name = *given;
        place = table->key_place;
    } else {
        return draft.findings.error(table->key_place, "missing key 'plugin' in " + label,
                                    "name the plugin that carries the key_IDs");
    }
    const Plugin* plugin = bind_plugin(draft, name, StageKind::key_id_transport, label);
    if (plugin == nullptr) return;
    const std::string plugin_name = plugin->descriptor->name;
    const CapabilitySet provided = plugin->stage(StageKind::key_id_transport)->provides;
    const bool onbox = draft.pipeline.mode == Mode::onbox;
    const bool wrong_place = provided.has(onbox ? Capability::in_process : Capability::one_end);
    if (wrong_place) {
        draft.findings.error(name.place,
                             "plugin '" + plugin_name +
                                 (onbox ? "' works within one process, and mode is \"onbox\""
                                        : "' works for one end of a link, and mode is \"offbox\""),
                             "name another keyid- plugin");
    }
    bool sound = false;
    const TableSpec spec{label, place, plugin_name, fields_of(fields_of_plugin(*plugin), Scope::key_ids), {"plugin"}};
    const auto index = keep_table(draft, spec, entries_of(*table, label), "link." + link.name + ".key_ids", sound);
    if (!wanted) return;
    const bool authenticated = provided.has(Capability::authenticated);
    if (onbox && sound && !wrong_place && !authenticated &&
        draft.tables->tables.at(index).values.find("secret") == nullptr) {
        draft.findings.error(place, "missing key 'secret' in " + label + ": on-box nothing else tells a forged key_ID",
                             "secret = \"file:...\", with the same 32 random octets on every member");
    }
    link.key_ids = {link.name, plugin_name, index};
    more.transport = plugin;
    more.transport_place = name.place;
    more.transport_sound = sound;
}

/// The value of `key` in the link, else in [defaults.link].
const TomlValue* link_value(const Draft& draft, const TomlValue& table, std::string_view key) {
    if (const TomlValue* own = table.find(key)) return own;
    const auto defaults = draft.defaults.find("link");
    return defaults == draft.defaults.end() || defaults->second.table == nullptr ? nullptr
                                                                                 : defaults->second.table->find(key);
}

void read_link(Draft& draft, const TomlValue& table, std::set<std::string>& names) {
    if (table.type != Type::table) {
        return draft.findings.error(table.place, std::string("a link must be a table, not ") + type_name(table.type),
                                    "write [[link]]");
    }
    const TomlValue* written_name = table.find("name");
    const bool named = written_name != nullptr && written_name->type == Type::string;
    const std::string label = named ? "link '" + printable(written_name->text) + "'" : "[[link]]";
    TableSpec spec{label, table.place, "", {}, {"initiator", "responders", "key_ids"}};
    for (const auto& field : link_fields) spec.fields.push_back(&field);
    auto entries = entries_of(table, label);
    if (const auto defaults = draft.defaults.find("link");
        defaults != draft.defaults.end() && defaults->second.table != nullptr) {
        defaults->second.used = true;
        for (const auto& entry : defaults->second.table->children) {
            if (entry.key == "name" || entry.key == "initiator" || entry.key == "responders") {
                draft.findings.error(entry.key_place, "'" + entry.key + "' cannot have a default",
                                     "give it in each [[link]]");
            } else if (table.find(entry.key) == nullptr) {
                entries.push_back({&entry, "[defaults.link]"});
            }
        }
    }
    const auto values = check_table(spec, entries, draft.files, draft.findings);

    Link link;
    LinkDraft more;
    more.place = table.place;
    link.name = values.text("name");
    if (const auto* name = values.find("name");
        name != nullptr && check_name(draft, link_name, link.name, name->place)) {
        if (!names.insert(link.name).second) {
            draft.findings.error(name->place, "there are two links '" + link.name + "'",
                                 "give each link a name of its own");
        }
    }
    link.group = values.text("group");
    if (const auto* group = values.find("group")) check_name(draft, group_name, link.group, group->place);
    link.connectivity_association = values.text("connectivity_association");
    if (const auto* association = values.find("connectivity_association")) {
        check_name(draft, association_name, link.connectivity_association, association->place);
    }
    link.key_chain = "QKD_" + link.connectivity_association;
    if (const auto* chain = values.find("key_chain")) {
        link.key_chain = chain->text;
        check_name(draft, key_chain_name, link.key_chain, chain->place);
    }
    link.cipher = cipher_of(values.text("cipher"));
    link.ckn_prefix = canonical_prefix(draft, values);

    const TomlValue* initiator = table.find("initiator");
    if (initiator == nullptr) {
        draft.findings.error(table.place, "missing key 'initiator' in " + label,
                             R"(write initiator = { device = "...", interfaces = ["..."], kme = "...", sae = "..." })");
    } else {
        read_member(draft, *initiator, Role::initiator, label, link, more);
    }
    const TomlValue* responders = table.find("responders");
    if (responders == nullptr) {
        draft.findings.error(table.place, "missing key 'responders' in " + label,
                             "write responders = [ { device = ... }, ... ]");
    } else if (responders->type != Type::array) {
        wrong_type(*responders, label, "an array of tables", draft.findings);
    } else if (responders->children.empty()) {
        draft.findings.error(responders->place, "'responders' of " + label + " is empty",
                             "a link has at least one responder");
    } else {
        for (const auto& responder : responders->children)
            read_member(draft, responder, Role::responder, label, link, more);
    }
    read_key_ids(draft, link_value(draft, table, "key_ids"), label, link, more);
    draft.pipeline.links.push_back(std::move(link));
    draft.links.push_back(std::move(more));
}

}  // namespace

void read_links(Draft& draft) {
    std::set<std::string> names;
    bool any = false;
    for (const auto& root : draft.roots) {
        const TomlValue* links = root.find("link");
        if (links == nullptr) continue;
        any = true;
        if (links->type != Type::array) continue;  // already reported
        for (const auto& table : links->children) read_link(draft, table, names);
    }
    if (!any && draft.all_files_read)
        draft.findings.error({0, 1, 1}, "no [[link]]", "a pipeline works on at least one link");
}

}  // namespace qkd::engine
