// The command line: what commands and options there are, and what was typed.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::cli {

struct Option {
    const char* name;   ///< long name without dashes
    char letter;        ///< short name, 0 = none
    const char* value;  ///< word for the value in help texts; nullptr = a flag
    bool repeatable;
    const char* doc;
};

class Arguments;

/// One command: everything its help page says, and the function behind it.
struct Command {
    const char* name;
    const char* summary;                ///< one line
    std::vector<const char*> synopsis;  ///< without "qkd-macsec"
    const char* description;
    std::vector<Option> options;  ///< besides the global ones
    unsigned min_words;           ///< how many words without dash it takes
    unsigned max_words;
    const char* words_missing;  ///< said when there are too few
    const char* exit_status;
    const char* examples;
    int (*run)(const Arguments&);  ///< returns the exit code
};

/// What was typed after the command, checked against its options.
class Arguments {
  public:
    [[nodiscard]] bool has(std::string_view option) const { return values_.contains(option); }
    /// The value of an option that is given once, or "".
    [[nodiscard]] std::string value(std::string_view option) const;
    [[nodiscard]] std::vector<std::string> all(std::string_view option) const;
    /// How often a flag was given.
    [[nodiscard]] unsigned count(std::string_view option) const;
    [[nodiscard]] const std::vector<std::string>& words() const noexcept { return words_; }

    void add(const std::string& option, std::string value) { values_[option].push_back(std::move(value)); }
    void add_word(std::string word) { words_.push_back(std::move(word)); }

  private:
    std::map<std::string, std::vector<std::string>, std::less<>> values_;
    std::vector<std::string> words_;
};

/// --plugin-dir, --color, --version, --help: good before and after the command.
std::span<const Option> global_options();

struct Invocation {
    const Command* command = nullptr;  ///< null when only global options were given
    Arguments arguments;
};

/// `arguments` without the program's name. The error is a usage error: what, and where to read on.
/// --help and --version need no further words.
Result<Invocation> parse(std::span<const Command> commands, const std::vector<std::string>& arguments);

/// The page of one command, and of the whole program.
std::string help_page(const Command& command);
std::string help_page(std::span<const Command> commands);

}  // namespace qkd::cli
