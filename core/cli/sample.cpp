// Writes samples from field tables.
#include "cli/sample.hpp"

#include <algorithm>
#include <set>

#include "engine/base/display.hpp"
#include "engine/base/text.hpp"

namespace qkd::cli {
namespace {

std::string text(const char* words) {
    return words == nullptr ? std::string() : std::string(words);
}

Scope scope_of(StageKind kind) {
    switch (kind) {
        case StageKind::connect:
        case StageKind::initial_config:
        case StageKind::commit: return Scope::device;
        case StageKind::certs: return Scope::certs;
        case StageKind::key_source: return Scope::kme;
        case StageKind::key_id_transport: return Scope::key_ids;
        case StageKind::persist: return Scope::persist;
    }
    return Scope::device;
}

bool is_bare(FieldType type, const std::string& value) {
    return type == FieldType::integer || type == FieldType::boolean ||
           (type == FieldType::string_list && value.starts_with('['));
}

std::string toml_value(FieldType type, const std::string& value) {
    if (is_bare(type, value)) return value;
    std::string quoted = "\"";
    for (const char c : value) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
    }
    quoted += '"';
    return type == FieldType::string_list ? "[" + quoted + "]" : quoted;
}

/// A value of the right form for a field that has no default.
std::string placeholder(const Field& field) {
    const std::string allowed = text(field.allowed);
    const std::string first_word = allowed.substr(0, allowed.find('|'));
    const std::string least = allowed.substr(0, allowed.find(".."));
    switch (field.type) {
        case FieldType::integer: return least.empty() ? "0" : least;
        case FieldType::boolean: return "false";
        case FieldType::duration: return least.empty() ? "10s" : least;
        case FieldType::one_of: return first_word;
        case FieldType::url: return (first_word.empty() ? "https" : first_word) + "://HOST";
        case FieldType::path: return "PATH";
        case FieldType::secret: return "file:PATH";
        case FieldType::string:
        case FieldType::string_list: break;
    }
    std::string word = text(field.key);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c); });
    return word;
}

std::string sample_line(const Field& field) {
    const bool given = field.required;
    const std::string value = field.default_value != nullptr ? text(field.default_value) : placeholder(field);
    std::string line = (given ? "" : "# ") + text(field.key) + " = " + toml_value(field.type, value);
    constexpr std::size_t column = 40;
    line.resize(std::max(line.size() + 2, column), ' ');
    line += std::string("# ") + type_word(field.type);
    if (!text(field.allowed).empty()) line += " " + text(field.allowed);
    line += given ? ", required" : field.default_value != nullptr ? ", default" : ", optional";
    return engine::one_line(line + ": " + text(field.doc)) + "\n";
}

}  // namespace

const char* scope_word(Scope scope) noexcept {
    switch (scope) {
        case Scope::device: return "device";
        case Scope::kme: return "kme";
        case Scope::key_ids: return "key_ids";
        case Scope::certs: return "certs";
        case Scope::persist: return "persist";
    }
    return "?";
}

const char* scope_table(Scope scope) noexcept {
    switch (scope) {
        case Scope::device: return "[device.NAME]";
        case Scope::kme: return "[kme.NAME]";
        case Scope::key_ids: return "key_ids = { ... } of a [[link]]";
        case Scope::certs: return "[[stage]] kind = \"certs\"";
        case Scope::persist: return "[[stage]] kind = \"persist\"";
    }
    return "?";
}

const char* type_word(FieldType type) noexcept {
    switch (type) {
        case FieldType::string: return "string";
        case FieldType::integer: return "integer";
        case FieldType::boolean: return "boolean";
        case FieldType::duration: return "duration";
        case FieldType::one_of: return "one of";
        case FieldType::path: return "path";
        case FieldType::secret: return "secret";
        case FieldType::url: return "url";
        case FieldType::string_list: return "list";
    }
    return "?";
}

std::vector<Scope> scopes_of(const PluginDescriptor& descriptor) {
    std::set<Scope> scopes;
    for (std::size_t i = 0; i < descriptor.stage_count; ++i) scopes.insert(scope_of(descriptor.stages[i].kind));
    for (std::size_t i = 0; i < descriptor.field_count; ++i) scopes.insert(descriptor.fields[i].scope);
    return {scopes.begin(), scopes.end()};
}

std::string sample_toml(const PluginDescriptor& descriptor) {
    std::string out = engine::one_line("# " + text(descriptor.name) + " " + text(descriptor.version) + ": " +
                                       text(descriptor.summary)) +
                      "\n";
    for (const Scope scope : scopes_of(descriptor)) {
        switch (scope) {
            case Scope::device:
            case Scope::kme: out += std::string("\n") + scope_table(scope) + "\n"; break;
            case Scope::key_ids: out += "\n[link.key_ids]                          # below its [[link]]\n"; break;
            case Scope::certs:
            case Scope::persist: out += std::string("\n[[stage]]\nkind = \"") + scope_word(scope) + "\"\n"; break;
        }
        out += "plugin = " + toml_value(FieldType::string, text(descriptor.name)) + "\n";
        for (std::size_t i = 0; i < descriptor.field_count; ++i) {
            if (descriptor.fields[i].scope == scope) out += sample_line(descriptor.fields[i]);
        }
    }
    return out;
}

}  // namespace qkd::cli
