// XML as a Junos device writes it: no declaration, <tag/> for empty elements, one element a line.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>

namespace qkd::junossim {

struct XmlStyle {
    int indent = 0;          // spaces per level; operational replies have none
    bool nc_prefix = false;  // rfc-compliant mode: NETCONF's own elements are written nc:NAME
};

// `node` and everything below it, ending with a newline.
std::string to_text(const pugi::xml_node& node, const XmlStyle& style, int level = 0);

// Appends <name>text</name> and returns it.
pugi::xml_node add(pugi::xml_node parent, const char* name, std::string_view text = {});
void set_attribute(pugi::xml_node node, const char* name, std::string_view value);

// The name without its namespace prefix: clients send nc:rpc, junos:x or plain names for the same thing.
std::string_view local_name(const char* qualified);
inline std::string_view local_name(const pugi::xml_node& node) {
    return local_name(node.name());
}
// First child element with this local name; empty node when there is none.
pugi::xml_node child(const pugi::xml_node& node, std::string_view local);
// Attribute by local name, without the blanks around it; empty when missing.
std::string attribute(const pugi::xml_node& node, std::string_view local);
// The text inside, without the blanks around it.
std::string text_of(const pugi::xml_node& node);

}  // namespace qkd::junossim
