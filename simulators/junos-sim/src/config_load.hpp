// Loading: XML, curly text or set lines become a patch, and a patch changes a configuration, wholly or not at all.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config_tree.hpp"

namespace qkd::junossim {

enum class Operation { merge, replace, create, remove, erase, none };  // remove: must exist; erase: may be missing

struct Patch {
    const Schema* schema = nullptr;
    std::string value;  // key or value; empty in a deletion that means every one
    Operation operation = Operation::merge;
    std::vector<Patch> children;
};

// What the device reports about one statement.
struct Issue {
    bool warning = false;
    std::string path;  // "[edit security macsec]"
    std::string message;
    std::string bad_element;
    std::string tag = "operation-failed";  // NETCONF error-tag
};

struct Loaded {
    std::vector<Patch> patches;  // applied one after the other
    std::vector<Issue> issues;
    bool failed() const;
};

// `configuration`: the <configuration> element. `zone`: the device's, for start-times. `edit_config`: nc:operation and
// `initial` (the default-operation) count instead of Junos' delete= and replace= attributes alone.
Loaded read_xml(const pugi::xml_node& configuration, const std::string& zone, Operation initial = Operation::merge);
Loaded read_curly(std::string_view text, const std::string& zone);
Loaded read_set(std::string_view text, const std::string& zone);

// Applies the patches in order. Stops changing anything that matters at the first error: the caller throws the
// configuration away when the result has one. A missing statement to remove is a warning, or with `strict` an error.
std::vector<Issue> apply(const std::vector<Patch>& patches, Node& configuration, bool strict);

// The patch that turns `before` into `after`: what a private session commits onto whatever is running by then.
Patch patch_between(const Node& before, const Node& after);

// The differences as Junos prints them after "show | compare"; empty when there are none.
std::string compare(const Node& before, const Node& after);

}  // namespace qkd::junossim
