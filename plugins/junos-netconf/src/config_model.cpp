// Flattening, look-up and comparison of configurations.
#include "config_model.hpp"

#include <algorithm>
#include <charconv>

#include "junos_secret.hpp"
#include "kme_macro.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::junos {
namespace {

using Words = std::vector<std::string>;

bool secret_leaf(std::string_view name, std::string_view value) {
    return name == "secret" || name == "cak" || value.starts_with("$9$") || value.starts_with("$8$");
}

/// Read back without leading zeros and with the zone: compared as an instant.
bool is_start_time(const Words& words) {
    return words.size() > 2 && words.back() == "start-time" &&
           (words[1] == "authentication-key-chains" || words[1] == "generate-event");
}

/// Hex digits, upper or lower case.
bool is_key_name(const Words& words) {
    return words.size() > 2 && words.front() == "security" && (words.back() == "key-name" || words.back() == "ckn");
}

std::string joined(const Words& words) {
    std::string out;
    for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
    return out;
}

bool same_value(const Entry& entry, const Statement& statement, const DeviceZone& zone) {
    if (statement.secret != entry.secret) return false;
    if (statement.secret) {
        if (statement.hidden.empty()) return false;
        const SecretBytes octets = configured_cak(entry.hidden.reveal_text());
        return statement.hidden.same_as(entry.hidden) ||
               (!octets.empty() && octets.same_as(configured_cak(statement.hidden.reveal_text())));
    }
    if (is_key_name(entry.words)) return canonical_hex(entry.value) == canonical_hex(statement.value);
    if (statement.instant && is_start_time(entry.words)) return zone.read_start_time(entry.value) == statement.instant;
    return entry.value == statement.value;
}

}  // namespace

ConfigModel::ConfigModel(pugi::xml_node configuration) {
    Words words;
    for (auto node = configuration.first_child(); node; node = node.next_sibling()) collect(node, words, {}, 0, false);
}

void ConfigModel::collect(pugi::xml_node node, Words& words, const std::string& parent, std::size_t depth,
                          bool inactive) {
    // junos:comment and the like are no statements.
    if (node.type() != pugi::node_element || std::string_view(node.name()).starts_with("junos:")) return;
    const std::string element(local_name(node));
    const std::size_t before = words.size();
    inactive = inactive || !attribute(node, "inactive").empty();
    if (!is_silent(parent, element, depth)) words.push_back(element);

    const auto name = child(node, "name");
    bool children = false;
    for (auto below = node.first_child(); below; below = below.next_sibling())
        children = children || below.type() == pugi::node_element;
    if (name) words.emplace_back(text_of(name));
    bool collected = false;
    for (auto below = node.first_child(); below; below = below.next_sibling()) {
        if (below == name || below.type() != pugi::node_element) continue;
        collect(below, words, element, depth + 1, inactive);
        collected = true;
    }
    if (!collected) {
        Entry entry;
        entry.words = words;
        if (inactive) entry.words.insert(entry.words.begin(), "inactive:");
        if (!children) {
            const auto value = text_of(node);
            entry.secret = secret_leaf(element, value);
            if (entry.secret) {
                entry.hidden = reveal_configured(value);
            } else {
                entry.value = value;
            }
        }
        entries_.push_back(std::move(entry));
    }
    words.resize(before);
}

const Entry* ConfigModel::leaf(const Words& words) const {
    for (const auto& entry : entries_) {
        if (entry.words == words) return &entry;
    }
    return nullptr;
}

std::string ConfigModel::value(const Words& words) const {
    const Entry* entry = leaf(words);
    return entry == nullptr ? std::string() : entry->value;
}

bool ConfigModel::has(const Words& words) const {
    return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        if (begins_with(entry.words, words)) return true;
        // A list entry may be written as a leaf with the name as its value.
        Words all = entry.words;
        all.push_back(entry.value);
        return all == words;
    });
}

std::vector<std::string> ConfigModel::below(const Words& words, bool inactive) const {
    Words out;
    for (const auto& entry : entries_) {
        Words all = entry.words;
        if (inactive && !all.empty() && all.front() == "inactive:") all.erase(all.begin());
        if (!begins_with(all, words)) continue;
        const std::string next = all.size() > words.size() ? all[words.size()] : entry.value;
        if (!next.empty() && std::find(out.begin(), out.end(), next) == out.end()) out.push_back(next);
    }
    return out;
}

bool ConfigModel::satisfies(const Statement& statement, const DeviceZone& zone) const {
    const Words words = statement.words();
    if (statement.remove) return !has(words);
    if (!statement.secret && statement.value.empty()) return has(words);
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const Entry& entry) { return entry.words == words && same_value(entry, statement, zone); });
}

void fill_state(const ConfigModel& model, const DeviceZone& zone, const MemberTarget& target, MemberState& state) {
    const Words association{"security", "macsec", "connectivity-association", target.connectivity_association};
    const auto at = [](Words words, std::initializer_list<const char*> more) {
        words.insert(words.end(), more.begin(), more.end());
        return words;
    };
    state.association_exists = model.has(association);
    state.uses_chain = model.value(at(association, {"pre-shared-key-chain"})) == target.key_chain;
    for (const auto& name : model.below({"security", "macsec", "interfaces"})) {
        if (model.value({"security", "macsec", "interfaces", name, "connectivity-association"}) ==
            target.connectivity_association)
            state.bound_interfaces.push_back(name);
    }
    state.kme_overrides = read_overrides(model, target);
    const auto cak_of = [&](const Words& words) {
        const Entry* entry = model.leaf(words);
        if (entry == nullptr) return SecretBytes();
        return configured_cak(entry->hidden.reveal_text());
    };
    const Words chain{"security", "authentication-key-chains", "key-chain", target.key_chain, "key"};
    std::vector<std::string> slots = model.below(chain);
    const auto number = [](const std::string& slot) {
        unsigned long value = 0;
        std::from_chars(slot.data(), slot.data() + slot.size(), value);
        return value;
    };
    std::stable_sort(slots.begin(), slots.end(), [&](const auto& a, const auto& b) { return number(a) < number(b); });
    for (const auto& slot : slots) {
        const Words key = at(chain, {slot.c_str()});
        ConfiguredKey configured;
        configured.place = KeyPlace::chain;
        configured.slot = slot;
        configured.ckn = canonical_hex(model.value(at(key, {"key-name"})));
        configured.cak = cak_of(at(key, {"secret"}));
        configured.start = zone.read_start_time(model.value(at(key, {"start-time"})));
        state.keys.push_back(std::move(configured));
    }
    for (const auto& [element, place] :
         {std::pair{"pre-shared-key", KeyPlace::pre_shared}, std::pair{"fallback-key", KeyPlace::fallback}}) {
        const Words key = at(association, {element});
        if (!model.has(key)) continue;
        ConfiguredKey configured;
        configured.place = place;
        configured.ckn = canonical_hex(model.value(at(key, {"ckn"})));
        configured.cak = cak_of(at(key, {"cak"}));
        state.keys.push_back(std::move(configured));
    }
}

std::string find_slot(const ConfigModel& model, const std::string& key_chain, const std::string& ckn) {
    const Words chain{"security", "authentication-key-chains", "key-chain", key_chain, "key"};
    for (const auto& slot : model.below(chain)) {
        Words name = chain;
        name.push_back(slot);
        name.emplace_back("key-name");
        if (canonical_hex(model.value(name)) == canonical_hex(ckn)) return slot;
    }
    return {};
}

std::string find_deviation(const ConfigModel& before, const ConfigModel& candidate, const DeviceZone& zone,
                           const std::vector<Statement>& statements) {
    std::vector<std::pair<const Statement*, Words>> ours;
    ours.reserve(statements.size());
    for (const auto& statement : statements) ours.emplace_back(&statement, statement.words());

    for (const auto& statement : statements) {
        // A delete may be followed by a set below it.
        const bool set_again = statement.remove && std::any_of(ours.begin(), ours.end(), [&](const auto& other) {
                                   return !other.first->remove && begins_with(other.second, statement.words());
                               });
        if (!set_again && !candidate.satisfies(statement, zone)) return joined(statement.words());
    }
    // What none of our statements touches must stand as before.
    const auto untouched = [&](const Entry& entry) {
        return std::none_of(ours.begin(), ours.end(), [&](const auto& one) {
            const auto& [statement, words] = one;
            if (begins_with(entry.words, words)) return true;
            if (!entry.value.empty() || entry.secret) {
                Words all = entry.words;
                all.push_back(entry.value);
                return all == words;
            }
            // An empty container on our way may come or go.
            return begins_with(words, entry.words);
        });
    };
    const auto same = [](const Entry& a, const Entry& b) {
        return a.words == b.words && a.value == b.value && a.secret == b.secret && a.hidden.same_as(b.hidden);
    };
    const auto missing_in = [&](const ConfigModel& from, const ConfigModel& in) -> const Entry* {
        std::vector<const Entry*> rest;
        for (const auto& entry : in.entries()) rest.push_back(&entry);
        for (const auto& entry : from.entries()) {
            if (!untouched(entry)) continue;
            const auto found =
                std::find_if(rest.begin(), rest.end(), [&](const Entry* other) { return same(entry, *other); });
            if (found == rest.end()) return &entry;
            rest.erase(found);
        }
        return nullptr;
    };
    if (const Entry* gone = missing_in(before, candidate)) return joined(gone->words);
    if (const Entry* extra = missing_in(candidate, before)) return joined(extra->words);
    return {};
}

}  // namespace qkd::junos
