// Help pages, laid out like manual pages.
#include <algorithm>

#include "cli/arguments.hpp"

namespace qkd::cli {
namespace {

constexpr std::size_t page_width = 100;

/// Breaks lines between words; lines that begin with a space (lists, examples) stay as they are.
std::string filled(std::string_view text, std::size_t indent) {
    std::string out;
    const std::string margin(indent, ' ');
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        while (line.size() + indent > page_width && !line.starts_with(' ')) {
            const auto space = line.rfind(' ', page_width - indent);
            if (space == std::string_view::npos) break;
            out += margin + std::string(line.substr(0, space)) + "\n";
            line.remove_prefix(space + 1);
        }
        out += line.empty() ? "\n" : margin + std::string(line) + "\n";
    }
    return out;
}

std::string option_lines(std::span<const Option> options) {
    constexpr std::size_t column = 28;
    std::string text;
    for (const auto& option : options) {
        std::string left = option.letter != 0 ? std::string("  -") + option.letter + ", " : std::string("      ");
        left += std::string("--") + option.name;
        if (option.value != nullptr) left += std::string(" ") + option.value;
        std::string right = filled(option.doc, column);
        if (left.size() + 2 <= column) {
            right.replace(0, left.size(), left);
        } else {
            right.insert(0, left + "\n");
        }
        text += right;
    }
    return text;
}

std::string section(const char* title, const std::string& body) {
    return body.empty() ? std::string() : "\n" + std::string(title) + "\n" + body;
}

}  // namespace

std::string help_page(const Command& command) {
    std::string text = "NAME\n  qkd-macsec " + std::string(command.name) + " - " + command.summary + "\n";
    std::string synopsis;
    for (const std::string line : command.synopsis) {
        // A line that begins with a space goes on with the one before.
        synopsis += (line.starts_with(' ') ? "             " : "  qkd-macsec ") + line + "\n";
    }
    text += section("SYNOPSIS", synopsis);
    text += section("DESCRIPTION", filled(command.description, 2));
    text += section("OPTIONS", option_lines(command.options));
    text += section("GLOBAL OPTIONS", option_lines(global_options()));
    text += section("EXIT STATUS", filled(command.exit_status, 0));
    text += section("EXAMPLES", filled(command.examples, 0));
    return text;
}

std::string help_page(std::span<const Command> commands) {
    std::string text =
        "NAME\n  qkd-macsec - keys MACsec links with quantum-distributed keys\n"
        "\nSYNOPSIS\n  qkd-macsec COMMAND [OPTION]... [ARGUMENT]...\n";
    std::string list;
    for (const auto& command : commands) {
        std::string name = "  " + std::string(command.name);
        name.resize(std::max<std::size_t>(name.size() + 2, 12), ' ');
        list += name + command.summary + "\n";
    }
    text += section("COMMANDS", list);
    text += section("GLOBAL OPTIONS (before or after the command)", option_lines(global_options()));
    text += section("EXAMPLES",
                    "  qkd-macsec check pipeline.toml            is the file right?\n"
                    "  qkd-macsec plan pipeline.toml             what would a run change?\n"
                    "  qkd-macsec run pipeline.toml              give every link a new key\n"
                    "  qkd-macsec status pipeline.toml           which keys run where?\n"
                    "  qkd-macsec run --help                     more on one command\n");
    return text;
}

}  // namespace qkd::cli
