// Step close (on_kme_loss = "fail-closed"): every member gets keys that nobody else has. MKA finds no peer, and nothing passes in clear
// because MACsec stays configured. A run with a working KME opens the link again.
#include <algorithm>

#include "engine/base/text.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

/// The keys of one member alone.
struct LonelyKeys {
    NamedSecret primary;
    NamedSecret fallback;
};

Result<std::vector<LonelyKeys>> make_keys(const Attempt& attempt, const Crew& crew) {
    const std::size_t octets = cak_octets(attempt.link.cipher);
    std::vector<LonelyKeys> all;
    for (std::size_t i = 0; i < crew.members().size(); ++i) {
        QKD_TRY(auto primary, random_key(octets));
        QKD_TRY(auto fallback, random_key(octets));
        all.push_back({std::move(primary), std::move(fallback)});
    }
    return all;
}

/// So that a run after this one knows our commit, where it was not confirmed, and our keys.
Result<void> note_close(const Attempt& attempt, Crew& crew, LinkState& state, const std::vector<LonelyKeys>& keys) {
    return state.note([&](JournalEntry& entry) {
        entry.comment = attempt.comment;
        entry.own_ckns.clear();
        for (const auto& own : keys) {
            entry.own_ckns.push_back(own.primary.name);
            entry.own_ckns.push_back(own.fallback.name);
        }
        for (const auto& m : crew.members()) {
            if (entry.member(m.member->device) == nullptr) entry.members.emplace_back().device = m.member->device;
        }
        note_sessions(entry, crew);
    });
}

Result<void> close_member(const Attempt& attempt, Crew& crew, LinkState& state, MemberRun& m, const LonelyKeys& keys) {
    MemberChange change;
    change.pre_shared = qkd::NamedKey{keys.primary.name, &keys.primary.secret, std::nullopt};
    change.fallback = qkd::NamedKey{keys.fallback.name, &keys.fallback.secret, std::nullopt};
    for (const auto& key : m.state.keys) {
        if (key.place == KeyPlace::chain) change.remove_from_chain.push_back(key.ckn);
    }
    const Caller aside = crew.aside(m);
    const auto call = [&](const char* step, auto&& fn) {
        return Caller(aside)(busy_patient(crew, step, Cancel::never), m.commit.name, fn);
    };
    QKD_TRY(crew.reconnect(m, Cancel::never));
    state.try_note([&](JournalEntry& entry) { note_sessions(entry, crew, &m); });
    QKD_TRY(call("stage", [&](Context& context) { return m.commit->stage(context, *m.session, m.target, change); }));
    auto done = call("commit-confirmed", [&](Context& context) {
        return m.commit->commit_confirmed(context, *m.session, attempt.pipeline.commit.confirm, attempt.comment);
    });
    if (done) {
        done =
            call("confirm", [&](Context& context) { return m.commit->confirm(context, *m.session, attempt.comment); });
    }
    if (!done) {
        (void)call("revert", [&](Context& context) { return m.commit->revert(context, *m.session, attempt.comment); });
        return done;
    }
    return call("release", [&](Context& context) { return m.commit->release(context, *m.session); });
}

}  // namespace

Ended close(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, const RunShared& run) {
    const std::string limit = format_duration(*attempt.pipeline.max_key_age);
    const std::string old =
        "its key is " + format_duration(std::chrono::duration_cast<milliseconds>(*key_age(attempt, crew))) + " old";
    crew.caller().log(LogLevel::error, "closing the link: " + old + ", and no KME gives a new one", "close");
    attempt.verdict.closed = true;
    attempt.comment = "qkd-macsec " + attempt.link.name + " " + run.run_id + " close";
    const auto close_all = [&]() -> Result<void> {
        QKD_TRY(turns.take_devices());
        QKD_TRY(const auto keys, make_keys(attempt, crew));
        QKD_TRY(note_close(attempt, crew, state, keys));
        return crew.each([&](MemberRun& m) { return close_member(attempt, crew, state, m, keys[crew.index_of(m)]); });
    };
    auto closed = close_all();
    state.audit("closed", attempt.key.name(),
                old + ", max_key_age is " + limit + (closed ? "" : "; not on every member"));
    attempt.failure->what += "; the link is closed, because " + old + " and max_key_age is " + limit;
    attempt.failure->hint = "bring the KME back and run again: that opens the link on a new key";
    (void)crew.read_states(Cancel::never);
    if (!closed) {
        attempt.verdict.undo_proven = false;
        return std::move(closed).error();
    }
    return Outcome::done;
}

}  // namespace qkd::engine
