// A configuration: a tree of statements, its three written forms, and the selection of parts of it.
#include "config_tree.hpp"

#include <algorithm>

#include "secret9.hpp"
#include "util.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

bool keyed(const Schema& statement) {
    return statement.kind == Kind::list || statement.kind == Kind::leaf_list;
}
bool branch(const Node& node) {
    return node.schema->kind == Kind::container || node.schema->kind == Kind::list;
}

std::string shown(const Node& node, Secrets secrets) {
    if (node.schema->is_secret() && secrets == Secrets::obfuscated) return encode9(node.value);
    if (node.schema->is_secret() && secrets == Secrets::hidden) return "/* SECRET-DATA */";
    return node.value;
}

void set_lines(const Node& node, const std::string& prefix, Secrets secrets, std::string& out) {
    for (const auto& c : node.children) {
        std::string words = prefix;
        if (!c.schema->positional) words += " " + c.schema->name;
        if (c.schema->kind != Kind::flag && c.schema->kind != Kind::container)
            words += " " + quote_word(shown(c, secrets));
        if (!branch(c) || c.children.empty())
            out += words + "\n";
        else
            set_lines(c, words, secrets, out);
    }
}

Node select_entry(const pugi::xml_node& filter, const Node& node) {
    const bool has_elements = std::any_of(filter.begin(), filter.end(),
                                          [](const pugi::xml_node& n) { return n.type() == pugi::node_element; });
    if (!has_elements) return node;
    Node out(*node.schema, node.value);
    bool only_key = true;
    for (const auto& f : filter) {
        if (f.type() != pugi::node_element) continue;
        if (node.schema->kind == Kind::list && local_name(f) == "name") continue;
        only_key = false;
        for (const auto& c : node.children) {
            if (c.schema->name != local_name(f)) continue;
            const std::string wanted = branch(c) ? text_of(child(f, "name")) : text_of(f);
            if (keyed(*c.schema) || !branch(c)) {
                if (!wanted.empty() && wanted != c.value) continue;
            }
            if (!branch(c)) {
                out.insert(c);
                continue;
            }
            Node part = select_entry(f, c);
            // A branch that was asked for in part, and of which nothing matched, is not there.
            if (part.children.empty() && !c.children.empty() && c.schema->kind == Kind::container) continue;
            out.insert(std::move(part));
        }
    }
    if (only_key && !text_of(child(filter, "name")).empty()) return node;
    return out;
}

}  // namespace

bool Node::identity(const Schema& statement, std::string_view key) const {
    return schema == &statement && (!keyed(statement) || key.empty() || value == key);
}

const Node* Node::find(std::string_view name, std::string_view key) const {
    for (const auto& c : children) {
        if (c.schema->name == name && (key.empty() || c.value == key)) return &c;
    }
    return nullptr;
}

Node* Node::find(const Schema& statement, std::string_view key) {
    for (auto& c : children) {
        if (c.identity(statement, key)) return &c;
    }
    return nullptr;
}

const Node* Node::at(const std::vector<std::string_view>& path) const {
    const Node* node = this;
    for (std::size_t i = 0; i < path.size() && node != nullptr; ++i) {
        const Schema* next = node->schema->find(path[i]);
        if (next == nullptr) return nullptr;
        const bool with_key = next->kind == Kind::list && i + 1 < path.size();
        node = node->find(path[i], with_key ? path[i + 1] : std::string_view());
        if (with_key) ++i;
    }
    return node;
}

std::string Node::leaf(std::string_view name) const {
    const Node* node = find(name);
    return node == nullptr ? "" : node->value;
}

Node& Node::insert(Node fresh) {
    auto at = children.end();
    while (at != children.begin() && fresh.schema < std::prev(at)->schema) --at;
    return *children.insert(at, std::move(fresh));
}

void Node::prune() {
    for (auto& c : children) c.prune();
    std::erase_if(children, [](const Node& c) {
        return c.schema->kind == Kind::container && !c.schema->presence && c.children.empty();
    });
}

Node empty_configuration() {
    return Node(schema());
}

void append_xml(pugi::xml_node parent, const Node& node, Secrets secrets) {
    for (const auto& c : node.children) {
        auto element = parent.append_child(c.schema->name.c_str());
        if (c.schema->kind == Kind::list) add(element, "name", c.value);
        if (branch(c))
            append_xml(element, c, secrets);
        else if (c.schema->kind != Kind::flag)
            element.text().set(shown(c, secrets).c_str());
    }
}

std::string quote_word(std::string_view value) {
    const auto plain = [](unsigned char c) {
        return std::isalnum(c) != 0 ||
               std::string_view("_-./:@+,*=%").find(static_cast<char>(c)) != std::string_view::npos;
    };
    if (!value.empty() && std::all_of(value.begin(), value.end(), plain)) return std::string(value);
    std::string out = "\"";
    for (const char c : value) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

std::string statement_words(const Node& node) {
    std::string words = node.schema->positional ? "" : node.schema->name;
    if (node.schema->kind == Kind::flag || node.schema->kind == Kind::container) return words;
    return words + (words.empty() ? "" : " ") + quote_word(node.value);
}

std::string statement_curly(const Node& node, Secrets secrets, int indent) {
    const std::string pad(static_cast<std::size_t>(indent), ' ');
    if (!branch(node)) {
        if (!node.schema->is_secret()) return pad + statement_words(node) + ";\n";
        return pad + node.schema->name + " " + quote_word(shown(node, secrets)) + "; ## SECRET-DATA\n";
    }
    if (node.children.empty()) return pad + statement_words(node) + ";\n";
    // `kme-ca false;`: an entry whose only content is its nameless value stands on one line.
    if (node.schema->positional && node.children.size() == 1 && node.children[0].schema->positional) {
        return pad + statement_words(node) + " " + quote_word(node.children[0].value) + ";\n";
    }
    return pad + statement_words(node) + " {\n" + to_curly(node, secrets, indent + 4) + pad + "}\n";
}

std::string to_curly(const Node& node, Secrets secrets, int indent) {
    std::string out;
    for (const auto& c : node.children) out += statement_curly(c, secrets, indent);
    return out;
}

std::string to_set(const Node& node, Secrets secrets) {
    std::string out;
    set_lines(node, "set", secrets, out);
    return out;
}

Node select(const pugi::xml_node& filter, const Node& configuration) {
    return select_entry(filter, configuration);
}

}  // namespace qkd::junossim
