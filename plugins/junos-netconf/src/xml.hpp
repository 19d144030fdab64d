// XML as this plugin uses it: trees over wiped memory, and names looked at without their namespace prefix.
#pragma once

#include <memory>
#include <pugixml.hpp>
#include <string>
#include <string_view>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::junos {

/// A parsed document and the memory it was parsed in. Keys stand in it: both are wiped when it goes.
class XmlDocument {
  public:
    /// Parses in place. Refuses what is not well-formed or nested deeper than any reply of a device.
    static Result<XmlDocument> parse(SecretBytes text);

    [[nodiscard]] pugi::xml_node root() const { return tree_->document_element(); }

  private:
    SecretBytes text_;
    std::unique_ptr<pugi::xml_document> tree_;
};

/// An empty tree whose memory is wiped.
std::unique_ptr<pugi::xml_document> new_tree();
/// The tree as text, without white space between elements.
SecretBytes to_text(const pugi::xml_document& tree);

/// Name without prefix: Junos sends and leaves out prefixes as it likes.
std::string_view local_name(pugi::xml_node node);
bool is(pugi::xml_node node, std::string_view name);
pugi::xml_node child(pugi::xml_node node, std::string_view name);
/// First element of that name at any depth.
pugi::xml_node descendant(pugi::xml_node node, std::string_view name);
/// Text of a node without surrounding white space.
std::string_view text_of(pugi::xml_node node);
std::string child_text(pugi::xml_node node, std::string_view name);
/// An attribute by its name without prefix ("seconds" finds junos:seconds); empty when absent.
std::string_view attribute(pugi::xml_node node, std::string_view name);
std::string_view trim(std::string_view text);
/// The element that follows in document order, within `top`; null at the end.
pugi::xml_node next_in(pugi::xml_node top, pugi::xml_node node);

}  // namespace qkd::junos
