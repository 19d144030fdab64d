// From a file with a plugin's tables to a subject of the conformance kit.
#include "cli/plugin_trial.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "cli/sample.hpp"
#include "engine/pipeline/config_tables.hpp"
#include "engine/pipeline/table_check.hpp"
#include "kit/support/plugin_object.hpp"

namespace qkd::cli {
namespace {

using engine::TomlValue;

constexpr std::array test_fields{
    Field{engine::core_scope, FieldType::string, "initiator_sae", false, "sae-a", nullptr,
          "SAE ID of the end that mints."},
    Field{engine::core_scope, FieldType::string, "responder_sae", false, "sae-b", nullptr,
          "SAE ID of the end that fetches."},
    Field{engine::core_scope, FieldType::string_list, "interfaces", false, nullptr, nullptr,
          "Interfaces of a device that may be configured at will; without them no device is touched."},
    Field{engine::core_scope, FieldType::string, "connectivity_association", false, "CA_conformance", nullptr,
          "Name of the association made there."},
    Field{engine::core_scope, FieldType::string, "key_chain", false, "QKD_CA_conformance", nullptr,
          "Name of the key chain made there."}};

/// Tables of the file that configure the plugin in this scope, in file order.
std::vector<const TomlValue*> tables_for(const TomlValue& root, Scope scope, std::string_view plugin) {
    std::vector<const TomlValue*> candidates;
    const auto add_all = [&](const TomlValue* tables) {
        if (tables == nullptr) return;
        for (const TomlValue& table : tables->children) candidates.push_back(&table);
    };
    const auto add_key_ids = [&](const TomlValue& link) {
        if (const TomlValue* table = link.find("key_ids"); table != nullptr) candidates.push_back(table);
    };
    switch (scope) {
        case Scope::device: add_all(root.find("device")); break;
        case Scope::kme: add_all(root.find("kme")); break;
        case Scope::certs:
        case Scope::persist: add_all(root.find("stage")); break;
        case Scope::key_ids:
            if (const TomlValue* link = root.find("link"); link != nullptr && link->type == TomlValue::Type::table) {
                add_key_ids(*link);  // as the sample writes it
            } else if (link != nullptr) {
                for (const TomlValue& one : link->children) add_key_ids(one);
            }
            break;
    }
    std::erase_if(candidates, [&](const TomlValue* table) {
        const TomlValue* name = table->find("plugin");
        if (name == nullptr || name->text != plugin) return true;
        const TomlValue* kind = table->find("kind");
        return kind != nullptr && kind->text != scope_word(scope);
    });
    return candidates;
}

struct Address {
    std::string host;
    std::string port;
};

/// Of a URL, or of the fields host and port. Nothing when the table names no peer.
std::optional<Address> peer_of(const engine::CheckedTable& table) {
    if (const auto* url = table.find("url"); url != nullptr && url->given) {
        const auto scheme = url->text.find("://");
        if (scheme == std::string::npos) return std::nullopt;
        std::string authority = url->text.substr(scheme + 3);
        authority = authority.substr(0, authority.find('/'));
        const auto colon = authority.rfind(':');
        const bool has_port = colon != std::string::npos && authority.find(']', colon) == std::string::npos;
        Address address{authority.substr(0, has_port ? colon : std::string::npos),
                        has_port                         ? authority.substr(colon + 1)
                        : url->text.starts_with("http:") ? "80"
                                                         : "443"};
        std::erase_if(address.host, [](char c) { return c == '[' || c == ']'; });
        return address;
    }
    const auto* host = table.find("host");
    const auto* port = table.find("port");
    if (host == nullptr || !host->given || port == nullptr) return std::nullopt;
    return Address{host->text, std::to_string(port->number)};
}

bool listens(const Address& address) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(address.host.c_str(), address.port.c_str(), &wanted, &found) != 0) return false;
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        const int fd = ::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) continue;
        (void)::connect(fd, one->ai_addr, one->ai_addrlen);
        pollfd waiting{fd, POLLOUT, 0};
        int failure = ETIMEDOUT;
        socklen_t size = sizeof failure;
        if (::poll(&waiting, 1, 2000) == 1) (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size);
        ::close(fd);
        if (failure == 0) return true;
    }
    return false;
}

/// The table with its peer at a port of this machine.
engine::CheckedTable sent_to(engine::CheckedTable table, std::uint16_t port) {
    for (auto& value : table.values) {
        const std::string_view key = value.field->key;
        if (key == "url") {
            const std::string scheme = value.text.substr(0, value.text.find("://"));
            value.text = scheme + "://127.0.0.1:" + std::to_string(port);
        }
        if (key == "host") value.text = "127.0.0.1";
        if (key == "port") value.number = port;
        if (key == "standby_urls") value.list.clear();
    }
    return table;
}

/// The plugin's tables, shared by all views of them.
struct Values {
    std::map<Scope, std::vector<engine::CheckedTable>> tables;
    std::filesystem::path state;

    [[nodiscard]] std::unique_ptr<ConfigView> view(engine::CheckedTable table, Scope scope,
                                                   const std::string& sae) const {
        auto one = std::make_shared<engine::Tables>();
        one->state = state;
        one->tables.push_back({std::string(scope_word(scope)) + ".test", std::move(table)});
        engine::Pipeline pipeline;
        pipeline.tables = std::move(one);
        return engine::config_view(pipeline, {}, sae);
    }
    [[nodiscard]] const engine::CheckedTable& of(Scope scope, conformance::End end) const {
        const auto& all = tables.at(scope);
        return end == conformance::End::initiator ? all.front() : all.back();
    }
};

class Preparation {
  public:
    Preparation(const engine::Plugin& plugin, std::filesystem::path file)
        : plugin_(*plugin.descriptor), file_(std::move(file)) {
        std::error_code ignored;
        const auto from = file_.empty() ? std::filesystem::current_path(ignored)
                                        : std::filesystem::absolute(file_, ignored).parent_path();
        files_.push_back({file_.empty() ? "defaults of " + std::string(plugin_.name) : file_.string(), from});
    }

    PluginTrial prepare(const std::filesystem::path& scratch) {
        auto values = std::make_shared<Values>();
        values->state = scratch;
        TomlValue root;
        if (!file_.empty()) {
            auto read = engine::read_toml(file_, 0);
            if (const auto* problem = std::get_if<engine::TomlProblem>(&read)) {
                findings_.error(problem->place, problem->what, problem->hint);
                return failed();
            }
            root = std::move(std::get<TomlValue>(read));
        }
        const std::span<const Field> fields(plugin_.fields, plugin_.field_count);
        bool named = file_.empty();
        for (const Scope scope : scopes_of(plugin_)) {
            auto tables = tables_for(root, scope, plugin_.name);
            named = named || !tables.empty();
            if (tables.size() > 2) tables.resize(2);
            if (tables.empty()) tables.push_back(nullptr);
            for (const TomlValue* table : tables) {
                const std::string label = scope_table(scope);
                engine::TableSpec spec{label, {}, plugin_.name, engine::fields_of(fields, scope), {"plugin", "kind"}};
                if (table != nullptr) spec.place = table->key_place;
                const auto entries =
                    table == nullptr ? std::vector<engine::TableEntry>() : engine::entries_of(*table, spec.label);
                values->tables[scope].push_back(engine::check_table(spec, entries, files_, findings_));
            }
        }
        if (!named) {
            findings_.error({}, "has no table with plugin = \"" + std::string(plugin_.name) + "\"",
                            "start from `qkd-macsec plugins inspect " + std::string(plugin_.name) + " --sample`");
        }
        const TomlValue none;
        const TomlValue* test = root.find("test");
        const engine::TableSpec spec{"[test]", {}, "", engine::fields_of(test_fields, engine::core_scope), {}};
        const auto setting =
            engine::check_table(spec, engine::entries_of(test == nullptr ? none : *test, "[test]"), files_, findings_);
        if (findings_.errors() != 0) return failed();
        fill(std::move(values), setting, scratch);
        trial_.findings = std::move(findings_).take(files_);
        return std::move(trial_);
    }

  private:
    PluginTrial failed() {
        if (file_.empty()) {
            findings_.error({}, "a required field has no default",
                            "`qkd-macsec plugins inspect " + std::string(plugin_.name) +
                                " --sample` prints a file to start from; give it with --config FILE");
        }
        trial_.findings = std::move(findings_).take(files_);
        return std::move(trial_);
    }

    [[nodiscard]] bool has(StageKind kind) const { return support::find_stage(plugin_, kind) != nullptr; }

    void fill(std::shared_ptr<const Values> values, const engine::CheckedTable& test,
              const std::filesystem::path& scratch) {
        auto& subject = trial_.subject;
        subject.plugin = &plugin_;
        subject.scratch = scratch;
        subject.initiator_sae = test.text("initiator_sae");
        subject.responder_sae = test.text("responder_sae");
        const std::array saes{subject.initiator_sae, subject.responder_sae};
        subject.config = [values, saes](StageKind kind, conformance::End end) {
            const Scope scope = support::scope_of(kind);
            return values->view(values->of(scope, end), scope, saes[end == conformance::End::initiator ? 0 : 1]);
        };
        bool peers = false;
        bool reachable = true;
        for (const auto& [scope, tables] : values->tables) {
            for (const auto& table : tables) {
                const auto address = peer_of(table);
                if (!address) continue;
                peers = true;
                if (listens(*address)) continue;
                reachable = false;
                trial_.remarks.push_back("nobody listens at " + address->host + " port " + address->port +
                                         ": laws that need a counterpart are not tried");
            }
        }
        if (peers) {
            subject.config_at_port = [values, saes](StageKind kind, std::uint16_t port) {
                const Scope scope = support::scope_of(kind);
                return values->view(sent_to(values->of(scope, conformance::End::initiator), port), scope, saes[0]);
            };
        }
        subject.keys_available = has(StageKind::key_source) && reachable;
        const auto* interfaces = test.find("interfaces");
        if (interfaces != nullptr && !interfaces->list.empty() && reachable) {
            MemberTarget target;
            target.link = "conformance";
            target.device = "device";
            target.connectivity_association = test.text("connectivity_association");
            target.key_chain = test.text("key_chain");
            target.interfaces = interfaces->list;
            target.kme = {"kme.example", 443, "192.0.2.101"};
            subject.target = std::move(target);
        } else if (has(StageKind::connect) || has(StageKind::commit)) {
            trial_.remarks.emplace_back(
                "no device is touched; [test] interfaces = [\"...\"] names those of one that may be configured at "
                "will");
        }
    }

    const PluginDescriptor& plugin_;
    std::filesystem::path file_;
    std::vector<engine::SourceFile> files_;
    engine::Findings findings_;
    PluginTrial trial_;
};

}  // namespace

bool PluginTrial::ok() const noexcept {
    return std::none_of(findings.begin(), findings.end(), [](const engine::Finding& finding) {
        return finding.severity == engine::Finding::Severity::error;
    });
}

PluginTrial prepare_trial(const engine::Plugin& plugin, const std::filesystem::path& file,
                          const std::filesystem::path& scratch) {
    return Preparation(plugin, file).prepare(scratch);
}

}  // namespace qkd::cli
