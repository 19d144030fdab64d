// One simulated device's state on disk.
#include "device.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "clock.hpp"
#include "config_load.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

json key_json(const std::optional<Key>& key) {
    return key ? json::array({key->ckn, key->cak}) : json();
}

std::optional<Key> key_from(const json& j) {
    if (!j.is_array()) return std::nullopt;
    return Key{j.at(0).get<std::string>(), j.at(1).get<std::string>()};
}

json end_json(const EndConfig& end) {
    json chain = json::array();
    for (const auto& k : end.chain) chain.push_back({k.key.ckn, k.key.cak, k.start});
    return {{"ca", end.ca},
            {"chain", chain},
            {"psk", key_json(end.pre_shared)},
            {"fallback", key_json(end.fallback)},
            {"preceding", end.keep_preceding},
            {"booting", end.booting}};
}

EndConfig end_from(const json& j) {
    EndConfig end;
    end.ca = j.at("ca").get<std::string>();
    for (const auto& k : j.at("chain")) {
        end.chain.push_back({{k.at(0).get<std::string>(), k.at(1).get<std::string>()}, k.at(2).get<Millis>()});
    }
    end.pre_shared = key_from(j.at("psk"));
    end.fallback = key_from(j.at("fallback"));
    end.keep_preceding = j.at("preceding").get<bool>();
    end.booting = j.value("booting", false);
    return end;
}

std::optional<Key> key_of(const Node* node) {
    if (node == nullptr || node->leaf("ckn").empty() || node->leaf("cak").empty()) return std::nullopt;
    return Key{lower(node->leaf("ckn")), lower(node->leaf("cak"))};
}

Node default_configuration(const DeviceInfo& info) {
    Node configuration = empty_configuration();
    apply(read_set("set system host-name " + quote_word(info.name) + "\nset system services netconf ssh\n", "UTC")
              .patches,
          configuration, false);
    return configuration;
}

Node parse_configuration(const std::string& text, const std::string& zone, const std::string& where) {
    pugi::xml_document doc;
    const auto parsed = doc.load_string(text.c_str());
    if (!parsed || local_name(doc.document_element()) != "configuration") {
        throw SimError(where + " is not a <configuration>: " + parsed.description());
    }
    const auto loaded = read_xml(doc.document_element(), zone);
    if (loaded.failed()) {
        const auto& issue = loaded.issues.front();
        throw SimError(where + ": " + issue.path + " " + issue.message + " " + issue.bad_element);
    }
    Node configuration = empty_configuration();
    apply(loaded.patches, configuration, false);
    return configuration;
}

}  // namespace

std::map<std::string, EndConfig> mka_configuration(const Node& configuration, const DeviceInfo& info) {
    std::map<std::string, EndConfig> ends;
    const Node* macsec = configuration.at({"security", "macsec"});
    if (macsec == nullptr) return ends;
    for (const auto& port : macsec->children) {
        if (port.schema->name != "interfaces") continue;
        const std::string name = port.leaf("connectivity-association");
        const Node* ca = name.empty() ? nullptr : macsec->find("connectivity-association", name);
        if (ca == nullptr) continue;
        EndConfig end;
        end.ca = name;
        end.pre_shared = key_of(ca->find("pre-shared-key"));
        end.fallback = key_of(ca->find("fallback-key"));
        end.keep_preceding = info.preceding_key && ca->find("disable-preceding-key") == nullptr;
        const std::string chain_name = ca->leaf("pre-shared-key-chain");
        const Node* chain = chain_name.empty()
                                ? nullptr
                                : configuration.at({"security", "authentication-key-chains", "key-chain", chain_name});
        for (const auto& k : chain == nullptr ? std::vector<Node>{} : chain->children) {
            if (k.schema->name != "key" || k.leaf("key-name").empty() || k.leaf("secret").empty()) continue;
            const Key key{lower(k.leaf("key-name")), lower(k.leaf("secret"))};
            // A key without a start-time may be used from the beginning.
            end.chain.push_back({key, parse_start_time(k.leaf("start-time"), "UTC").value_or(StartTime{}).at});
        }
        std::stable_sort(end.chain.begin(), end.chain.end(),
                         [](const ChainKey& x, const ChainKey& y) { return x.start < y.start; });
        ends[port.value] = std::move(end);
    }
    return ends;
}

Device::Device(const fs::path& state) : folder_(fs::absolute(state).lexically_normal()) {
    info_ = read_device_info(folder_);
    fs::create_directories(folder_ / "sim" / "config");
    fs::create_directories(folder_ / "sim" / "sessions");
    lock_ = std::make_unique<FileLock>(folder_ / "sim" / "lock");
    lab_ = read_lab(info_.lab_file);
    load();
    // The wall clock may be set back; a device's own time is not.
    now_ = std::max(lab_.now(), last_);
    expire();
}

void Device::load() {
    const auto text = read_file(folder_ / "sim" / "state.json");
    if (!text) {
        initialise();
        return;
    }
    try {
        const json j = json::parse(*text);
        next_config_ = j.at("next_config").get<long>();
        last_ = j.at("last").get<Millis>();
        for (const auto& h : j.at("history")) {
            history_.push_back({h.at("config").get<std::string>(), h.at("at").get<Millis>(),
                                h.at("user").get<std::string>(), h.at("client").get<std::string>(),
                                h.at("comment").get<std::string>(), h.at("log").get<std::string>()});
        }
        candidate_id_ = j.at("candidate").get<std::string>();
        dirty_since_ = j.at("dirty_since").get<Millis>();
        if (!j.at("pending").is_null()) pending_until_ = j.at("pending").get<Millis>();
        pending_pid_ = j.value("pending_pid", 0L);
        if (!j.at("holder").is_null()) {
            const auto& h = j.at("holder");
            holder_ = LockHolder{h.at("pid").get<long>(), h.at("user").get<std::string>(), h.at("since").get<Millis>()};
        }
        for (const auto& [name, changes] : j.at("timeline").items()) {
            for (const auto& c : changes) {
                timeline_[name].push_back({c.at("at").get<Millis>(), end_from(c.at("end"))});
            }
        }
        counters_ = j.at("counters").get<std::map<std::string, int>>();
    } catch (const json::exception& e) {
        throw SimError((folder_ / "sim" / "state.json").string() + ": " + e.what());
    }
    if (history_.empty()) throw SimError("no running configuration in " + folder_.string());
}

void Device::save() {
    json history = json::array();
    for (const auto& h : history_) {
        history.push_back({{"config", h.config},
                           {"at", h.at},
                           {"user", h.user},
                           {"client", h.client},
                           {"comment", h.comment},
                           {"log", h.log}});
    }
    json timeline = json::object();
    for (const auto& [name, changes] : timeline_) {
        for (const auto& c : changes) timeline[name].push_back({{"at", c.at}, {"end", end_json(c.config)}});
    }
    json holder;
    if (holder_) holder = {{"pid", holder_->pid}, {"user", holder_->user}, {"since", holder_->since}};
    const json j = {{"next_config", next_config_}, {"last", last_},
                    {"history", history},          {"candidate", candidate_id_},
                    {"dirty_since", dirty_since_}, {"pending", pending_until_ ? json(*pending_until_) : json()},
                    {"pending_pid", pending_pid_}, {"holder", holder},
                    {"timeline", timeline},        {"counters", counters_}};
    write_file(folder_ / "sim" / "state.json", j.dump(1));
    // Only now, when nothing refers to them any more, may configurations go.
    if (next_config_ % 16 != 0) return;
    for (const auto& file : fs::directory_iterator(folder_ / "sim" / "config")) {
        const std::string id = file.path().stem().string();
        const bool used = id == candidate_id_ || std::any_of(history_.begin(), history_.end(),
                                                             [&](const HistoryEntry& h) { return h.config == id; });
        if (!used) fs::remove(file.path());
    }
}

void Device::initialise() {
    const auto given = read_file(folder_ / "running.xml");
    const Node configuration = given ? parse_configuration(*given, info_.zone, (folder_ / "running.xml").string())
                                     : default_configuration(info_);
    // A device of a lab has been up since the lab began, whoever looks at it first.
    last_ = lab_.root.empty() ? lab_.now() : lab_.epoch_lab;
    history_ = {{store(configuration), last_, "root", "other", "", ""}};
    note_keys(last_);
    save();
}

void Device::expire() {
    if (pending_until_ && now_ >= *pending_until_) go_back(*pending_until_);
}

void Device::go_back(Millis at) {
    pending_until_.reset();
    const std::string before = history_.size() > 1 ? history_[1].config : history_[0].config;
    history_.insert(history_.begin(), {before, at, "root", "other", "", ""});
    if (history_.size() > history_limit) history_.resize(history_limit);
    last_ = std::max(last_, at);
    note_keys(at);
    save();
}

std::string Device::store(const Node& configuration) {
    const std::string id = std::to_string(next_config_++);
    pugi::xml_document doc;
    append_xml(doc.append_child("configuration"), configuration, Secrets::clear);
    write_file(folder_ / "sim" / "config" / (id + ".xml"), to_text(doc.document_element(), {.indent = 1}));
    cache_[id] = configuration;
    return id;
}

Node Device::fetch(const std::string& id) const {
    const fs::path file = folder_ / "sim" / "config" / (id + ".xml");
    return parse_configuration(read_file(file).value_or(""), "UTC", file.string());
}

const Node& Device::running() const {
    const auto& id = history_.front().config;
    auto found = cache_.find(id);
    if (found == cache_.end()) found = cache_.emplace(id, fetch(id)).first;
    return found->second;
}

const Node& Device::candidate() const {
    if (!dirty()) return running();
    auto found = cache_.find(candidate_id_);
    if (found == cache_.end()) found = cache_.emplace(candidate_id_, fetch(candidate_id_)).first;
    return found->second;
}

std::optional<Node> Device::rollback(std::size_t index) const {
    if (index >= history_.size()) return std::nullopt;
    return fetch(history_[index].config);
}

void Device::set_candidate(const Node& configuration) {
    if (compare(running(), configuration).empty()) {
        discard_candidate();
        return;
    }
    if (!dirty()) dirty_since_ = now_;
    const std::string old = candidate_id_;
    candidate_id_ = store(configuration);
    save();
    if (!old.empty()) fs::remove(folder_ / "sim" / "config" / (old + ".xml"));
}

void Device::discard_candidate() {
    if (!dirty()) return;
    const std::string old = candidate_id_;
    candidate_id_.clear();
    save();
    fs::remove(folder_ / "sim" / "config" / (old + ".xml"));
}

void Device::commit(const Node& configuration, HistoryEntry entry, std::optional<Millis> confirm_within, long pid) {
    entry.config = store(configuration);
    entry.at = now_;
    history_.insert(history_.begin(), std::move(entry));
    if (history_.size() > history_limit) history_.resize(history_limit);
    pending_until_ = confirm_within ? std::optional(now_ + *confirm_within) : std::nullopt;
    pending_pid_ = confirm_within ? pid : 0;
    last_ = now_;
    note_keys(now_);
    save();
}

void Device::revert_pending_of(long pid) {
    if (pending_until_ && pending_pid_ == pid) go_back(now_);
}

void Device::reboot() {
    end_sessions();
    holder_.reset();
    if (!info_.timer_survives_reboot) pending_until_.reset();
    // Down at this instant and up at the next.
    for (auto& [name, changes] : timeline_) {
        if (changes.empty() || changes.back().config.ca.empty()) continue;
        EndConfig booting;
        booting.ca = changes.back().config.ca;
        booting.booting = true;
        changes.push_back({now_, booting});
    }
    now_ += 1;
    last_ = now_;
    note_keys(now_);
    save();
    discard_candidate();
}

// Holding the device's lock: none of them is in the middle of a change. This very process ends by itself.
void Device::end_sessions() const {
    constexpr int patience_ms = 5000;
    for (const auto& entry : fs::directory_iterator(folder_ / "sim" / "sessions")) {
        const auto pid = to_int(entry.path().filename().string());
        if (!pid || *pid <= 1) continue;
        // Who holds the lock on this file is the process that it is named after.
        for (int waited = 0; *pid != ::getpid() && FileLock::held(entry.path()); ++waited) {
            if (waited == 0) ::kill(static_cast<pid_t>(*pid), SIGKILL);
            if (waited == patience_ms) throw SimError("session " + std::to_string(*pid) + " does not end");
            ::poll(nullptr, 0, 1);
        }
        fs::remove(entry.path());
    }
}

void Device::confirm_pending() {
    if (!pending_until_) return;
    pending_until_.reset();
    save();
}

const std::optional<LockHolder>& Device::lock_holder() {
    if (holder_ && !FileLock::held(session_file(holder_->pid))) {
        holder_.reset();
        discard_candidate();
        save();
    }
    return holder_;
}

std::optional<Millis> Device::next_start() const {
    std::optional<Millis> next;
    for (const auto& [interface, end] : mka_configuration(running(), info_)) {
        for (const auto& key : end.chain) {
            if (key.start > device_now() && (!next || key.start - info_.skew < *next)) next = key.start - info_.skew;
        }
    }
    return next;
}

void skip_to_next_start(const fs::path& state) {
    constexpr Millis before = 2000;
    const Lab lab = read_lab(read_device_info(state).lab_file);
    if (!lab.skip_waits) return;
    std::optional<Millis> first;
    for (const auto& [name, folder] : lab.devices) {
        Device device(folder);
        const auto start = device.next_start();
        if (!start || device.pending_until() || device.lock_holder()) return;
        first = std::min(first.value_or(*start), *start);
    }
    if (first) advance_to(lab, *first - before);
}

void Device::set_lock(std::optional<LockHolder> holder) {
    holder_ = std::move(holder);
    save();
}

std::string Device::zone() const {
    const Node* system = running().find("system");
    const std::string configured = system == nullptr ? "" : system->leaf("time-zone");
    return configured.empty() ? info_.zone : configured;
}

std::string Device::host_name() const {
    const Node* system = running().find("system");
    const std::string configured = system == nullptr ? "" : system->leaf("host-name");
    return configured.empty() ? info_.name : configured;
}

void Device::note_keys(Millis at) {
    auto ends = mka_configuration(running(), info_);
    for (const auto& [name, changes] : timeline_) ends.try_emplace(name);  // no longer configured
    for (auto& [name, end] : ends) {
        auto& changes = timeline_[name];
        if (changes.empty() ? end.ca.empty() : changes.back().config == end) continue;
        changes.push_back({at, end});
    }
}

const std::vector<EndTimeline::Change>& Device::timeline(const std::string& interface) const {
    static const std::vector<EndTimeline::Change> none;
    const auto found = timeline_.find(interface);
    return found == timeline_.end() ? none : found->second;
}

EndTimeline Device::end_timeline(const std::string& interface) const {
    return {info_.skew, timeline(interface)};
}

std::size_t Device::longest_timeline() const {
    std::size_t longest = 0;
    for (const auto& [name, changes] : timeline_) longest = std::max(longest, changes.size());
    return longest;
}

void Device::prune_timeline(Millis before) {
    bool changed = false;
    for (auto& [name, changes] : timeline_) {
        while (changes.size() > 1 && changes[1].at <= before) {
            changes.erase(changes.begin());
            changed = true;
        }
    }
    if (changed) save();
}

int Device::count(const std::string& counter) {
    const int n = ++counters_[counter];
    save();
    return n;
}

fs::path Device::session_file(long pid) const {
    return folder_ / "sim" / "sessions" / std::to_string(pid);
}

DevicePair open_pair(const fs::path& a, const fs::path& b) {
    const auto x = fs::absolute(a).lexically_normal();
    const auto y = fs::absolute(b).lexically_normal();
    DevicePair pair;
    if (x == y) {
        pair.first = std::make_unique<Device>(x);
    } else if (x < y) {
        pair.first = std::make_unique<Device>(x);
        pair.second = std::make_unique<Device>(y);
    } else {
        pair.second = std::make_unique<Device>(y);
        pair.first = std::make_unique<Device>(x);
    }
    return pair;
}

}  // namespace qkd::junossim
