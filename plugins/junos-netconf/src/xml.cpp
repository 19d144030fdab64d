// The thin layer over pugixml.
#include "xml.hpp"

#include <cstdlib>
#include <cstring>
#include <mutex>

namespace qkd::junos {
namespace {

constexpr int deepest = 200;
constexpr std::size_t header = alignof(std::max_align_t);

void* allocate(std::size_t size) {
    auto* memory = static_cast<unsigned char*>(std::malloc(size + header));
    if (memory == nullptr) return nullptr;
    std::memcpy(memory, &size, sizeof size);
    return memory + header;
}

void release(void* pointer) {
    if (pointer == nullptr) return;
    auto* memory = static_cast<unsigned char*>(pointer) - header;
    std::size_t size = 0;
    std::memcpy(&size, memory, sizeof size);
    wipe(memory, size + header);
    std::free(memory);
}

// pugixml's functions are shared by the whole process: set before the first tree is made, never again. Another user
// of the library merely gets wiped memory too.
void use_wiped_memory() {
    static std::once_flag once;
    std::call_once(once, [] { pugi::set_memory_management_functions(&allocate, &release); });
}

class Writer final : public pugi::xml_writer {
  public:
    void write(const void* data, std::size_t size) override {
        text.append(std::span(static_cast<const std::uint8_t*>(data), size));
    }
    SecretBytes text;
};

bool too_deep(pugi::xml_node root) {
    int depth = 0;
    pugi::xml_node node = root;
    while (node) {
        if (const auto below = node.first_child()) {
            if (++depth > deepest) return true;
            node = below;
            continue;
        }
        while (node && node != root && !node.next_sibling()) {
            node = node.parent();
            --depth;
        }
        if (!node || node == root) return false;
        node = node.next_sibling();
    }
    return false;
}

}  // namespace

Result<XmlDocument> XmlDocument::parse(SecretBytes text) {
    XmlDocument document;
    document.text_ = std::move(text);
    document.tree_ = new_tree();
    const auto bytes = document.text_.writable();
    const auto parsed = document.tree_->load_buffer_inplace(
        bytes.data(), bytes.size(), pugi::parse_cdata | pugi::parse_escapes | pugi::parse_eol, pugi::encoding_utf8);
    if (!parsed) return Error::protocol(std::string("not well-formed XML: ") + parsed.description(), "");
    if (too_deep(*document.tree_)) return Error::protocol("XML nested too deeply", "");
    return document;
}

std::unique_ptr<pugi::xml_document> new_tree() {
    use_wiped_memory();
    return std::make_unique<pugi::xml_document>();
}

SecretBytes to_text(const pugi::xml_document& tree) {
    Writer writer;
    // The serialiser keeps a buffer of a few kilobytes on the stack; the frame below covers and wipes it afterwards.
    tree.save(writer, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
    const auto wipe_stack = []() __attribute__((noinline)) {
        volatile unsigned char below[16384];
        wipe(const_cast<unsigned char*>(below), sizeof below);
    };
    wipe_stack();
    return std::move(writer.text);
}

std::string_view trim(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string_view local_name(pugi::xml_node node) {
    const std::string_view name = node.name();
    const auto colon = name.find(':');
    return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

bool is(pugi::xml_node node, std::string_view name) {
    return node.type() == pugi::node_element && local_name(node) == name;
}

pugi::xml_node child(pugi::xml_node node, std::string_view name) {
    for (auto below = node.first_child(); below; below = below.next_sibling()) {
        if (is(below, name)) return below;
    }
    return {};
}

pugi::xml_node next_in(pugi::xml_node top, pugi::xml_node node) {
    if (const auto below = node.first_child()) return below;
    while (node && node != top) {
        if (const auto beside = node.next_sibling()) return beside;
        node = node.parent();
    }
    return {};
}

pugi::xml_node descendant(pugi::xml_node top, std::string_view name) {
    for (auto node = top.first_child(); node; node = next_in(top, node)) {
        if (is(node, name)) return node;
    }
    return {};
}

std::string_view text_of(pugi::xml_node node) {
    return trim(node.child_value());
}

std::string child_text(pugi::xml_node node, std::string_view name) {
    return std::string(text_of(child(node, name)));
}

std::string_view attribute(pugi::xml_node node, std::string_view name) {
    for (const auto& one : node.attributes()) {
        std::string_view full = one.name();
        const auto colon = full.find(':');
        if (colon != std::string_view::npos) full.remove_prefix(colon + 1);
        if (full == name) return one.value();
    }
    return {};
}

}  // namespace qkd::junos
