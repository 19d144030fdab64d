// Changes to a Junos configuration as data: one list of statements that is shown as set lines and loaded as XML, so
// that what is planned is what is done.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/macsec.hpp"
#include "xml.hpp"

namespace qkd::junos {

/// One level of the hierarchy: an element, and the name of the entry where the element is a list.
struct Step {
    std::string element;
    std::string key;
};

/// set or delete of one statement.
struct Statement {
    bool remove = false;
    std::vector<Step> path;
    std::string value;                  ///< of a leaf; empty for a list entry and for a secret
    bool secret = false;                ///< the value is a secret: `hidden`, and never shown
    SecretBytes hidden;                 ///< clear text; empty = not known yet (plan)
    std::optional<UtcSeconds> instant;  ///< start-time: what `value` means

    /// The words of the set line, without a leaf's value.
    [[nodiscard]] std::vector<std::string> words() const;
    [[nodiscard]] Statement copy() const;
};

/// An element that the XML has and the set line does not: [edit interfaces] interface, the data of an apply-macro.
bool is_silent(const std::string& parent, const std::string& element, std::size_t depth);

/// The words of a path in set-line order.
std::vector<std::string> words_of(const std::vector<Step>& path);
bool begins_with(const std::vector<std::string>& words, const std::vector<std::string>& prefix);

/// "set security ... secret /* SECRET-DATA */" per statement.
std::vector<std::string> set_lines(const std::vector<Statement>& statements);
/// The statements as one <configuration> below `parent`, deletions marked delete="delete" (Junos XML protocol).
/// Secrets go in as clear text.
void append_configuration(pugi::xml_node parent, const std::vector<Statement>& statements);

/// The edits of initial-config on their way to commit.
class JunosEdits final : public ConfigEdits {
  public:
    [[nodiscard]] bool empty() const override { return statements.empty(); }
    std::vector<Statement> statements;
};

Statement set_leaf(std::vector<Step> path, std::string value);
Statement set_entry(std::vector<Step> path);
Statement remove_at(std::vector<Step> path);

}  // namespace qkd::junos
