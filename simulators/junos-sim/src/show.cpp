// Operational replies about the system: version, clock, commits, interfaces, LLDP neighbours; and CLI commands by name.
#include "show.hpp"

#include <algorithm>
#include <cstdio>

#include "clock.hpp"
#include "rpc.hpp"
#include "wires.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

std::string release_namespace(const DeviceInfo& info, const char* what) {
    return "http://xml.juniper.net/junos/" + info.version.substr(0, info.version.find('.', 3)) + "/" + what;
}

std::string model_name(const DeviceInfo& info) {
    return lower(info.model);
}

void add_software(pugi::xml_node parent, const Device& device) {
    auto s = add(parent, "software-information");
    add(s, "host-name", device.host_name());
    add(s, "product-model", model_name(device.info()));
    add(s, "product-name", model_name(device.info()));
    add(s, "junos-version", device.info().version);
}

void software_information(Call& c) {
    const Device device(c.session.state());
    if (c.wants_text()) {
        add(c.reply, "output",
            "\nHostname: " + device.host_name() + "\nModel: " + model_name(device.info()) +
                "\nJunos: " + device.info().version + "\n");
        return;
    }
    add_software(c.reply, device);
}

void version_of_all_engines(Call& c) {
    if (c.wants_text()) {
        software_information(c);
        return;
    }
    const Device device(c.session.state());
    auto results = add(c.reply, "multi-routing-engine-results");
    for (int i = 0; i < device.info().routing_engines; ++i) {
        auto item = add(results, "multi-routing-engine-item");
        add(item, "re-name", "re" + std::to_string(i));
        add_software(item, device);
    }
}

void system_information(Call& c) {
    const Device device(c.session.state());
    auto s = add(c.reply, "system-information");
    add(s, "hardware-model", model_name(device.info()));
    add(s, "os-name", device.info().version.find("EVO") == std::string::npos ? "junos" : "junos-evo");
    add(s, "os-version", device.info().version);
    add(s, "serial-number", device.info().serial);
    add(s, "host-name", device.host_name());
}

void route_engine_information(Call& c) {
    const Device device(c.session.state());
    auto r = add(c.reply, "route-engine-information");
    set_attribute(r, "xmlns", release_namespace(device.info(), "junos-chassis"));
    for (int i = 0; i < device.info().routing_engines; ++i) {
        auto e = add(r, "route-engine");
        add(e, "slot", std::to_string(i));
        add(e, "mastership-state", i == 0 ? "master" : "backup");
        add(e, "status", "OK");
        add(e, "model", "RE-SIM");
    }
}

const Node* interface_node(const Node& configuration, const std::string& name) {
    const Node* interfaces = configuration.find("interfaces");
    return interfaces == nullptr ? nullptr : interfaces->find("interface", name);
}

void interface_information(Call& c) {
    const Device device(c.session.state());
    auto info = add(c.reply, "interface-information");
    set_attribute(info, "xmlns", release_namespace(device.info(), "junos-interface"));
    set_attribute(info, "junos:style", child(c.operation, "terse") ? "terse" : "normal");
    if (text_of(child(c.operation, "routing-instance")) == "__juniper_private1__") {
        auto port = add(info, "physical-interface");
        add(port, "name", "em0");
        auto unit = add(port, "logical-interface");
        add(unit, "name", "em0.0");
        auto family = add(unit, "address-family");
        add(family, "address-family-name", "inet");
        for (const char* local : {"128.0.0.4/2", "128.0.0.1/2"})
            add(add(family, "interface-address"), "ifa-local", local);
        return;
    }
    std::vector<std::string> names;
    for (const auto& wire : device.lab().wires_of(device.info().name)) {
        for (const auto* end : {&wire.a, &wire.b}) {
            if (end->device == device.info().name) names.push_back(end->interface);
        }
    }
    const Node* configured = device.running().find("interfaces");
    for (const auto& i : configured == nullptr ? std::vector<Node>{} : configured->children) names.push_back(i.value);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    const std::string only = text_of(child(c.operation, "interface-name"));
    for (const auto& name : names) {
        if (!only.empty() && only != name) continue;
        const Node* node = interface_node(device.running(), name);
        const bool disabled = node != nullptr && node->find("disable") != nullptr;
        auto port = add(info, "physical-interface");
        add(port, "name", name);
        add(port, "admin-status", disabled ? "down" : "up");
        add(port, "oper-status", disabled ? "down" : "up");
        if (node != nullptr && !node->leaf("description").empty()) add(port, "description", node->leaf("description"));
    }
}

void add_date_time(pugi::xml_node parent, const char* name, const Device& device, Millis at) {
    auto e = add(add(parent, name), "date-time", local_text(at, device.zone()));
    set_attribute(e, "junos:seconds", std::to_string(at / 1000));
}

void uptime_information(Call& c) {
    const Device device(c.session.state());
    const Millis now = device.device_now();
    const Millis booted =
        device.to_device(device.lab().root.empty() ? device.history().back().at : device.lab().epoch_lab);
    const auto& last = device.history().front();
    if (c.wants_text()) {
        add(c.reply, "output",
            "\nCurrent time: " + local_text(now, device.zone()) +
                "\nSystem booted: " + local_text(booted, device.zone()) + "\nLast configured: " +
                local_text(device.to_device(last.at), device.zone()) + " by " + last.user + "\n");
        return;
    }
    auto info = add(c.reply, "system-uptime-information");
    set_attribute(info, "xmlns", release_namespace(device.info(), "junos"));
    add_date_time(info, "current-time", device, now);
    add(info, "time-source", " NTP CLOCK ");
    add_date_time(info, "system-booted-time", device, booted);
    add_date_time(info, "last-configured-time", device, device.to_device(last.at));
    add(child(info, "last-configured-time"), "user", last.user);
}

void commit_information(Call& c) {
    const Device device(c.session.state());
    const bool pending = device.pending_until().has_value();
    auto info = add(c.reply, c.wants_text() ? "output" : "commit-information");
    std::string text = "\n";
    for (std::size_t i = 0; i < device.history().size(); ++i) {
        const auto& h = device.history()[i];
        const std::string when = local_text(device.to_device(h.at), device.zone());
        if (c.wants_text()) {
            char index[32];
            std::snprintf(index, sizeof index, "%-4zu", i);
            text +=
                index + when + " by " + h.user + " via " + h.client + (h.comment.empty() ? "" : " " + h.comment) + "\n";
            if (!h.log.empty()) text += "    " + h.log + "\n";
            if (i == 0 && pending) text += "    rollback pending\n";
            continue;
        }
        auto e = add(info, "commit-history");
        add(e, "sequence-number", std::to_string(i));
        add(e, "user", h.user);
        add(e, "client", h.client);
        set_attribute(add(e, "date-time", when), "junos:seconds", std::to_string(device.to_device(h.at) / 1000));
        if (!h.comment.empty()) add(e, "comment", h.comment);
        if (!h.log.empty()) add(e, "log", h.log);
        // The comment stays with the entry for good; only this tells that the timer runs.
        if (i == 0 && pending) add(e, "commit-confirmed", "rollback pending");
    }
    if (c.wants_text()) info.text().set(text.c_str());
}

// ---- LLDP

struct Neighbour {
    std::string local;
    WireEnd remote;
    std::string host_name;
    std::string description;
    std::string model;
    std::string version;
};

bool lldp_runs_on(const Node& configuration, const std::string& interface) {
    const Node* lldp = configuration.at({"protocols", "lldp"});
    if (lldp == nullptr || lldp->find("disable") != nullptr) return false;
    const Node* port = lldp->find("interface", interface);
    if (port == nullptr) port = lldp->find("interface", "all");
    return port != nullptr && port->find("disable") == nullptr;
}

std::vector<Neighbour> neighbours(const std::filesystem::path& state) {
    Lab lab;
    std::string name;
    std::vector<Neighbour> found;
    {
        const Device device(state);
        lab = device.lab();
        name = device.info().name;
        for (const auto& wire : lab.wires_of(name)) {
            for (const auto& [mine, theirs] : {std::pair(wire.a, wire.b), std::pair(wire.b, wire.a)}) {
                if (mine.device != name || !lldp_runs_on(device.running(), mine.interface)) continue;
                found.push_back({mine.interface, theirs, "", "", "", ""});
            }
        }
    }
    std::erase_if(found, [&](Neighbour& n) {
        const auto folder = lab.devices.find(n.remote.device);
        if (folder == lab.devices.end()) return true;
        const Device peer(folder->second);
        if (!lldp_runs_on(peer.running(), n.remote.interface)) return true;
        n.host_name = peer.host_name();
        n.model = peer.info().model;
        n.version = peer.info().version;
        const Node* port = interface_node(peer.running(), n.remote.interface);
        n.description = port == nullptr ? "" : port->leaf("description");
        if (n.description.empty()) n.description = n.remote.interface;
        return false;
    });
    std::sort(found.begin(), found.end(), [](const Neighbour& x, const Neighbour& y) { return x.local < y.local; });
    return found;
}

void lldp_reply(Call& c, const std::string& only) {
    const auto all = neighbours(c.session.state());
    if (c.wants_text()) {
        std::string text =
            "\nLocal Interface    Parent Interface    Chassis Id          Port info          System Name\n";
        for (const auto& n : all) {
            if (!only.empty() && n.local != only) continue;
            char line[512];
            std::snprintf(line, sizeof line, "%-18s %-19s %-19s %-18s %s\n", n.local.c_str(), "-",
                          mac_address(n.remote.device).c_str(), n.description.c_str(), n.host_name.c_str());
            text += line;
        }
        add(c.reply, "output", text);
        return;
    }
    auto info = add(c.reply, "lldp-neighbors-information");
    set_attribute(info, "junos:style", only.empty() ? "brief" : "detail");
    for (const auto& n : all) {
        if (!only.empty() && n.local != only) continue;
        auto e = add(info, "lldp-neighbor-information");
        add(e, only.empty() ? "lldp-local-port-id" : "lldp-local-interface", n.local);
        add(e, "lldp-local-parent-interface-name", "-");
        if (!only.empty()) add(e, "lldp-ttl", "120");
        add(e, "lldp-remote-chassis-id-subtype", "Mac address");
        add(e, "lldp-remote-chassis-id", mac_address(n.remote.device));
        add(e, "lldp-remote-port-id-subtype", "Interface name");
        add(e, "lldp-remote-port-id", n.remote.interface);
        add(e, "lldp-remote-port-description", n.description);
        add(e, "lldp-remote-system-name", n.host_name);
        if (only.empty()) continue;
        add(add(e, "lldp-system-description"), "lldp-remote-system-description",
            "Juniper Networks, Inc. " + n.model + " , version " + n.version);
    }
}

void lldp_neighbours(Call& c) {
    lldp_reply(c, text_of(child(c.operation, "interface")));
}

void lldp_interface_neighbours(Call& c) {
    std::string only = text_of(child(c.operation, "interface-device"));
    if (only.empty()) only = text_of(child(c.operation, "interface-name"));
    if (only.empty()) refuse("missing argument", "interface-device", "missing-element");
    lldp_reply(c, only);
}

// ---- CLI commands

struct Command {
    const char* words;
    const char* rpc;
};
constexpr Command commands[] = {{"show version invoke-on all-routing-engines", "#version-of-all-engines"},
                                {"show version", "get-software-information"},
                                {"show system information", "get-system-information"},
                                {"show system uptime", "get-system-uptime-information"},
                                {"show system commit", "get-commit-information"},
                                {"show chassis routing-engine", "get-route-engine-information"},
                                {"show interfaces", "get-interface-information"},
                                {"show lldp neighbors", "get-lldp-neighbors-information"},
                                {"show security mka sessions", "get-mka-session-information"},
                                {"show security macsec connections", "get-macsec-connection-information"},
                                {"show configuration", "get-configuration"}};

// "show lldp neighbors interface et-0/0/9" -> the call behind it, the words left over as its elements.
void command(Call& c) {
    const auto words = shell_words(c.operation.text().get()).value_or(std::vector<std::string>());
    const std::string line = join(words, " ");
    for (const auto& known : commands) {
        const std::string prefix = known.words;
        if (line != prefix && !line.starts_with(prefix + " ")) continue;
        const auto rest = std::vector<std::string>(
            words.begin() + static_cast<std::ptrdiff_t>(split(prefix, ' ').size()), words.end());
        if (std::string_view(known.rpc) == "#version-of-all-engines") {
            version_of_all_engines(c);
            return;
        }
        pugi::xml_document doc;
        auto operation = doc.append_child(known.rpc);
        if (const auto format = attribute(c.operation, "format"); !format.empty())
            set_attribute(operation, "format", format);
        if (std::string_view(known.rpc) == "get-configuration") {
            set_attribute(operation, "database", "committed");
            if (!rest.empty()) refuse("syntax error", rest.front());
        }
        for (std::size_t i = 0; i < rest.size(); ++i) {
            if (rest[i] == "interface" && i + 1 < rest.size()) {
                const bool mka = prefix.find("security") != std::string::npos;
                add(operation, mka ? "interface-name" : "interface", rest[++i]);
            } else if (rest[i] == "summary" || rest[i] == "detail" || rest[i] == "brief" || rest[i] == "terse") {
                add(operation, rest[i].c_str());
            } else {
                refuse("syntax error, expecting <command>", rest[i]);
            }
        }
        call(c.session, operation, c.reply);
        return;
    }
    refuse("syntax error, expecting <command>", words.empty() ? "command" : words.back());
}

}  // namespace

std::string mac_address(const std::string& device, const std::string& interface) {
    const auto hash = stable_hash(device + "/" + interface);
    char text[32];
    std::snprintf(text, sizeof text, "02:%02x:%02x:%02x:%02x:%02x", static_cast<unsigned>(hash & 0xff),
                  static_cast<unsigned>(hash >> 8 & 0xff), static_cast<unsigned>(hash >> 16 & 0xff),
                  static_cast<unsigned>(hash >> 24 & 0xff), static_cast<unsigned>(hash >> 32 & 0xff));
    return text;
}

std::string device_view(const std::filesystem::path& state) {
    const auto ports = look_at_ports(state);
    const Device device(state);
    pugi::xml_document doc;
    auto root = doc.append_child("device");
    set_attribute(root, "name", device.info().name);
    set_attribute(root, "time", local_text(device.device_now(), device.zone()));
    append_xml(add(root, "configuration"), device.running(), Secrets::clear);
    auto mka = add(root, "mka");
    for (const auto& p : ports) {
        auto e = add(mka, "interface");
        add(e, "name", p.interface);
        add(e, "state", to_word(p.state()));
        add(e, "ckn", p.wire.live ? p.wire.live->ckn : "");
    }
    return to_text(root, {.indent = 2});
}

const Handlers& show_handlers() {
    static const Handlers handlers = {{"command", command},
                                      {"get-software-information", software_information},
                                      {"get-system-information", system_information},
                                      {"get-route-engine-information", route_engine_information},
                                      {"get-interface-information", interface_information},
                                      {"get-system-uptime-information", uptime_information},
                                      {"get-commit-information", commit_information},
                                      {"get-lldp-neighbors-information", lldp_neighbours},
                                      {"get-lldp-interface-neighbors", lldp_interface_neighbours},
                                      {"get-lldp-interface-neighbors-information", lldp_interface_neighbours}};
    return handlers;
}

}  // namespace qkd::junossim
