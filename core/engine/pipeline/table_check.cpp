// One TOML table against one field table.
#include "engine/pipeline/table_check.hpp"

#include <algorithm>

#include "engine/base/text.hpp"
#include "engine/secrets/references.hpp"

namespace qkd::engine {
namespace {

using Type = TomlValue::Type;

bool has_control_characters(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

/// The field's documentation as part of a message.
std::string hint_of(const Field& field) {
    std::string hint = field.doc;
    if (hint.ends_with('.')) hint.pop_back();
    return hint;
}

/// Checks the values of one table; the place of every complaint is that of the value.
class ValueCheck {
  public:
    ValueCheck(const std::vector<SourceFile>& files, Findings& findings) : files_(files), findings_(findings) {}

    void check(const Field& field, const TomlValue& value, std::string_view label, CheckedValue& out) {
        out.place = value.place;
        switch (field.type) {
            case FieldType::string:
                if (text(field, value, label, "a string", out)) require_text(field, value, out);
                break;
            case FieldType::integer: integer(field, value, label, out); break;
            case FieldType::boolean:
                if (value.type != Type::boolean) return wrong_type(value, label, "true or false", findings_);
                out.number = value.boolean ? 1 : 0;
                break;
            case FieldType::duration: duration(field, value, label, out); break;
            case FieldType::one_of: one_of(field, value, label, out); break;
            case FieldType::path:
                if (text(field, value, label, "a path (a string)", out)) path(value, out);
                break;
            case FieldType::secret: secret(value, label, out); break;
            case FieldType::url: url(field, value, label, out); break;
            case FieldType::string_list: list(value, label, out); break;
        }
    }

    /// The default of a field, which check_descriptor() has found good.
    void set_default(const Field& field, CheckedValue& out) const {
        out.text = field.default_value;
        switch (field.type) {
            case FieldType::integer: out.number = parse_integer(out.text).value_or(0); break;
            case FieldType::duration:
                out.number = parse_duration(out.text).value_or(std::chrono::milliseconds{0}).count();
                break;
            case FieldType::boolean: out.number = out.text == "true" ? 1 : 0; break;
            case FieldType::path: out.text = absolute(out.text, out.place); break;
            default: break;
        }
    }

  private:
    bool text(const Field& /*field*/, const TomlValue& value, std::string_view label, std::string_view wanted,
              CheckedValue& out) {
        if (value.type != Type::string) {
            wrong_type(value, label, wanted, findings_);
            return false;
        }
        if (has_control_characters(value.text)) {
            findings_.error(value.place, "'" + printable(value.key) + "' holds a control character",
                            "one line of plain text");
            return false;
        }
        out.text = value.text;
        return true;
    }

    void require_text(const Field& field, const TomlValue& value, const CheckedValue& out) {
        if (field.required && out.text.empty()) {
            findings_.error(value.place, "'" + printable(value.key) + "' is empty", hint_of(field));
        }
    }

    void integer(const Field& field, const TomlValue& value, std::string_view label, CheckedValue& out) {
        if (value.type != Type::integer) {
            return wrong_type(value, label, "an integer", findings_,
                              field.allowed == nullptr ? "" : std::string("allowed: ") + field.allowed);
        }
        out.number = value.integer;
        if (field.allowed == nullptr) return;
        const auto range = parse_integer_range(field.allowed).value_or(Range{});
        if (out.number < range.min || out.number > range.max) {
            findings_.error(value.place,
                            "'" + printable(value.key) + "' is out of range: " + std::to_string(out.number),
                            std::string("allowed: ") + field.allowed);
        }
    }

    void duration(const Field& field, const TomlValue& value, std::string_view label, CheckedValue& out) {
        constexpr const char* notation =
            R"(write a whole number with a unit, such as "500ms", "20s", "2m", "1h" or "3d")";
        if (value.type != Type::string) {
            return findings_.error(value.place,
                                   "'" + printable(value.key) + "' in " + std::string(label) +
                                       " must be a duration (a string), not " + type_name(value.type),
                                   notation);
        }
        const auto parsed = parse_duration(value.text);
        if (!parsed) {
            return findings_.error(value.place,
                                   "'" + printable(value.key) + "' is no duration: '" + printable(value.text) + "'",
                                   notation);
        }
        out.number = parsed->count();
        if (field.allowed == nullptr) return;
        const auto range = parse_duration_range(field.allowed).value_or(Range{});
        if (out.number < range.min || out.number > range.max) {
            findings_.error(value.place, "'" + printable(value.key) + "' is out of range: " + format_duration(*parsed),
                            std::string("allowed: ") + field.allowed);
        }
    }

    void one_of(const Field& field, const TomlValue& value, std::string_view label, CheckedValue& out) {
        if (!text(field, value, label, "a string", out)) return;
        const auto words = split(field.allowed, '|');
        if (std::find(words.begin(), words.end(), out.text) != words.end()) return;
        findings_.error(value.place, "'" + printable(value.key) + "' cannot be '" + printable(out.text) + "'",
                        "allowed: " + join(words, ", "), nearest(out.text, words));
    }

    void path(const TomlValue& value, CheckedValue& out) {
        if (out.text.empty())
            return findings_.error(value.place, "'" + printable(value.key) + "' is empty", "give a path");
        placeholders(value, out.text);
        out.text = absolute(out.text, value.place);
    }

    void secret(const TomlValue& value, std::string_view label, CheckedValue& out) {
        const std::string key = "'" + printable(value.key) + "' in " + std::string(label);
        if (value.type == Type::array) return secret_command(value, key, out);
        if (value.type != Type::string) {
            return findings_.error(value.place, key + " must name a secret (a string), not " + type_name(value.type),
                                   std::string("allowed: ") + secret_forms);
        }
        // From here on nothing may quote the value: it could be the secret itself.
        if (has_control_characters(value.text)) {
            return findings_.error(value.place, key + " holds a control character",
                                   std::string("allowed: ") + secret_forms);
        }
        auto reference = parse_secret_ref(value.text);
        if (!reference) {
            const std::string& hint = reference.error().hint;
            return findings_.error(value.place, key + ": " + reference.error().what,
                                   hint == secret_forms ? std::string("allowed: ") + secret_forms : hint);
        }
        if (reference->form == SecretRef::Form::file) {
            placeholders(value, reference->text);
            reference->text = absolute(reference->text, value.place);
        }
        out.text = to_string(*reference);
    }

    /// ["command:", "program", "argument", ...]
    void secret_command(const TomlValue& value, const std::string& key, CheckedValue& out) {
        SecretRef reference{SecretRef::Form::command, {}, {}, {}};
        bool good = value.children.size() >= 2;
        for (const auto& item : value.children) {
            good = good && item.type == Type::string && !has_control_characters(item.text);
            reference.argv.push_back(item.text);
        }
        if (!good || reference.argv.front() != "command:" || reference.argv[1].empty()) {
            return findings_.error(value.place, key + " is an array that is no secret command",
                                   R"(allowed: ["command:", "PROGRAM", "ARGUMENT", ...])");
        }
        reference.argv.erase(reference.argv.begin());
        out.text = to_string(reference);
    }

    void url(const Field& field, const TomlValue& value, std::string_view label, CheckedValue& out) {
        if (!text(field, value, label, "a URL (a string)", out)) return;
        const auto schemes = split(field.allowed == nullptr ? "" : field.allowed, '|');
        if (const auto wrong = check_url(out.text, schemes); !wrong.empty()) {
            findings_.error(
                value.place, "'" + printable(value.key) + "' is no proper URL: " + wrong,
                "allowed: " + (schemes.empty() ? "SCHEME" : join(schemes, " or ")) + "://HOST[:PORT][/PATH]");
        }
    }

    void list(const TomlValue& value, std::string_view label, CheckedValue& out) {
        if (value.type != Type::array) return wrong_type(value, label, "an array of strings", findings_);
        for (const auto& item : value.children) {
            if (item.type != Type::string) {
                findings_.error(item.place, "'" + printable(value.key) + "' in " + std::string(label) +
                                                " must be an array of strings, but this is " + type_name(item.type));
            } else if (item.text.empty() || has_control_characters(item.text)) {
                findings_.error(item.place, "'" + printable(value.key) + "' holds an empty or unprintable string");
            }
            out.list.push_back(item.text);
        }
    }

    /// Only {sae} and {state} mean something; another word in braces is a typing error.
    void placeholders(const TomlValue& value, std::string_view text) {
        for (std::size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
            const auto end = text.find('}', at);
            const auto word = end == std::string_view::npos ? text.substr(at) : text.substr(at, end - at + 1);
            if (word == "{sae}" || (word == "{state}" && at == 0)) continue;
            const std::vector<std::string> known = {"{sae}", "{state}"};
            findings_.error(value.place, "'" + printable(word) + "' in a path means nothing here",
                            "{sae} is the member's SAE ID; {state}, at the beginning, is the state directory",
                            word == "{state}" ? "" : nearest(word, known));
        }
    }

    [[nodiscard]] std::string absolute(const std::string& path, FilePlace place) const {
        if (path.starts_with("{state}")) return path;
        return (files_.at(place.file).directory / path).lexically_normal().string();
    }

    const std::vector<SourceFile>& files_;
    Findings& findings_;
};

}  // namespace

const CheckedValue* CheckedTable::find(std::string_view key) const noexcept {
    for (const auto& value : values) {
        if (value.field->key == key) return &value;
    }
    return nullptr;
}
std::string CheckedTable::text(std::string_view key) const {
    const auto* value = find(key);
    return value == nullptr ? std::string() : value->text;
}
std::int64_t CheckedTable::number(std::string_view key) const {
    const auto* value = find(key);
    return value == nullptr ? 0 : value->number;
}
std::chrono::milliseconds CheckedTable::duration(std::string_view key) const {
    return std::chrono::milliseconds{number(key)};
}
FilePlace CheckedTable::place_of(std::string_view key) const {
    const auto* value = find(key);
    return value == nullptr ? place : value->place;
}

void wrong_type(const TomlValue& value, std::string_view label, std::string_view wanted, Findings& findings,
                std::string allowed) {
    findings.error(value.place,
                   "'" + printable(value.key) + "' in " + std::string(label) + " must be " + std::string(wanted) +
                       ", not " + type_name(value.type),
                   std::move(allowed));
}

std::vector<TableEntry> entries_of(const TomlValue& table, std::string_view label) {
    std::vector<TableEntry> entries;
    entries.reserve(table.children.size());
    for (const auto& child : table.children) entries.push_back({&child, label});
    return entries;
}

std::vector<const Field*> fields_of(std::span<const Field> fields, Scope scope) {
    std::vector<const Field*> chosen;
    for (const auto& field : fields) {
        if (field.scope == scope) chosen.push_back(&field);
    }
    return chosen;
}

CheckedTable check_table(const TableSpec& spec, std::span<const TableEntry> entries,
                         const std::vector<SourceFile>& files, Findings& findings) {
    const std::size_t errors_before = findings.errors();
    CheckedTable table{spec.label, spec.place, {}, true};
    ValueCheck check(files, findings);

    std::vector<std::string> known;
    for (const Field* field : spec.fields) known.emplace_back(field->key);
    known.insert(spec.owner.empty() ? known.end() : known.begin(), spec.also.begin(), spec.also.end());

    for (const auto& [value, label] : entries) {
        if (std::find(spec.also.begin(), spec.also.end(), value->key) != spec.also.end()) continue;
        const auto field = std::find_if(spec.fields.begin(), spec.fields.end(),
                                        [&](const Field* candidate) { return candidate->key == value->key; });
        if (field == spec.fields.end()) {
            const std::string who = spec.owner.empty() ? "known keys: " : spec.owner + " takes: ";
            findings.error(value->key_place, "unknown key '" + printable(value->key) + "' in " + std::string(label),
                           who + join(known, ", "), nearest(value->key, known));
            table.sound = false;
            continue;
        }
        CheckedValue checked;
        checked.field = *field;
        checked.given = true;
        const std::size_t before = findings.errors();
        check.check(**field, *value, label, checked);
        if (findings.errors() == before) table.values.push_back(std::move(checked));
    }
    for (const Field* field : spec.fields) {
        const bool given = std::any_of(entries.begin(), entries.end(),
                                       [&](const TableEntry& entry) { return entry.value->key == field->key; });
        if (given) continue;
        if (field->required) {
            findings.error(spec.place, "missing key '" + std::string(field->key) + "' in " + spec.label,
                           hint_of(*field));
        } else if (field->default_value != nullptr) {
            CheckedValue checked;
            checked.field = field;
            checked.place = spec.place;
            check.set_default(*field, checked);
            table.values.push_back(std::move(checked));
        }
    }
    table.sound = table.sound && findings.errors() == errors_before;
    return table;
}

}  // namespace qkd::engine
