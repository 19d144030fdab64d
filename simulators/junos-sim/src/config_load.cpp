// Loading: XML, curly text or set lines become a patch, and a patch changes a configuration, wholly or not at all.
#include "config_load.hpp"

#include <algorithm>
#include <functional>

#include "util.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

using Path = std::vector<std::string>;

std::string edit_path(const Path& path) {
    return path.empty() ? "[edit]" : "[edit " + join(path, " ") + "]";
}

void push_words(Path& path, const Schema& statement, const std::string& value) {
    if (!statement.positional) path.push_back(statement.name);
    if (statement.kind == Kind::list && !value.empty()) path.push_back(value);
}

Issue syntax_error(const Path& path, std::string bad_element, std::string message = "syntax error") {
    return {false, edit_path(path), std::move(message), std::move(bad_element), "operation-failed"};
}

// ---- XML

class XmlReader {
  public:
    XmlReader(const std::string& zone, std::vector<Issue>& issues) : zone_(zone), issues_(issues) {}

    void children(const pugi::xml_node& element, const Schema& parent, Operation inherited, Path path, Patch& into) {
        for (const auto& e : element) {
            if (e.type() == pugi::node_pcdata && !trim(e.value()).empty()) {
                issues_.push_back(syntax_error(path, trim(e.value()).substr(0, 40)));
            }
            if (e.type() != pugi::node_element) continue;
            const std::string name(local_name(e));
            if (parent.kind == Kind::list && name == "name") continue;
            const Schema* statement = parent.find(name);
            if (statement == nullptr) {
                issues_.push_back(syntax_error(path, name));
                continue;
            }
            into.children.push_back(one(e, *statement, inherited, path));
        }
    }

  private:
    Patch one(const pugi::xml_node& element, const Schema& statement, Operation inherited, Path path) {
        Patch patch{&statement, "", operation(element, inherited, path), {}};
        const bool removing = patch.operation == Operation::remove || patch.operation == Operation::erase;
        const bool is_branch = statement.kind == Kind::container || statement.kind == Kind::list;
        if (statement.kind == Kind::list)
            patch.value = text_of(child(element, "name"));
        else if (!is_branch)
            patch.value = text_of(element);
        if (!is_branch && child(element, "name")) issues_.push_back(syntax_error(path, "name"));
        const bool needs_value = statement.kind != Kind::container && statement.kind != Kind::flag;
        if (statement.kind == Kind::flag) patch.value.clear();
        if (needs_value && (!patch.value.empty() || !removing)) {
            const auto checked = check_value(statement, patch.value, zone_);
            if (!checked.error.empty()) issues_.push_back(syntax_error(path, patch.value, checked.error));
            patch.value = checked.value;
        }
        push_words(path, statement, patch.value);
        if (is_branch && !removing) children(element, statement, patch.operation, path, patch);
        return patch;
    }

    Operation operation(const pugi::xml_node& element, Operation inherited, const Path& path) {
        const std::string name = attribute(element, "operation");
        if (name == "delete" || element.attribute("delete")) return Operation::remove;
        if (name == "replace" || element.attribute("replace")) return Operation::replace;
        if (name == "merge") return Operation::merge;
        if (name == "create") return Operation::create;
        if (name == "remove") return Operation::erase;
        for (const char* other : {"inactive", "active", "rename", "insert", "protect", "unprotect"}) {
            if (element.attribute(other)) issues_.push_back(syntax_error(path, other, "attribute is not supported"));
        }
        if (!name.empty()) issues_.push_back(syntax_error(path, name, "unknown operation"));
        // Below something replaced or created there is nothing left to treat in another way.
        return inherited == Operation::replace || inherited == Operation::create ? Operation::merge : inherited;
    }

    const std::string& zone_;
    std::vector<Issue>& issues_;
};

// ---- words of curly text and set lines

struct Token {
    std::string text;
    bool quoted = false;
    bool is(std::string_view what) const { return !quoted && text == what; }
};

// In set lines only words and quotes count; curly text has braces, brackets, semicolons and comments as well.
std::vector<Token> tokens_of(std::string_view text, bool curly) {
    std::vector<Token> tokens;
    const std::string_view marks = curly ? "{};[]" : "[]";
    for (std::size_t i = 0; i < text.size();) {
        const char c = text[i];
        if (std::isspace(static_cast<unsigned char>(c)) != 0) {
            ++i;
        } else if (curly && text.substr(i, 2) == "/*") {
            const auto end = text.find("*/", i + 2);
            i = end == std::string_view::npos ? text.size() : end + 2;
        } else if (curly && c == '#') {
            i = std::min(text.find('\n', i), text.size());
        } else if (c == '"') {
            Token token{"", true};
            for (++i; i < text.size() && text[i] != '"'; ++i) {
                if (text[i] == '\\' && i + 1 < text.size()) ++i;
                token.text += text[i];
            }
            ++i;
            tokens.push_back(std::move(token));
        } else if (marks.find(c) != std::string_view::npos) {
            tokens.push_back({std::string(1, c), false});
            ++i;
        } else {
            const auto start = i;
            while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) == 0 && text[i] != '"' &&
                   marks.find(text[i]) == std::string_view::npos) {
                ++i;
            }
            tokens.push_back({std::string(text.substr(start, i - start)), false});
        }
    }
    return tokens;
}

class WordReader {
  public:
    WordReader(const std::string& zone, std::vector<Issue>& issues) : zone_(zone), issues_(issues) {}

    // Adds the statement that `words` spell below `into`; returns its innermost branch, or null after an issue.
    // `removing`: the last statement is deleted, and may lack its key or value.
    Patch* statement(std::vector<Token> words, Patch& into, Path& path, Operation last) {
        const bool removing = last == Operation::remove;
        Patch* at = &into;
        Patch* innermost = &into;
        for (std::size_t i = 0; i < words.size();) {
            const Schema* next = named(*at->schema, words[i]);
            if (next != nullptr)
                ++i;
            else
                next = at->schema->positional_child();
            if (next == nullptr) return refuse(path, words[i].text);
            std::vector<std::string> values;
            if (next->kind != Kind::container && next->kind != Kind::flag) {
                if (i < words.size() && words[i].is("[")) {
                    for (++i; i < words.size() && !words[i].is("]"); ++i) values.push_back(words[i].text);
                    if (i++ >= words.size() || next->kind != Kind::leaf_list) return refuse(path, "[");
                } else if (i < words.size()) {
                    values.push_back(words[i++].text);
                } else if (!removing) {
                    return refuse(path, next->name, "missing argument");
                }
            }
            for (auto& value : values) {
                const auto checked = check_value(*next, value, zone_);
                if (!checked.error.empty()) return refuse(path, value, checked.error);
                value = checked.value;
            }
            if (values.empty()) values.emplace_back();
            const bool is_last = i >= words.size();
            const bool is_branch = next->kind == Kind::container || next->kind == Kind::list;
            if (removing && !is_last && !is_branch) return refuse(path, words[i].text);
            for (const auto& value : values) {
                at->children.push_back({next, value, is_last ? last : Operation::merge, {}});
            }
            if (is_branch) {
                push_words(path, *next, values.front());
                at = innermost = &at->children.back();
            }
        }
        return innermost;
    }

  private:
    static const Schema* named(const Schema& parent, const Token& word) {
        const Schema* next = word.quoted ? nullptr : parent.find(word.text);
        return next != nullptr && next->positional ? nullptr : next;
    }
    Patch* refuse(const Path& path, const std::string& bad, const std::string& why = "syntax error") {
        issues_.push_back(syntax_error(path, bad, why));
        return nullptr;
    }

    const std::string& zone_;
    std::vector<Issue>& issues_;
};

// ---- applying

void missing(const Patch& patch, const Path& path, bool strict, std::vector<Issue>& issues) {
    const std::string what = patch.value.empty() ? patch.schema->name : patch.value;
    issues.push_back({!strict, edit_path(path), "statement not found: " + what, strict ? what : "",
                      strict ? "data-missing" : "operation-failed"});
}

void apply_to(const Patch& patch, Node& parent, Path path, bool strict, std::vector<Issue>& issues);

void apply_children(const Patch& patch, Node& node, const Path& path, bool strict, std::vector<Issue>& issues) {
    for (const auto& c : patch.children) apply_to(c, node, path, strict, issues);
}

void apply_to(const Patch& patch, Node& parent, Path path, bool strict, std::vector<Issue>& issues) {
    const auto same = [&](const Node& n) {
        // A deletion may name a leaf's value; then only that value is meant.
        return n.identity(*patch.schema, patch.value) &&
               (patch.operation != Operation::remove || patch.value.empty() || n.value == patch.value);
    };
    if (patch.operation == Operation::remove || patch.operation == Operation::erase) {
        const auto gone = std::erase_if(parent.children, same);
        if (gone == 0 && patch.operation == Operation::remove) missing(patch, path, strict, issues);
        return;
    }
    Node* existing = parent.find(*patch.schema, patch.value);
    if (patch.operation == Operation::create && existing != nullptr) {
        issues.push_back({false, edit_path(path), "statement already exists: " + patch.schema->name, patch.schema->name,
                          "data-exists"});
        return;
    }
    if (patch.operation == Operation::replace && existing != nullptr) {
        std::erase_if(parent.children, same);
        existing = nullptr;
    }
    const bool is_branch = patch.schema->kind == Kind::container || patch.schema->kind == Kind::list;
    if (patch.operation == Operation::none && (existing == nullptr || !is_branch)) {
        if (existing == nullptr) missing(patch, path, true, issues);
        return;
    }
    if (existing == nullptr) existing = &parent.insert(Node(*patch.schema, patch.value));
    existing->value = patch.value;
    push_words(path, *patch.schema, patch.value);
    apply_children(patch, *existing, path, strict, issues);
}

// ---- comparing

const Node* counterpart(const Node& parent, const Node& node) {
    for (const auto& c : parent.children) {
        if (c.identity(*node.schema, node.value)) return &c;
    }
    return nullptr;
}

void mark(std::string& out, char sign, const Node& node, std::size_t level) {
    const bool is_branch = node.schema->kind == Kind::container || node.schema->kind == Kind::list;
    const auto pad = static_cast<int>(level) + (is_branch || level == 0 ? 2 : 1);
    for (const auto& line : split(statement_curly(node, Secrets::obfuscated, pad), '\n')) {
        if (!line.empty()) out += sign + line + "\n";
    }
}

void compare_at(const Node& before, const Node& after, const Path& path, std::string& out) {
    std::string here;
    std::vector<std::pair<const Node*, const Node*>> common;
    for (const auto& b : before.children) {
        const Node* a = counterpart(after, b);
        if (a == nullptr || (b.schema->kind == Kind::leaf && a->value != b.value))
            mark(here, '-', b, path.size());
        else if (!b.children.empty() || !a->children.empty())
            common.emplace_back(&b, a);
        if (a != nullptr && b.schema->kind == Kind::leaf && a->value != b.value) mark(here, '+', *a, path.size());
    }
    for (const auto& a : after.children) {
        if (counterpart(before, a) == nullptr) mark(here, '+', a, path.size());
    }
    if (!here.empty()) out += edit_path(path) + "\n" + here;
    for (const auto& [b, a] : common) {
        Path below = path;
        push_words(below, *b->schema, b->value);
        compare_at(*b, *a, below, out);
    }
}

Patch whole(const Node& node) {
    Patch patch{node.schema, node.value, Operation::merge, {}};
    for (const auto& c : node.children) patch.children.push_back(whole(c));
    return patch;
}

}  // namespace

bool Loaded::failed() const {
    return std::any_of(issues.begin(), issues.end(), [](const Issue& i) { return !i.warning; });
}

Loaded read_xml(const pugi::xml_node& configuration, const std::string& zone, Operation initial) {
    Loaded loaded;
    loaded.patches.push_back({&schema(), "", Operation::merge, {}});
    XmlReader(zone, loaded.issues).children(configuration, schema(), initial, {}, loaded.patches.back());
    return loaded;
}

Loaded read_curly(std::string_view text, const std::string& zone) {
    Loaded loaded;
    loaded.patches.push_back({&schema(), "", Operation::merge, {}});
    struct Frame {
        Patch* patch;
        Path path;
    };
    std::vector<Frame> open{{&loaded.patches.back(), {}}};
    WordReader reader(zone, loaded.issues);
    std::vector<Token> words;
    Operation operation = Operation::merge;
    for (const auto& token : tokens_of(text, true)) {
        const Path& path = open.back().path;
        if (token.is("replace:") || token.is("delete:")) {
            operation = token.text == "delete:" ? Operation::remove : Operation::replace;
        } else if (token.is("inactive:") || token.is("protect:")) {
            loaded.issues.push_back(syntax_error(path, token.text, "tag is not supported"));
        } else if (token.is("{") || token.is(";")) {
            Path below = path;
            if (words.empty()) loaded.issues.push_back(syntax_error(path, token.text));
            Patch* branch = words.empty() ? nullptr : reader.statement(words, *open.back().patch, below, operation);
            if (branch == nullptr) return loaded;
            if (token.is("{")) open.push_back({branch, below});
            words.clear();
            operation = Operation::merge;
        } else if (token.is("}")) {
            if (open.size() == 1 || !words.empty()) {
                loaded.issues.push_back(syntax_error(path, words.empty() ? "}" : words.front().text));
                return loaded;
            }
            open.pop_back();
        } else {
            words.push_back(token);
        }
    }
    if (open.size() > 1 || !words.empty()) {
        loaded.issues.push_back(syntax_error(open.back().path, words.empty() ? "}" : words.front().text));
    }
    return loaded;
}

Loaded read_set(std::string_view text, const std::string& zone) {
    Loaded loaded;
    WordReader reader(zone, loaded.issues);
    for (const auto& line : split(text, '\n')) {
        auto words = tokens_of(line, false);
        if (words.empty() || words.front().text.starts_with('#')) continue;
        const std::string verb = words.front().text;
        words.erase(words.begin());
        if ((verb != "set" && verb != "delete") || words.empty()) {
            loaded.issues.push_back(syntax_error({}, verb, "unknown command"));
            continue;
        }
        Patch root{&schema(), "", Operation::merge, {}};
        Path path;
        const auto operation = verb == "delete" ? Operation::remove : Operation::merge;
        if (reader.statement(words, root, path, operation) != nullptr) loaded.patches.push_back(std::move(root));
    }
    return loaded;
}

std::vector<Issue> apply(const std::vector<Patch>& patches, Node& configuration, bool strict) {
    std::vector<Issue> issues;
    for (const auto& patch : patches) apply_children(patch, configuration, {}, strict, issues);
    configuration.prune();
    return issues;
}

Patch patch_between(const Node& before, const Node& after) {
    Patch patch{after.schema, after.value, Operation::merge, {}};
    for (const auto& b : before.children) {
        if (counterpart(after, b) == nullptr) patch.children.push_back({b.schema, b.value, Operation::erase, {}});
    }
    for (const auto& a : after.children) {
        const Node* b = counterpart(before, a);
        if (b == nullptr || a.schema->kind == Kind::leaf) {
            if (b == nullptr || b->value != a.value) patch.children.push_back(whole(a));
        } else if (auto below = patch_between(*b, a); !below.children.empty()) {
            patch.children.push_back(std::move(below));
        }
    }
    return patch;
}

std::string compare(const Node& before, const Node& after) {
    std::string out;
    compare_at(before, after, {}, out);
    return out;
}

}  // namespace qkd::junossim
