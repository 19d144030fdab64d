// Checks one TOML table against a field table, the core's or a plugin's: known keys, types, ranges, required keys,
// defaults.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/pipeline/finding.hpp"
#include "engine/pipeline/toml_document.hpp"
#include "qkd/sdk/config.hpp"

namespace qkd::engine {

/// Scope of fields that belong to the core; no plugin can have it.
inline constexpr Scope core_scope = Scope{255};

/// One checked value, given or by default.
struct CheckedValue {
    const Field* field = nullptr;
    std::string text;               ///< string, one_of, url; path and secret with absolute paths
    std::int64_t number = 0;        ///< integer; boolean as 0 and 1; duration in milliseconds
    std::vector<std::string> list;  ///< string_list
    FilePlace place;                ///< of the value, or of its table
    bool given = false;
};

struct CheckedTable {
    std::string label;  ///< "[device.mx1]"
    FilePlace place;
    std::vector<CheckedValue> values;
    bool sound = true;  ///< no error was found in it

    /// Null when neither given nor by default.
    [[nodiscard]] const CheckedValue* find(std::string_view key) const noexcept;
    /// Of a value that is there; empty or zero otherwise.
    [[nodiscard]] std::string text(std::string_view key) const;
    [[nodiscard]] std::int64_t number(std::string_view key) const;
    [[nodiscard]] std::chrono::milliseconds duration(std::string_view key) const;
    [[nodiscard]] FilePlace place_of(std::string_view key) const;
};

/// An entry and the name of the table it stands in, which may be a table of defaults.
struct TableEntry {
    const TomlValue* value = nullptr;
    std::string_view table;
};

struct TableSpec {
    std::string label;
    FilePlace place;    ///< for what is missing
    std::string owner;  ///< a plugin's name; empty = the core
    std::vector<const Field*> fields;
    std::vector<std::string> also;  ///< further keys that are right here and read elsewhere
};

CheckedTable check_table(const TableSpec& spec, std::span<const TableEntry> entries,
                         const std::vector<SourceFile>& files, Findings& findings);

/// Entries of a table that has no defaults.
std::vector<TableEntry> entries_of(const TomlValue& table, std::string_view label);

/// Pointers to those fields that stand in tables of this scope.
std::vector<const Field*> fields_of(std::span<const Field> fields, Scope scope);

/// Reports a value of the wrong type: "'port' in [device.a] must be an integer, not a string".
void wrong_type(const TomlValue& value, std::string_view label, std::string_view wanted, Findings& findings,
                std::string allowed = {});

}  // namespace qkd::engine
