// Laws for commit and initial-config: what is staged can be taken back, what is confirmed stays, and nothing is confirmed
// by accident.
#include <algorithm>

#include "kit/device_rig.hpp"
#include "kit/support/fake_network.hpp"

namespace qkd::conformance {
namespace {

using std::chrono::minutes;

void reads(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    const std::string before = rig.configured();
    const auto state = rig.read();
    trial.expect(!state.pending, "a confirmed commit is pending although nobody made one");
    const auto& wanted = rig.target().interfaces;
    const auto in_order = [&](const std::vector<InterfaceMka>& mka) {
        return std::equal(mka.begin(), mka.end(), wanted.begin(), wanted.end(),
                          [](const InterfaceMka& one, const std::string& name) { return one.name == name; });
    };
    trial.expect(in_order(state.mka), "read: not one MKA entry per interface of the target, in its order");
    trial.expect(in_order(trial.must(rig.commit().read_mka(trial.context(), rig.session(), rig.target()), "read_mka")),
                 "read_mka: not one entry per interface of the target, in its order");
    for (const auto& key : state.keys) trial.guard_secret(key.cak);
    trial.expect(rig.configured() == before, "reading changes what is configured");
}

void previews(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    const std::string before = rig.configured();
    const OwnKey key = rig.new_key();
    const auto lines =
        trial.must(rig.commit().preview(trial.context(), rig.session(), rig.target(), rig.change(key)), "preview");
    trial.expect(!lines.empty(), "preview shows nothing of a change");
    auto& context = trial.context();
    for (const auto& line : lines) context.log(LogLevel::info, line);  // searched for the CAK when the law ends
    for (const auto& line : lines)
        trial.expect(line.find("$9$") == std::string::npos, "preview shows a reversible secret");
    trial.expect(rig.configured() == before, "preview changes what is configured");
}

void discards(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    const std::string before = rig.configured();
    const OwnKey key = rig.new_key();
    trial.must(rig.commit().discard(trial.context(), rig.session()), "discard of nothing");
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), rig.change(key)), "stage");
    trial.must(rig.commit().discard(trial.context(), rig.session()), "discard");
    trial.must(rig.commit().discard(trial.context(), rig.session()), "discard again");
    trial.expect(rig.configured() == before, "stage and discard leave a change");
    const auto other = rig.another_session();
    trial.must(rig.commit().stage(trial.context(), *other, rig.target(), rig.change(key)), "stage by another session");
    trial.must(rig.commit().discard(trial.context(), *other), "discard by another session");
    trial.expect(rig.configured() == before, "what was discarded comes back");
}

void locks(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    const OwnKey key = rig.new_key();
    const OwnKey second = rig.new_key();
    const auto other = rig.another_session();
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), rig.change(key)), "stage");
    auto refused = trial.must_fail(rig.commit().stage(trial.context(), *other, rig.target(), rig.change(second)),
                                   "stage while another session holds the lock", {ErrorCode::busy});
    if (refused) trial.expect(refused->retry == Retry::safe, "a held lock must be safe to try again");

    const std::string comment = rig.new_comment();
    trial.must(rig.commit().commit_confirmed(trial.context(), rig.session(), minutes{5}, comment), "commit confirmed");
    refused = trial.must_fail(rig.commit().stage(trial.context(), *other, rig.target(), rig.change(second)),
                              "stage while a confirmed commit of another session is pending", {ErrorCode::busy});
    const auto state = rig.read();
    trial.expect(state.pending && state.pending->comment == comment,
                 "somebody else's attempt ended the pending commit");
    trial.must(rig.commit().revert(trial.context(), rig.session(), comment), "revert");
}

void reverts(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    const std::string before = rig.configured();
    const OwnKey key = rig.new_key();
    const std::string comment = rig.new_comment();
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), rig.change(key)), "stage");
    trial.must(rig.commit().commit_confirmed(trial.context(), rig.session(), minutes{5}, comment), "commit confirmed");
    const auto state = rig.read();
    trial.expect(has(state, key), "the key is not there after commit confirmed, or its CAK differs");
    trial.expect(state.pending && state.pending->comment == comment,
                 "the pending commit is not shown with its comment");
    trial.must(rig.commit().revert(trial.context(), rig.session(), comment), "revert");
    trial.expect(rig.configured() == before, "revert does not bring back what was configured");
    trial.expect(!rig.read().pending, "a commit is still pending after revert");
    trial.must(rig.commit().revert(trial.context(), rig.session(), comment), "revert again");
    trial.expect(rig.configured() == before, "reverting again goes back too far");
    // A refusal leaves no lock behind.
    (void)trial.must_fail(rig.commit().confirm(trial.context(), rig.session(), comment), "confirm after revert", {});
    const auto other = rig.another_session();
    trial.must(rig.commit().stage(trial.context(), *other, rig.target(), rig.change(key)),
               "stage by another session after a refused confirm");
    trial.must(rig.commit().discard(trial.context(), *other), "discard");
}

void confirms(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    const OwnKey key = rig.new_key();
    const std::string comment = rig.new_comment();
    const MemberChange change = rig.change(key);
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), change), "stage");
    trial.must(rig.commit().commit_confirmed(trial.context(), rig.session(), minutes{5}, comment), "commit confirmed");
    trial.must(rig.commit().confirm(trial.context(), rig.session(), comment), "confirm");
    rig.forget_later(key);
    trial.must(rig.commit().release(trial.context(), rig.session()), "release");
    const auto state = rig.read();
    trial.expect(has(state, key), "the key is not there after confirm, or its CAK differs");
    trial.expect(!state.pending, "a commit is pending after confirm");
    trial.expect(
        std::find(state.recent_comments.begin(), state.recent_comments.end(), comment) != state.recent_comments.end(),
        "the comment is not among the recent ones");
    for (const auto& configured : state.keys) {
        if (configured.ckn == key.ckn && configured.place == KeyPlace::chain) {
            trial.expect(configured.start == change.add_to_chain.front().start,
                         "the start-time comes back as another instant");
        }
    }
    // After a lost answer it is asked again: success or not, it must not change anything.
    trial.either(rig.commit().confirm(trial.context(), rig.session(), comment), "confirm once more");
    trial.must(rig.commit().release(trial.context(), rig.session()), "release");
    trial.expect(has(rig.read(), key), "confirming once more takes the key away");
}

void breaks_locks(Trial& trial) {
    DeviceRig rig(trial);
    Trial::needs(!rig.session().id().empty(), "the device has no names for its sessions");
    rig.bring_up();
    const std::string before = rig.configured();
    const OwnKey key = rig.new_key();
    const MemberChange change = rig.change(key);
    const auto other = rig.another_session();
    const std::string id = rig.session().id();
    trial.expect(other->id() != id, "two sessions at the same time have the same name");
    const auto broke = [&](const std::string& name, const std::string& what) {
        return trial.must(rig.commit().break_lock(trial.context(), *other, name), what);
    };
    trial.expect(!broke(id, "break_lock while nobody holds it"), "break_lock says that it broke a lock of nobody");
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), change), "stage");
    for (const std::string& name : {std::string(), other->id(), id + "0"}) {
        trial.expect(!broke(name, "break_lock of another session"),
                     "break_lock says that it broke the lock of a session that does not hold it");
    }
    (void)trial.must_fail(rig.commit().stage(trial.context(), *other, rig.target(), change),
                          "stage after break_lock of another session", {ErrorCode::busy});
    trial.expect(broke(id, "break_lock"), "break_lock does not break the lock of the session named");
    trial.must(rig.commit().stage(trial.context(), *other, rig.target(), change), "stage right after break_lock");
    (void)trial.must_fail(rig.commit().commit_confirmed(trial.context(), rig.session(), minutes{5}, rig.new_comment()),
                          "commit confirmed by the session whose lock was broken", {});
    trial.must(rig.commit().discard(trial.context(), *other), "discard");
    trial.expect(!broke(id, "break_lock again"), "break_lock says that it broke a lock that was broken before");
    trial.must(other->close(trial.context()), "close");
    const auto fresh = rig.another_session();
    const auto state = trial.must(rig.commit().read(trial.context(), *fresh, rig.target()), "read");
    trial.expect(!has(state, key), "what the dead session had staged is in effect");
    trial.expect(rig.configured(*fresh) == before, "breaking a lock changes what is configured");
}

void withdraws(Trial& trial) {
    DeviceRig rig(trial);
    Trial::needs(rig.target().rollover == Rollover::key_chain, "only key chains have keys to withdraw");
    rig.bring_up();
    const std::string before = rig.configured();
    const OwnKey key = rig.new_key();
    const std::string comment = rig.new_comment();
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), rig.change(key)), "stage");
    trial.must(rig.commit().commit_confirmed(trial.context(), rig.session(), minutes{5}, comment), "commit confirmed");
    trial.must(rig.commit().confirm(trial.context(), rig.session(), comment), "confirm");
    rig.forget_later(key);
    trial.must(rig.commit().release(trial.context(), rig.session()), "release");
    for (const char* call : {"withdraw", "withdraw again"}) {
        trial.must(
            rig.commit().withdraw(trial.context(), rig.session(), rig.target(), key.ckn, "conformance: withdraw"),
            call);
        trial.expect(rig.configured() == before, std::string(call) + " does not leave exactly the other keys");
    }
}

void expires(Trial& trial) {
    Trial::needs(static_cast<bool>(trial.subject().advance), "the time of this device cannot be moved");
    DeviceRig rig(trial);
    rig.bring_up();
    const std::string before = rig.configured();
    const OwnKey key = rig.new_key();
    const std::string comment = rig.new_comment();
    trial.must(rig.commit().stage(trial.context(), rig.session(), rig.target(), rig.change(key)), "stage");
    trial.must(rig.commit().commit_confirmed(trial.context(), rig.session(), minutes{1}, comment), "commit confirmed");
    Trial::needs(trial.subject().advance(std::chrono::seconds{90}), "the time of this device cannot be moved");
    trial.expect(rig.configured() == before, "an unconfirmed commit outlives its time");
    (void)trial.must_fail(rig.commit().confirm(trial.context(), rig.session(), comment),
                          "confirm after the time is over", {});
    trial.expect(!has(rig.read(), key), "a late confirm brings the key back");
    trial.must(rig.commit().revert(trial.context(), rig.session(), comment), "revert after the time is over");
    trial.expect(rig.configured() == before, "reverting a commit that expired goes back too far");
}

/// A session of somebody else's making must be refused before anything is cast.
void foreign_commit_session(Trial& trial) {
    auto commit = trial.make<Commit>();
    support::FakeNetwork network;
    const auto session = network.session("r1");
    MemberTarget target;
    target.link = target.device = target.connectivity_association = target.key_chain = "conformance";
    (void)trial.must_fail(commit->read(trial.context(), *session, target), "read with a foreign session",
                          {ErrorCode::internal});
    (void)trial.must_fail(commit->stage(trial.context(), *session, target, {}), "stage with a foreign session",
                          {ErrorCode::internal});
    trial.expect(network.calls().empty(), "uses a foreign session");
}

void foreign_initial_session(Trial& trial) {
    auto initial = trial.make<InitialConfig>();
    support::FakeNetwork network;
    const auto session = network.session("r1");
    (void)trial.must_fail(initial->difference(trial.context(), *session, {}), "difference with a foreign session",
                          {ErrorCode::internal});
}

void initial_idempotent(Trial& trial) {
    DeviceRig rig(trial);
    rig.bring_up();
    auto initial = trial.make<InitialConfig>();
    const std::string before = rig.configured();
    const auto edits = trial.must(initial->difference(trial.context(), rig.session(), rig.target()), "difference");
    trial.expect(edits != nullptr && edits->empty(), "wants to change a member that it has just set up");
    trial.expect(rig.configured() == before, "difference changes what is configured");
}

}  // namespace

const std::vector<Law>& commit_laws() {
    static const std::vector<Law> laws{
        {"commit.read", "read changes nothing and shows MKA of every interface asked for", reads},
        {"commit.preview", "preview shows the change without its secrets and changes nothing", previews},
        {"commit.discard", "stage and discard leave no change and no lock", discards},
        {"commit.lock", "a lock or a pending commit of another session is busy, and is not disturbed", locks},
        {"commit.revert", "revert brings back exactly what was configured; again is success", reverts},
        {"commit.confirm", "a confirmed key stays, and reads back as written", confirms},
        {"commit.break-lock", "break_lock ends the session it is told, if that holds the lock, and nothing else",
         breaks_locks},
        {"commit.withdraw", "withdraw deletes exactly the named key; again is success", withdraws},
        {"commit.expiry", "without a confirm the device goes back by itself, and a late confirm is an error", expires},
        {"commit.session", "a session of another plugin is refused as internal", foreign_commit_session}};
    return laws;
}

const std::vector<Law>& initial_config_laws() {
    static const std::vector<Law> laws{
        {"initial-config.again", "nothing is missing once it has been set up", initial_idempotent},
        {"initial-config.session", "a session of another plugin is refused as internal", foreign_initial_session}};
    return laws;
}

}  // namespace qkd::conformance
