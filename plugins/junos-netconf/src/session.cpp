// Facts, clock, LLDP and the staging of changes.
#include "session.hpp"

namespace qkd::junos {
namespace {

// A zone changes its offset at most twice a year; the engine wants to know of it two days ahead.
constexpr std::chrono::hours look_ahead{48};
// Junos takes up to 255 characters here, which is also what LLDP carries (IEEE 802.1AB-2016 clause 8.5.5).
constexpr std::size_t longest_description = 255;

std::string without_unit(const std::string& name) {
    return name.ends_with(".0") ? name.substr(0, name.size() - 2) : name;
}

UtcSeconds whole(UtcMillis time) {
    return std::chrono::floor<std::chrono::seconds>(time);
}

}  // namespace

JunosSession::JunosSession(std::unique_ptr<NetconfSession> netconf, std::unique_ptr<FileAccess> files)
    : netconf_(std::move(netconf)), files_(std::move(files)), database_(*netconf_) {}

JunosSession::~JunosSession() {
    netconf_->drop();
}

Result<void> JunosSession::read_facts(Context& context) {
    auto reply = netconf_->call(context, [](pugi::xml_node rpc) { rpc.append_child("get-system-information"); });
    QKD_TRY(reply);
    auto information = descendant(reply->root(), "system-information");
    if (information) {
        facts_ = {child_text(information, "host-name"), child_text(information, "hardware-model"),
                  child_text(information, "os-version")};
        return {};
    }
    // Releases before 15.1 know only this one; with two routing engines it comes once for each.
    reply = netconf_->call(context, [](pugi::xml_node rpc) { rpc.append_child("get-software-information"); });
    QKD_TRY(reply);
    information = descendant(reply->root(), "software-information");
    facts_ = {child_text(information, "host-name"), child_text(information, "product-model"),
              child_text(information, "junos-version")};
    return {};
}

Result<void> JunosSession::close(Context& context) {
    auto done = netconf_->close(context);
    files_.reset();
    return done;
}

Result<JunosSession::Snapshot> JunosSession::snapshot(Context& context) {
    QKD_TRY(auto clock, database_.clock(context));
    QKD_TRY(auto config, database_.read(context, ConfigDatabase::Source::committed));
    DeviceZone zone(config.value({"system", "time-zone"}), clock.utc_offset, whole(clock.now));
    return Snapshot{std::move(config), std::move(zone), clock.now};
}

Result<ClockReading> JunosSession::read(Context& context) {
    auto now = snapshot(context);
    QKD_TRY(now);
    // Read last, so that it is as fresh as can be.
    auto clock = database_.clock(context);
    if (!clock) return clock;
    clock->zone = now->zone.name();
    clock->offset_changes = now->zone.next_change(whole(clock->now), look_ahead);
    return clock;
}

Result<bool> JunosSession::stage(Context& context, const Plan& plan, bool keep_empty, const std::string& described) {
    if (database_.locked()) return Error::internal(netconf_->peer() + ": a change is staged already", "");
    if (auto locked = database_.lock(context); !locked) {
        database_.abandon(context);
        return std::move(locked).error();
    }
    auto done = stage_locked(context, plan, keep_empty, described);
    if (!done) database_.abandon(context);
    return done;
}

Result<bool> JunosSession::stage_locked(Context& context, const Plan& plan, bool keep_empty,
                                        const std::string& described) {
    // Under the lock, so that nobody can begin one behind our back: any commit check would confirm it.
    QKD_TRY(auto log, database_.log(context));
    for (const auto& entry : log) {
        if (entry.pending)
            return Error::busy(netconf_->peer() + ": a confirmed commit of user " + entry.user + " is pending" +
                                   (entry.comment.empty() ? "" : " (\"" + entry.comment + "\")"),
                               "wait until it is confirmed or rolled back")
                .retryable();
    }
    QKD_TRY(auto clock, database_.clock(context));
    QKD_TRY(auto before, database_.read(context, ConfigDatabase::Source::committed, described));
    DeviceZone zone(before.value({"system", "time-zone"}), clock.utc_offset, whole(clock.now));
    const Snapshot now{std::move(before), std::move(zone), clock.now};
    QKD_TRY(auto statements, plan(now));
    if (statements.empty() && !keep_empty) {
        (void)database_.unlock(context);
        return false;
    }
    QKD_TRY(database_.load(context, statements));

    QKD_TRY(auto diff, database_.compare(context, 0));
    const auto foreign = find_foreign_change(diff, statements);
    wipe(diff.data(), diff.size());
    if (!foreign.empty())
        return Error::conflict(netconf_->peer() + ": the candidate holds a change that is not ours: " + mask(foreign),
                               "somebody else is editing; let them commit or roll back")
            .retryable();
    QKD_TRY(auto candidate, database_.read(context, ConfigDatabase::Source::candidate, described));
    for (const auto& statement : statements) {
        const Entry* entry = statement.secret && !statement.remove ? candidate.leaf(statement.words()) : nullptr;
        if (entry != nullptr && entry->hidden.empty())
            return Error::auth(
                netconf_->peer() + ": the device does not show the keys written to it",
                R"(the user's login class needs the permission "secret-control", and the device no master password)");
    }
    const auto deviation = find_deviation(now.config, candidate, now.zone, statements);
    if (!deviation.empty())
        return Error::conflict(netconf_->peer() + ": the candidate is not what was loaded: " + mask(deviation),
                               "the device may not know the statement, or read it another way");
    QKD_TRY(database_.check(context));
    return true;
}

Result<std::string> JunosSession::description(Context& context, const std::string& interface_name) {
    QKD_TRY(auto config, database_.read(context, ConfigDatabase::Source::committed, interface_name));
    return config.value({"interfaces", interface_name, "description"});
}

Result<void> JunosSession::describe(Context& context, const std::string& interface_name, const std::string& text) {
    if (text.size() > longest_description)
        return Error::config(
            "the description of " + interface_name + " would be " + std::to_string(text.size()) + " characters long",
            "shorten the operator's part: LLDP carries 255 characters");
    const std::vector<Step> path{{"interfaces", ""}, {"interface", interface_name}, {"description", ""}};
    const auto plan = [&](const Snapshot& now) -> Result<std::vector<Statement>> {
        std::vector<Statement> statements;
        statements.push_back(text.empty() ? remove_at(path) : set_leaf(path, text));
        if (now.config.satisfies(statements.front(), now.zone)) statements.clear();
        return statements;
    };
    QKD_TRY(auto staged, stage(context, plan, false, interface_name));
    if (!staged) return {};
    auto done = database_.commit(context, std::chrono::minutes{0}, "qkd-macsec: description of " + interface_name);
    if (!done) {
        database_.abandon(context);
        return done;
    }
    (void)database_.unlock(context);
    return {};
}

Result<LldpNeighbour> JunosSession::neighbour(Context& context, const std::string& interface_name) {
    auto reply = netconf_->call(context, [&](pugi::xml_node rpc) {
        rpc.append_child("get-lldp-interface-neighbors")
            .append_child("interface-device")
            .text()
            .set(interface_name.c_str());
    });
    QKD_TRY(reply);
    if (!reply->errors.empty()) {
        // Some platforms know only the list of all neighbours.
        reply = netconf_->ask(context, "reading the LLDP neighbours", R"(the permission "view")",
                              [](pugi::xml_node rpc) { rpc.append_child("get-lldp-neighbors-information"); });
        QKD_TRY(reply);
    }
    for (auto node = reply->root().first_child(); node; node = next_in(reply->root(), node)) {
        if (!is(node, "lldp-neighbor-information")) continue;
        std::string local = child_text(node, "lldp-local-interface");
        if (local.empty()) local = child_text(node, "lldp-local-port-id");
        if (without_unit(local) != without_unit(interface_name)) continue;
        return LldpNeighbour{interface_name, child_text(node, "lldp-remote-system-name"),
                             child_text(node, "lldp-remote-port-id"), child_text(node, "lldp-remote-port-description")};
    }
    return Error::not_found(netconf_->peer() + ": no LLDP neighbour on " + interface_name,
                            "check the cable and \"protocols lldp\" at both ends")
        .retryable();
}

}  // namespace qkd::junos
