// The configuration statements this device knows, their types and ranges. Anything else is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qkd::junossim {

enum class Kind {
    container,  // name { ... }
    list,       // name KEY { ... }, any number, told apart by KEY
    leaf,       // name VALUE
    leaf_list,  // name VALUE, any number
    flag,       // name alone
};

struct Type {
    enum class Form { string, integer, hex_even, secret, choice, start_time, zone } form = Form::string;
    long min = 1;  // length of a string, value of an integer
    long max = 255;
    std::vector<std::string> choices;
};

struct Schema {
    std::string name;
    Kind kind = Kind::container;
    Type type;                // of the value, or of a list's key
    bool positional = false;  // its name is not written in set and text form: `file NAME`, `apply-macro M KEY VALUE`
    bool presence = false;    // a container that means something when empty: `netconf { ssh; }`
    std::vector<Schema> children;

    const Schema* find(std::string_view child) const;
    const Schema* positional_child() const;
    bool is_secret() const { return type.form == Type::Form::secret; }
};

// The whole hierarchy; its name is "configuration".
const Schema& schema();

// The value as the configuration keeps it (secrets in clear, start-times with their zone), or why it is refused in the
// words of the device. `zone` is the device's, for start-times.
struct Checked {
    std::string value;
    std::string error;
};
Checked check_value(const Schema& statement, const std::string& value, const std::string& zone);

}  // namespace qkd::junossim
