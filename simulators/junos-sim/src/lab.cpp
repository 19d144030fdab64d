// The lab a device lives in: its clock, its wires, its neighbours. Read from lab.json each time, never cached.
#include "lab.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "clock.hpp"

namespace qkd::junossim {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

json read_json(const fs::path& file) {
    const auto text = read_file(file);
    if (!text) throw SimError("cannot read " + file.string());
    auto value = json::parse(*text, nullptr, false);
    if (!value.is_object()) throw SimError(file.string() + " is not a JSON object");
    return value;
}

std::string file_part(const WireEnd& end) {
    std::string out = end.device + "_" + end.interface;
    for (char& c : out) {
        if (c == '/' || c == ':') c = '-';
    }
    return out;
}

}  // namespace

std::string Wire::name() const {
    return file_part(a) + "--" + file_part(b);
}

Millis Lab::now() const {
    const Millis wall = wall_now();
    if (root.empty()) return wall;
    return epoch_lab + advanced + std::llround(static_cast<double>(wall - epoch_wall) * speed);
}

std::vector<Wire> Lab::wires_of(const std::string& device) const {
    std::vector<Wire> found;
    for (const auto& w : wires) {
        if (w.a.device == device || w.b.device == device) found.push_back(w);
    }
    return found;
}

Lab read_lab(const fs::path& file) {
    Lab lab;
    if (file.empty()) return lab;
    const json j = read_json(file);
    try {
        lab.root = fs::absolute(file).lexically_normal().parent_path();
        lab.speed = j.value("speed", 1.0);
        lab.epoch_wall = j.value("epoch_wall_ms", Millis{0});
        lab.epoch_lab = j.value("epoch_lab_ms", lab.epoch_wall);
        lab.advanced = j.value("advanced_ms", Millis{0});
        lab.skip_waits = j.value("skip_waits", false);
        const json devices = j.value("devices", json::object());
        for (const auto& [name, folder] : devices.items()) {
            lab.devices[name] = lab.root / folder.get<std::string>();
        }
        for (const auto& w : j.value("wires", json::array())) {
            const auto ends = w.get<std::vector<std::string>>();
            if (ends.size() != 4) throw SimError(file.string() + ": a wire is [device, interface, device, interface]");
            lab.wires.push_back({{ends[0], ends[1]}, {ends[2], ends[3]}});
        }
    } catch (const json::exception& e) {
        throw SimError(file.string() + ": " + e.what());
    }
    return lab;
}

void advance_to(const Lab& lab, Millis instant) {
    const FileLock lock(lab.root / "lab.lock");  // as whoever does it by hand
    const fs::path file = lab.root / "lab.json";
    const Millis ahead = instant - read_lab(file).now();
    if (ahead <= 0) return;
    json j = read_json(file);
    j["advanced_ms"] = j.value("advanced_ms", Millis{0}) + ahead;
    write_file(file, j.dump(1) + "\n");
}

bool DeviceInfo::may(std::string_view permission) const {
    if (!permissions) return true;
    const auto has = [this](std::string_view flag) {
        return std::find(permissions->begin(), permissions->end(), flag) != permissions->end();
    };
    // The -control form of a flag contains the plain one.
    return has("all") || has(permission) || has(std::string(permission) + "-control");
}

DeviceInfo read_device_info(const fs::path& state) {
    const json j = read_json(state / "device.json");
    DeviceInfo info;
    try {
        info.name = j.at("name").get<std::string>();
        info.model = j.value("model", info.model);
        info.version = j.value("version", info.version);
        info.serial = j.value("serial", info.serial);
        info.zone = j.value("zone", info.zone);
        info.skew = j.value("skew_ms", info.skew);
        if (j.contains("lab")) info.lab_file = (fs::absolute(state) / j["lab"].get<std::string>()).lexically_normal();
        info.preceding_key = j.value("preceding_key", info.preceding_key);
        info.timer_survives_reboot = j.value("timer_survives_reboot", info.timer_survives_reboot);
        info.linger = j.value("linger_s", info.linger);
        info.routing_engines = j.value("routing_engines", info.routing_engines);
        info.user_class = j.value("user_class", info.user_class);
        info.deny = j.value("deny", info.deny);
        if (j.contains("permissions")) info.permissions = j["permissions"].get<std::vector<std::string>>();
        info.allow_configuration = j.value("allow_configuration", info.allow_configuration);
        info.rfc_compliant = j.value("rfc_compliant", info.rfc_compliant);
        info.version_1_1 = j.value("version_1_1", info.version_1_1);
        info.start_time_suffix = j.value("start_time_suffix", info.start_time_suffix);
        info.bare_commit_ok = j.value("bare_commit_ok", info.bare_commit_ok);
    } catch (const json::exception& e) {
        throw SimError((state / "device.json").string() + ": " + e.what());
    }
    if (!zone_known(info.zone)) throw SimError((state / "device.json").string() + ": unknown zone " + info.zone);
    return info;
}

}  // namespace qkd::junossim
