// The calls that read, change, lock and commit the configuration: Junos' own and NETCONF's (RFC 4741).
#include <signal.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <regex>
#include <set>

#include "clock.hpp"
#include "commit.hpp"
#include "rpc.hpp"
#include "wires.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

constexpr const char* xnm_ns = "http://xml.juniper.net/xnm/1.1/xnm";
constexpr const char* yang_ns = "http://yang.juniper.net/junos/conf/root";

// ---- locks and candidates

std::string holder_text(Device& device, const LockHolder& holder) {
    return "configuration database locked by:\n  " + holder.user + " terminal  (pid " + std::to_string(holder.pid) +
           ") on since " + local_text(device.to_device(holder.since), device.zone()) + ", idle " +
           duration_text(device.lab_now() - holder.since) + "\n      exclusive ";
}

bool holds_lock(Device& device, const Session& session) {
    return device.lock_holder() && device.lock_holder()->pid == session.pid();
}

void refuse_if_locked(Device& device, const Session& session) {
    if (!device.lock_holder() || holds_lock(device, session)) return;
    refuse(holder_text(device, *device.lock_holder()), {}, "lock-denied");
}

// A private candidate may be changed whoever holds the shared one.
void refuse_change_if_locked(Device& device, const Session& session) {
    if (!session.private_copy) refuse_if_locked(device, session);
}

const Node& working_copy(Device& device, const Session& session) {
    return session.private_copy ? session.private_copy->now : device.candidate();
}

void keep(Device& device, Session& session, Node configuration) {
    if (session.private_copy)
        session.private_copy->now = std::move(configuration);
    else
        device.set_candidate(configuration);
}

void take_lock(Call& c) {
    Device device(c.session.state());
    if (device.lock_holder()) refuse(holder_text(device, *device.lock_holder()), {}, "lock-denied");
    if (device.dirty()) refuse("configuration database modified", {}, "lock-denied");
    device.set_lock(LockHolder{c.session.pid(), c.session.user(), device.lab_now()});
}

// Uncommitted changes made under the lock go with it, as after "configure exclusive".
void release_lock(Call& c) {
    {
        Device device(c.session.state());
        if (!holds_lock(device, c.session)) refuse("Configuration database is not open");
        device.discard_candidate();
        device.set_lock(std::nullopt);
    }
    skip_to_next_start(c.session.state());
}

void lock_configuration(Call& c) {
    take_lock(c);
}
void unlock_configuration(Call& c) {
    release_lock(c);
}

void require_candidate(const Call& c, std::string_view parameter) {
    const auto target = child(c.operation, parameter);
    if (child(target, "candidate")) return;
    refuse("only the candidate datastore can be used here", std::string(parameter), "invalid-value");
}

void lock(Call& c) {
    require_candidate(c, "target");
    take_lock(c);
    add(c.reply, "ok");
}

void unlock(Call& c) {
    require_candidate(c, "target");
    release_lock(c);
    add(c.reply, "ok");
}

void open_configuration(Call& c) {
    if (child(c.operation, "exclusive")) {
        take_lock(c);
        return;
    }
    for (const char* mode : {"dynamic", "ephemeral", "ephemeral-instance"}) {
        if (child(c.operation, mode)) refuse("configuration database is not available", mode);
    }
    if (!child(c.operation, "private")) return;
    if (c.session.private_copy) refuse("Configuration database is already open");
    Device device(c.session.state());
    refuse_if_locked(device, c.session);
    c.session.private_copy = Session::Private{device.running(), device.running()};
    if (c.session.rfc_compliant()) return;
    add_error(c.reply, {true, "", "uncommitted changes will be discarded on exit", "", "operation-failed"});
}

void close_configuration(Call& c) {
    if (c.session.private_copy) {
        c.session.private_copy.reset();
        return;
    }
    Device device(c.session.state());
    if (!holds_lock(device, c.session)) return;
    device.discard_candidate();
    device.set_lock(std::nullopt);
}

void discard_changes(Call& c) {
    Device device(c.session.state());
    refuse_change_if_locked(device, c.session);
    if (c.session.private_copy)
        c.session.private_copy->now = c.session.private_copy->base;
    else
        device.discard_candidate();
    add(c.reply, "ok");
}

// ---- permissions

// The flag that lets change a part of the configuration (Junos documentation of each statement).
std::string_view flag_for_change(const std::string& line) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> parts = {
        {{"security macsec ", "admin-control"},
         {"security authentication-key-chains ", "admin-control"},
         {"system login ", "admin-control"},
         {"system ", "system-control"},
         {"interfaces ", "interface-control"},
         {"protocols ", "routing-control"},
         {"event-options ", "maintenance-control"},
         {"security ", "security-control"}}};
    for (const auto& [part, flag] : parts) {
        if (line.starts_with(part)) return flag;
    }
    return "all";
}

std::set<std::string> lines_of(const Node& configuration) {
    std::set<std::string> lines;
    for (const auto& line : split(to_set(configuration, Secrets::clear), '\n')) {
        if (line.starts_with("set ")) lines.insert(line.substr(4));
    }
    return lines;
}

// Refuses a change of what the login class may not change.
void check_change(const DeviceInfo& info, const Node& before, const Node& after) {
    if (!info.permissions) return;
    const auto old = lines_of(before);
    const auto fresh = lines_of(after);
    std::vector<std::string> changed;
    std::set_symmetric_difference(old.begin(), old.end(), fresh.begin(), fresh.end(), std::back_inserter(changed));
    for (const auto& line : changed) {
        const std::string statement = line.substr(0, line.rfind(' '));
        const bool named = std::any_of(info.allow_configuration.begin(), info.allow_configuration.end(),
                                       [&](const std::string& expression) {
                                           return std::regex_match(line, std::regex(expression, std::regex::extended));
                                       });
        const bool secret = statement.ends_with(" secret") || statement.ends_with(" cak");
        if ((named || info.may(flag_for_change(line))) && (!secret || info.may("secret-control"))) continue;
        refuse("permission denied", statement, "access-denied");
    }
}

// ---- reading

void strip_start_time_zones(Node& node) {
    if (node.schema->type.form == Type::Form::start_time) node.value = node.value.substr(0, node.value.find(' '));
    for (auto& c : node.children) strip_start_time_zones(c);
}

pugi::xml_node add_configuration(pugi::xml_node parent, const Call& c, Device& device, bool committed) {
    auto element = add(parent, "configuration");
    set_attribute(element, "xmlns", c.session.rfc_compliant() ? yang_ns : xnm_ns);
    const auto seconds = [](Millis at) { return std::to_string(at / 1000); };
    if (!committed && device.dirty() && !c.session.private_copy) {
        const Millis at = device.to_device(device.dirty_since());
        set_attribute(element, "junos:changed-seconds", seconds(at));
        set_attribute(element, "junos:changed-localtime", local_text(at, device.zone()));
    } else {
        const auto& last = device.history().front();
        const Millis at = device.to_device(last.at);
        set_attribute(element, "junos:commit-seconds", seconds(at));
        set_attribute(element, "junos:commit-localtime", local_text(at, device.zone()));
        set_attribute(element, "junos:commit-user", last.user);
    }
    return element;
}

Node as_read(Device& device, Node configuration, const pugi::xml_node& filter) {
    if (filter) configuration = select(filter, configuration);
    if (!device.info().start_time_suffix) strip_start_time_zones(configuration);
    return configuration;
}

std::size_t rollback_index(const std::string& text) {
    const auto index = to_int(text);
    if (!index || *index < 0 || *index >= static_cast<std::int64_t>(history_limit)) {
        refuse("Value " + text + " is not within range (0.." + std::to_string(history_limit - 1) + ")", "rollback");
    }
    return static_cast<std::size_t>(*index);
}

Node rollback(Device& device, const std::string& text) {
    auto configuration = device.rollback(rollback_index(text));
    if (!configuration) refuse("Could not open configuration database: rollback " + text + " does not exist");
    return std::move(*configuration);
}

void get_configuration(Call& c) {
    Device device(c.session.state());
    const bool committed = attribute(c.operation, "database") == "committed";
    const Node& source = committed ? device.running() : working_copy(device, c.session);
    if (attribute(c.operation, "compare") == "rollback") {
        const Node before = rollback(device, attribute(c.operation, "rollback"));
        auto output = add(add(c.reply, "configuration-information"), "configuration-output");
        output.text().set(("\n" + compare(before, source)).c_str());
        return;
    }
    const std::string format = attribute(c.operation, "format");
    const Secrets secrets = device.info().may("secret") ? Secrets::obfuscated : Secrets::hidden;
    const Node shown = as_read(device, source, child(c.operation, "configuration"));
    if (format == "text" || format == "set") {
        auto element = add(c.reply, format == "text" ? "configuration-text" : "configuration-set");
        if (format == "text") set_attribute(element, "xmlns", xnm_ns);
        const auto& last = device.history().front();
        const std::string head =
            "\n## Last commit: " + local_text(device.to_device(last.at), device.zone()) + " by " + last.user + "\n";
        element.text().set(format == "text" ? (head + to_curly(shown, secrets)).c_str()
                                            : ("\n" + to_set(shown, secrets)).c_str());
    } else if (format.empty() || format == "xml") {
        append_xml(add_configuration(c.reply, c, device, committed), shown, secrets);
    } else {
        refuse("configuration format is not supported", format, "invalid-value");
    }
}

void get_config(Call& c) {
    const auto source = child(c.operation, "source");
    const bool candidate = static_cast<bool>(child(source, "candidate"));
    if (!candidate && !child(source, "running")) refuse("unknown datastore", "source", "invalid-value");
    const auto filter = child(c.operation, "filter");
    if (filter && attribute(filter, "type") == "xpath")
        refuse("xpath filters are not supported", "filter", "bad-attribute");
    Device device(c.session.state());
    auto data = add(c.reply, "data");
    Node shown = candidate ? working_copy(device, c.session) : device.running();
    if (filter) {
        const auto wanted = child(filter, "configuration");
        shown = wanted ? as_read(device, shown, wanted) : empty_configuration();
    } else {
        shown = as_read(device, shown, {});
    }
    if (shown.children.empty() && c.session.rfc_compliant()) return;
    append_xml(add_configuration(data, c, device, !candidate), shown,
               device.info().may("secret") ? Secrets::obfuscated : Secrets::hidden);
}

// ---- changing

// Reports what loading found; true when nothing stands against keeping the result.
bool report(Call& c, pugi::xml_node parent, const std::vector<Issue>& issues) {
    const auto errors = std::count_if(issues.begin(), issues.end(), [](const Issue& i) { return !i.warning; });
    for (const auto& issue : issues) {
        if (!issue.warning || !c.session.rfc_compliant()) add_error(parent, issue);
    }
    return errors == 0;
}

void load_configuration(Call& c) {
    Device device(c.session.state());
    refuse_change_if_locked(device, c.session);
    auto results = add(c.reply, "load-configuration-results");
    if (const auto index = attribute(c.operation, "rollback"); !index.empty()) {
        if (index != "0" && !device.info().may("rollback")) refuse("permission denied", "rollback", "access-denied");
        keep(device, c.session, rollback(device, index));
        add(results, "ok");
        return;
    }
    const std::string action = attribute(c.operation, "action");
    if (!action.empty() && action != "merge" && action != "replace" && action != "override" && action != "update" &&
        action != "set") {
        refuse("load action is not supported", action, "invalid-value");
    }
    Loaded loaded;
    if (const auto set = child(c.operation, "configuration-set")) {
        loaded = read_set(set.text().get(), device.zone());
    } else if (const auto text = child(c.operation, "configuration-text")) {
        loaded = read_curly(text.text().get(), device.zone());
    } else if (const auto xml = child(c.operation, "configuration")) {
        loaded = read_xml(xml, device.zone());
    } else {
        refuse("missing configuration", attribute(c.operation, "url"), "missing-element");
    }
    const bool whole = action == "override" || action == "update";
    Node changed = whole ? empty_configuration() : working_copy(device, c.session);
    if (!loaded.failed()) {
        const auto more = apply(loaded.patches, changed, false);
        loaded.issues.insert(loaded.issues.end(), more.begin(), more.end());
    }
    if (!report(c, results, loaded.issues)) {
        const auto errors =
            std::count_if(loaded.issues.begin(), loaded.issues.end(), [](const Issue& i) { return !i.warning; });
        add(results, "load-error-count", std::to_string(errors));
        return;
    }
    check_change(device.info(), working_copy(device, c.session), changed);
    keep(device, c.session, std::move(changed));
    add(results, "ok");
}

void edit_config(Call& c) {
    require_candidate(c, "target");
    const std::string wanted = text_of(child(c.operation, "default-operation"));
    auto initial = Operation::merge;
    if (wanted == "none")
        initial = Operation::none;
    else if (!wanted.empty() && wanted != "merge" && wanted != "replace") {
        refuse("unknown default-operation", wanted, "invalid-value");
    }
    Device device(c.session.state());
    refuse_change_if_locked(device, c.session);
    Loaded loaded;
    if (const auto xml = child(child(c.operation, "config"), "configuration")) {
        loaded = read_xml(xml, device.zone(), initial);
    } else if (const auto text = child(child(c.operation, "config-text"), "configuration-text")) {
        loaded = read_curly(text.text().get(), device.zone());
    } else {
        refuse("missing configuration", "config", "missing-element");
    }
    Node changed = wanted == "replace" ? empty_configuration() : working_copy(device, c.session);
    if (!loaded.failed()) loaded.issues = apply(loaded.patches, changed, true);
    if (!report(c, c.reply, loaded.issues)) return;
    check_change(device.info(), working_copy(device, c.session), changed);
    keep(device, c.session, std::move(changed));
    add(c.reply, "ok");
}

// ---- committing

void add_results(Call& c, const DeviceInfo& info, bool check_only) {
    auto results = child(c.reply, "commit-results");
    if (info.bare_commit_ok) {
        if (!results.first_child()) c.reply.remove_child(results);
        return;
    }
    const bool dual = info.routing_engines > 1;
    const auto engine = [&](const char* name, const char* what) {
        auto element = add(results, "routing-engine");
        set_attribute(element, "junos:style", dual ? "show-name" : "normal");
        add(element, "name", name);
        add(element, what);
    };
    if (!dual) {
        engine("re0", check_only ? "commit-check-success" : "commit-success");
        return;
    }
    engine("re0", "commit-check-success");
    if (check_only) {
        engine("re1", "commit-check-success");
        return;
    }
    engine("re1", "commit-success");
    engine("re0", "commit-success");
}

// Long timelines slow every look at a wire; working the wires out lets them be cut.
constexpr std::size_t long_timeline = 16;

bool commit_now(Call& c, CommitRequest request) {
    Device device(c.session.state());
    refuse_if_locked(device, c.session);
    Node configuration = working_copy(device, c.session);
    if (c.session.private_copy) {
        // Others may have committed since: only what this session changed is put onto what runs now.
        configuration = device.running();
        const auto patch = patch_between(c.session.private_copy->base, c.session.private_copy->now);
        apply({patch}, configuration, false);
    }
    request.user = c.session.user();
    request.pid = c.session.pid();
    const auto issues = commit(device, configuration, request);
    auto results = add(c.reply, "commit-results");
    if (!report(c, results, issues)) return false;
    if (!request.check_only) {
        if (c.session.private_copy)
            c.session.private_copy = Session::Private{configuration, configuration};
        else
            device.discard_candidate();
    }
    add_results(c, device.info(), request.check_only);
    add(c.reply, "ok");
    return device.longest_timeline() > long_timeline;
}

void run_commit(Call& c, const CommitRequest& request) {
    if (commit_now(c, request)) look_at_ports(c.session.state());
}

Millis confirm_timeout(const pugi::xml_node& operation, Millis unit, Millis fallback) {
    const auto element = child(operation, "confirm-timeout");
    if (!element) return fallback;
    const auto value = to_int(text_of(element));
    if (!value || *value < 1 || *value > 65535) {
        refuse("Value " + text_of(element) + " is not within range (1..65535)", "confirm-timeout", "invalid-value");
    }
    return *value * unit;
}

void commit_configuration(Call& c) {
    CommitRequest request;
    for (const auto& e : c.operation) {
        if (e.type() != pugi::node_element) continue;
        const auto name = local_name(e);
        if (name == "check")
            request.check_only = true;
        else if (name == "confirmed")
            request.confirm_within = confirm_timeout(c.operation, 60000, 600000);
        else if (name == "log")
            request.log = text_of(e);
        else if (name != "confirm-timeout" && name != "synchronize" && name != "force-synchronize" && name != "full") {
            refuse("syntax error", std::string(name));
        }
    }
    if (request.check_only) request.confirm_within.reset();
    run_commit(c, request);
}

void netconf_commit(Call& c) {
    CommitRequest request;
    if (child(c.operation, "confirmed")) request.confirm_within = confirm_timeout(c.operation, 1000, 600000);
    if (const auto log = child(c.operation, "log")) request.log = text_of(log);
    run_commit(c, request);
}

void validate(Call& c) {
    require_candidate(c, "source");
    CommitRequest request;
    request.check_only = true;
    run_commit(c, request);
}

// ---- sessions

void close_session(Call& c) {
    c.session.closing = true;
    add(c.reply, "ok");
}

void kill_session(Call& c) {
    const auto pid = to_int(text_of(child(c.operation, "session-id")));
    Device device(c.session.state());
    // Only what holds a session file of this very device can be a session of it.
    if (!pid || *pid <= 1 || *pid == c.session.pid() || !FileLock::held(device.session_file(*pid))) {
        refuse("no such session", "session-id", "invalid-value");
    }
    if (::kill(static_cast<pid_t>(*pid), SIGTERM) != 0) refuse("cannot end that session", "session-id");
    device.revert_pending_of(*pid);
    add(c.reply, "ok");
}

}  // namespace

const Handlers& configuration_handlers() {
    static const Handlers handlers = {{"lock-configuration", lock_configuration},
                                      {"unlock-configuration", unlock_configuration},
                                      {"lock", lock},
                                      {"unlock", unlock},
                                      {"open-configuration", open_configuration},
                                      {"close-configuration", close_configuration},
                                      {"discard-changes", discard_changes},
                                      {"get-configuration", get_configuration},
                                      {"get-config", get_config},
                                      {"load-configuration", load_configuration},
                                      {"edit-config", edit_config},
                                      {"commit-configuration", commit_configuration},
                                      {"commit", netconf_commit},
                                      {"validate", validate},
                                      {"close-session", close_session},
                                      {"kill-session", kill_session}};
    return handlers;
}

}  // namespace qkd::junossim
