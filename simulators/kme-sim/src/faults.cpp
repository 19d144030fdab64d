// Reads the fault script and counts.
#include "faults.hpp"

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace qkd::kme_sim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::pair<std::string_view, FaultAction>, 11> actions = {{
    {"delay", FaultAction::delay},
    {"drop", FaultAction::drop},
    {"error", FaultAction::error},
    {"garbage", FaultAction::garbage},
    {"hang", FaultAction::hang},
    {"consume-then-drop", FaultAction::consume_then_drop},
    {"consume-then-hang", FaultAction::consume_then_hang},
    {"empty", FaultAction::empty},
    {"short-key", FaultAction::short_key},
    {"wrong-id", FaultAction::wrong_id},
    {"duplicate", FaultAction::duplicate},
}};

const std::set<std::string> fields = {"kme", "call", "sae", "nth", "every", "action", "status", "message", "ms", "id"};

struct Entry {
    std::string kme, call, sae;
    std::int64_t nth = 0;  ///< 0 = every
    Fault fault;
};

/// Throws Json::exception or std::string on anything the format does not know.
Entry parse(const Json& json) {
    if (!json.is_object()) throw std::string("each fault must be an object");
    for (const auto& item : json.items()) {
        if (!fields.contains(item.key())) throw "unknown field '" + item.key() + "'";
    }
    Entry entry;
    entry.kme = json.value("kme", "*");
    entry.call = json.value("call", "*");
    entry.sae = json.value("sae", "*");
    if (entry.call != "*" && entry.call != "enc_keys" && entry.call != "dec_keys" && entry.call != "status") {
        throw "unknown call '" + entry.call + "'";
    }
    entry.nth = json.value("every", false) ? 0 : json.at("nth").get<std::int64_t>();
    if (entry.nth < 0 || (entry.nth == 0 && !json.value("every", false))) throw std::string("'nth' counts from 1");
    const std::string name = json.at("action");
    bool known = false;
    for (const auto& [word, action] : actions) {
        if (word == name) {
            entry.fault.action = action;
            known = true;
        }
    }
    if (!known) throw "unknown action '" + name + "'";
    entry.fault.status = json.value("status", 503);
    if (entry.fault.status < 200 || entry.fault.status > 599) throw std::string("'status' must be from 200 to 599");
    entry.fault.message = json.value("message", "scripted fault");
    entry.fault.delay = std::chrono::milliseconds(json.value("ms", std::int64_t{0}));
    return entry;
}

}  // namespace

Result<std::optional<Fault>> FaultScript::next(const std::string& kme, const std::string& call,
                                               const std::string& sae) {
    std::optional<Fault> due;
    if (path_.empty()) return due;
    std::ifstream in(path_);
    if (!in) return due;
    std::ostringstream text;
    text << in.rdbuf();

    const std::lock_guard lock(mutex_);
    try {
        const Json script = Json::parse(text.str());
        std::set<std::string> counted;
        for (const Json& json : script.at("faults")) {
            const Entry entry = parse(json);
            const auto matches = [](const std::string& pattern, const std::string& name) {
                return pattern == "*" || pattern == name;
            };
            if (!matches(entry.kme, kme) || !matches(entry.call, call) || !matches(entry.sae, sae)) continue;
            const std::string name = json.dump();
            if (!counted.insert(name).second) continue;
            const std::int64_t count = ++seen_[name];
            if (due || (entry.nth != 0 && entry.nth != count)) continue;
            due = entry.fault;
            note(Json{{"id", json.value("id", Json())},
                      {"kme", kme},
                      {"call", call},
                      {"sae", sae},
                      {"action", json.at("action")}}
                     .dump(-1, ' ', false, Json::error_handler_t::replace) +
                 "\n");
        }
    } catch (const Json::exception& error) {
        return Error{.code = ErrorCode::config, .what = path_ + ": " + error.what(), .hint = "see kme-sim --help"};
    } catch (const std::string& what) {
        return Error{.code = ErrorCode::config, .what = path_ + ": " + what, .hint = "see kme-sim --help"};
    }
    return due;
}

void FaultScript::note(const std::string& line) const {
    std::ofstream(path_ + ".log", std::ios::app) << line;
}

}  // namespace qkd::kme_sim
