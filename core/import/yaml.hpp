// A YAML or JSON file of somebody else's as a plain tree in which everything knows its place. The only door to libyaml.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/pipeline/toml_document.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::inventory {

using engine::FilePlace;

/// Text that may be a password: wiped when it goes. No std::basic_string, which keeps short texts in itself.
using Text = std::vector<char, WipingAllocator<char>>;

/// A value with its key (empty in lists). The entries of a map stand in file order, repeated keys included.
struct Node {
    enum class Type : std::uint8_t { nothing, scalar, list, map };
    std::string key;
    FilePlace key_place;  ///< of the key; in lists of the value
    Type type = Type::nothing;
    bool quoted = false;  ///< scalar: it stood in quotes, so it is text whatever it looks like
    FilePlace place;
    Text text;  ///< scalar, as written, without quotes
    std::vector<Node> children;

    [[nodiscard]] const Node* find(std::string_view name) const noexcept;
    [[nodiscard]] std::string_view view() const noexcept { return {text.data(), text.size()}; }
};

/// What a file may hold at most. An alias counts as what it stands for.
inline constexpr std::size_t most_octets = std::size_t{1} << 20U;
inline constexpr std::size_t most_nodes = 50'000;
inline constexpr std::size_t most_depth = 32;

struct Problem {
    FilePlace place;  ///< line 0: the file as a whole
    std::string what;
    std::string hint;
};

/// Reads one document of YAML 1.1; JSON is a part of that. Tags, merge keys and keys that are no scalars are refused.
/// An empty text gives a node of the type nothing. The caller wipes `octets` if they hold secrets.
std::variant<Node, Problem> read_yaml(std::span<const std::uint8_t> octets);

}  // namespace qkd::inventory
