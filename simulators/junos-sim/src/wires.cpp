// What happens on the wires: the MKA model applied to the lab's devices, with its checkpoints and logs in LAB/wires/.
#include "wires.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

namespace qkd::junossim {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::uintmax_t log_limit = 4U << 20;

json to_json(const std::optional<Key>& key) {
    return key ? json{{"ckn", key->ckn}, {"cak", key->cak}} : json();
}

std::optional<Key> key_from(const json& j) {
    if (!j.is_object()) return std::nullopt;
    return Key{j.at("ckn").get<std::string>(), j.at("cak").get<std::string>()};
}

WireState read_checkpoint(const fs::path& file) {
    WireState state;
    const auto text = read_file(file);
    if (!text) return state;
    try {
        const json j = json::parse(*text);
        state.at = j.at("at").get<Millis>();
        for (std::size_t i = 0; i < 2; ++i) {
            const auto& e = j.at("ends").at(i);
            state.end[i] = {e.at("ca").get<std::string>(), key_from(e.at("primary")), key_from(e.at("preceding")),
                            key_from(e.at("fallback")), e.value("booting", false)};
        }
        for (const auto& c : j.at("common")) {
            state.common.push_back({key_from(c.at("key")).value(), c.at("since").get<Millis>()});
        }
        state.live = key_from(j.at("live"));
        state.live_since = j.at("live_since").get<Millis>();
    } catch (const json::exception& e) {
        throw SimError(file.string() + ": " + e.what());
    }
    return state;
}

void write_checkpoint(const fs::path& file, const WireState& state) {
    json ends = json::array();
    for (const auto& e : state.end) {
        ends.push_back({{"ca", e.ca},
                        {"primary", to_json(e.primary)},
                        {"preceding", to_json(e.preceding)},
                        {"fallback", to_json(e.fallback)},
                        {"booting", e.booting}});
    }
    json common = json::array();
    for (const auto& c : state.common) common.push_back({{"key", to_json(c.key)}, {"since", c.since}});
    const json j = {{"at", state.at},
                    {"ends", ends},
                    {"common", common},
                    {"live", to_json(state.live)},
                    {"live_since", state.live_since}};
    write_file(file, j.dump(1));
}

void append_log(const fs::path& file, const Wire& wire, const std::vector<Transition>& transitions) {
    if (transitions.empty()) return;
    std::error_code none;
    if (fs::file_size(file, none) > log_limit && !none) fs::rename(file, file.string() + ".1");
    std::ofstream out(file, std::ios::app);
    const WireEnd* ends[] = {&wire.a, &wire.b};
    for (const auto& t : transitions) {
        const auto worst = std::max(t.state[0], t.state[1]);
        json j = {{"at", t.at},
                  {"state", t.configured ? to_word(worst) : "off"},
                  {"apart", t.apart},
                  {"ckn", t.ckn},
                  {"ends", json::array()}};
        for (std::size_t i = 0; i < 2; ++i) {
            j["ends"].push_back({{"device", ends[i]->device},
                                 {"interface", ends[i]->interface},
                                 {"state", to_word(t.state[i])},
                                 {"role", to_word(t.role[i])}});
        }
        out << j.dump() << '\n';
    }
    if (!out.flush()) throw SimError("cannot write " + file.string());
}

// Both devices' locks guard the wire's files.
WireState evaluate(const Lab& lab, const Wire& wire) {
    const auto a = lab.devices.find(wire.a.device);
    const auto b = lab.devices.find(wire.b.device);
    if (a == lab.devices.end() || b == lab.devices.end()) {
        throw SimError("wire " + wire.name() + " names a device that lab.json does not list");
    }
    const auto pair = open_pair(a->second, b->second);
    const Device& first = *pair.first;
    const Device& second = pair.second ? *pair.second : first;
    const fs::path folder = lab.root / "wires";
    fs::create_directories(folder);
    auto state = read_checkpoint(folder / (wire.name() + ".json"));
    // Both have let everything happen up to here; the clock may have moved between the two openings.
    const Millis now = std::min(first.lab_now(), second.lab_now());
    const auto end_a = first.end_timeline(wire.a.interface);
    const auto end_b = second.end_timeline(wire.b.interface);
    // A commit may still come within this very millisecond: what is written down ends before it.
    const auto transitions = advance(state, end_a, end_b, now - 1);
    append_log(folder / (wire.name() + ".log"), wire, transitions);
    write_checkpoint(folder / (wire.name() + ".json"), state);
    advance(state, end_a, end_b, now);
    return state;
}

}  // namespace

std::vector<PortView> look_at_ports(const fs::path& state) {
    const DeviceInfo info = read_device_info(state);
    const Lab lab = read_lab(info.lab_file);
    std::vector<PortView> ports;
    std::optional<Millis> oldest;
    for (const auto& wire : lab.wires_of(info.name)) {
        const auto seen = evaluate(lab, wire);
        oldest = std::min(oldest.value_or(seen.at), seen.at);
        for (std::size_t i = 0; i < 2; ++i) {
            const auto& mine = i == 0 ? wire.a : wire.b;
            if (mine.device != info.name || seen.end[i].ca.empty()) continue;
            ports.push_back({mine.interface, seen.end[i].ca, i == 0 ? wire.b : wire.a, seen, i, seen.at});
        }
    }
    Device device(state);
    for (const auto& [name, config] : mka_configuration(device.running(), info)) {
        if (std::any_of(ports.begin(), ports.end(), [&](const PortView& p) { return p.interface == name; })) continue;
        PortView port{name, config.ca, std::nullopt, {}, 0, device.lab_now()};
        port.wire.end[0] = {config.ca, config.primary_at(device.device_now()), std::nullopt, config.fallback, false};
        ports.push_back(std::move(port));
    }
    device.prune_timeline(oldest.value_or(device.lab_now()));
    std::sort(ports.begin(), ports.end(),
              [](const PortView& x, const PortView& y) { return x.interface < y.interface; });
    return ports;
}

}  // namespace qkd::junossim
