// Events of libyaml made a tree, within limits.
#include "import/yaml.hpp"

#include <yaml.h>

#include <limits>
#include <map>
#include <optional>

#include "engine/base/text.hpp"

namespace qkd::inventory {
namespace {

using engine::printable;

FilePlace place_of(const yaml_mark_t& mark) {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max() - 1;
    const auto number = [](std::size_t n) { return static_cast<std::uint32_t>(n < most ? n + 1 : most); };
    return {0, number(mark.line), number(mark.column)};
}

/// libyaml's parser over octets that stay the caller's.
class Parser {
  public:
    explicit Parser(std::span<const std::uint8_t> octets) {
        good_ = yaml_parser_initialize(&parser_) == 1;
        if (good_) yaml_parser_set_input_string(&parser_, octets.data(), octets.size());
    }
    ~Parser() {
        if (!good_) return;
        // The library does not wipe what it read ahead.
        wipe(parser_.buffer.start, static_cast<std::size_t>(parser_.buffer.end - parser_.buffer.start));
        wipe(parser_.raw_buffer.start, static_cast<std::size_t>(parser_.raw_buffer.end - parser_.raw_buffer.start));
        yaml_parser_delete(&parser_);
    }
    Parser(const Parser&) = delete;
    Parser& operator=(const Parser&) = delete;

    [[nodiscard]] bool good() const noexcept { return good_; }
    yaml_parser_t* get() noexcept { return &parser_; }

  private:
    yaml_parser_t parser_{};
    bool good_ = false;
};

class Event {
  public:
    Event() = default;
    ~Event() {
        if (event_.type == YAML_SCALAR_EVENT && event_.data.scalar.value != nullptr) {
            wipe(event_.data.scalar.value, event_.data.scalar.length);
        }
        yaml_event_delete(&event_);
    }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    yaml_event_t* get() noexcept { return &event_; }
    yaml_event_t* operator->() noexcept { return &event_; }

  private:
    yaml_event_t event_{};
};

std::string name_of(const yaml_char_t* text) {
    return text == nullptr ? std::string() : reinterpret_cast<const char*>(text);
}

std::size_t size_of(const Node& node) {
    std::size_t size = 1;
    for (const auto& child : node.children) size += size_of(child);
    return size;
}

class Reader {
  public:
    explicit Reader(std::span<const std::uint8_t> octets) : parser_(octets) {}

    std::variant<Node, Problem> read() {
        if (!parser_.good()) return Problem{{}, "there is not enough memory to read it", ""};
        Node root;
        bool any = false;
        for (;;) {
            Event event;
            if (!next(event)) return problem();
            switch (event->type) {
                case YAML_STREAM_START_EVENT:
                case YAML_DOCUMENT_END_EVENT: break;
                case YAML_STREAM_END_EVENT: return root;
                case YAML_DOCUMENT_START_EVENT:
                    if (any) return Problem{place_of(event->start_mark), "a second document begins here", one_only};
                    any = true;
                    {
                        Event first;
                        if (!next(first) || !value(first, root, 0)) return problem();
                    }
                    break;
                default: return Problem{place_of(event->start_mark), "this is no document", one_only};
            }
        }
    }

  private:
    static constexpr const char* one_only = "an inventory is one document";

    Problem problem() {
        if (problem_) return *problem_;
        const yaml_parser_t& parser = *parser_.get();
        std::string what = parser.problem == nullptr ? "it is no YAML" : parser.problem;
        if (parser.context != nullptr) what += std::string(" (") + parser.context + ")";
        const bool placed = parser.error == YAML_SCANNER_ERROR || parser.error == YAML_PARSER_ERROR;
        return {placed ? place_of(parser.problem_mark) : FilePlace{}, "no YAML or JSON: " + printable(what), ""};
    }

    bool fail(const yaml_mark_t& mark, std::string what, std::string hint) {
        problem_ = Problem{place_of(mark), std::move(what), std::move(hint)};
        return false;
    }

    bool next(Event& event) { return yaml_parser_parse(parser_.get(), event.get()) == 1; }

    bool count(const yaml_mark_t& mark, std::size_t nodes) {
        nodes_ += nodes;
        if (nodes_ <= most_nodes) return true;
        return fail(mark, "more than " + std::to_string(most_nodes) + " values", "this is no inventory");
    }

    bool untagged(const yaml_mark_t& mark, const yaml_char_t* tag) {
        if (tag == nullptr) return true;
        const std::string name = name_of(tag);
        if (name == "!" || name == YAML_STR_TAG || name == YAML_SEQ_TAG || name == YAML_MAP_TAG) return true;
        return fail(mark, "a tag: " + printable(name), "plain values only: texts, lists and maps");
    }

    /// What an anchor named, once it is complete: so nothing can hold itself. The copy counts, too.
    bool keep(const yaml_mark_t& mark, const yaml_char_t* anchor, const Node& node) {
        if (anchor == nullptr) return true;
        if (!count(mark, size_of(node))) return false;
        anchors_[name_of(anchor)] = node;
        return true;
    }

    bool value(Event& event, Node& node, std::size_t depth) {
        const yaml_mark_t mark = event->start_mark;
        node.place = place_of(mark);
        if (node.key.empty()) node.key_place = node.place;
        if (depth > most_depth) return fail(mark, "lists and maps in each other, too deep", "this is no inventory");
        switch (event->type) {
            case YAML_ALIAS_EVENT: return alias(event, node);
            case YAML_SCALAR_EVENT: return scalar(event, node);
            case YAML_SEQUENCE_START_EVENT: return list(event, node, depth);
            case YAML_MAPPING_START_EVENT: return map(event, node, depth);
            default: return fail(mark, "there is a value missing", "");
        }
    }

    bool alias(Event& event, Node& node) {
        const std::string name = name_of(event->data.alias.anchor);
        const auto found = anchors_.find(name);
        if (found == anchors_.end()) {
            return fail(event->start_mark, "alias *" + printable(name) + " stands for nothing that came before", "");
        }
        if (!count(event->start_mark, size_of(found->second))) return false;
        Node copy = found->second;
        copy.place = node.place;
        copy.key = std::move(node.key);
        copy.key_place = node.key_place;
        node = std::move(copy);
        return true;
    }

    bool scalar(Event& event, Node& node) {
        const auto& data = event->data.scalar;
        if (!count(event->start_mark, 1) || !untagged(event->start_mark, data.tag)) return false;
        node.quoted = data.style != YAML_PLAIN_SCALAR_STYLE;
        node.text.assign(data.value, data.value + data.length);
        const auto text = node.view();
        const bool nothing = !node.quoted && (text.empty() || text == "~" || text == "null" || text == "Null");
        node.type = nothing ? Node::Type::nothing : Node::Type::scalar;
        return keep(event->start_mark, data.anchor, node);
    }

    bool list(Event& start, Node& node, std::size_t depth) {
        if (!count(start->start_mark, 1) || !untagged(start->start_mark, start->data.sequence_start.tag)) return false;
        node.type = Node::Type::list;
        for (;;) {
            Event event;
            if (!next(event)) return false;
            if (event->type == YAML_SEQUENCE_END_EVENT) break;
            if (!value(event, node.children.emplace_back(), depth + 1)) return false;
        }
        return keep(start->start_mark, start->data.sequence_start.anchor, node);
    }

    bool map(Event& start, Node& node, std::size_t depth) {
        if (!count(start->start_mark, 1) || !untagged(start->start_mark, start->data.mapping_start.tag)) return false;
        node.type = Node::Type::map;
        for (;;) {
            Event key;
            if (!next(key)) return false;
            if (key->type == YAML_MAPPING_END_EVENT) break;
            if (key->type != YAML_SCALAR_EVENT || key->data.scalar.length == 0) {
                return fail(key->start_mark, "a key that is no plain word", "KEY: VALUE");
            }
            Node& child = node.children.emplace_back();
            child.key.assign(reinterpret_cast<const char*>(key->data.scalar.value), key->data.scalar.length);
            child.key_place = place_of(key->start_mark);
            if (child.key == "<<") return fail(key->start_mark, "a merge key (<<)", "write the keys out");
            Event event;
            if (!next(event) || !value(event, child, depth + 1)) return false;
        }
        return keep(start->start_mark, start->data.mapping_start.anchor, node);
    }

    Parser parser_;
    std::map<std::string, Node> anchors_;
    std::size_t nodes_ = 0;
    std::optional<Problem> problem_;
};

}  // namespace

const Node* Node::find(std::string_view name) const noexcept {
    for (const auto& child : children) {
        if (child.key == name) return &child;
    }
    return nullptr;
}

std::variant<Node, Problem> read_yaml(std::span<const std::uint8_t> octets) {
    if (octets.size() > most_octets) return Problem{{}, "larger than 1 MiB", "this is no inventory"};
    return Reader(octets).read();
}

}  // namespace qkd::inventory
