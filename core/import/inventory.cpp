// Reads the tables of the script's inventory.
#include "import/inventory.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "engine/base/text.hpp"
#include "engine/pipeline/finding.hpp"

namespace qkd::inventory {
namespace {

using engine::join;
using engine::nearest;
using engine::printable;
using Type = Node::Type;

const char* type_name(const Node& node) {
    switch (node.type) {
        case Type::nothing: return "nothing";
        case Type::scalar: return "a single value";
        case Type::list: return "a list";
        case Type::map: return "a map";
    }
    return "something else";
}

bool is_address(const std::string& text) {
    std::array<unsigned char, sizeof(in6_addr)> ignored{};
    return inet_pton(AF_INET, text.c_str(), ignored.data()) == 1 ||
           inet_pton(AF_INET6, text.c_str(), ignored.data()) == 1;
}

/// Names of devices, hosts and files go into TOML, messages and commands: letters, digits and a few marks.
bool is_plain(std::string_view text, std::string_view marks, std::size_t longest) {
    const auto letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !text.empty() && text.size() <= longest && letter(text.front()) &&
           std::all_of(text.begin(), text.end(),
                       [&](char c) { return letter(c) || marks.find(c) != std::string_view::npos; });
}

class Reader {
  public:
    Reader(const Node& root, const std::filesystem::path& shown) : root_(root), files_{{shown.string(), {}}} {}

    Reading read() {
        Reading reading;
        if (root_.type != Type::map) {
            findings_.error(root_.place, "the inventory is " + std::string(type_name(root_)) + ", not a map",
                            "it begins with system:, secrets:, CA_server:, qkd_roles: and one table for each device");
        } else if (root_.find("topology") != nullptr || root_.find("links") != nullptr) {
            findings_.error(root_.place, "this inventory lists links: it belongs to a later version of the script",
                            "only the one with secrets, CA_server, qkd_roles and a table for each device can be read");
        } else {
            arrange();
            system();
            secrets();
            ca_server();
            devices();
            roles();
        }
        reading.inventory = std::move(inventory_);
        reading.findings = std::move(findings_).take(files_);
        return reading;
    }

  private:
    /// Sorts the top level. In copies of the script's manual the indentation got lost here and there: the keys of
    /// CA_server and of kme then stand at the top, right behind the table they belong to.
    void arrange() {
        Node* last = nullptr;  // device that a stray kme belongs to
        for (const auto& entry : root_.children) {
            if (entry.key == "kme" && last != nullptr && last->find("kme") == nullptr) {
                findings_.warning(entry.key_place,
                                  "kme at the top of the file: taken as part of " + printable(last->key), "");
                last->children.push_back(entry);
            } else if (std::find(ca_keys.begin(), ca_keys.end(), entry.key) != ca_keys.end() && stray_ca(entry)) {
                continue;
            } else if (top_.find(entry.key) != nullptr) {
                findings_.error(entry.key_place, "'" + printable(entry.key) + "' is there a second time",
                                "the first one is in line " + std::to_string(top_.find(entry.key)->key_place.line));
            } else {
                top_.children.push_back(entry);
                const bool device = std::find(sections.begin(), sections.end(), entry.key) == sections.end();
                last = device ? &top_.children.back() : nullptr;
            }
        }
    }

    bool stray_ca(const Node& entry) {
        for (auto& table : top_.children) {
            if (table.key != "CA_server" || (table.type != Type::nothing && !stray_)) continue;
            if (!stray_) {
                findings_.warning(entry.key_place,
                                  "the keys of CA_server stand at the top of the file: taken as its own", "");
            }
            stray_ = true;
            table.type = Type::map;
            table.children.push_back(entry);
            return true;
        }
        return false;
    }

    /// The table of that name with each key once, or null. `needed` makes its absence an error.
    const Node* section(std::string_view name, bool needed) {
        const Node* table = top_.find(name);
        if (table == nullptr || table->type == Type::nothing) {
            if (needed) {
                findings_.error(table == nullptr ? FilePlace{} : table->place,
                                "there is no '" + std::string(name) + "'",
                                "an inventory has system, secrets, CA_server, qkd_roles and its devices");
            }
            return nullptr;
        }
        return is_table(*table) ? table : nullptr;
    }

    bool is_table(const Node& node) {
        if (node.type != Type::map) {
            findings_.error(node.place, "'" + printable(node.key) + "' is " + type_name(node) + ", not a map", "");
            return false;
        }
        std::set<std::string_view> seen;
        for (const auto& child : node.children) {
            if (seen.insert(child.key).second) continue;
            findings_.error(child.key_place,
                            "'" + printable(child.key) + "' is there a second time in '" + printable(node.key) + "'",
                            "");
        }
        return true;
    }

    void known(const Node& table, const std::vector<std::string>& keys) {
        for (const auto& child : table.children) {
            if (std::find(keys.begin(), keys.end(), child.key) != keys.end()) continue;
            const auto near = nearest(child.key, keys);
            findings_.warning(
                child.key_place,
                "'" + printable(child.key) + "' in '" + printable(table.key) + "' is not known and is left out",
                near.empty() ? "" : "did you mean '" + near + "'?");
        }
    }

    /// The text of a key, or "" with an error when there is none and it is needed.
    std::string text(const Node& table, std::string_view key, bool needed) {
        const Node* node = table.find(key);
        if (node == nullptr || node->type == Type::nothing || (node->type == Type::scalar && node->text.empty())) {
            if (needed) {
                findings_.error(node == nullptr ? table.place : node->place,
                                "'" + printable(table.key) + "' has no " + std::string(key), "");
            }
            return {};
        }
        if (node->type != Type::scalar) {
            findings_.error(node->place, "'" + std::string(key) + "' is " + type_name(*node) + ", not a single value",
                            "");
            return {};
        }
        const std::string value(node->view());
        if (value.size() > longest_text ||
            std::any_of(value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
            findings_.error(node->place, "'" + std::string(key) + "' is too long or holds control characters", "");
            return {};
        }
        return value;
    }

    std::string plain(const Node& table, std::string_view key, bool needed, std::string_view marks) {
        std::string value = text(table, key, needed);
        if (value.empty() || is_plain(value, marks, longest_name)) return value;
        findings_.error(table.find(key)->place, "'" + std::string(key) + "' cannot be '" + printable(value) + "'",
                        "letters, digits and " + std::string(marks));
        return {};
    }

    /// An address or a host name.
    std::string host(const Node& table, std::string_view key) {
        std::string value = text(table, key, true);
        if (value.empty() || is_address(value) || is_plain(value, ".-", longest_host)) return value;
        findings_.error(table.find(key)->place, "'" + std::string(key) + "' is neither an address nor a host name", "");
        return {};
    }

    /// Straight from the file's tree into memory that is wiped; never through a message.
    SecretBytes secret(const Node& table, std::string_view key) {
        const Node* node = table.find(key);
        if (node == nullptr || node->type == Type::nothing) return {};
        if (node->type != Type::scalar) {
            findings_.error(node->place, "'" + std::string(key) + "' is " + type_name(*node) + ", not a single value",
                            "");
            return {};
        }
        const auto value = node->view();
        if (value.find('\0') != std::string_view::npos || value.find('\n') != std::string_view::npos) {
            findings_.error(node->place, "'" + std::string(key) + "' holds a line end or NUL", "");
            return {};
        }
        return SecretBytes(value);
    }

    bool flag(const Node& table, std::string_view key) {
        std::string value = text(table, key, false);
        std::transform(value.begin(), value.end(), value.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (value == "true" || value == "yes" || value == "on") return true;
        if (!value.empty() && value != "false" && value != "no" && value != "off") {
            findings_.error(table.find(key)->place, "'" + std::string(key) + "' is neither true nor false", "");
        }
        return false;
    }

    unsigned number(const Node& table, std::string_view key, unsigned most, unsigned otherwise) {
        const std::string value = text(table, key, false);
        if (value.empty()) return otherwise;
        const auto parsed = engine::parse_integer(value);
        if (parsed && *parsed >= 1 && *parsed <= most) return static_cast<unsigned>(*parsed);
        findings_.error(table.find(key)->place, "'" + std::string(key) + "' is no number in 1.." + std::to_string(most),
                        "");
        return otherwise;
    }

    void system() {
        const Node* table = section("system", false);
        if (table == nullptr) return;
        known(*table, {"maxthreads", "event_options"});
        if (table->find("maxthreads") != nullptr) inventory_.threads = number(*table, "maxthreads", 10'000, 1);
        const Node* event = table->find("event_options");
        if (event == nullptr || event->type == Type::nothing || !is_table(*event)) return;
        known(*event, {"start_time"});
        if (const Node* start = event->find("start_time"); start != nullptr) {
            findings_.warning(start->key_place, "start_time is not carried over: a pipeline does not schedule itself",
                              "run it by a systemd timer, by cron or by a router's event-options, see dist/");
        }
    }

    void secrets() {
        const Node* table = section("secrets", true);
        if (table == nullptr) return;
        known(*table, {"username", "password"});
        inventory_.user = plain(*table, "username", true, "._@+-");
        inventory_.password = secret(*table, "password");
    }

    void ca_server() {
        const Node* table = section("CA_server", true);
        if (table == nullptr) return;
        known(*table, {ca_keys.begin(), ca_keys.end()});
        inventory_.association = plain(*table, "c_a", true, "._-");
        if (inventory_.association.size() > longest_association) {
            findings_.error(table->find("c_a")->place, "'c_a' is longer than 32 characters", "");
        }
        bool fetch = false;
        bool generate = false;
        if (const Node* cert = table->find("CA_cert");
            cert != nullptr && cert->type != Type::nothing && is_table(*cert)) {
            known(*cert, {"fetch", "generate"});
            fetch = flag(*cert, "fetch");
            generate = flag(*cert, "generate");
        }
        inventory_.ca = fetch ? CaSource::fetch : generate ? CaSource::generate : CaSource::provided;
        if (!fetch) {
            if (table->find("ca_server_ip") != nullptr) {
                findings_.warning(table->find("ca_server_ip")->key_place,
                                  "the CA server and its password are not carried over: nothing is fetched from it",
                                  "with CA_cert: fetch: true they would be");
            }
            if (inventory_.ca == CaSource::provided) {
                findings_.warning(
                    table->place, "the CA is brought by hand, as with the script",
                    "put its certificate into certs/root.crt and, for renewals, its key into certs/root.key "
                    "(0600), beside the pipeline");
            }
            return;
        }
        inventory_.ca_host = host(*table, "ca_server_ip");
        inventory_.ca_user = plain(*table, "ca_user", true, "._@+-");
        inventory_.ca_password = secret(*table, "ca_pass");
        std::string folder = text(*table, "ca_path", false);
        if (!folder.empty() && !folder.ends_with('/')) folder += '/';
        const std::string cert = text(*table, "ca_cert_name", true);
        const std::string key = text(*table, "ca_key_name", false);
        inventory_.ca_cert_file = folder + cert;
        if (!key.empty()) inventory_.ca_key_file = folder + key;
    }

    void devices() {
        for (const auto& entry : top_.children) {
            if (std::find(sections.begin(), sections.end(), entry.key) != sections.end()) continue;
            if (!is_table(entry)) continue;
            Target target;
            target.name = entry.key;
            if (!is_plain(entry.key, "._-", longest_name)) {
                findings_.error(entry.key_place, "'" + printable(entry.key) + "' is no device name",
                                "1 to 64 letters, digits and ._- with a letter or digit in front");
                continue;
            }
            known(entry, {"root_enc_pass", "ip", "port", "interfaces", "kme"});
            if (const Node* root = entry.find("root_enc_pass"); root != nullptr && !root_password_told_) {
                root_password_told_ = true;
                findings_.warning(root->key_place,
                                  "root_enc_pass of the devices is not carried over: root's password is not touched",
                                  "it is no matter of MACsec, and the hash is copied nowhere");
            }
            target.host = host(entry, "ip");
            target.port = number(entry, "port", 65'535, 22);
            interfaces(entry, target);
            kme(entry, target);
            targets_.push_back(std::move(target));
        }
        if (targets_.empty()) findings_.error({}, "the inventory has no devices", "one table for each, named like it");
    }

    void interfaces(const Node& table, Target& target) {
        const Node* list = table.find("interfaces");
        if (list != nullptr && list->type == Type::scalar) {
            interface_name(*list, target);
        } else if (list == nullptr || list->type != Type::list || list->children.empty()) {
            findings_.error(list == nullptr ? table.place : list->place,
                            "'" + printable(table.key) + "' has no list of interfaces", "interfaces: [\"et-0/0/0\"]");
        } else {
            for (const auto& item : list->children) interface_name(item, target);
        }
    }

    void interface_name(const Node& node, Target& target) {
        const std::string name(node.view());
        if (node.type != Type::scalar || !is_plain(name, "/._:-", longest_name)) {
            findings_.error(node.place, "this is no interface name", "such as et-0/0/20:2");
        } else if (std::find(target.interfaces.begin(), target.interfaces.end(), name) != target.interfaces.end()) {
            findings_.error(node.place, "interface " + name + " is named twice", "");
        } else {
            target.interfaces.push_back(name);
        }
    }

    void kme(const Node& table, Target& target) {
        const Node* node = table.find("kme");
        if (node == nullptr || node->type == Type::nothing) {
            return findings_.error(table.place, "'" + printable(table.key) + "' has no kme", "kme_name and kme_ip");
        }
        if (!is_table(*node)) return;
        known(*node, {"kme_name", "kme_ip"});
        const std::string ip = text(*node, "kme_ip", false);
        if (!ip.empty() && !is_address(ip)) {
            findings_.error(node->find("kme_ip")->place, "'kme_ip' is no IP address", "");
        }
        std::string name = text(*node, "kme_name", ip.empty());
        if (name.empty()) {
            if (ip.empty()) return;
            name = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
        }
        url(*node, name, ip, target.kme);
    }

    void url(const Node& node, const std::string& written, const std::string& ip, Kme& kme) {
        const Node* name = node.find("kme_name");
        const FilePlace place = name == nullptr ? node.place : name->place;
        std::string rest = written;
        if (const auto scheme = rest.find("://"); scheme != std::string::npos) {
            if (rest.compare(0, scheme, "https") != 0) {
                findings_.warning(place, "'" + printable(rest.substr(0, scheme)) + "' of kme_name becomes https",
                                  "keys travel over TLS with a verified certificate only");
            }
            rest.erase(0, scheme + 3);
        }
        static const std::vector<std::string> https = {"https"};
        while (rest.ends_with('/')) rest.pop_back();
        if (const std::string wrong = engine::check_url("https://" + rest, https); !wrong.empty()) {
            return findings_.error(place, "'kme_name' is no address of a KME: " + wrong, "such as https://kme-1");
        }
        if (const auto slash = rest.find('/'); slash != std::string::npos) {
            kme.path = rest.substr(slash);
            rest.erase(slash);
        }
        if (const auto colon = rest.rfind(':');
            colon != std::string::npos && rest.find(']', colon) == std::string::npos) {
            kme.port = static_cast<unsigned>(engine::parse_integer(rest.substr(colon + 1)).value_or(443));
            rest.erase(colon);
        }
        const bool bracketed = rest.starts_with('[');
        const std::string bare = bracketed ? rest.substr(1, rest.size() - 2) : rest;
        kme.host = ip.empty() ? bare : ip;
        // The script mapped the name to the address on the device; the certificate bears the name.
        if (!ip.empty() && bare != ip) kme.bears = bare;
        kme.label = bare;
    }

    void roles() {
        const Node* table = section("qkd_roles", true);
        if (table == nullptr) return;
        known(*table, {"master", "slave", "additional_slave_SAE_IDs"});
        member(*table, table->find("master"), "master");
        member(*table, table->find("slave"), "slave");
        if (const Node* more = table->find("additional_slave_SAE_IDs");
            more != nullptr && more->type != Type::nothing) {
            if (more->type == Type::list) {
                for (const auto& item : more->children) member(*table, &item, "additional_slave_SAE_IDs");
            } else {
                findings_.error(more->place, "'additional_slave_SAE_IDs' is no list", "[\"acx-3\", \"acx-4\"]");
            }
        }
        for (const auto& target : targets_) {
            const bool used = std::any_of(inventory_.members.begin(), inventory_.members.end(),
                                          [&](const Target& member) { return member.name == target.name; });
            if (!used) {
                findings_.warning(top_.find(target.name)->key_place,
                                  "device " + target.name + " has no role and is left out",
                                  "name it in qkd_roles, or add a [[link]] for it to the pipeline");
            }
        }
    }

    void member(const Node& roles, const Node* node, const char* role) {
        if (node == nullptr || node->type != Type::scalar || node->text.empty()) {
            return findings_.error(node == nullptr ? roles.place : node->place, std::string("qkd_roles has no ") + role,
                                   "the name of a device");
        }
        const std::string name(node->view());
        std::vector<std::string> names;
        for (const auto& target : targets_) names.push_back(target.name);
        const auto found =
            std::find_if(targets_.begin(), targets_.end(), [&](const Target& target) { return target.name == name; });
        if (found == targets_.end()) {
            const auto near = nearest(name, names);
            return findings_.error(node->place,
                                   std::string(role) + " '" + printable(name) + "' is no device of this file",
                                   near.empty() ? "" : "did you mean '" + near + "'?");
        }
        if (std::any_of(inventory_.members.begin(), inventory_.members.end(),
                        [&](const Target& target) { return target.name == name; })) {
            return findings_.error(node->place, "'" + name + "' has two roles", "each device one");
        }
        inventory_.members.push_back(*found);
    }

    static constexpr std::size_t longest_text = 1024;
    static constexpr std::size_t longest_name = 64;
    static constexpr std::size_t longest_host = 253;  // RFC 1035
    static constexpr std::size_t longest_association = 32;
    inline static const std::vector<std::string> sections = {"system", "secrets", "CA_server", "qkd_roles"};
    inline static const std::vector<std::string> ca_keys = {"CA_cert",      "c_a",         "ca_server_ip", "ca_path",
                                                            "ca_cert_name", "ca_key_name", "ca_user",      "ca_pass"};

    const Node& root_;
    std::vector<engine::SourceFile> files_;
    engine::Findings findings_;
    Node top_;
    bool stray_ = false;
    bool root_password_told_ = false;
    std::vector<Target> targets_;
    Inventory inventory_;
};

Reading failed(const std::filesystem::path& file, const Problem& problem) {
    engine::Findings findings;
    findings.error(problem.place, problem.what, problem.hint);
    Reading reading;
    reading.findings = std::move(findings).take({{file.string(), {}}});
    return reading;
}

Reading unreadable(const std::filesystem::path& file, const std::string& why) {
    return failed(file, {{}, "it cannot be read: " + why, ""});
}

}  // namespace

bool Reading::ok() const noexcept {
    return std::none_of(findings.begin(), findings.end(), [](const engine::Finding& finding) {
        return finding.severity == engine::Finding::Severity::error;
    });
}

Reading read_inventory(const Node& root, const std::filesystem::path& shown) {
    return Reader(root, shown).read();
}

Reading read_inventory(const std::filesystem::path& file) {
    // O_NONBLOCK: a named pipe must not hold us up before it is recognised as one.
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return unreadable(file, std::strerror(errno));
    struct stat info {};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        ::close(fd);
        return unreadable(file, "it is no regular file");
    }
    SecretBytes octets = SecretBytes::zeros(most_octets + 1);
    std::size_t used = 0;
    ssize_t got = 0;
    while (used < octets.size()) {
        got = ::read(fd, octets.writable().data() + used, octets.size() - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += static_cast<std::size_t>(got);
    }
    const int failure = errno;
    ::close(fd);
    if (got < 0) return unreadable(file, std::strerror(failure));
    const auto read = read_yaml(octets.reveal().first(used));
    if (const auto* problem = std::get_if<Problem>(&read)) return failed(file, *problem);
    return read_inventory(*std::get_if<Node>(&read), file);
}

}  // namespace qkd::inventory
