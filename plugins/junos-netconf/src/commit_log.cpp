// Reader of commit-information.
#include "commit_log.hpp"

namespace qkd::junos {

std::vector<CommitEntry> read_commit_log(pugi::xml_node root) {
    std::vector<CommitEntry> log;
    for (auto node = root.first_child(); node; node = next_in(root, node)) {
        if (!is(node, "commit-history")) continue;
        // The rescue configuration is listed too, without a number.
        const auto number = child_text(node, "sequence-number");
        if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos) continue;
        CommitEntry entry;
        entry.user = child_text(node, "user");
        entry.client = child_text(node, "client");
        // <comment> is the device's own remark ("commit confirmed, rollback in 5mins") and stays after the confirm;
        // the operator's stands in <log>, and on a confirmed commit <commit-confirmed> is there while it is pending
        // (seen on Junos 24.4).
        entry.comment = child_text(node, "log");
        entry.pending = static_cast<bool>(child(node, "commit-confirmed"));
        log.push_back(std::move(entry));
    }
    return log;
}

std::optional<std::size_t> find_comment(const std::vector<CommitEntry>& log, const std::string& comment) {
    for (std::size_t i = 0; i < log.size(); ++i) {
        if (log[i].comment == comment) return i;
    }
    return std::nullopt;
}

}  // namespace qkd::junos
