// Tells our own words in the macro from those of others.
#include "kme_macro.hpp"

#include <array>
#include <map>

namespace qkd::junos {
namespace {

constexpr const char* record_name = "written-by-qkd-macsec";

using Values = std::map<std::string, std::string>;

std::vector<std::string> macro_words(const std::string& interface_name) {
    return {"security", "macsec", "interfaces", interface_name, "apply-macro", "qkd"};
}

std::string value_of(const ConfigModel& now, const std::string& interface_name, const std::string& name) {
    auto words = macro_words(interface_name);
    words.push_back(name);
    return now.value(words);
}

/// "kme-ca=true kme-port=443".
Values read_record(const ConfigModel& now, const std::string& interface_name) {
    Values written;
    const std::string text = value_of(now, interface_name, record_name);
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find(' ', at), text.size());
        const std::string item = text.substr(at, end - at);
        if (const auto equals = item.find('='); equals != std::string::npos)
            written[item.substr(0, equals)] = item.substr(equals + 1);
        at = end + 1;
    }
    return written;
}

Statement set_value(const std::string& interface_name, const std::string& name, const std::string& value) {
    return set_leaf({{"security", ""},
                     {"macsec", ""},
                     {"interfaces", interface_name},
                     {"apply-macro", "qkd"},
                     {"data", name},
                     {"value", ""}},
                    value);
}

}  // namespace

std::vector<Statement> macro_statements(const ConfigModel& now, const std::string& interface_name, const KmeInfo& kme) {
    std::vector<Statement> statements;
    Values written = read_record(now, interface_name);
    const std::array<std::pair<const char*, std::string>, 4> ours{{{"kme-ca", "true"},
                                                                   {"kme-keyid-check", "true"},
                                                                   {"kme-method", kme.method},
                                                                   {"kme-port", std::to_string(kme.port)}}};
    for (const auto& [name, wanted] : ours) {
        const std::string there = value_of(now, interface_name, name);
        const auto before = written.find(name);
        if (!there.empty() && (before == written.end() || before->second != there)) continue;
        written[name] = wanted;
        statements.push_back(set_value(interface_name, name, wanted));
    }
    statements.push_back(set_value(interface_name, "kme-host", kme.host));
    std::string record;
    for (const auto& [name, value] : written) {
        record += record.empty() ? "" : " ";
        record += name;
        record += "=";
        record += value;
    }
    if (!record.empty()) statements.push_back(set_value(interface_name, record_name, record));
    return statements;
}

std::vector<KmeOverride> read_overrides(const ConfigModel& now, const MemberTarget& target) {
    std::vector<KmeOverride> overrides;
    for (const auto& name : target.interfaces) {
        const Values written = read_record(now, name);
        const auto theirs = [&](const char* key) {
            std::string there = value_of(now, name, key);
            const auto ours = written.find(key);
            if (ours != written.end() && ours->second == there) there.clear();
            return there;
        };
        KmeOverride one{name, theirs("kme-method"), theirs("kme-port"), theirs("kme-ca"), theirs("kme-keyid-check")};
        if (!one.method.empty() || !one.port.empty() || !one.ca.empty() || !one.keyid_check.empty())
            overrides.push_back(std::move(one));
    }
    return overrides;
}

}  // namespace qkd::junos
