// Replies about MKA sessions and MACsec connections, as XML and in the text forms of the CLI.
#include <algorithm>
#include <cstdio>

#include "clock.hpp"
#include "rpc.hpp"
#include "show.hpp"
#include "wires.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

constexpr Millis hello_ms = 2000;

// One MKA participant: a key of an interface. A port has one for each of its keys.
struct Participant {
    std::string ckn;  // upper case, as the device prints it
    Role role = Role::none;
    std::string status;  // live | active (ready, not in use) | in-progress
    std::string member;
    std::string peer_member;  // empty: no live peer
    long long sent = 0;
    long long received = 0;
};

struct Port {
    PortView view;
    std::string local;  // device name
    std::string transmit_interval = "2000";
    std::string rekey_interval = "0";
    int priority = 16;
    int peer_priority = 16;
    bool preceding = true;
    std::string cipher;
    bool include_sci = false;
    bool encrypted = true;
    std::string offset = "0";
    std::vector<Participant> participants;  // the live one first
    Participant main;                       // the live one, or the primary while none is live

    std::string state_text() const {
        switch (view.state()) {
            case LinkState::secured: return "Secured - Primary";
            case LinkState::preceding: return "Secured - Preceding";
            case LinkState::fallback: return "Secured - Fallback";
            default: return "Unsecured";
        }
    }
    std::string sci() const { return upper(mac_address(local, view.interface)) + "/1"; }
    std::string peer_sci() const {
        return view.peer ? upper(mac_address(view.peer->device, view.peer->interface)) + "/1" : "";
    }
    // IEEE 802.1X clause 9.5: the lower priority value wins, then the lower SCI.
    bool key_server() const {
        if (main.peer_member.empty() || priority != peer_priority) return priority <= peer_priority;
        return sci() < peer_sci();
    }
    Millis live_for() const { return view.now - view.wire.live_since; }
    std::string association_number() const { return std::to_string(stable_hash(main.ckn) % 4); }
    std::string key_identifier() const {
        if (!view.wire.live) return "000000000000000000000000/0";
        return (key_server() ? main.member : main.peer_member) + "/1";
    }
};

std::string member_id(const std::string& device, const std::string& interface, const std::string& ckn, Millis since) {
    const std::string seed = device + "|" + interface + "|" + ckn + "|" + std::to_string(since);
    char text[32];
    std::snprintf(text, sizeof text, "%016llX%08X", static_cast<unsigned long long>(stable_hash(seed)),
                  static_cast<unsigned>(stable_hash("x" + seed)));
    return text;
}

Participant participant(const Port& port, const Key& key, Role role) {
    Participant p;
    p.ckn = upper(key.ckn);
    p.role = role;
    const auto& wire = port.view.wire;
    const auto since = wire.since(key);
    const bool ready = since && *since + hello_ms <= port.view.now;
    p.status = wire.live == key ? "live" : ready ? "active" : "in-progress";
    p.member = member_id(port.local, port.view.interface, p.ckn, since.value_or(0));
    if (ready && port.view.peer) {
        p.peer_member = member_id(port.view.peer->device, port.view.peer->interface, p.ckn, *since);
    }
    if (since) p.sent = (port.view.now - *since) / hello_ms + 1;
    p.received = ready ? p.sent : 0;
    return p;
}

int priority_of(const Node& configuration, const std::string& ca) {
    const Node* mka = configuration.at({"security", "macsec", "connectivity-association", ca, "mka"});
    return static_cast<int>(to_int(mka == nullptr ? "" : mka->leaf("key-server-priority")).value_or(16));
}

void describe(Port& port, const Node& ca) {
    if (const Node* mka = ca.find("mka")) {
        if (const auto value = mka->leaf("transmit-interval"); !value.empty()) port.transmit_interval = value;
        if (const auto value = mka->leaf("sak-rekey-interval"); !value.empty()) port.rekey_interval = value;
    }
    port.preceding = port.preceding && ca.find("disable-preceding-key") == nullptr;
    port.cipher = ca.leaf("cipher-suite").empty() ? "gcm-aes-128" : ca.leaf("cipher-suite");
    port.include_sci = ca.find("include-sci") != nullptr;
    port.encrypted = ca.find("no-encryption") == nullptr;
    if (const auto value = ca.leaf("offset"); !value.empty()) port.offset = value;
}

std::vector<Port> read_ports(const Call& c) {
    const std::string only = text_of(child(c.operation, "interface-name"));
    std::vector<Port> ports;
    Lab lab;
    for (auto& view : look_at_ports(c.session.state())) {
        if (!only.empty() && view.interface != only) continue;
        Port port;
        port.view = std::move(view);
        ports.push_back(std::move(port));
    }
    {
        const Device device(c.session.state());
        lab = device.lab();
        for (auto& port : ports) {
            port.local = device.info().name;
            port.preceding = device.info().preceding_key;
            port.priority = priority_of(device.running(), port.view.ca);
            const Node* ca = device.running().at({"security", "macsec", "connectivity-association", port.view.ca});
            if (ca != nullptr) describe(port, *ca);
        }
    }
    for (auto& port : ports) {
        if (port.view.peer) {
            const Device peer(lab.devices.at(port.view.peer->device));
            port.peer_priority = priority_of(peer.running(), port.view.wire.end[1 - port.view.which].ca);
        }
        const auto& end = port.view.end();
        const auto list = [&](const std::optional<Key>& key, Role role) {
            if (key) port.participants.push_back(participant(port, *key, role));
        };
        list(end.primary, Role::primary);
        list(end.preceding, Role::preceding);
        list(end.fallback, Role::fallback);
        const auto live = std::find_if(port.participants.begin(), port.participants.end(),
                                       [](const Participant& p) { return p.status == "live"; });
        if (live != port.participants.end()) std::rotate(port.participants.begin(), live, live + 1);
        if (!port.participants.empty()) port.main = port.participants.front();
    }
    return ports;
}

// ---- text

template <typename... Args>
std::string line(const char* format, Args... args) {
    char text[512];
    std::snprintf(text, sizeof text, format, args...);
    return text;
}

std::string summary_text(const std::vector<Port>& ports) {
    const char* row = "%-13s%-27s%-12s%-14s%-10s%-10s%s\n";
    std::string out = line(row, "Interface", "Member-ID", "Type", "Status", "Tx", "Rx", "CAK Name");
    for (const auto& port : ports) {
        for (const auto& p : port.participants) {
            out += line(row, port.view.interface.c_str(), p.member.c_str(), std::string(to_word(p.role)).c_str(),
                        p.status.c_str(), std::to_string(p.sent).c_str(), std::to_string(p.received).c_str(),
                        p.ckn.c_str());
        }
    }
    return out;
}

std::string peer_text(const Port& port, const Participant& p, const std::string& pad) {
    if (p.peer_member.empty()) return "";
    const std::string head = pad + "1. Member identifier: " + p.peer_member + " (live)\n";
    return head + line("%s   Message number: %-11lldHold time: 6000 (ms)\n", pad.c_str(), p.received) +
           line("%s   SCI: %-22sUptime: %s\n", pad.c_str(), port.peer_sci().c_str(),
                duration_text(port.live_for()).c_str()) +
           pad + "   Lowest acceptable PN: 1\n";
}

std::string block_text(const Port& port, bool detail) {
    const auto& m = port.main;
    std::string out = "  Interface name: " + port.view.interface + "\n";
    out += std::string("     Interface ") + (detail ? "state: " : "State: ") + port.state_text() + "\n";
    if (detail) out += "     Ether-type profile: default - 0x888e\n";
    out += "     Member identifier: " + m.member + "\n     CAK name: " + m.ckn + "\n";
    if (!detail) out += "     CAK type: " + std::string(to_word(m.role)) + "\n";
    out += "     Security mode: static\n     MKA suspended: 0(s)\n";
    out += "     Transmit interval: " + port.transmit_interval + "(ms)\n";
    out += "     SAK rekey interval: " + port.rekey_interval + "(s)\n";
    out += std::string("     Preceding Key: ") + (port.preceding ? "enabled" : "disabled") + "\n";
    out += "     Bounded Delay: disabled\n     Outbound SCI: " + port.sci() + "\n";
    out += line("     Message number: %-10lld Key number: %d\n", m.sent, port.view.wire.live ? 1 : 0);
    out += "     MKA ICV Indicator: enabled\n";
    out += line("     Key server: %-14s Key server priority: %d\n", port.key_server() ? "yes" : "no", port.priority);
    out += line("     Latest SAK AN: %-11s Latest SAK KI: %s\n", port.association_number().c_str(),
                port.key_identifier().c_str());
    out += "     Previous SAK AN: 0         Previous SAK KI: 000000000000000000000000/0\n";
    out += "     MKA Suspend For: disabled  MKA Suspend On Request: disabled\n";
    if (!detail) {
        if (!m.peer_member.empty()) out += "     Peer list\n" + peer_text(port, m, "          ");
        return out;
    }
    out += "     CAK list: (" + std::to_string(port.participants.size()) + ")\n";
    for (std::size_t i = 0; i < port.participants.size(); ++i) {
        const auto& p = port.participants[i];
        out += "        " + std::to_string(i + 1) + ". CAK name: " + p.ckn + "\n";
        out += line("           CAK type: %-35s Status: %s\n", std::string(to_word(p.role)).c_str(), p.status.c_str());
        out += line("           Member identifier: %-26s Message number: %lld\n", p.member.c_str(), p.sent);
        out += "           Peer list: (" + std::to_string(p.peer_member.empty() ? 0 : 1) + ")\n";
        out += peer_text(port, p, "              ");
    }
    return out;
}

// ---- XML

void add_participant(pugi::xml_node parent, const char* name, const Port& port, const Participant& p) {
    auto e = add(parent, name);
    add(e, "cak-name", p.ckn);
    add(e, "cak-type", to_word(p.role));
    add(e, "cak-status", p.status);
    add(e, "member-identifier", p.member);
    add(e, "message-number", std::to_string(p.sent));
    if (p.peer_member.empty()) return;
    auto peer = add(e, "peer-list");
    add(peer, "peer-member-identifier", p.peer_member);
    add(peer, "peer-state", "live");
    add(peer, "peer-message-number", std::to_string(p.received));
    add(peer, "peer-hold-time", "6000");
    add(peer, "peer-sci", port.peer_sci());
}

void add_port(pugi::xml_node reply, const Port& port, const char* style) {
    auto e = add(reply, "mka-session-information");
    set_attribute(e, "junos:style", style);
    const auto& m = port.main;
    add(e, "interface-name", port.view.interface);
    add(e, "interface-state", port.state_text());
    add(e, "member-identifier", m.member);
    add(e, "cak-name", m.ckn);
    add(e, "cak-type", to_word(m.role));
    add(e, "security-mode", "static");
    add(e, "transmit-interval", port.transmit_interval);
    add(e, "sak-rekey-interval", port.rekey_interval);
    add(e, "preceding-key", port.preceding ? "enabled" : "disabled");
    add(e, "bounded-delay", "disabled");
    add(e, "outbound-sci", port.sci());
    add(e, "message-number", std::to_string(m.sent));
    add(e, "key-number", port.view.wire.live ? "1" : "0");
    add(e, "key-server", port.key_server() ? "yes" : "no");
    add(e, "key-server-priority", std::to_string(port.priority));
    add(e, "latest-sak-association-number", port.association_number());
    add(e, "latest-sak-key-identifier", port.key_identifier());
    add(e, "previous-sak-association-number", "0");
    add(e, "previous-sak-key-identifier", "000000000000000000000000/0");
    if (m.status == "live") add_participant(e, "session-live", port, m);
    for (const auto& p : port.participants) add_participant(e, "session-cak", port, p);
}

void mka_sessions(Call& c) {
    const auto ports = read_ports(c);
    const bool summary = static_cast<bool>(child(c.operation, "summary"));
    const bool detail = static_cast<bool>(child(c.operation, "detail"));
    if (!c.wants_text()) {
        for (const auto& port : ports) add_port(c.reply, port, summary ? "summary" : detail ? "detail" : "brief");
        if (ports.empty()) set_attribute(add(c.reply, "mka-session-information"), "junos:style", "brief");
        return;
    }
    std::string text = "\n";
    if (summary) text += summary_text(ports);
    for (std::size_t i = 0; i < ports.size() && !summary; ++i)
        text += (i > 0 ? "\n" : "") + block_text(ports[i], detail);
    add(c.reply, "output", text);
}

void add_create_time(pugi::xml_node parent, const Port& port) {
    set_attribute(add(parent, "create-time", duration_text(port.live_for())), "junos:seconds",
                  std::to_string(port.live_for() / 1000));
}

void add_association(pugi::xml_node channel, const char* name, const Port& port) {
    auto a = add(channel, name);
    add(a, "association-number", port.association_number());
    add(a, "association-number-status", "inuse");
    add_create_time(a, port);
}

void macsec_connections(Call& c) {
    auto info = add(c.reply, c.wants_text() ? "output" : "macsec-connection-information");
    std::string text = "\n";
    for (const auto& port : read_ports(c)) {
        const std::string cipher = upper(port.cipher);
        if (c.wants_text()) {
            text += "    Interface name: " + port.view.interface + "\n        CA name: " + port.view.ca +
                    "\n        Cipher suite: " + cipher + " Encryption: " + (port.encrypted ? "on" : "off") + "\n";
            if (!port.view.wire.live) continue;
            const std::string used = "            AN: " + port.association_number() +
                                     " Status: inuse Create time: " + duration_text(port.live_for()) + "\n";
            text += used + used;  // outbound, then inbound
            continue;
        }
        auto common = add(info, "macsec-interface-common-information");
        add(common, "interface-name", port.view.interface);
        add(common, "connectivity-association-name", port.view.ca);
        add(common, "cipher-suite", cipher);
        add(common, "encryption", port.encrypted ? "on" : "off");
        add(common, "offset", port.offset);
        add(common, "include-sci", port.include_sci ? "yes" : "no");
        add(common, "replay-protect", "off");
        add(common, "replay-protect-window", "0");
        if (!port.view.wire.live) continue;
        add_create_time(info, port);
        auto out = add(info, "outbound-secure-channel");
        add(out, "sci", port.sci());
        add(out, "outgoing-packet-number", "1");
        add_association(out, "outbound-secure-association", port);
        auto in = add(info, "inbound-secure-channel");
        add(in, "sci", port.peer_sci());
        add_association(in, "inbound-secure-association", port);
    }
    if (c.wants_text()) info.text().set(text.c_str());
}

}  // namespace

const Handlers& macsec_handlers() {
    static const Handlers handlers = {{"get-mka-session-information", mka_sessions},
                                      {"get-macsec-connection-information", macsec_connections}};
    return handlers;
}

}  // namespace qkd::junossim
