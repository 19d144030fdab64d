// Writes field tables as Markdown.
#include "cli/plugin_docs.hpp"

#include <fstream>
#include <iterator>

#include "cli/sample.hpp"
#include "engine/base/display.hpp"
#include "engine/base/text.hpp"

namespace qkd::cli {
namespace {

constexpr std::string_view begin_mark = "<!-- fields: `qkd-macsec plugins docs";
constexpr std::string_view end_mark = "<!-- end of fields -->";

std::string text(const char* words) {
    return words == nullptr ? std::string() : std::string(words);
}

/// In a cell of a table; what might be read as Markdown or HTML is escaped.
std::string cell(const std::string& words) {
    std::string out;
    for (const char c : engine::one_line(words)) {
        if (std::string_view("|<>*").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
    return out;
}

std::string code(const std::string& words) {
    return words.empty() ? "" : "`" + engine::one_line(words) + "`";
}

std::string type_cell(const Field& field) {
    return type_word(field.type);
}

std::string allowed_cell(const Field& field) {
    std::string out;
    for (const auto& word : engine::split(text(field.allowed), '|')) out += (out.empty() ? "" : ", ") + code(word);
    return out;
}

std::string default_cell(const Field& field) {
    return field.required ? "required" : code(text(field.default_value));
}

}  // namespace

std::string docs_markdown(const PluginDescriptor& descriptor) {
    std::string out = std::string(begin_mark) + " " + text(descriptor.name) + " --into README.md` writes this -->\n";
    const auto scopes = scopes_of(descriptor);
    for (const Scope scope : scopes) {
        std::string rows;
        for (std::size_t i = 0; i < descriptor.field_count; ++i) {
            const Field& field = descriptor.fields[i];
            if (field.scope != scope) continue;
            rows += "| " + code(text(field.key)) + " | " + type_cell(field) + " | " + default_cell(field) + " | " +
                    allowed_cell(field) + " | " + cell(text(field.doc)) + " |\n";
        }
        if (scopes.size() > 1) out += "In `" + std::string(scope_table(scope)) + "`:\n\n";
        out += rows.empty() ? "No fields besides `plugin`.\n"
                            : "| field | type | default | allowed | what it does |\n|---|---|---|---|---|\n" + rows;
        if (scopes.size() > 1 && scope != scopes.back()) out += "\n";
    }
    return out + std::string(end_mark) + "\n";
}

Result<void> docs_into(const std::filesystem::path& file, const PluginDescriptor& descriptor) {
    const auto wrong = [&](const std::string& what, const std::string& hint) {
        return Error{ErrorCode::config, Retry::never, file.string() + ": " + what, hint};
    };
    std::ifstream in(file, std::ios::binary);
    if (!in) return wrong("cannot be read", "name a README that is there");
    std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const auto begin = content.find(begin_mark);
    const auto end = begin == std::string::npos ? begin : content.find(end_mark, begin);
    if (end == std::string::npos) {
        return wrong("has no place for the table", "put these two lines where it belongs: " + std::string(begin_mark) +
                                                       "` --> and " + std::string(end_mark));
    }
    const std::string made = docs_markdown(descriptor);
    content.replace(begin, end + end_mark.size() - begin, made.substr(0, made.size() - 1));
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << content;
    out.close();
    if (!out) return wrong("cannot be written", "free the disk or change its owner");
    return {};
}

}  // namespace qkd::cli
