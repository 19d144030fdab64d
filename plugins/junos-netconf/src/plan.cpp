// From what is and what shall be to the statements in between.
#include <algorithm>
#include <set>

#include "config_model.hpp"
#include "kme_macro.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::junos {
namespace {

using Path = std::vector<Step>;

// Chain keys are numbered 0..63: the range that every platform takes.
constexpr int slots = 64;
constexpr const char* unknown_ckn = "<ckn-of-new-key>";
constexpr const char* unknown_start = "<start-time>";

Path below(Path path, std::initializer_list<Step> more) {
    path.insert(path.end(), more.begin(), more.end());
    return path;
}

Path association_path(const MemberTarget& target) {
    return {{"security", ""}, {"macsec", ""}, {"connectivity-association", target.connectivity_association}};
}

Path chain_path(const MemberTarget& target) {
    return {{"security", ""}, {"authentication-key-chains", ""}, {"key-chain", target.key_chain}};
}

Statement set_secret(Path path, const NamedKey& key) {
    Statement statement = set_leaf(std::move(path), {});
    statement.secret = true;
    if (key.cak != nullptr) statement.hidden = hex_encode(*key.cak);
    return statement;
}

Result<void> check_key(const NamedKey& key, bool start, bool preview) {
    if (preview) return {};
    const auto defect = [](const char* what) { return Error::internal(what, ""); };
    if (key.cak == nullptr || key.cak->empty()) return defect("a key without its CAK cannot be written");
    // The schema takes 1..64 hex digits for the CAK and 2..64 for the CKN.
    if (key.cak->size() > 32) return defect("a CAK is longer than 32 octets");
    const bool hex = std::all_of(key.ckn.begin(), key.ckn.end(),
                                 [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    if (key.ckn.size() < 2 || key.ckn.size() > 64 || key.ckn.size() % 2 != 0 || !hex)
        return defect("a CKN is not an even number of 2 to 64 lower-case hex digits");
    if (start && !key.start) return defect("a chain key without its start-time");
    return {};
}

class Planner {
  public:
    Planner(const ConfigModel& now, const DeviceZone& zone) : now_(now), zone_(zone) {}

    /// Keeps the statement only when it changes something.
    void add(Statement statement) {
        if (!now_.satisfies(statement, zone_)) statements_.push_back(std::move(statement));
    }
    std::vector<Statement> take() { return std::move(statements_); }

  private:
    const ConfigModel& now_;
    const DeviceZone& zone_;
    std::vector<Statement> statements_;
};

// Does anything in [edit security macsec] name the chain? Without the target's own association if that lets go of it.
bool is_used(const ConfigModel& now, const MemberTarget& target, bool released) {
    const auto own = words_of(below(association_path(target), {{"pre-shared-key-chain", ""}}));
    return std::any_of(now.entries().begin(), now.entries().end(), [&](const Entry& entry) {
        return entry.words.back() == "pre-shared-key-chain" && entry.value == target.key_chain &&
               entry.words.front() != "inactive:" && !(released && entry.words == own);
    });
}

void plan_event(Planner& plan, const DeviceZone& zone, const InitialOptions::Event& event) {
    if (event.script.empty()) return;
    const Path top{{"event-options", ""}};
    const Path timer = below(top, {{"generate-event", "qkd-macsec"}});
    const Path policy = below(top, {{"policy", "qkd-macsec"}});
    plan.add(set_leaf(below(timer, {{"time-interval", ""}}), std::to_string(event.interval.count())));
    if (!event.start.empty()) {
        Statement start = set_leaf(below(timer, {{"start-time", ""}}), event.start);
        start.instant = zone.read_start_time(event.start);
        plan.add(std::move(start));
    }
    plan.add(set_leaf(below(policy, {{"events", ""}}), "qkd-macsec"));
    plan.add(set_entry(below(policy, {{"then", ""}, {"event-script", event.script}})));
    plan.add(
        set_leaf(below(top, {{"event-script", ""}, {"file", event.script}, {"python-script-user", ""}}), event.user));
}

}  // namespace

Result<std::vector<Statement>> plan_change(const ConfigModel& now, const DeviceZone& zone, const MemberTarget& target,
                                           const MemberChange& change, bool preview) {
    Planner plan(now, zone);
    if (change.initial != nullptr) {
        const auto* initial = dynamic_cast<const JunosEdits*>(change.initial);
        if (initial == nullptr) return Error::internal("edits of another plugin", "use one plugin per device");
        for (const auto& statement : initial->statements) plan.add(statement.copy());
    }
    const Path association = association_path(target);
    const Path chain = chain_path(target);

    std::set<std::string> used;
    for (const auto& slot : now.below(words_of(below(chain, {{"key", ""}})), true)) used.insert(slot);
    std::vector<std::string> leaving;
    for (const auto& ckn : change.remove_from_chain) {
        const std::string slot = find_slot(now, target.key_chain, ckn);
        if (!slot.empty() && std::find(leaving.begin(), leaving.end(), slot) == leaving.end()) leaving.push_back(slot);
    }
    const bool emptied = change.add_to_chain.empty() && !leaving.empty() && leaving.size() == used.size();
    for (const auto& key : change.add_to_chain) {
        QKD_TRY(check_key(key, true, preview));
        std::string slot = key.ckn.empty() ? std::string() : find_slot(now, target.key_chain, key.ckn);
        if (!slot.empty() && key.cak != nullptr) {
            Statement secret = set_secret(below(chain, {{"key", slot}, {"secret", ""}}), key);
            const Entry* there = now.leaf(secret.words());
            if (there != nullptr && !there->hidden.empty() && !now.satisfies(secret, zone))
                return Error::conflict(
                    "key chain " + target.key_chain + " key " + slot + " has the CKN " + key.ckn + " with another CAK",
                    "remove that key from the device");
        }
        for (int i = 0; slot.empty() && i < slots; ++i) {
            if (used.count(std::to_string(i)) == 0) slot = std::to_string(i);
        }
        if (slot.empty() && !leaving.empty()) {
            // Written over: to delete and to set one entry in the same load is ambiguous.
            slot = leaving.front();
            leaving.erase(leaving.begin());
            const Path entry = below(chain, {{"key", slot}});
            for (const auto& leaf : now.below(words_of(entry))) {
                if (leaf != "key-name" && leaf != "secret" && leaf != "start-time")
                    plan.add(remove_at(below(entry, {{leaf, ""}})));
            }
        }
        if (slot.empty())
            return Error::exhausted("key chain " + target.key_chain + " has no free key number in 0..63",
                                    "delete keys that are no longer used");
        used.insert(slot);
        plan.add(set_leaf(below(chain, {{"key", slot}, {"key-name", ""}}), key.ckn.empty() ? unknown_ckn : key.ckn));
        plan.add(set_secret(below(chain, {{"key", slot}, {"secret", ""}}), key));
        Statement start = set_leaf(below(chain, {{"key", slot}, {"start-time", ""}}),
                                   key.start ? zone.start_time(*key.start) : unknown_start);
        start.instant = key.start;
        plan.add(std::move(start));
    }
    // A chain without keys does not commit; one that is still named may not go: then the device says so.
    if (emptied && !change.use_chain && !is_used(now, target, change.pre_shared.has_value())) {
        plan.add(remove_at(chain));
    } else {
        for (const auto& slot : leaving) plan.add(remove_at(below(chain, {{"key", slot}})));
    }
    if (change.use_chain) {
        plan.add(remove_at(below(association, {{"pre-shared-key", ""}})));
        plan.add(set_leaf(below(association, {{"pre-shared-key-chain", ""}}), target.key_chain));
    }
    // One or the other: with both, the chain would stay in force.
    if (change.pre_shared) plan.add(remove_at(below(association, {{"pre-shared-key-chain", ""}})));
    for (const auto& [key, element] :
         {std::pair{&change.pre_shared, "pre-shared-key"}, std::pair{&change.fallback, "fallback-key"}}) {
        if (!*key) continue;
        QKD_TRY(check_key(**key, false, preview));
        plan.add(set_leaf(below(association, {{element, ""}, {"ckn", ""}}),
                          (*key)->ckn.empty() ? unknown_ckn : (*key)->ckn));
        plan.add(set_secret(below(association, {{element, ""}, {"cak", ""}}), **key));
    }
    return plan.take();
}

std::vector<Statement> plan_initial(const ConfigModel& now, const DeviceZone& zone, const MemberTarget& target,
                                    const InitialOptions& options) {
    Planner plan(now, zone);
    const Path association = association_path(target);
    plan.add(set_leaf(below(association, {{"cipher-suite", ""}}), to_string(target.cipher)));
    plan.add(set_leaf(below(association, {{"security-mode", ""}}), "static-cak"));
    if (target.lldp_in_clear) plan.add(set_entry(below(association, {{"exclude-protocol", "lldp"}})));
    for (const auto& name : target.interfaces) {
        const Path interface {
            {"security", ""}, {"macsec", ""}, { "interfaces", name }
        };
        if (options.kme_macro && !target.kme.host.empty()) {
            for (auto& statement : macro_statements(now, name, target.kme)) plan.add(std::move(statement));
        }
        plan.add(set_leaf(below(interface, {{"connectivity-association", ""}}), target.connectivity_association));
        const bool everywhere = now.has({"protocols", "lldp", "interface", "all"});
        if (target.lldp_in_clear && !everywhere)
            plan.add(set_entry({{"protocols", ""}, {"lldp", ""}, {"interface", name}}));
    }
    const auto map = [&](const std::string& name, const std::string& address) {
        const char* family = address.find(':') != std::string::npos ? "inet6" : "inet";
        plan.add(set_leaf({{"system", ""}, {"static-host-mapping", name}, {family, ""}}, address));
    };
    if (options.host_mapping) {
        if (!target.kme.address.empty() && target.kme.address != target.kme.host)
            map(target.kme.host, target.kme.address);
        for (const auto& mapping : options.mappings) map(mapping.name, mapping.address);
    }
    plan_event(plan, zone, options.event);
    return plan.take();
}

}  // namespace qkd::junos
