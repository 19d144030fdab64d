// Reader of the text that "show | compare" prints, to find changes that are not ours.
#include <algorithm>
#include <cctype>

#include "config_model.hpp"

namespace qkd::junos {
namespace {

using Words = std::vector<std::string>;

struct Line {
    Words words;
    bool opens = false;   ///< ends with '{'
    bool closes = false;  ///< is a '}'
};

Line read_line(std::string_view text) {
    Line line;
    std::string word;
    bool quoted = false;
    const auto finish = [&] {
        // "inactive:" and array brackets change how a statement is written, not which one it is.
        if (!word.empty() && word != "inactive:" && word != "[" && word != "]") line.words.push_back(word);
        word.clear();
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\' && i + 1 < text.size()) {
                word += text[++i];
            } else if (c == '"') {
                quoted = false;
            } else {
                word += c;
            }
            continue;
        }
        if (c == '"') {
            quoted = true;
        } else if (c == ';') {
            break;
        } else if (c == '{') {
            line.opens = true;
            break;
        } else if (c == '}') {
            line.closes = true;
            break;
        } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
            finish();
        } else {
            word += c;
        }
    }
    finish();
    return line;
}

}  // namespace

std::string find_foreign_change(std::string_view diff, const std::vector<Statement>& statements) {
    std::vector<Words> ours;
    ours.reserve(statements.size());
    for (const auto& statement : statements) ours.push_back(statement.words());
    Words base;
    std::vector<std::size_t> depth;  // length of the path before each open brace
    Words path;
    while (!diff.empty()) {
        const auto end = std::min(diff.find('\n'), diff.size());
        auto text = diff.substr(0, end);
        diff.remove_prefix(std::min(end + 1, diff.size()));
        if (trim(text).empty()) continue;
        if (text.starts_with("[edit")) {
            const auto close = text.rfind(']');
            auto inside = text.substr(5, close == std::string_view::npos ? std::string_view::npos : close - 5);
            base = read_line(inside).words;
            path = base;
            depth.clear();
            continue;
        }
        const char sign = text.front();
        const bool changed = sign == '+' || sign == '-' || sign == '!';
        if (changed) text.remove_prefix(1);
        if (trim(text).starts_with("/*") || trim(text).starts_with("#")) continue;
        const Line line = read_line(text);
        if (line.closes) {
            if (!depth.empty()) {
                path.resize(depth.back());
                depth.pop_back();
            }
            continue;
        }
        Words all = path;
        all.insert(all.end(), line.words.begin(), line.words.end());
        if (changed) {
            const bool known = std::any_of(ours.begin(), ours.end(), [&](const Words& one) {
                return begins_with(all, one) || begins_with(one, all);
            });
            if (!known) {
                std::string where;
                // Without the last word: it may be a value.
                if (!line.opens && all.size() > 1) all.pop_back();
                for (const auto& word : all) where += (where.empty() ? "" : " ") + word;
                return where;
            }
        }
        if (line.opens) {
            depth.push_back(path.size());
            path = std::move(all);
        }
    }
    return {};
}

}  // namespace qkd::junos
