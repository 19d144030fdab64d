// Committing: the checks a commit makes, and the confirmed-commit rules.
#include "commit.hpp"

#include <algorithm>
#include <set>

#include "clock.hpp"
#include "util.hpp"

namespace qkd::junossim {

namespace {

class Checker {
  public:
    explicit Checker(const Node& configuration) : configuration_(configuration) {}

    std::vector<Issue> run() {
        const Node* macsec = configuration_.at({"security", "macsec"});
        for (const auto& c : macsec == nullptr ? std::vector<Node>{} : macsec->children) {
            if (c.schema->name == "connectivity-association") association(c);
            if (c.schema->name == "interfaces") interface(c, *macsec);
        }
        const Node* chains = configuration_.at({"security", "authentication-key-chains"});
        for (const auto& c : chains == nullptr ? std::vector<Node>{} : chains->children) {
            const auto is_key = [](const Node& node) { return node.schema->name == "key"; };
            if (std::any_of(c.children.begin(), c.children.end(), is_key)) continue;
            error("security authentication-key-chains key-chain " + c.value, "missing mandatory statement: key", "key");
        }
        return std::move(issues_);
    }

  private:
    void error(const std::string& path, const std::string& message, const std::string& bad) {
        issues_.push_back({false, "[edit " + path + "]", message, bad, "operation-failed"});
    }

    void interface(const Node& port, const Node& macsec) {
        const std::string ca = port.leaf("connectivity-association");
        if (ca.empty() || macsec.find("connectivity-association", ca) != nullptr) return;
        error("security macsec interfaces " + port.value, "connectivity association " + ca + " is not defined",
              "connectivity-association");
    }

    void association(const Node& ca) {
        const std::string path = "security macsec connectivity-association " + ca.value;
        const Node* primary = ca.find("pre-shared-key");
        const Node* fallback = ca.find("fallback-key");
        const std::string chain = ca.leaf("pre-shared-key-chain");
        if (ca.leaf("security-mode") == "static-cak" && primary == nullptr && fallback == nullptr && chain.empty()) {
            error(path, "pre-shared key or fallback-key or pre-shared-key-chain required", ca.value);
        }
        for (const Node* key : {primary, fallback}) {
            if (key == nullptr) continue;
            const std::string below = path + " " + key->schema->name;
            for (const char* part : {"ckn", "cak"}) {
                if (key->leaf(part).empty()) error(below, std::string("missing mandatory statement: ") + part, part);
            }
            key_material(below, key->leaf("ckn"), key->leaf("cak"), key->schema->name + " ckn");
        }
        if (primary != nullptr && fallback != nullptr && lower(primary->leaf("ckn")) == lower(fallback->leaf("ckn"))) {
            error(path + " fallback-key", "fallback-key ckn must differ from pre-shared-key ckn", "ckn");
        }
        if (!chain.empty()) key_chain(path, chain);
    }

    void key_chain(const std::string& path, const std::string& name) {
        const Node* chain = configuration_.at({"security", "authentication-key-chains", "key-chain", name});
        if (chain == nullptr) {
            error(path, "authentication-key-chains not defined", name);
            return;
        }
        const std::string chain_path = "security authentication-key-chains key-chain " + name;
        std::set<Millis> starts;
        for (const auto& key : chain->children) {
            if (key.schema->name != "key") continue;
            const std::string below = chain_path + " key " + key.value;
            for (const char* part : {"key-name", "secret"}) {
                if (key.leaf(part).empty()) error(below, std::string("missing mandatory statement: ") + part, part);
            }
            key_material(below, key.leaf("key-name"), key.leaf("secret"), "key-name");
            if (!starts.insert(parse_start_time(key.leaf("start-time"), "UTC").value_or(StartTime{}).at).second) {
                error(below, "duplicate start-time in key-chain " + name, "start-time");
            }
        }
    }

    void key_material(const std::string& path, const std::string& ckn, const std::string& cak,
                      const std::string& what) {
        if (!is_hex(cak)) error(path, "key format must be hex digits", "cak");
        if (ckn.empty() || ckn.size() == 64) return;
        issues_.push_back({true, "[edit " + path + "]",
                           "To maximize security, recommend configuring all 64 hexadecimal digits of " + what, "",
                           "operation-failed"});
    }

    const Node& configuration_;
    std::vector<Issue> issues_;
};

}  // namespace

std::vector<Issue> check_configuration(const Node& configuration) {
    return Checker(configuration).run();
}

std::vector<Issue> commit(Device& device, const Node& configuration, const CommitRequest& request) {
    auto issues = check_configuration(configuration);
    if (std::any_of(issues.begin(), issues.end(), [](const Issue& i) { return !i.warning; })) {
        issues.push_back({false, "", "configuration check-out failed", "", "operation-failed"});
        return issues;
    }
    if (request.check_only) {
        device.confirm_pending();
        return issues;
    }
    HistoryEntry entry{"", 0, request.user, request.client, "", request.log};
    if (request.confirm_within) {
        const Millis minutes = (*request.confirm_within + 59999) / 60000;
        entry.comment = "commit confirmed, rollback in " + std::to_string(minutes) + "mins";
    }
    device.commit(configuration, std::move(entry), request.confirm_within, request.pid);
    return issues;
}

}  // namespace qkd::junossim
