// XML as a Junos device writes it: no declaration, <tag/> for empty elements, one element a line.
#include "xml_out.hpp"

#include <algorithm>
#include <array>

#include "util.hpp"

namespace qkd::junossim {

namespace {

constexpr std::array<std::string_view, 16> netconf_names = {
    "rpc-reply",    "rpc-error",     "error-type",  "error-tag",    "error-severity", "error-path",
    "error-info",   "error-message", "bad-element", "ok",           "data",           "hello",
    "capabilities", "capability",    "session-id",  "error-app-tag"};

void escape(std::string& out, std::string_view text, bool in_attribute) {
    for (const char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"' && in_attribute)
            out += "&quot;";
        else
            out += c;
    }
}

void write(std::string& out, const pugi::xml_node& node, const XmlStyle& style, int level) {
    const std::string pad(static_cast<std::size_t>(style.indent * level), ' ');
    if (node.type() == pugi::node_comment) {
        out += pad + "<!--" + node.value() + "-->\n";
        return;
    }
    std::string name = node.name();
    if (style.nc_prefix && std::find(netconf_names.begin(), netconf_names.end(), name) != netconf_names.end()) {
        name = "nc:" + name;
    }
    out += pad + "<" + name;
    for (const auto& a : node.attributes()) {
        out += std::string(" ") + a.name() + "=\"";
        escape(out, a.value(), true);
        out += '"';
    }
    const bool has_elements = std::any_of(node.begin(), node.end(), [](const pugi::xml_node& n) {
        return n.type() == pugi::node_element || n.type() == pugi::node_comment;
    });
    const std::string_view text = node.text().get();
    // An empty reply stands on two lines, as on the device; any other empty element is <tag/>.
    const bool container = has_elements || name.ends_with("rpc-reply") || name == "configuration";
    if (!container && text.empty()) {
        out += "/>\n";
        return;
    }
    out += '>';
    if (!container) {
        escape(out, text, false);
    } else {
        out += '\n';
        // In a reply only the configuration is indented, four spaces from where it stands.
        const bool configuration = name == "configuration" && style.indent == 0;
        const XmlStyle below{configuration ? 4 : style.indent, style.nc_prefix && !configuration};
        for (const auto& n : node) {
            if (n.type() != pugi::node_element && n.type() != pugi::node_comment) continue;
            write(out, n, below, configuration ? 1 : level + 1);
        }
        out += pad;
    }
    out += "</" + name + ">\n";
}

}  // namespace

std::string to_text(const pugi::xml_node& node, const XmlStyle& style, int level) {
    std::string out;
    write(out, node, style, level);
    return out;
}

pugi::xml_node add(pugi::xml_node parent, const char* name, std::string_view text) {
    auto node = parent.append_child(name);
    if (!text.empty()) node.text().set(std::string(text).c_str());
    return node;
}

void set_attribute(pugi::xml_node node, const char* name, std::string_view value) {
    auto a = node.attribute(name);
    if (!a) a = node.append_attribute(name);
    a.set_value(std::string(value).c_str());
}

std::string_view local_name(const char* qualified) {
    const std::string_view name = qualified;
    const auto colon = name.rfind(':');
    return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

pugi::xml_node child(const pugi::xml_node& node, std::string_view local) {
    for (const auto& n : node) {
        if (n.type() == pugi::node_element && local_name(n) == local) return n;
    }
    return {};
}

std::string attribute(const pugi::xml_node& node, std::string_view local) {
    for (const auto& a : node.attributes()) {
        if (local_name(a.name()) == local && std::string_view(a.name()).substr(0, 5) != "xmlns") return trim(a.value());
    }
    return {};
}

std::string text_of(const pugi::xml_node& node) {
    return trim(node.text().get());
}

}  // namespace qkd::junossim
