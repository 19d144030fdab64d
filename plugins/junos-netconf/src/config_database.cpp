// RPCs on the configuration database.
#include "config_database.hpp"

#include <poll.h>

#include <algorithm>
#include <charconv>

#include "junos_time.hpp"

namespace qkd::junos {
namespace {

constexpr const char* view = R"(the permission "view")";
constexpr const char* configure = R"(the permission "configure")";
constexpr const char* rollback = R"(the permission "rollback")";
constexpr const char* change =
    R"(the statement in allow-configuration-regexps, and for keys the permission "secret-control")";

// The other routing engine still works on the commit before.
constexpr std::chrono::milliseconds other_engine_patience{10000};
constexpr std::chrono::milliseconds between_tries{250};

const char* for_rollback(std::size_t number) {
    return number == 0 ? configure : rollback;
}

bool speaks_of_a_lock(const std::string& text) {
    return text.find("locked by") != std::string::npos || text.find("database modified") != std::string::npos ||
           text.find("database is locked") != std::string::npos || text.find("exclusive") != std::string::npos;
}

// The words are not documented; these are the ones that operators meet.
bool speaks_of_the_other_engine(const std::string& text) {
    return (text.find("remote ") != std::string::npos && text.find("-configuration failed") != std::string::npos) ||
           text.find("onnection to re") != std::string::npos;
}

bool locked_for_a_moment(const std::string& text) {
    return text.find("remote lock-configuration failed") != std::string::npos;
}

Error as_unknown(Error error) {
    error.code = ErrorCode::unknown_outcome;
    error.retry = Retry::never;
    error.hint = "read the device back: its commit history tells by the comment what happened";
    return error;
}

bool has_element(pugi::xml_node root, std::string_view name) {
    return static_cast<bool>(descendant(root, name));
}

}  // namespace

Result<ConfigModel> ConfigDatabase::read(Context& context, Source source, const std::string& described) {
    auto reply = session_.ask(
        context, "reading the configuration", R"(the permission "view-configuration")", [&](pugi::xml_node rpc) {
            auto get = rpc.append_child("get-configuration");
            get.append_attribute("database") = source == Source::committed ? "committed" : "candidate";
            auto top = get.append_child("configuration");
            auto system = top.append_child("system");
            system.append_child("time-zone");
            system.append_child("static-host-mapping");
            top.append_child("protocols").append_child("lldp");
            top.append_child("event-options");
            auto security = top.append_child("security");
            security.append_child("macsec");
            security.append_child("authentication-key-chains");
            if (!described.empty()) {
                auto interface = top.append_child("interfaces").append_child("interface");
                interface.append_child("name").text().set(described.c_str());
                interface.append_child("description");
            }
        });
    QKD_TRY(reply);
    return ConfigModel(descendant(reply->root(), "configuration"));
}

Result<ClockReading> ConfigDatabase::clock(Context& context) {
    QKD_TRY(auto reply, session_.ask(context, "reading the clock", view,
                                     [](pugi::xml_node rpc) { rpc.append_child("get-system-uptime-information"); }));
    const auto now = descendant(descendant(reply.root(), "current-time"), "date-time");
    const auto seconds = attribute(now, "seconds");
    long long utc = 0;
    const auto parsed = std::from_chars(seconds.data(), seconds.data() + seconds.size(), utc);
    if (seconds.empty() || parsed.ec != std::errc{})
        return Error::protocol(session_.peer() + ": the clock's reply has no UTC seconds", "");
    ClockReading reading;
    reading.now = UtcMillis{std::chrono::seconds{utc}};
    if (const auto local = read_local_time(text_of(now))) {
        // Both are whole seconds of the same moment; zones are whole minutes.
        const auto offset = *local - std::chrono::seconds{utc};
        reading.utc_offset = std::chrono::round<std::chrono::minutes>(offset);
    }
    return reading;
}

Result<std::vector<CommitEntry>> ConfigDatabase::log(Context& context) {
    QKD_TRY(auto reply, session_.ask(context, "reading the commit history", view,
                                     [](pugi::xml_node rpc) { rpc.append_child("get-commit-information"); }));
    return read_commit_log(reply.root());
}

Result<void> ConfigDatabase::lock(Context& context) {
    if (locked_) return {};
    auto reply = session_.call(context, [](pugi::xml_node rpc) { rpc.append_child("lock-configuration"); });
    if (!reply) {
        Error error = std::move(reply).error();
        error.what = "locking the configuration: " + error.what;
        // It may have been granted meanwhile; nothing else was done.
        if (error.code == ErrorCode::timeout || error.code == ErrorCode::cancelled) locked_ = true;
        return error;
    }
    if (reply->errors.empty()) {
        locked_ = true;
        return {};
    }
    const std::string text = reply->complaint();
    if (speaks_of_a_lock(text))
        return Error::busy(session_.peer() + ": " + text,
                           "wait until they are done, or ask them to commit or roll back")
            .retryable();
    return session_.refusal("locking the configuration", configure, *reply);
}

Result<void> ConfigDatabase::unlock(Context& context) {
    if (!locked_) return {};
    locked_ = false;
    if (!session_.alive()) return {};  // the device released it with the session
    QKD_TRY(session_.ask(context, "unlocking the configuration", configure,
                         [](pugi::xml_node rpc) { rpc.append_child("unlock-configuration"); }));
    return {};
}

Result<void> ConfigDatabase::load(Context& context, const std::vector<Statement>& statements) {
    if (statements.empty()) return {};
    auto reply = session_.ask(context, "loading the change", change, [&](pugi::xml_node rpc) {
        auto load = rpc.append_child("load-configuration");
        load.append_attribute("action") = "merge";
        load.append_attribute("format") = "xml";
        append_configuration(load, statements);
    });
    QKD_TRY(reply);
    return {};
}

Result<void> ConfigDatabase::load_rollback(Context& context, std::size_t number) {
    auto reply = session_.ask(context, "loading rollback " + std::to_string(number), for_rollback(number),
                              [&](pugi::xml_node rpc) {
                                  auto load = rpc.append_child("load-configuration");
                                  load.append_attribute("compare") = "rollback";
                                  load.append_attribute("rollback") = std::to_string(number).c_str();
                              });
    QKD_TRY(reply);
    return {};
}

Result<std::string> ConfigDatabase::compare(Context& context, std::size_t number) {
    auto reply = session_.ask(context, "comparing with rollback " + std::to_string(number), for_rollback(number),
                              [&](pugi::xml_node rpc) {
                                  auto get = rpc.append_child("get-configuration");
                                  get.append_attribute("compare") = "rollback";
                                  get.append_attribute("rollback") = std::to_string(number).c_str();
                                  get.append_attribute("format") = "text";
                              });
    QKD_TRY(reply);
    const auto output = descendant(reply->root(), "configuration-output");
    if (!output && !has_element(reply->root(), "configuration-information"))
        return Error::protocol(session_.peer() + ": the comparison's reply holds none", "");
    std::string text(trim(output.child_value()));
    return text;
}

Result<void> ConfigDatabase::check(Context& context) {
    auto reply = session_.call(
        context, [](pugi::xml_node rpc) { rpc.append_child("commit-configuration").append_child("check"); });
    if (!reply) {
        Error error = std::move(reply).error();
        error.what = "commit check: " + error.what;
        return error;
    }
    if (!reply->errors.empty())
        return session_.refusal("the device's commit check refuses the change", configure, *reply);
    return {};
}

Result<bool> ConfigDatabase::two_routing_engines(Context& context) {
    if (routing_engines_ == 0) {
        QKD_TRY(auto reply,
                session_.call(context, [](pugi::xml_node rpc) { rpc.append_child("get-route-engine-information"); }));
        // Devices that do not know the question have one.
        int count = 0;
        for (auto node = reply.root().first_child(); node; node = next_in(reply.root(), node)) {
            if (is(node, "route-engine") && child_text(node, "mastership-state") != "disabled") ++count;
        }
        routing_engines_ = count < 1 ? 1 : count;
    }
    return routing_engines_ > 1;
}

Result<void> ConfigDatabase::commit(Context& context, std::chrono::minutes confirm, const std::string& comment,
                                    OtherEngine other) {
    // Asked first: after the commit went out every failure is an unknown outcome.
    QKD_TRY(auto two, two_routing_engines(context));
    if (!session_.alive())
        return Error::unreachable(session_.peer() + ": the session is closed", "open a new one").retryable();
    const auto patient_until = Context::Clock::now() + std::min(other_engine_patience, context.remaining() / 2);
    for (;;) {
        std::string said;
        auto done = commit_once(context, confirm, comment, two, said);
        if (done) other_engine_lags_.clear();
        if (done || said.empty()) return done;
        // Twice the same confirmed commit would make the first one permanent.
        auto history = log(context);
        if (!history) return as_unknown(std::move(history).error());
        const bool made = !comment.empty() && !history->empty() && history->front().comment == comment;
        if (!made && locked_for_a_moment(said) && Context::Clock::now() < patient_until) {
            pollfd cancel{context.cancel_fd(), POLLIN, 0};
            (void)::poll(&cancel, 1, static_cast<int>(between_tries.count()));
            if (!context.stop_requested()) continue;
        }
        if (other == OtherEngine::must_follow) return done;
        if (!made) {
            std::string nothing;
            QKD_TRY(commit_once(context, confirm, comment, false, nothing));
        }
        other_engine_lags_ = said;
        context.log(LogLevel::warning, session_.peer() + ": committed on this routing engine alone: " + said);
        return {};
    }
}

Result<void> ConfigDatabase::commit_once(Context& context, std::chrono::minutes confirm, const std::string& comment,
                                         bool synchronize, std::string& other) {
    auto reply = session_.call(context, [&](pugi::xml_node rpc) {
        auto commit = rpc.append_child("commit-configuration");
        if (confirm.count() > 0) {
            commit.append_child("confirmed");
            commit.append_child("confirm-timeout").text().set(static_cast<long long>(confirm.count()));
        }
        if (synchronize) commit.append_child("synchronize");
        if (!comment.empty()) commit.append_child("log").text().set(comment.c_str());
    });
    if (!reply) {
        Error error = as_unknown(std::move(reply).error());
        error.what = "commit: " + error.what;
        return error;
    }
    if (!reply->errors.empty()) {
        const std::string text = reply->complaint();
        if (!synchronize || !speaks_of_the_other_engine(text))
            return session_.refusal("the device refuses the commit", configure, *reply);
        other = text;
        return Error::rejected(session_.peer() + ": the other routing engine does not take the commit: " + text,
                               "mend that routing engine, or say allow_local_commit = true to go on with one");
    }
    const auto root = reply->root();
    if (has_element(root, "ok") || has_element(root, "commit-success") || has_element(root, "commit-check-success") ||
        has_element(root, "load-success"))
        return {};
    return as_unknown(
        Error::unknown_outcome(session_.peer() + ": the reply to the commit says neither yes nor no", ""));
}

void ConfigDatabase::abandon(Context& context) noexcept {
    if (!locked_) return;
    const bool time_left = !context.stop_requested() && context.remaining().count() > 0;
    if (session_.alive() && time_left && load_rollback(context, 0) && unlock(context)) return;
    locked_ = false;
    session_.drop();
}

}  // namespace qkd::junos
