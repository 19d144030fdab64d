// A TOML file as a plain tree in which everything knows its place. The only door to toml++.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace qkd::engine {

/// A place in one of the files of a pipeline. Line and column count from 1; line 0 = the file as a whole.
struct FilePlace {
    std::uint32_t file = 0;  ///< 0 = the pipeline file, 1 = its inventory
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    auto operator<=>(const FilePlace&) const = default;
};

/// A value with its key (empty in arrays). The entries of a table stand in file order.
struct TomlValue {
    enum class Type : std::uint8_t { string, integer, real, boolean, time, array, table };
    std::string key;
    FilePlace key_place;  ///< of the key; in arrays of the value
    Type type = Type::table;
    FilePlace place;   ///< of the value
    std::string text;  ///< string
    std::int64_t integer = 0;
    bool boolean = false;
    std::vector<TomlValue> children;  ///< items of an array, entries of a table

    [[nodiscard]] const TomlValue* find(std::string_view name) const noexcept;
};
/// "a string", "an integer", ...
const char* type_name(TomlValue::Type type) noexcept;

/// Line 0: the file could not be read at all.
struct TomlProblem {
    FilePlace place;
    std::string what;
    std::string hint;
};

/// Reads a file of at most 16 MiB. A parser stops at the first mistake in the notation, so there is one problem at
/// most.
std::variant<TomlValue, TomlProblem> read_toml(const std::filesystem::path& path, std::uint32_t file);

}  // namespace qkd::engine
