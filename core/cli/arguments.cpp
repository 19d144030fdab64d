// Parses the command line with Boost.Program_options. The one source file that includes it.
#include "cli/arguments.hpp"

#include <algorithm>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "engine/base/text.hpp"

namespace qkd::cli {
namespace {

namespace po = boost::program_options;

constexpr Option globals[] = {
    {"plugin-dir", 0, "DIR", false, "take plugins from DIR instead of ../lib/qkd-macsec/plugins beside the program"},
    {"color", 0, "WHEN", false, "colours: auto (on terminals, unless NO_COLOR is set), always or never"},
    {"version", 0, nullptr, false, "print the version and the plugin ABI"},
    {"help", 'h', nullptr, false, "print this page"},
};

Error usage(std::string what, const Command* command, const std::string& suggestion = {}) {
    if (!suggestion.empty()) what += "; did you mean '" + suggestion + "'?";
    return {ErrorCode::config, Retry::never, std::move(what),
            std::string("see `qkd-macsec ") + (command != nullptr ? std::string(command->name) + " " : "") + "--help`"};
}

/// Index of the command's word, or the number of arguments when there is none.
Result<std::size_t> find_command(const std::vector<std::string>& arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (!word.starts_with("-")) return i;
        const std::string name = word.substr(0, word.find('='));
        const auto option = std::find_if(std::begin(globals), std::end(globals), [&](const Option& o) {
            return name == std::string("--") + o.name || (o.letter != 0 && name == std::string("-") + o.letter);
        });
        if (option == std::end(globals))
            return usage("option '" + word + "' has no meaning before the command", nullptr);
        if (option->value != nullptr && name == word) ++i;
    }
    return arguments.size();
}

std::vector<std::string> spellings(const std::vector<const Option*>& options) {
    std::vector<std::string> all;
    all.reserve(options.size());
    for (const auto* option : options) all.push_back(std::string("--") + option->name);
    return all;
}

/// Words of the library's exceptions that say what is wrong without its own terms.
std::string reason(const po::error& error) {
    if (const auto* syntax = dynamic_cast<const po::invalid_command_line_syntax*>(&error)) {
        using Syntax = po::invalid_syntax;
        const std::string name = "option '" + syntax->get_option_name() + "'";
        switch (syntax->kind()) {
            case Syntax::missing_parameter:
            case Syntax::empty_adjacent_parameter: return name + " needs a value";
            case Syntax::extra_parameter: return name + " takes no value";
            default: return name + " is malformed";
        }
    }
    return error.what();
}

}  // namespace

std::span<const Option> global_options() {
    return globals;
}

std::string Arguments::value(std::string_view option) const {
    const auto found = values_.find(option);
    return found == values_.end() ? std::string() : found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view option) const {
    const auto found = values_.find(option);
    return found == values_.end() ? std::vector<std::string>() : found->second;
}

unsigned Arguments::count(std::string_view option) const {
    return static_cast<unsigned>(all(option).size());
}

Result<Invocation> parse(std::span<const Command> commands, const std::vector<std::string>& arguments) {
    Invocation invocation;
    const auto at = find_command(arguments);
    if (!at) return at.error();
    std::vector<std::string> rest = arguments;
    if (*at < arguments.size()) {
        const std::string& word = arguments[*at];
        std::vector<std::string> names;
        for (const auto& command : commands) {
            names.emplace_back(command.name);
            if (word == command.name) invocation.command = &command;
        }
        if (invocation.command == nullptr) {
            return usage(
                "there is no command '" + engine::printable(word) + "'; there are " + engine::join(names, ", "),
                nullptr, engine::nearest(word, names));
        }
        rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(*at));
    }
    const Command* command = invocation.command;

    std::vector<const Option*> options;
    for (const auto& option : globals) options.push_back(&option);
    if (command != nullptr) {
        for (const auto& option : command->options) options.push_back(&option);
    }
    po::options_description description;
    for (const auto* option : options) {
        std::string names = option->name;
        if (option->letter != 0) names += std::string(",") + option->letter;
        description.add_options()(names.c_str(), new po::untyped_value(option->value == nullptr), "");
    }
    po::positional_options_description words;
    words.add("word", -1);
    try {
        namespace style = po::command_line_style;
        const auto parsed = po::command_line_parser(rest)
                                .options(description)
                                .positional(words)
                                .style(style::unix_style & ~style::allow_guessing)
                                .run();
        for (const auto& item : parsed.options) {
            if (item.position_key >= 0) {
                for (const auto& word : item.value) invocation.arguments.add_word(word);
                continue;
            }
            const auto option = std::find_if(options.begin(), options.end(),
                                             [&](const Option* o) { return o->name == item.string_key; });
            if (!(*option)->repeatable && (*option)->value != nullptr && invocation.arguments.has(item.string_key)) {
                return usage("option '--" + item.string_key + "' is given more than once", command);
            }
            invocation.arguments.add(item.string_key, item.value.empty() ? std::string() : item.value.front());
        }
    } catch (const po::unknown_option& error) {
        const std::string name = error.get_option_name();
        return usage("there is no option '" + engine::printable(name) + "'", command,
                     engine::nearest(name, spellings(options)));
    } catch (const po::error& error) {
        return usage(engine::printable(reason(error)), command);
    }

    const Arguments& typed = invocation.arguments;
    if (typed.has("help") || typed.has("version")) return invocation;
    if (const auto when = typed.value("color");
        typed.has("color") && when != "auto" && when != "always" && when != "never") {
        return usage("--color '" + engine::printable(when) + "' is none of auto, always, never", command);
    }
    if (command == nullptr) return usage("a command is missing", nullptr);
    if (typed.words().size() < command->min_words) return usage(command->words_missing, command);
    if (typed.words().size() > command->max_words) {
        return usage("unexpected argument '" + engine::printable(typed.words()[command->max_words]) + "'", command);
    }
    return invocation;
}

}  // namespace qkd::cli
