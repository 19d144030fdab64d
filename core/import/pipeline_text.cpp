// TOML from an inventory, as a person would write it.
#include "import/pipeline_text.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include "engine/base/display.hpp"

namespace qkd::inventory {
namespace {

/// A TOML basic string.
std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

/// A key: bare where it may be.
std::string key(const std::string& name) {
    const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    return bare ? name : toml_string(name);
}

std::string line(const char* name, const std::string& value) {
    return std::string(name) + " = " + toml_string(value) + "\n";
}

std::string stage(const char* kind) {
    return std::string("\n[[stage]]\nkind = \"") + kind + "\"\n";
}

std::string url_of(const Kme& kme) {
    std::string host = kme.host;
    if (host.find(':') != std::string::npos) host = "[" + host + "]";
    return "https://" + host + (kme.port == 443 ? "" : ":" + std::to_string(kme.port)) + kme.path;
}

/// KMEs by what is behind their table: members that ask the same one share it.
class Kmes {
  public:
    explicit Kmes(const std::vector<Target>& members) {
        for (const auto& member : members) add(member.kme);
    }
    [[nodiscard]] const std::string& name_of(const Kme& kme) const { return names_.at(identity(kme)); }
    [[nodiscard]] std::string tables() const { return tables_; }

  private:
    static std::string identity(const Kme& kme) { return url_of(kme) + " " + kme.bears; }

    void add(const Kme& kme) {
        if (names_.contains(identity(kme))) return;
        std::string stem = pipeline_name(kme.label);
        std::string name = stem;
        for (int number = 2; taken(name); ++number) name = stem + "-" + std::to_string(number);
        names_[identity(kme)] = name;
        tables_ += "[kme." + key(name) + "]\n" + line("url", url_of(kme));
        if (!kme.bears.empty()) tables_ += line("expected_kme_name", kme.bears);
        tables_ += "\n";
    }
    [[nodiscard]] bool taken(const std::string& name) const {
        return std::any_of(names_.begin(), names_.end(), [&](const auto& entry) { return entry.second == name; });
    }

    std::map<std::string, std::string> names_;
    std::string tables_;
};

std::string header(const PipelineOptions& options, const std::vector<engine::Finding>& notes) {
    std::string text = "# Made by `qkd-macsec import` from " + engine::one_line(options.source) +
                       ", an inventory of the Python script.\n"
                       "# Before the first run:\n"
                       "#   the host keys of the devices belong into " +
                       engine::one_line(options.known_hosts) +
                       " (ssh-keyscan, then compare the fingerprints on the devices)\n"
                       "#   qkd-macsec check FILE, then check FILE --online, then plan FILE\n";
    if (!notes.empty()) text += "#\n# Not carried over as it stood:\n";
    for (const auto& note : notes) {
        text += "#   line " + std::to_string(note.line) + ": " + engine::one_line(note.what);
        if (!note.allowed.empty()) text += "; " + engine::one_line(note.allowed);
        text += "\n";
    }
    return text + "schema = 1\n";
}

std::string certs_stage(const Inventory& inventory, const PipelineOptions& options) {
    std::string text =
        stage("certs") + line("plugin", "certs-x509") +
        "directory = \"certs\"                    # root.crt, then {sae}.crt and {sae}.key of each member\n";
    switch (inventory.ca) {
        case CaSource::provided: text += "ca = \"provided\"\n"; break;
        case CaSource::generate: text += "ca = \"generate\"\n"; break;
        case CaSource::fetch:
            text += "ca = \"fetch\"\n" + line("ca_host", inventory.ca_host) + line("ca_user", inventory.ca_user);
            if (!options.ca_password.empty()) text += line("ca_password", options.ca_password);
            text += line("ca_known_hosts", options.known_hosts) + line("ca_cert_file", inventory.ca_cert_file);
            if (!inventory.ca_key_file.empty()) text += line("ca_key_file", inventory.ca_key_file);
            break;
    }
    return text + "min_valid_days = 10\n";
}

std::string member(const Target& target, const Kmes& kmes) {
    std::string text = "{ device = " + toml_string(target.name) + ", interfaces = [";
    for (std::size_t i = 0; i < target.interfaces.size(); ++i) {
        text += (i == 0 ? "" : ", ") + toml_string(target.interfaces[i]);
    }
    return text + "], kme = " + toml_string(kmes.name_of(target.kme)) + ", sae = " + toml_string(target.name) + " }";
}

std::string devices(const Inventory& inventory, const PipelineOptions& options) {
    // The port that most have is the default.
    std::map<unsigned, std::size_t> ports;
    for (const auto& target : inventory.members) ++ports[target.port];
    const auto most =
        std::max_element(ports.begin(), ports.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    std::string text =
        "\n[defaults.device]\n" + line("plugin", "junos-netconf") + "port = " + std::to_string(most->first) +
        (most->first == 22 ? "                              # NETCONF through the SSH server, as the script\n" : "\n") +
        line("user", inventory.user);
    if (!options.ssh_key.empty()) text += line("ssh_key", options.ssh_key);
    if (!options.device_password.empty()) text += line("password", options.device_password);
    text += line("known_hosts", options.known_hosts) + "\n";
    for (const auto& target : inventory.members) {
        text += "[device." + key(target.name) + "]\n" + line("host", target.host);
        if (target.port != most->first) text += "port = " + std::to_string(target.port) + "\n";
    }
    return text;
}

std::string link(const Inventory& inventory, const Kmes& kmes) {
    std::string name;
    for (const auto& target : inventory.members) name += (name.empty() ? "" : "--") + target.name;
    constexpr std::size_t longest_link_name = 128;
    if (name.size() > longest_link_name) name = inventory.members.front().name + "--all";
    std::string text = "[[link]]\n" + line("name", name) + line("connectivity_association", inventory.association) +
                       line("cipher", "gcm-aes-xpn-256") + "initiator = " + member(inventory.members.front(), kmes) +
                       "\nresponders = [\n";
    for (std::size_t i = 1; i < inventory.members.size(); ++i)
        text += "  " + member(inventory.members[i], kmes) + ",\n";
    return text + "]\nkey_ids = { plugin = \"keyid-memory\" }   # one process drives all members, so nothing travels\n";
}

}  // namespace

std::string pipeline_name(const std::filesystem::path& file) {
    const auto letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    std::string name = file.filename().string();
    for (char& c : name) {
        if (!letter(c) && c != '.' && c != '_' && c != '-') c = '-';
    }
    name.erase(0, static_cast<std::size_t>(std::find_if(name.begin(), name.end(), letter) - name.begin()));
    constexpr std::size_t longest = 60;
    return name.empty() ? "imported" : name.substr(0, longest);
}

std::string pipeline_text(const Inventory& inventory, const PipelineOptions& options,
                          const std::vector<engine::Finding>& notes) {
    const Kmes kmes(inventory.members);
    std::string text = header(options, notes) + "\n[pipeline]\n" + line("name", options.name) +
                       "mode = \"offbox\"\nstate = \"state\"\n";
    if (!options.seal_key.empty()) text += line("seal_key", options.seal_key);
    if (inventory.threads) {
        text += "parallel = " + std::to_string(*inventory.threads) +
                "                           # links at once; the script's maxthreads counted devices\n";
    }
    text += stage("connect") + "timeout = \"20s\"\nretry = { attempts = 3, backoff = \"2s\" }\n";
    text += certs_stage(inventory, options);
    text += stage("initial-config") + stage("key-source") + stage("key-id-transport");
    text +=
        stage("commit") +
        "rollover = \"key-chain\"                 # scheduled and hitless; the first run carries the present key "
        "along.\n"
        "                                       # \"pre-shared-key\" replaces the key in place, as the script did\n";
    text += stage("persist") + line("plugin", "persist-file");
    text += devices(inventory, options);
    text += "\n[defaults.kme]\n" + line("plugin", "kme-etsi014") + line("ca", "certs/root.crt") +
            line("cert", "certs/{sae}.crt") + line("key", "file:certs/{sae}.key") + "\n";
    return text + kmes.tables() + link(inventory, kmes);
}

}  // namespace qkd::inventory
