// Laws for every plugin: its descriptor is complete, and making objects of it leaves no trace.
#include <malloc.h>

#include <charconv>
#include <set>
#include <thread>

#include "kit/process_state.hpp"
#include "kit/sample.hpp"
#include "kit/trial.hpp"

namespace qkd::conformance {
namespace {

bool blank(const char* text) {
    return text == nullptr || *text == '\0';
}

bool is_word(std::string_view text, std::string_view others) {
    return !text.empty() && text.front() >= 'a' && text.front() <= 'z' &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789" + std::string(others)) ==
               std::string_view::npos;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return parts;
}

bool belongs(Scope scope, const PluginDescriptor& plugin) {
    for (std::size_t i = 0; i < plugin.stage_count; ++i) {
        if (support::scope_of(plugin.stages[i].kind) == scope) return true;
    }
    return false;
}

std::optional<std::int64_t> measure(FieldType type, std::string_view text) {
    if (type == FieldType::duration) {
        const auto time = support::parse_duration(text);
        if (time.count() < 0) return std::nullopt;
        return time.count();
    }
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// Is the default of a type and within what is allowed?
bool default_fits(const Field& field) {
    const std::string_view value = field.default_value;
    switch (field.type) {
        case FieldType::integer:
        case FieldType::duration: {
            const auto number = measure(field.type, value);
            if (!number || field.allowed == nullptr) return number.has_value();
            const std::string_view allowed = field.allowed;
            const auto dots = allowed.find("..");
            if (dots == std::string_view::npos) return false;
            const auto low = measure(field.type, allowed.substr(0, dots));
            const auto high = measure(field.type, allowed.substr(dots + 2));
            return low && high && *low <= *number && *number <= *high;
        }
        case FieldType::boolean: return value == "true" || value == "false";
        case FieldType::one_of: {
            for (const auto& word : split(field.allowed == nullptr ? "" : field.allowed, '|')) {
                if (word == value) return true;
            }
            return false;
        }
        default: return true;
    }
}

void descriptor_complete(Trial& trial) {
    const PluginDescriptor& plugin = trial.plugin();
    trial.expect(plugin.magic == plugin_magic, "magic is not that of a plugin");
    trial.expect(plugin.abi_major == QKD_ABI_MAJOR && plugin.abi_minor <= QKD_ABI_MINOR, "built for another ABI");
    trial.expect(plugin.fingerprint != nullptr && plugin.fingerprint == std::string_view(QKD_FINGERPRINT),
                 "fingerprint differs");
    Trial::require(!blank(plugin.name), "has no name");
    trial.expect(is_word(plugin.name, "-") && std::string_view(plugin.name).find("--") == std::string_view::npos &&
                     !std::string_view(plugin.name).ends_with('-'),
                 "name is not lower-case words joined by '-'");
    trial.expect(!blank(plugin.version) && !blank(plugin.vendor) && !blank(plugin.summary),
                 "version, vendor or summary is empty");
    const std::set<std::string> known{"stable", "experimental", "test only"};
    trial.expect(!blank(plugin.status) && known.contains(plugin.status),
                 "status is not stable, experimental or 'test only'");
    trial.expect(plugin.stage_count > 0, "implements no stage");
    std::set<StageKind> kinds;
    for (std::size_t i = 0; i < plugin.stage_count; ++i) {
        const StageInfo& stage = plugin.stages[i];
        const std::string where = std::string("stage ") + to_string(stage.kind);
        trial.expect(kinds.insert(stage.kind).second, where + " is there twice");
        Trial::require(stage.create != nullptr && stage.destroy != nullptr, where + " has no create or no destroy");
        trial.expect(capabilities_of(stage.kind).has_all(stage.provides),
                     where + " provides a capability of another kind of stage");
        trial.expect(device_capabilities.has_all(stage.needs),
                     where + " needs a capability that no device's plugin can provide");
    }
}

void fields_documented(Trial& trial) {
    const PluginDescriptor& plugin = trial.plugin();
    std::set<std::pair<Scope, std::string>> keys;
    for (std::size_t i = 0; i < plugin.field_count; ++i) {
        const Field& field = plugin.fields[i];
        Trial::require(!blank(field.key), "a field without a key");
        const std::string key = field.key;
        trial.expect(is_word(key, "_"), key + ": the key is not lower-case with '_'");
        trial.expect(keys.emplace(field.scope, key).second, key + ": twice in one table");
        trial.expect(belongs(field.scope, plugin), key + ": stands in a table of no stage of this plugin");
        trial.expect(!blank(field.doc), key + ": not documented");
        if (!blank(field.doc)) {
            trial.expect(std::string_view(field.doc).ends_with('.'), key + ": its documentation is no sentence");
        }
        trial.expect(field.type != FieldType::one_of || !blank(field.allowed), key + ": no words to choose from");
        if (field.default_value == nullptr) continue;
        trial.expect(!field.required, key + ": required, and yet it has a default");
        trial.expect(field.type != FieldType::secret, key + ": a secret must have no default");
        trial.expect(default_fits(field), key + ": its default is not allowed");
    }
}

void sample_parses(Trial& trial) {
    for (const auto& complaint : check_samples(trial.plugin())) trial.expect(false, complaint);
}

void configure_pure(Trial& trial) {
    for (std::size_t i = 0; i < trial.plugin().stage_count; ++i) {
        const StageKind kind = trial.plugin().stages[i].kind;
        const auto config = trial.subject().config(kind, End::initiator);
        const ProcessState before = ProcessState::now();
        {
            Stage* stage = trial.plugin().stages[i].create();
            Trial::require(stage != nullptr, std::string(to_string(kind)) + ": create gave nothing");
            const std::unique_ptr<Stage, void (*)(Stage*)> owner(stage, trial.plugin().stages[i].destroy);
            trial.must(stage->configure(*config), "configure");
            for (const auto& change : before.changes(ProcessState::now())) {
                trial.expect(false, std::string(to_string(kind)) + ": configure changes the process: " + change);
            }
        }
        for (const auto& change : before.changes(ProcessState::now())) {
            trial.expect(false, std::string(to_string(kind)) + ": destroying leaves behind: " + change);
        }
    }
}

void thousand_objects(Trial& trial) {
    constexpr int rounds = 1000;
    constexpr int settled = 200;
    constexpr std::size_t tolerance = 65536;
    for (std::size_t i = 0; i < trial.plugin().stage_count; ++i) {
        const StageInfo& info = trial.plugin().stages[i];
        const auto config = trial.subject().config(info.kind, End::initiator);
        std::size_t heap = 0;
        std::size_t mappings = 0;
        for (int round = 0; round < rounds; ++round) {
            const std::unique_ptr<Stage, void (*)(Stage*)> stage(info.create(), info.destroy);
            Trial::require(stage != nullptr, "create gave nothing in round " + std::to_string(round));
            trial.must(stage->configure(*config), "configure in round " + std::to_string(round));
            if (round == settled) {
                heap = ::mallinfo2().uordblks;
                mappings = ProcessState::mappings();
            }
        }
        // Under a sanitizer mallinfo2 is all zeros; there the leak checker says it at the end.
        const std::size_t now = ::mallinfo2().uordblks;
        trial.expect(now <= heap + tolerance, std::string(to_string(info.kind)) + ": " + std::to_string(now - heap) +
                                                  " bytes more after 800 objects");
        trial.expect(ProcessState::mappings() <= mappings + 16,
                     std::string(to_string(info.kind)) + ": more memory mappings after 800 objects");
    }
}

void objects_in_threads(Trial& trial) {
    constexpr std::size_t threads = 4;
    constexpr int rounds = 50;
    for (std::size_t i = 0; i < trial.plugin().stage_count; ++i) {
        const StageInfo& info = trial.plugin().stages[i];
        std::vector<std::unique_ptr<ConfigView>> configs;
        for (std::size_t t = 0; t < threads; ++t) configs.push_back(trial.subject().config(info.kind, End::initiator));
        std::vector<std::string> complaints(threads);
        std::vector<std::thread> running;
        for (std::size_t t = 0; t < threads; ++t) {
            running.emplace_back([&, t] {
                try {
                    for (int round = 0; round < rounds; ++round) {
                        const std::unique_ptr<Stage, void (*)(Stage*)> stage(info.create(), info.destroy);
                        if (auto done = stage->configure(*configs[t]); !done) complaints[t] = done.error().what;
                    }
                } catch (...) {
                    complaints[t] = "an exception";
                }
            });
        }
        for (auto& thread : running) thread.join();
        for (const auto& complaint : complaints) {
            trial.expect(complaint.empty(), std::string(to_string(info.kind)) + " in a thread: " + complaint);
        }
    }
}

void probe_without_time(Trial& trial) {
    for (std::size_t i = 0; i < trial.plugin().stage_count; ++i) {
        const StageKind kind = trial.plugin().stages[i].kind;
        const auto stage = trial.make(kind);
        const auto begin = std::chrono::steady_clock::now();
        trial.either(stage->probe(trial.context(std::chrono::milliseconds{0})), "probe");
        trial.late(std::chrono::steady_clock::now() - begin, std::string(to_string(kind)) + ": probe without time");
        auto& stopped = trial.context();
        stopped.request_stop();
        const auto again = std::chrono::steady_clock::now();
        trial.either(stage->probe(stopped), "probe");
        trial.late(std::chrono::steady_clock::now() - again, std::string(to_string(kind)) + ": probe after a stop");
    }
}

}  // namespace

const std::vector<Law>& common_laws() {
    static const std::vector<Law> laws{
        {"all.descriptor", "the descriptor is complete, of this ABI, and names things in the agreed form",
         descriptor_complete},
        {"all.fields",
         "every field is documented; required ones and secrets have no default; defaults are allowed values",
         fields_documented},
        {"all.sample", "a sample made from the field table is TOML with the right types", sample_parses},
        {"all.pure", "configure opens, starts and changes nothing in the process", configure_pure},
        {"all.thousand", "an object can be made, configured and destroyed 1,000 times without growth",
         thousand_objects},
        {"all.threads", "objects can be made and configured in several threads at the same time", objects_in_threads},
        {"all.probe", "probe comes back at once without time or after a stop", probe_without_time}};
    return laws;
}

}  // namespace qkd::conformance
