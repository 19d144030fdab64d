// Statements as text and as XML.
#include "edits.hpp"

namespace qkd::junos {
namespace {

// As the Junos CLI prints a word: in quotes when it holds anything special.
std::string quoted(const std::string& word) {
    if (!word.empty() && word.find_first_of(" \t\"'#;{}[]<>()&|\\") == std::string::npos) return word;
    std::string out = "\"";
    for (const char c : word) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

pugi::xml_node find_or_append(pugi::xml_node parent, const Step& step) {
    for (auto node = parent.first_child(); node; node = node.next_sibling()) {
        if (is(node, step.element) && (step.key.empty() || text_of(junos::child(node, "name")) == step.key))
            return node;
    }
    auto node = parent.append_child(step.element.c_str());
    if (!step.key.empty()) node.append_child("name").text().set(step.key.c_str());
    return node;
}

}  // namespace

bool is_silent(const std::string& parent, const std::string& element, std::size_t depth) {
    return (depth == 1 && parent == "interfaces" && element == "interface") ||
           (parent == "apply-macro" && element == "data") || (parent == "data" && element == "value");
}

std::vector<std::string> words_of(const std::vector<Step>& path) {
    std::vector<std::string> words;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (i == 0 || !is_silent(path[i - 1].element, path[i].element, i)) words.push_back(path[i].element);
        if (!path[i].key.empty()) words.push_back(path[i].key);
    }
    return words;
}

std::vector<std::string> Statement::words() const {
    return words_of(path);
}

Statement Statement::copy() const {
    return {remove, path, value, secret, hidden.clone(), instant};
}

bool begins_with(const std::vector<std::string>& words, const std::vector<std::string>& prefix) {
    return words.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), words.begin());
}

std::vector<std::string> set_lines(const std::vector<Statement>& statements) {
    std::vector<std::string> lines;
    for (const auto& statement : statements) {
        std::string line = statement.remove ? "delete" : "set";
        for (const auto& word : statement.words()) line += " " + quoted(word);
        if (!statement.remove) {
            if (statement.secret) {
                line += " /* SECRET-DATA */";
            } else if (!statement.value.empty()) {
                // A placeholder is no configuration and needs no quotes.
                const bool placeholder = statement.value.starts_with('<') && statement.value.ends_with('>');
                line += " " + (placeholder ? statement.value : quoted(statement.value));
            }
        }
        lines.push_back(std::move(line));
    }
    return lines;
}

void append_configuration(pugi::xml_node parent, const std::vector<Statement>& statements) {
    auto top = parent.append_child("configuration");
    for (const auto& statement : statements) {
        auto node = top;
        for (std::size_t i = 0; i < statement.path.size(); ++i) {
            const auto& step = statement.path[i];
            const bool leaf = i + 1 == statement.path.size() && step.key.empty() && !statement.remove;
            // A leaf is a new element each time: it may be one of several values.
            node = leaf ? node.append_child(step.element.c_str()) : find_or_append(node, step);
        }
        if (statement.remove) {
            node.append_attribute("delete") = "delete";
        } else if (statement.secret) {
            const auto text = statement.hidden.reveal_text();
            node.append_child(pugi::node_pcdata).set_value(text.data(), text.size());
        } else if (!statement.value.empty()) {
            node.append_child(pugi::node_pcdata).set_value(statement.value.c_str());
        }
    }
}

Statement set_leaf(std::vector<Step> path, std::string value) {
    Statement statement;
    statement.path = std::move(path);
    statement.value = std::move(value);
    return statement;
}

Statement set_entry(std::vector<Step> path) {
    Statement statement;
    statement.path = std::move(path);
    return statement;
}

Statement remove_at(std::vector<Step> path) {
    Statement statement;
    statement.remove = true;
    statement.path = std::move(path);
    return statement;
}

}  // namespace qkd::junos
