// The device's commit history ("show system commit"): which commit is pending, which comments were made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "xml.hpp"

namespace qkd::junos {

struct CommitEntry {
    std::string user;
    std::string client;  ///< "netconf", "cli"; the automatic rollback is "other"
    std::string comment;
    bool pending = false;  ///< a confirmed commit that is not confirmed yet
};

/// Newest first, as the device lists them: index = rollback number.
std::vector<CommitEntry> read_commit_log(pugi::xml_node root);

/// Position of the entry with exactly this comment.
std::optional<std::size_t> find_comment(const std::vector<CommitEntry>& log, const std::string& comment);

}  // namespace qkd::junos
