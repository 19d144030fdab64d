// The sample, and the proof that it is what it says.
#include "kit/sample.hpp"

#include <array>

// The engine, in the same program, has this header-only library with other settings: two libraries to the linker.
#define toml qkd_kit_toml
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace qkd::conformance {
namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

std::string value(const Field& field) {
    const std::string_view given = field.default_value == nullptr ? "" : field.default_value;
    const bool has_default = field.default_value != nullptr;
    switch (field.type) {
        case FieldType::integer: {
            if (has_default) return std::string(given);
            const std::string_view allowed = field.allowed == nullptr ? "1..2" : field.allowed;
            return std::string(allowed.substr(0, allowed.find("..")));
        }
        case FieldType::boolean: return has_default ? std::string(given) : "false";
        case FieldType::string_list: return has_default ? std::string(given) : "[]";
        case FieldType::duration: return quoted(has_default ? given : "10s");
        case FieldType::one_of: {
            const std::string_view allowed = field.allowed == nullptr ? "" : field.allowed;
            return quoted(has_default ? given : allowed.substr(0, allowed.find('|')));
        }
        case FieldType::secret: return quoted("env:SECRET");
        case FieldType::url: return quoted(has_default ? given : "https://192.0.2.1");
        case FieldType::string:
        case FieldType::path: return quoted(given);
    }
    return quoted("");
}

bool is_of(FieldType type, const toml::node& node) {
    switch (type) {
        case FieldType::integer: return node.is_integer();
        case FieldType::boolean: return node.is_boolean();
        case FieldType::string_list: return node.is_array();
        default: return node.is_string();
    }
}

}  // namespace

std::string sample(const PluginDescriptor& plugin, Scope scope) {
    std::string text;
    for (std::size_t i = 0; i < plugin.field_count; ++i) {
        const Field& field = plugin.fields[i];
        if (field.scope == scope) text += std::string(field.key) + " = " + value(field) + "\n";
    }
    return text;
}

std::vector<std::string> check_samples(const PluginDescriptor& plugin) {
    std::vector<std::string> complaints;
    constexpr std::array scopes{Scope::device, Scope::kme, Scope::key_ids, Scope::certs, Scope::persist};
    for (const Scope scope : scopes) {
        const std::string text = sample(plugin, scope);
        const auto parsed = toml::parse(text);
        if (!parsed) {
            complaints.push_back("the sample is no TOML: " + std::string(parsed.error().description()));
            continue;
        }
        const toml::table& table = parsed.table();
        for (std::size_t i = 0; i < plugin.field_count; ++i) {
            const Field& field = plugin.fields[i];
            if (field.scope != scope) continue;
            const toml::node* node = table.get(field.key);
            if (node == nullptr || !is_of(field.type, *node)) {
                complaints.push_back(std::string(field.key) + ": its sample value is of another type");
            }
        }
    }
    return complaints;
}

}  // namespace qkd::conformance
