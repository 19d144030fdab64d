// Takes descriptions apart and puts them together.
#include "notice_text.hpp"

#include <algorithm>

namespace qkd::keyid_lldp {
namespace {

bool of_wire_form(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("-_.:+/=@~;,").find(c) != std::string_view::npos;
}

}  // namespace

Description split(std::string_view text) {
    const auto border = text.rfind('|');
    if (border != std::string_view::npos) {
        const std::string_view rest = text.substr(border + 1);
        const bool ours = rest.starts_with("QKD2;") || rest.starts_with("QKA1;");
        if (ours && std::all_of(rest.begin(), rest.end(), of_wire_form)) {
            return {std::string(text.substr(0, border)), std::string(rest)};
        }
    }
    return {std::string(text), {}};
}

std::string_view link_of(std::string_view sealed) {
    // QKD2;KIND;LINK;... or QKA1;LINK;...
    for (int parts = sealed.starts_with("QKD2;") ? 2 : 1; parts > 0; --parts) {
        const auto end = sealed.find(';');
        if (end == std::string_view::npos) return {};
        sealed.remove_prefix(end + 1);
    }
    const auto end = sealed.find(';');
    return end == std::string_view::npos ? std::string_view() : sealed.substr(0, end);
}

Result<std::string> join(const std::string& own, const std::string& sealed, const std::string& place) {
    std::string text = own + "|" + sealed;
    if (text.size() <= longest_description) return text;
    const std::size_t excess = text.size() - longest_description;
    std::string hint = "shorten the interface's own description";
    if (excess <= own.size()) hint += " by " + std::to_string(excess) + " characters";
    if (sealed.find(',') != std::string::npos) hint += ", mint fewer keys at once";
    return Error{ErrorCode::rejected, Retry::never,
                 place + ": description with the notice would have " + std::to_string(text.size()) +
                     " characters, LLDP carries 255",
                 hint + ", or use another transport such as keyid-scp"};
}

}  // namespace qkd::keyid_lldp
