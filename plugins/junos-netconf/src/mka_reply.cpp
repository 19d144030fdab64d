// Readers for the table, the blocks and the XML.
#include "mka_reply.hpp"

#include <algorithm>
#include <cctype>

#include "qkd/sdk/encoding.hpp"

namespace qkd::junos {
namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

std::vector<std::string_view> words(std::string_view line) {
    std::vector<std::string_view> out;
    while (true) {
        line = trim(line);
        if (line.empty()) return out;
        const auto end = std::min(line.find_first_of(" \t"), line.size());
        out.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

std::string_view next_line(std::string_view& text) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
}

// "Label: value" anywhere in a line that may hold two of them, far apart.
std::string_view value_of(std::string_view line, std::string_view label) {
    const std::string folded = lower(line);
    const auto at = folded.find(label);
    if (at == std::string::npos) return {};
    auto rest = trim(line.substr(at + label.size()));
    const auto gap = rest.find("  ");
    return gap == std::string_view::npos ? rest : trim(rest.substr(0, gap));
}

// The table: a header names the columns; "CAK Name" is two words, and every value is one.
std::vector<MkaEntry> read_table(std::string_view text) {
    std::vector<MkaEntry> entries;
    std::vector<std::string> columns;
    while (!text.empty()) {
        const auto fields = words(next_line(text));
        if (fields.size() > 3 && fields[0] == "Interface") {
            columns.clear();
            for (std::size_t i = 0; i < fields.size(); ++i) {
                if (fields[i] == "CAK" && i + 1 < fields.size() && fields[i + 1] == "Name") {
                    columns.emplace_back("cak");
                    ++i;
                } else {
                    columns.push_back(lower(fields[i]));
                }
            }
            continue;
        }
        if (columns.empty() || fields.size() != columns.size()) continue;
        MkaEntry entry;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            if (columns[i] == "interface") entry.interface_name = fields[i];
            if (columns[i] == "type") entry.type = lower(fields[i]);
            if (columns[i] == "status" || columns[i] == "state") entry.status = lower(fields[i]);
            if (columns[i] == "cak") entry.ckn = canonical_hex(fields[i]);
        }
        entries.push_back(std::move(entry));
    }
    return entries;
}

// Brief and detail: a block per interface. Detail repeats name, type and status for each key of a "CAK list"; a name
// after a type therefore begins another key.
std::vector<MkaEntry> read_blocks(std::string_view text) {
    std::vector<MkaEntry> entries;
    while (!text.empty()) {
        const auto line = next_line(text);
        if (const auto name = value_of(line, "interface name:"); !name.empty()) {
            entries.emplace_back();
            entries.back().interface_name = name;
            continue;
        }
        if (entries.empty()) continue;
        if (const auto state = value_of(line, "interface state:"); !state.empty()) entries.back().state = state;
        if (const auto ckn = value_of(line, "cak name:"); !ckn.empty()) {
            if (!entries.back().type.empty()) {
                MkaEntry another;
                another.interface_name = entries.back().interface_name;
                another.state = entries.back().state;
                entries.push_back(std::move(another));
            }
            entries.back().ckn = canonical_hex(ckn);
        }
        if (const auto type = value_of(line, "cak type:"); !type.empty()) entries.back().type = lower(type);
        if (const auto status = value_of(line, "status:"); !status.empty()) entries.back().status = lower(status);
        if (lower(line).find("member identifier:") != std::string::npos && line.find("(live)") != std::string::npos)
            entries.back().live_peer = true;
    }
    return entries;
}

enum class Grade : std::uint8_t { primary, preceding, fallback, none };

Grade grade_of_state(const std::string& state) {
    const std::string folded = lower(state);
    if (!folded.starts_with("secured")) return Grade::none;
    if (folded.find("preceding") != std::string::npos) return Grade::preceding;
    if (folded.find("fallback") != std::string::npos) return Grade::fallback;
    return Grade::primary;
}

// How good this entry is for its interface.
Grade grade(const MkaEntry& entry) {
    const bool live = entry.status == "live" || entry.status == "active" || entry.status == "principal";
    if (!entry.state.empty()) {
        // The interface's own verdict counts, and it speaks of the key of that type.
        const Grade whole = grade_of_state(entry.state);
        if (whole == Grade::none) return Grade::none;
        if (entry.type.empty()) return entry.status.empty() || live ? whole : Grade::none;
        const Grade own = entry.type == "preceding"  ? Grade::preceding
                          : entry.type == "fallback" ? Grade::fallback
                                                     : Grade::primary;
        if (own != whole) return Grade::none;
        return entry.status.empty() || live ? own : Grade::none;
    }
    if (!live && !(entry.status.empty() && entry.live_peer)) return Grade::none;
    if (entry.type == "preceding") return Grade::preceding;
    if (entry.type == "fallback") return Grade::fallback;
    return Grade::primary;
}

MkaState state_of(Grade grade) {
    switch (grade) {
        case Grade::primary: return MkaState::secured;
        case Grade::preceding: return MkaState::preceding;
        case Grade::fallback: return MkaState::fallback;
        case Grade::none: break;
    }
    return MkaState::down;
}

}  // namespace

std::vector<MkaEntry> read_mka_text(std::string_view text, bool& understood) {
    const bool table = text.find("Member-ID") != std::string_view::npos;
    const bool blocks = text.find("Interface name:") != std::string_view::npos;
    // Nothing at all is how Junos says that there is no session.
    understood = table || blocks || trim(text).empty();
    return table ? read_table(text) : read_blocks(text);
}

std::vector<MkaEntry> read_mka_xml(pugi::xml_node root, bool& understood) {
    std::vector<MkaEntry> entries;
    understood = static_cast<bool>(descendant(root, "mka-session-information")) || !root.first_child();
    // Junos writes the fields of all sessions flat, one after the other: a new interface-name begins the next one.
    for (auto node = root.first_child(); node; node = next_in(root, node)) {
        if (node.type() != pugi::node_element) continue;
        const auto name = local_name(node);
        if (name == "interface-name") {
            entries.emplace_back();
            entries.back().interface_name = text_of(node);
            continue;
        }
        if (entries.empty()) continue;
        if (name == "interface-state") entries.back().state = text_of(node);
        if (name == "cak-name") {
            if (!entries.back().type.empty()) {
                MkaEntry another;
                another.interface_name = entries.back().interface_name;
                another.state = entries.back().state;
                entries.push_back(std::move(another));
            }
            entries.back().ckn = canonical_hex(text_of(node));
        }
        if (name == "cak-type" || name == "type") entries.back().type = lower(text_of(node));
        if (name == "cak-status" || name == "status" || name == "mka-session-status")
            entries.back().status = lower(text_of(node));
        if (name == "session-live") entries.back().live_peer = true;
    }
    return entries;
}

std::vector<InterfaceMka> judge_mka(const std::vector<MkaEntry>& entries, const std::vector<std::string>& interfaces) {
    std::vector<InterfaceMka> out;
    for (const auto& name : interfaces) {
        Grade best = Grade::none;
        InterfaceMka mka{name, MkaState::down, {}};
        for (const auto& entry : entries) {
            if (entry.interface_name != name) continue;
            const Grade own = grade(entry);
            if (own >= best) continue;
            best = own;
            mka.ckn = entry.ckn;
        }
        mka.state = state_of(best);
        out.push_back(std::move(mka));
    }
    return out;
}

}  // namespace qkd::junos
