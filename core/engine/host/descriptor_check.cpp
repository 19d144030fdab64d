// The gate between a shared library and the engine. The first checks decide whether the later ones may read on.
#include "engine/host/descriptor_check.hpp"

#include <cstring>
#include <set>
#include <string>

#include "engine/base/text.hpp"

namespace qkd::engine {
namespace {

constexpr const char* vendor_remedy = "this is a defect of the plugin; report it to its vendor";

Error refused(std::string what, std::string hint) {
    return {ErrorCode::config, Retry::never, std::move(what), std::move(hint)};
}
Error incomplete(const std::string& what) {
    return refused("its descriptor is wrong: " + what, vendor_remedy);
}

std::string version(unsigned major, unsigned minor) {
    return std::to_string(major) + "." + std::to_string(minor);
}

bool blank(const char* text) {
    return text == nullptr || *text == '\0';
}

bool is_key(std::string_view key) {
    if (key.empty() || key.front() < 'a' || key.front() > 'z') return false;
    return key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

/// Keys that the core owns in the tables of a scope.
bool is_reserved(Scope scope, std::string_view key) {
    if (key == "plugin") return true;
    const bool stage_table = scope == Scope::certs || scope == Scope::persist;
    return stage_table && (key == "kind" || key == "timeout" || key == "retry");
}

StageKind stage_of(Scope scope) {
    switch (scope) {
        case Scope::device: return StageKind::connect;
        case Scope::kme: return StageKind::key_source;
        case Scope::key_ids: return StageKind::key_id_transport;
        case Scope::certs: return StageKind::certs;
        case Scope::persist: return StageKind::persist;
    }
    return StageKind::connect;
}

/// What is wrong with `allowed`, or an empty string.
std::string check_allowed(const Field& field) {
    if (field.allowed == nullptr) return field.type == FieldType::one_of ? "has no words to choose from" : "";
    switch (field.type) {
        case FieldType::integer: return parse_integer_range(field.allowed) ? "" : "has an unreadable range";
        case FieldType::duration: return parse_duration_range(field.allowed) ? "" : "has an unreadable range";
        case FieldType::one_of:
        case FieldType::url: return split(field.allowed, '|').empty() ? "has no words to choose from" : "";
        case FieldType::path: return std::string_view(field.allowed) == "new" ? "" : "has an unknown word for allowed";
        default: return "";
    }
}

bool default_fits(const Field& field) {
    const std::string_view text = field.default_value;
    switch (field.type) {
        case FieldType::integer: {
            const auto number = parse_integer(text);
            if (!number || field.allowed == nullptr) return number.has_value();
            const auto range = parse_integer_range(field.allowed);
            return range && *number >= range->min && *number <= range->max;
        }
        case FieldType::duration: {
            const auto duration = parse_duration(text);
            if (!duration || field.allowed == nullptr) return duration.has_value();
            const auto range = parse_duration_range(field.allowed);
            return range && duration->count() >= range->min && duration->count() <= range->max;
        }
        case FieldType::boolean: return text == "true" || text == "false";
        case FieldType::one_of: {
            for (const auto& word : split(field.allowed, '|')) {
                if (text == word) return true;
            }
            return false;
        }
        case FieldType::url: return check_url(text, split(field.allowed == nullptr ? "" : field.allowed, '|')).empty();
        case FieldType::string_list:
            return text == "[]";  // anything longer belongs into the file, where it can be seen
        default: return true;
    }
}

Result<void> check_field(const Field& field, const std::set<StageKind>& stages) {
    if (field.scope > Scope::persist || field.type > FieldType::string_list)
        return incomplete("a field of no known type");
    if (field.key == nullptr || !is_key(field.key)) return incomplete("a field without a proper key");
    const std::string name = std::string("field '") + field.key + "' ";
    if (is_reserved(field.scope, field.key)) return incomplete(name + "has a key that belongs to the core");
    if (blank(field.doc)) return incomplete(name + "is not documented");
    if (!stages.contains(stage_of(field.scope))) {
        return incomplete(name + "stands in a table that none of its stages reads");
    }
    if (const auto wrong = check_allowed(field); !wrong.empty()) return incomplete(name + wrong);
    if (field.default_value == nullptr) return {};
    if (field.required) return incomplete(name + "is required and has a default");
    if (field.type == FieldType::secret) return incomplete(name + "is a secret and has a default");
    if (!default_fits(field)) return incomplete(name + "has a default that is not allowed");
    return {};
}

Result<void> check_stage(const StageInfo& stage) {
    if (static_cast<int>(stage.kind) >= stage_kind_count) return incomplete("a stage of no known kind");
    const std::string name = std::string("stage ") + to_string(stage.kind) + " ";
    if (stage.create == nullptr || stage.destroy == nullptr) return incomplete(name + "cannot be created or destroyed");
    if (!capabilities_of(stage.kind).has_all(stage.provides))
        return incomplete(name + "provides a capability that does not belong to it");
    if (!device_capabilities.has_all(stage.needs))
        return incomplete(name + "needs a capability that no device's plugin can provide");
    return {};
}

}  // namespace

bool is_plugin_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > 64 || name.front() < 'a' || name.front() > 'z' || name.back() == '-')
        return false;
    if (name.find("--") != std::string_view::npos) return false;
    return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

Result<void> check_descriptor(const PluginDescriptor& d, std::string_view name) {
    if (d.magic != plugin_magic) {
        return refused("its symbol qkd_plugin is no plugin descriptor", "use QKD_PLUGIN() of the SDK and rebuild it");
    }
    if (d.abi_major != QKD_ABI_MAJOR || d.abi_minor > QKD_ABI_MINOR) {
        const bool newer = d.abi_major > QKD_ABI_MAJOR || d.abi_major == QKD_ABI_MAJOR;
        return refused("built for ABI " + version(d.abi_major, d.abi_minor) + ", this engine has " +
                           version(QKD_ABI_MAJOR, QKD_ABI_MINOR),
                       newer ? "install a newer qkd-macsec, or rebuild the plugin with the SDK of this one"
                             : "rebuild the plugin with the SDK of this engine");
    }
    if (d.fingerprint == nullptr || std::strcmp(d.fingerprint, QKD_FINGERPRINT) != 0) {
        return refused("built by another toolchain: plugin '" +
                           printable(d.fingerprint == nullptr ? "" : d.fingerprint) + "', engine '" QKD_FINGERPRINT "'",
                       "rebuild the plugin with the compiler and the library options of this engine");
    }
    if (blank(d.name) || d.name != name) {
        return refused("it calls itself '" + printable(d.name == nullptr ? "" : d.name) + "' but its file says '" +
                           std::string(name) + "'",
                       "give the file its own name back: libqkd-NAME.so");
    }
    if (blank(d.version) || blank(d.vendor) || blank(d.summary))
        return incomplete("version, vendor or summary is missing");
    const std::string_view status = d.status == nullptr ? "" : d.status;
    if (status != "stable" && status != "experimental" && status != "test only") {
        return incomplete("status is none of 'stable', 'experimental', 'test only'");
    }
    if (d.stages == nullptr || d.stage_count == 0) return incomplete("it has no stages");
    if (d.fields == nullptr && d.field_count != 0) return incomplete("its field table is missing");
    if (d.stage_count > static_cast<std::size_t>(stage_kind_count)) return incomplete("it has too many stages");

    std::set<StageKind> kinds;
    for (std::size_t i = 0; i < d.stage_count; ++i) {
        if (auto good = check_stage(d.stages[i]); !good) return good;
        if (!kinds.insert(d.stages[i].kind).second) return incomplete("a stage stands in it twice");
    }
    std::set<std::pair<Scope, std::string_view>> keys;
    for (std::size_t i = 0; i < d.field_count; ++i) {
        const Field& field = d.fields[i];
        if (auto good = check_field(field, kinds); !good) return good;
        if (!keys.emplace(field.scope, field.key).second) {
            return incomplete(std::string("field '") + field.key + "' stands in it twice");
        }
    }
    return {};
}

}  // namespace qkd::engine
