// A configuration: a tree of statements, its three written forms, and the selection of parts of it.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "schema.hpp"

namespace qkd::junossim {

// One statement. `value` is a leaf's value or a list entry's key; secrets are kept in clear.
struct Node {
    const Schema* schema = nullptr;
    std::string value;
    std::vector<Node> children;

    Node() = default;
    explicit Node(const Schema& s, std::string v = {}) : schema(&s), value(std::move(v)) {}

    // First child of that name, or the list entry with that key when one is given.
    const Node* find(std::string_view name, std::string_view key = {}) const;
    Node* find(const Schema& statement, std::string_view key);
    // By names and list keys, e.g. at({"system", "services"}) or at({"interfaces", "interface", "et-0/0/0"}).
    const Node* at(const std::vector<std::string_view>& path) const;
    // Value of a leaf child; empty when missing.
    std::string leaf(std::string_view name) const;
    // Adds a child where the device would print it (schema order, entries of a list in order of creation).
    Node& insert(Node child);
    // Drops containers that mean nothing when empty, here and below.
    void prune();
    bool identity(const Schema& statement, std::string_view key) const;
};

Node empty_configuration();

enum class Secrets { obfuscated, clear, hidden };

// Children of `parent` (an XML <configuration>) for every child of `node`.
void append_xml(pugi::xml_node parent, const Node& node, Secrets secrets);
std::string to_set(const Node& node, Secrets secrets);
std::string to_curly(const Node& node, Secrets secrets, int indent = 0);
// The statement itself in curly form, as one or more lines.
std::string statement_curly(const Node& node, Secrets secrets, int indent);
// `security macsec connectivity-association CA1`: names and keys as they are written in set form.
std::string statement_words(const Node& node);
// As Junos prints it: quoted when it holds anything but word characters.
std::string quote_word(std::string_view value);

// Subtree filtering (RFC 6241 section 6; Junos' get-configuration filter is the same).
Node select(const pugi::xml_node& filter, const Node& configuration);

}  // namespace qkd::junossim
