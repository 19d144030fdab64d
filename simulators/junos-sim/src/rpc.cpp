// The calls a session may make: dispatch, permissions, and how the device words its errors.
#include "rpc.hpp"

#include <algorithm>
#include <array>

#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

constexpr std::array<std::string_view, 14> changing = {"lock",
                                                       "unlock",
                                                       "lock-configuration",
                                                       "unlock-configuration",
                                                       "open-configuration",
                                                       "load-configuration",
                                                       "edit-config",
                                                       "commit",
                                                       "commit-configuration",
                                                       "validate",
                                                       "discard-changes",
                                                       "kill-session",
                                                       "file-delete",
                                                       "file-rename"};

// What Junos wants of a login class for a call, by its permission flags; a get-...-information wants "view".
constexpr std::array<std::pair<std::string_view, std::string_view>, 19> flags = {
    {{"lock", "configure"},
     {"unlock", "configure"},
     {"lock-configuration", "configure"},
     {"unlock-configuration", "configure"},
     {"open-configuration", "configure"},
     {"close-configuration", "configure"},
     {"load-configuration", "configure"},
     {"edit-config", "configure"},
     {"commit", "configure"},
     {"commit-configuration", "configure"},
     {"validate", "configure"},
     {"discard-changes", "configure"},
     {"get-configuration", "view-configuration"},
     {"get-config", "view-configuration"},
     {"kill-session", "maintenance"},
     {"file-list", "maintenance"},
     {"file-show", "maintenance"},
     {"file-delete", "maintenance"},
     {"file-rename", "maintenance"}}};

std::string_view flag_for(std::string_view call) {
    for (const auto& [name, flag] : flags) {
        if (name == call) return flag;
    }
    return call.starts_with("get-") && call.ends_with("-information") ? "view" : "";
}

Handler find_handler(const std::string& name) {
    for (const auto* table : {&configuration_handlers(), &show_handlers(), &macsec_handlers(), &file_handlers()}) {
        if (const auto found = table->find(name); found != table->end()) return found->second;
    }
    return nullptr;
}

void check_permission(const Session& session, const std::string& name) {
    const auto info = read_device_info(session.state());
    const bool denied = std::find(info.deny.begin(), info.deny.end(), name) != info.deny.end();
    const bool changes = std::find(changing.begin(), changing.end(), name) != changing.end();
    const auto flag = flag_for(name);
    if (denied || (changes && info.read_only()) || (!flag.empty() && !info.may(flag)))
        refuse("permission denied", name, "access-denied");
}

}  // namespace

bool Call::wants_text() const {
    return attribute(operation, "format") == "text";
}

void refuse(const std::string& message, const std::string& bad_element, const std::string& tag) {
    throw RpcError{{false, "", message, bad_element, tag}};
}

void add_error(pugi::xml_node parent, const Issue& issue) {
    auto error = parent.append_child("rpc-error");
    add(error, "error-type", "protocol");
    add(error, "error-tag", issue.tag);
    add(error, "error-severity", issue.warning ? "warning" : "error");
    if (!issue.path.empty()) add(error, "error-path", "\n" + issue.path + "\n");
    add(error, "error-message", "\n" + issue.message + "\n");
    if (!issue.bad_element.empty()) add(add(error, "error-info"), "bad-element", "\n" + issue.bad_element + "\n");
}

void call(Session& session, const pugi::xml_node& operation, pugi::xml_node reply) {
    const std::string name(local_name(operation));
    try {
        check_permission(session, name);
        const Handler handler = find_handler(name);
        if (handler == nullptr) refuse("syntax error, expecting <command>", name);
        Call call{session, operation, reply};
        handler(call);
    } catch (const RpcError& e) {
        while (reply.first_child()) reply.remove_child(reply.first_child());
        add_error(reply, e.issue);
    } catch (const SimError& e) {
        // The simulator's own trouble, e.g. a full disk: told like a daemon's failure, so that a client can react.
        while (reply.first_child()) reply.remove_child(reply.first_child());
        add_error(reply, {false, "", std::string("internal error: ") + e.what(), "", "operation-failed"});
    }
}

}  // namespace qkd::junossim
