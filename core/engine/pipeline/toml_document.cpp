// toml++ behind a plain tree.
#include "engine/pipeline/toml_document.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "engine/base/text.hpp"

namespace qkd::engine {
namespace {

/// toml++ 3.3 asserts things that a hostile file can bring about ("[.a]" is one). An assertion must neither end the
/// program nor, in a release build, be taken for granted.
struct ParserGaveUp {};
[[noreturn]] void parser_gave_up() {
    throw ParserGaveUp();
}

}  // namespace
}  // namespace qkd::engine

#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expression) ((expression) ? static_cast<void>(0) : qkd::engine::parser_gave_up())
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_file = std::size_t{16} << 20U;
/// Each dot of a dotted key nests a table, and toml++ destroys nested tables by recursion: a long enough key would
/// exhaust the stack. Pipeline files need two.
constexpr unsigned most_dots = 16;

FilePlace place_of(const toml::source_region& region, std::uint32_t file) {
    return {file, region.begin.line, region.begin.column};
}

void convert(const toml::node& node, std::uint32_t file, TomlValue& value) {
    using Type = TomlValue::Type;
    value.place = place_of(node.source(), file);
    if (const auto* table = node.as_table()) {
        value.type = Type::table;
        value.children.reserve(table->size());
        for (const auto& [key, child] : *table) {
            TomlValue& entry = value.children.emplace_back();
            entry.key = key.str();
            entry.key_place = place_of(key.source(), file);
            convert(child, file, entry);
        }
        std::stable_sort(value.children.begin(), value.children.end(),
                         [](const auto& a, const auto& b) { return a.key_place < b.key_place; });
    } else if (const auto* array = node.as_array()) {
        value.type = Type::array;
        value.children.reserve(array->size());
        for (const auto& child : *array) {
            TomlValue& item = value.children.emplace_back();
            convert(child, file, item);
            item.key_place = item.place;
        }
    } else if (const auto* text = node.as_string()) {
        value.type = Type::string;
        value.text = text->get();
    } else if (const auto* integer = node.as_integer()) {
        value.type = Type::integer;
        value.integer = integer->get();
    } else if (const auto* boolean = node.as_boolean()) {
        value.type = Type::boolean;
        value.boolean = boolean->get();
    } else {
        value.type = node.is_floating_point() ? Type::real : Type::time;
    }
}

/// Looks through the notation for what toml++ must not be given: keys that nest too deep, and characters outside ASCII
/// where TOML has none, at which version 3.3 runs into undefined behaviour (its table of white space is wrong).
class Prescan {
  public:
    Prescan(std::string_view text, std::uint32_t file) : text_(text), file_(file) {}

    std::optional<TomlProblem> run() {
        if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;  // byte order mark
        for (; at_ < text_.size() && !problem_; ++at_) {
            const char c = text_[at_];
            if (c == '\n') {
                end_line();
            } else if (c == '.') {
                if (++dots_ > most_dots) report("a key with too many dots", "a key has 16 dots at most");
            } else if (c == '#') {
                while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
            } else if (c == '"' || c == '\'') {
                skip_string(c);
            } else if (not_ascii(c)) {
                report("not TOML: a character outside ASCII", "such characters stand in quotes and comments only");
            }
        }
        return problem_;
    }

  private:
    static bool not_ascii(char c) { return (static_cast<unsigned char>(c) & 0x80U) != 0; }

    void end_line() {
        ++line_;
        line_start_ = at_ + 1;
        dots_ = 0;
    }

    void report(const char* what, const char* hint) {
        const auto column = static_cast<std::uint32_t>(at_ - line_start_ + 1);
        problem_ = TomlProblem{{file_, line_, column}, what, hint};
    }

    /// From the first quote to the last one.
    void skip_string(char quote) {
        const std::string triple(3, quote);
        const bool multi_line = text_.substr(at_, 3) == triple;
        at_ += multi_line ? 3 : 1;
        for (; at_ < text_.size() && !problem_; ++at_) {
            const char c = text_[at_];
            if (c == '\n') {
                end_line();
                if (!multi_line) return;  // unterminated: the parser will say so
            } else if (c == '\\' && quote == '"') {
                ++at_;
                if (at_ < text_.size() && text_[at_] == '\n') end_line();
            } else if (c == quote && (!multi_line || text_.substr(at_, 3) == triple)) {
                // A multi-line string may end in up to two more quotes of its own content.
                if (multi_line) {
                    at_ += 2;
                    for (int more = 0; more < 2 && at_ + 1 < text_.size() && text_[at_ + 1] == quote; ++more) ++at_;
                }
                return;
            } else if (multi_line && not_ascii(c)) {
                report("a character outside ASCII in a text of several lines", "use a string on one line");
            }
        }
    }

    std::string_view text_;
    std::uint32_t file_;
    std::size_t at_ = 0;
    std::uint32_t line_ = 1;
    std::size_t line_start_ = 0;
    unsigned dots_ = 0;
    std::optional<TomlProblem> problem_;
};

bool gives_up(std::string_view text) {
    try {
        const toml::parse_result parsed = toml::parse(text);
        static_cast<void>(parsed);
        return false;
    } catch (const ParserGaveUp&) {
        return true;
    }
}

/// The parser does not say where it was, so this looks for the shortest beginning of the text that brings it down.
std::uint32_t line_of_giving_up(std::string_view text) {
    std::vector<std::size_t> ends;
    for (std::size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1))
        ends.push_back(at);
    ends.push_back(text.size());
    const auto found =
        std::partition_point(ends.begin(), ends.end(), [&](std::size_t end) { return !gives_up(text.substr(0, end)); });
    return static_cast<std::uint32_t>(std::distance(ends.begin(), found) + 1);
}

std::variant<std::string, std::string> read_whole(const fs::path& path) {
    using Outcome = std::variant<std::string, std::string>;
    const auto failed = [](std::string why) { return Outcome(std::in_place_index<1>, std::move(why)); };
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return failed(std::strerror(errno));
    struct stat info {};
    std::string content;
    std::string problem;
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        problem = "it is no regular file";
    } else {
        char part[65536];
        for (;;) {
            const ssize_t got = ::read(fd, part, sizeof part);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) problem = std::strerror(errno);
            if (got <= 0) break;
            content.append(part, static_cast<std::size_t>(got));
            if (content.size() > largest_file) {
                problem = "it is larger than 16 MiB";
                break;
            }
        }
    }
    ::close(fd);
    if (!problem.empty()) return failed(std::move(problem));
    return Outcome(std::in_place_index<0>, std::move(content));
}

}  // namespace

const TomlValue* TomlValue::find(std::string_view name) const noexcept {
    for (const auto& child : children) {
        if (child.key == name) return &child;
    }
    return nullptr;
}

const char* type_name(TomlValue::Type type) noexcept {
    switch (type) {
        case TomlValue::Type::string: return "a string";
        case TomlValue::Type::integer: return "an integer";
        case TomlValue::Type::real: return "a real number";
        case TomlValue::Type::boolean: return "a boolean";
        case TomlValue::Type::time: return "a date or time";
        case TomlValue::Type::array: return "an array";
        case TomlValue::Type::table: return "a table";
    }
    return "?";
}

std::variant<TomlValue, TomlProblem> read_toml(const fs::path& path, std::uint32_t file) {
    auto read = read_whole(path);
    if (auto* why = std::get_if<1>(&read)) {
        return TomlProblem{{file, 0, 0}, std::move(*why), ""};
    }
    const std::string& text = *std::get_if<0>(&read);
    if (auto problem = Prescan(text, file).run()) return std::move(*problem);
    try {
        const toml::parse_result parsed = toml::parse(std::string_view(text));
        if (!parsed) {
            const auto& error = parsed.error();
            return TomlProblem{place_of(error.source(), file), "not TOML: " + printable(error.description()), ""};
        }
        TomlValue root;
        convert(parsed.table(), file, root);
        return root;
    } catch (const ParserGaveUp&) {
        return TomlProblem{{file, line_of_giving_up(text), 1}, "not TOML: this line makes no sense", ""};
    }
}

}  // namespace qkd::engine
