// The steps of a change, told from each other by the comments in the device's commit history.
#include "commit.hpp"

#include <poll.h>

#include <algorithm>

#include "local_user.hpp"
#include "lock_holder.hpp"
#include "mka_reply.hpp"
#include "session.hpp"

namespace qkd::junos {
namespace {

constexpr const char* confirmed_suffix = " confirmed";
constexpr const char* revert_suffix = " revert";
constexpr std::size_t kept_comments = 50;
// How often a lock that is about to fall is tried.
constexpr std::chrono::milliseconds between_tries{100};

Result<JunosSession*> own(DeviceSession& session) {
    auto* junos = dynamic_cast<JunosSession*>(&session);
    if (junos == nullptr) return Error::internal("a session of another plugin", "use one plugin per device");
    return junos;
}

Error not_pending(JunosSession& session, const std::string& comment, const std::string& why) {
    return Error::conflict(
        session.netconf().peer() + ": the commit \"" + comment + "\" is not pending any more: " + why,
        "the device has gone back to the configuration before it, or somebody else committed");
}

// Where the commit named `comment` stands.
enum class Standing : std::uint8_t {
    absent,     ///< never made, or so long ago that the history forgot it
    pending,    ///< waits for its confirm
    in_effect,  ///< confirmed, and nobody committed since
    undone,     ///< taken back, by the device or by revert()
    buried      ///< others committed after it
};

struct Position {
    Standing standing = Standing::absent;
    std::size_t before = 0;  ///< rollback number of the configuration before it
};

Position locate(const std::vector<CommitEntry>& log, const std::string& comment) {
    const auto index = find_comment(log, comment);
    if (!index) return {};
    Position position{Standing::in_effect, *index + 1};
    if (log[*index].pending && *index == 0) {
        position.standing = Standing::pending;
        return position;
    }
    // From the one right after ours to the newest.
    for (std::size_t i = *index; i-- > 0;) {
        if (log[i].comment == comment + confirmed_suffix) continue;
        // The device's own rollback leaves an entry of root by "other" without a comment.
        const bool automatic = log[i].client == "other" && log[i].comment.empty() && i + 1 == *index;
        if (automatic || log[i].comment == comment + revert_suffix) {
            position.standing = Standing::undone;
            return position;
        }
        position.standing = Standing::buried;
    }
    return position;
}

}  // namespace

Result<void> JunosCommit::configure(const ConfigView& config) {
    user_ = config.has("user") || config.string("transport") != "local" ? config.string("user") : local_user().name;
    other_engine_ = config.boolean("allow_local_commit") ? OtherEngine::may_lag : OtherEngine::must_follow;
    return {};
}

Result<void> JunosCommit::probe(Context& /*context*/) {
    return {};
}

Result<MemberState> JunosCommit::read(Context& context, DeviceSession& session, const MemberTarget& target) {
    QKD_TRY(auto junos, own(session));
    QKD_TRY(auto now, junos->snapshot(context));
    MemberState state;
    const std::string chain = now.config.value(
        {"security", "macsec", "connectivity-association", target.connectivity_association, "pre-shared-key-chain"});
    if (!chain.empty() && chain != target.key_chain) {
        return Error::conflict(
            "connectivity association " + target.connectivity_association + " uses key chain " + chain + ", not " +
                target.key_chain,
            "set key_chain = \"" + chain + "\" in the link, or take the chain off the association on the device");
    }
    fill_state(now.config, now.zone, target, state);
    QKD_TRY(auto log, junos->database().log(context));
    for (const auto& entry : log) {
        if (entry.pending && !state.pending) state.pending = PendingCommit{entry.comment, entry.user};
        if (!entry.comment.empty() && state.recent_comments.size() < kept_comments)
            state.recent_comments.push_back(entry.comment);
    }
    QKD_TRY(state.mka, read_mka(context, session, target));
    if (const std::string& said = junos->database().other_engine_lags(); !said.empty())
        state.shortcoming = "only one of the two routing engines has the configuration: " + said;
    return state;
}

Result<std::vector<InterfaceMka>> JunosCommit::read_mka(Context& context, DeviceSession& session,
                                                        const MemberTarget& target) {
    QKD_TRY(auto junos, own(session));
    std::vector<InterfaceMka> unknown;
    for (const auto& name : target.interfaces) unknown.push_back({name, MkaState::unknown, {}});
    // The table says type and status of every key; a release that writes it in a way not known here is asked again for
    // the long form.
    for (const char* level : {"summary", "detail"}) {
        auto reply = junos->netconf().call(context, [&](pugi::xml_node rpc) {
            auto get = rpc.append_child("get-mka-session-information");
            get.append_attribute("format") = "text";
            get.append_child(level);
        });
        QKD_TRY(reply);
        if (!reply->errors.empty()) {
            const std::string text = reply->complaint();
            // dot1xd runs only where MACsec is configured.
            if (text.find("not running") != std::string::npos) return judge_mka({}, target.interfaces);
            Error error = junos->netconf().refusal("reading MKA", R"(the permission "view")", *reply);
            if (error.code != ErrorCode::auth) error.retry = Retry::safe;
            return error;
        }
        bool understood = false;
        std::vector<MkaEntry> entries;
        if (descendant(reply->root(), "mka-session-information")) {
            entries = read_mka_xml(reply->root(), understood);
        } else {
            entries = read_mka_text(descendant(reply->root(), "output").child_value(), understood);
        }
        if (understood) return judge_mka(entries, target.interfaces);
    }
    context.log(LogLevel::warning, "the device describes its MKA sessions in a way that is not known");
    return unknown;
}

Result<std::vector<std::string>> JunosCommit::preview(Context& context, DeviceSession& session,
                                                      const MemberTarget& target, const MemberChange& change) {
    QKD_TRY(auto junos, own(session));
    QKD_TRY(auto now, junos->snapshot(context));
    QKD_TRY(auto statements, plan_change(now.config, now.zone, target, change, true));
    return set_lines(statements);
}

Result<void> JunosCommit::stage(Context& context, DeviceSession& session, const MemberTarget& target,
                                const MemberChange& change) {
    QKD_TRY(auto junos, own(session));
    QKD_TRY(junos->stage(
        context,
        [&](const JunosSession::Snapshot& now) { return plan_change(now.config, now.zone, target, change, false); },
        true));
    return {};
}

Result<void> JunosCommit::commit_confirmed(Context& context, DeviceSession& session, std::chrono::minutes timeout,
                                           const std::string& comment) {
    QKD_TRY(auto junos, own(session));
    if (!junos->database().locked() || !junos->alive())
        return Error::conflict(junos->netconf().peer() + ": nothing is staged", "the session was lost; stage again");
    if (timeout.count() < 1 || timeout.count() > 65535 || comment.empty())
        return Error::internal("a confirmed commit takes 1 to 65535 minutes and a comment", "");
    return junos->database().commit(context, timeout, comment, other_engine_);
}

Result<void> JunosCommit::confirm(Context& context, DeviceSession& session, const std::string& comment) {
    QKD_TRY(auto junos, own(session));
    auto& database = junos->database();
    const bool held_before = database.locked();
    // Held already on the good way. Without it a commit could carry along what somebody else is editing.
    if (auto locked = database.lock(context); !locked) {
        database.abandon(context);
        return locked;
    }
    const auto confirm_it = [&]() -> Result<void> {
        auto log = database.log(context);
        QKD_TRY(log);
        const Position before = locate(*log, comment);
        if (before.standing == Standing::in_effect) return {};  // a lost answer, asked again
        if (before.standing != Standing::pending) return not_pending(*junos, comment, "it is not the newest commit");
        QKD_TRY(database.commit(context, std::chrono::minutes{0}, comment + confirmed_suffix, other_engine_));
        // The timer may have been faster: then this was an ordinary commit of the old configuration.
        log = database.log(context);
        if (!log) {
            Error error = std::move(log).error();
            error.code = ErrorCode::unknown_outcome;
            return error;
        }
        if (locate(*log, comment).standing == Standing::in_effect) return {};
        return not_pending(*junos, comment, "its timer ended before the confirm");
    };
    auto done = confirm_it();
    if (!done && !held_before) database.abandon(context);
    return done;
}

Result<void> JunosCommit::revert(Context& context, DeviceSession& session, const std::string& comment) {
    QKD_TRY(auto junos, own(session));
    auto& database = junos->database();
    if (auto locked = database.lock(context); !locked) {
        database.abandon(context);
        return locked;
    }
    const auto undo = [&]() -> Result<void> {
        auto log = database.log(context);
        QKD_TRY(log);
        const Position position = locate(*log, comment);
        if (position.standing == Standing::absent || position.standing == Standing::undone) {
            (void)database.load_rollback(context, 0);
            return {};
        }
        QKD_TRY(database.load_rollback(context, position.before));
        if (position.standing == Standing::buried) {
            QKD_TRY(auto diff, database.compare(context, 0));
            const bool same = diff.empty();
            wipe(diff.data(), diff.size());
            if (same) return {};
            return Error::conflict(junos->netconf().peer() + ": others committed after \"" + comment + "\"",
                                   "it is not taken back blindly; the next run repairs the link");
        }
        // No commit check of its own: it would confirm the pending commit, and a death in between would make the very
        // thing permanent that is to be undone. The commit checks anyway.
        // The way back must not depend on the other routing engine.
        QKD_TRY(database.commit(context, std::chrono::minutes{0}, comment + revert_suffix, OtherEngine::may_lag));
        log = database.log(context);
        QKD_TRY(log);
        if (locate(*log, comment).standing == Standing::undone) return {};
        return Error::conflict(
                   junos->netconf().peer() + ": the revert of \"" + comment + "\" is not in the commit history",
                   "read the device back")
            .retryable();
    };
    auto done = undo();
    if (!done) {
        database.abandon(context);
        return done;
    }
    (void)database.unlock(context);
    return {};
}

Result<void> JunosCommit::discard(Context& context, DeviceSession& session) {
    QKD_TRY(auto junos, own(session));
    junos->database().abandon(context);
    return {};
}

Result<void> JunosCommit::release(Context& context, DeviceSession& session) {
    QKD_TRY(auto junos, own(session));
    return junos->database().unlock(context);
}

Result<void> JunosCommit::withdraw(Context& context, DeviceSession& session, const MemberTarget& target,
                                   const std::string& ckn, const std::string& comment) {
    QKD_TRY(auto junos, own(session));
    MemberChange change;
    change.remove_from_chain = {ckn};
    const auto plan = [&](const JunosSession::Snapshot& now) {
        return plan_change(now.config, now.zone, target, change, false);
    };
    QKD_TRY(auto staged, junos->stage(context, plan, false));
    if (!staged) return {};
    auto& database = junos->database();
    auto done = database.commit(context, std::chrono::minutes{0}, comment, other_engine_);
    if (!done) {
        database.abandon(context);
        return done;
    }
    (void)database.unlock(context);
    return {};
}

Result<bool> JunosCommit::break_lock(Context& context, DeviceSession& session, const std::string& session_id) {
    QKD_TRY(auto junos, own(session));
    auto& database = junos->database();
    if (session_id.empty() || session_id == junos->id() || database.locked()) return false;
    // False when the lock could be had: then nobody holds it, and it is free again.
    const auto is_held = [&]() -> Result<bool> {
        auto locked = database.lock(context);
        database.abandon(context);
        if (locked) return false;
        Error error = std::move(locked).error();
        if (error.code != ErrorCode::busy) return error;
        const auto holder = read_lock_holder(error.what);
        return holder && holder->user == user_ && holder->pid == session_id;
    };
    auto held = is_held();
    if (!held || !*held) return held;
    // Junos rolls back what the session had not committed, and its unconfirmed commit (RFC 6241 clause 7.9).
    auto killed = junos->netconf().ask(
        context, "ending session " + session_id, R"(the permission "maintenance")", [&](pugi::xml_node rpc) {
            rpc.append_child("kill-session").append_child("session-id").text().set(session_id.c_str());
        });
    if (!killed && killed.error().code != ErrorCode::rejected) {
        return std::move(killed).error();
    }
    // The device says ok before the session is gone.
    while (true) {
        held = is_held();
        if (!held) return held;
        // A refused kill: it may have ended by itself just before.
        if (!*held) return killed.ok();
        QKD_TRY(killed);
        pollfd cancel{context.cancel_fd(), POLLIN, 0};
        (void)::poll(&cancel, 1, static_cast<int>(std::min(between_tries, context.remaining()).count()));
        if (context.stop_requested())
            return Error::cancelled(junos->netconf().peer() + ": interrupted", "").retryable();
        if (context.remaining().count() == 0)
            return Error::timeout(junos->netconf().peer() + ": session " + session_id +
                                      " was ended and still holds the configuration",
                                  "try again")
                .retryable();
    }
}

}  // namespace qkd::junos
