// Who holds the configuration, from the words in which Junos refuses a lock.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qkd::junos {

struct LockHolder {
    std::string user;
    std::string pid;  ///< digits; the session-id of a NETCONF session is the PID that serves it
};

/// Reads "... database locked by: USER terminal p0 (pid 4711) on since ...", with any white space in it. Empty when the text
/// says something else, or names more than one session.
std::optional<LockHolder> read_lock_holder(std::string_view text);

}  // namespace qkd::junos
