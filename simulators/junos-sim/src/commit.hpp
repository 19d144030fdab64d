// Committing: the checks a commit makes, and the confirmed-commit rules.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config_load.hpp"
#include "device.hpp"

namespace qkd::junossim {

// What the daemons object to, and what they only warn of.
std::vector<Issue> check_configuration(const Node& configuration);

struct CommitRequest {
    bool check_only = false;
    std::optional<Millis> confirm_within;  // ms of lab time: a commit that must be confirmed
    std::string log;                       // the operator's comment
    std::string user;
    std::string client = "netconf";
    long pid = 0;  // the session
};

// Checks `configuration` and, unless check_only, makes it the running one; the result holds an error or it is done.
// A success confirms a pending confirmed commit, whoever made it: a check does, too.
std::vector<Issue> commit(Device& device, const Node& configuration, const CommitRequest& request);

}  // namespace qkd::junossim
