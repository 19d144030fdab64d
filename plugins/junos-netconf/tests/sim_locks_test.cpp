// Who else is at the device: locks, dead sessions, commits and changes of others.
#include <algorithm>

#include "sim_member.hpp"

namespace qkd::junos::test {
namespace {

TEST(Sim, NamesWhoHoldsTheLockAndWhoseCommitIsPending) {
    Junos j;
    auto first = j.open();
    j.bring_up(*first);
    const auto change = j.second_key(*first);
    j.stage(*first, change);
    auto second = j.open();
    auto busy = j.commit->stage(j.context, *second, j.target, change);
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().code, ErrorCode::busy);
    EXPECT_EQ(busy.error().retry, Retry::safe);
    EXPECT_NE(busy.error().what.find(user_name() + " terminal (pid " + first->id() + ") on since 20"),
              std::string::npos)
        << busy.error().what;

    Junos::expect(j.commit->commit_confirmed(j.context, *first, std::chrono::minutes{5}, "theirs"));
    Junos::expect(j.commit->release(j.context, *first));
    busy = j.commit->stage(j.context, *second, j.target, change);
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().code, ErrorCode::busy);
    EXPECT_NE(busy.error().what.find("user " + user_name() + " is pending (\"theirs\")"), std::string::npos)
        << busy.error().what;
    auto withdrawn = j.commit->withdraw(j.context, *second, j.target, ckn_a, "withdraw");
    ASSERT_FALSE(withdrawn);
    EXPECT_EQ(withdrawn.error().code, ErrorCode::busy);
    // Having been refused it did not confirm what it met.
    ASSERT_TRUE(j.read(*second).pending);
    // Their commit is not ours to confirm.
    auto confirmed = j.commit->confirm(j.context, *second, "mine");
    ASSERT_FALSE(confirmed);
    EXPECT_EQ(confirmed.error().code, ErrorCode::conflict);
}

TEST(Sim, AConfirmedCommitOfAnotherUserIsLeftToThem) {
    Junos j(lab_options());
    auto session = j.open();
    j.bring_up(*session);
    j.device.as_user("operator",
                     "<load-configuration action=\"set\" format=\"text\"><configuration-set>set system domain-name "
                     "example.net</configuration-set></load-configuration>",
                     "<commit-configuration><confirmed/><confirm-timeout>2</confirm-timeout><log>window 7</log>"
                     "</commit-configuration>");
    const auto change = j.second_key(*session);
    const auto is_busy = [](const Result<void>& result, const char* call) {
        ASSERT_FALSE(result) << call;
        EXPECT_EQ(result.error().code, ErrorCode::busy) << call;
        EXPECT_EQ(result.error().retry, Retry::safe) << call;
        EXPECT_NE(result.error().what.find("user operator is pending (\"window 7\")"), std::string::npos)
            << call << ": " << result.error().what;
    };
    is_busy(j.commit->stage(j.context, *session, j.target, change), "stage");
    is_busy(j.commit->withdraw(j.context, *session, j.target, ckn_a, "withdraw"), "withdraw");
    is_busy(session->lldp()->describe(j.context, "et-0/0/9", "x"), "describe");
    auto state = j.read(*session);
    ASSERT_TRUE(state.pending) << "no commit and no commit check of ours has confirmed it";
    EXPECT_EQ(state.pending->user, "operator");
    j.device.advance(121s);
    EXPECT_EQ(j.device.show().find("example.net"), std::string::npos) << "it goes back at its time";
    j.stage(*session, change);
}

TEST(Sim, SomebodyElsesUncommittedChangesAreLeftAlone) {
    Junos j;
    auto other = j.open();
    auto* operator_session = dynamic_cast<JunosSession*>(other.get());
    ASSERT_NE(operator_session, nullptr);
    std::vector<Statement> statements;
    statements.push_back(set_leaf({{"system", ""}, {"domain-name", ""}}, "example.net"));
    Junos::expect(operator_session->database().load(j.context, statements));
    auto session = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*session)}};
    auto staged = j.commit->stage(j.context, *session, j.target, change);
    ASSERT_FALSE(staged);
    EXPECT_EQ(staged.error().code, ErrorCode::busy);
    EXPECT_NE(staged.error().what.find("modified"), std::string::npos) << staged.error().what;
    auto diff = operator_session->database().compare(j.context, 0);
    ASSERT_TRUE(diff);
    EXPECT_NE(diff->find("example.net"), std::string::npos) << "the operator's work is still there";
}

TEST(Sim, EndsItsOwnDeadSessionAndNoOther) {
    Junos j;
    auto dead = j.open();
    j.bring_up(*dead);
    const auto change = j.second_key(*dead);
    const auto session = j.open();
    const auto breaks = [&](PluginObject<Commit>& commit, const std::string& id) {
        auto broke = commit->break_lock(j.context, *session, id);
        EXPECT_TRUE(broke) << broke.error().what;
        return broke && *broke;
    };
    const auto locked = [&] {
        auto busy = j.commit->stage(j.context, *session, j.target, change);
        return !busy && busy.error().code == ErrorCode::busy;
    };
    EXPECT_FALSE(breaks(j.commit, dead->id())) << "nobody holds it";
    ASSERT_TRUE(dead->alive());

    j.stage(*dead, change);
    auto values = j.device.values();
    values["user"] = "somebody";
    PluginObject<Commit> other_user(qkd_plugin, values);
    for (const std::string& id : {session->id(), std::string(), dead->id() + "0", std::string("1")})
        EXPECT_FALSE(breaks(j.commit, id)) << id;
    EXPECT_FALSE(breaks(other_user, dead->id())) << "the same session, but another user's";
    EXPECT_TRUE(locked()) << "nothing was touched";

    EXPECT_TRUE(breaks(j.commit, dead->id()));
    // At once and clean: what the dead session had staged is gone.
    MemberChange again;
    again.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 900s}};
    j.stage(*session, again);
    auto late = j.commit->commit_confirmed(j.context, *dead, std::chrono::minutes{5}, "too late");
    ASSERT_FALSE(late);
    EXPECT_FALSE(dead->alive());
    EXPECT_FALSE(breaks(j.commit, dead->id())) << "the lock is now its own";
    Junos::expect(j.commit->discard(j.context, *session));
    EXPECT_EQ(j.read(*session).keys.size(), 1U);
    EXPECT_FALSE(breaks(j.commit, dead->id())) << "once is enough";
}

TEST(Sim, WithADeadSessionItsUnconfirmedCommitGoesBack) {
    Junos j;
    auto dead = j.open();
    j.bring_up(*dead);
    j.commit_confirmed(*dead, j.second_key(*dead), "rotation 2");
    auto session = j.open();
    auto broke = j.commit->break_lock(j.context, *session, dead->id());
    ASSERT_TRUE(broke) << broke.error().what;
    EXPECT_TRUE(*broke);
    const auto state = j.read(*session);
    EXPECT_FALSE(state.pending);
    EXPECT_EQ(state.keys.size(), 1U);
    auto confirmed = j.commit->confirm(j.context, *session, "rotation 2");
    ASSERT_FALSE(confirmed);
    EXPECT_EQ(confirmed.error().code, ErrorCode::conflict);
    Junos::expect(j.commit->revert(j.context, *session, "rotation 2"));
    EXPECT_EQ(j.read(*session).recent_comments, state.recent_comments);
}

TEST(Sim, ALockOfAnotherUserIsNotBrokenAndADeniedKillSaysWhatIsMissing) {
    Junos j;
    auto session = j.open();
    const auto held_by = [&](const std::string& user) {
        j.device.fault(
            R"({"rpc":"lock-configuration","action":"error","message":"configuration database locked by:\n  )" + user +
            R"( terminal  (pid 32260) on since 2021-05-06 11:04:06 UTC, idle 00:04:48\n      exclusive "})");
    };
    for (const std::string& user : {"x" + user_name(), user_name() + "x", std::string("terminal")}) {
        held_by(user);
        auto broke = j.commit->break_lock(j.context, *session, "32260");
        ASSERT_TRUE(broke) << "no session was asked to end: " << broke.error().what;
        EXPECT_FALSE(*broke);
    }
    held_by(user_name());
    auto broke = j.commit->break_lock(j.context, *session, "32260");
    ASSERT_FALSE(broke) << "there is no such session, and the lock stays";
    EXPECT_EQ(broke.error().code, ErrorCode::rejected);
    j.device.deny("kill-session");
    broke = j.commit->break_lock(j.context, *session, "32260");
    ASSERT_FALSE(broke);
    EXPECT_EQ(broke.error().code, ErrorCode::auth);
    EXPECT_NE(broke.error().hint.find("maintenance"), std::string::npos);
}

TEST(Sim, WaitsForTheLockOfAKilledSessionUntilTheDeadline) {
    Junos j;
    auto dead = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*dead)}};
    j.stage(*dead, change);
    auto session = j.open();
    const auto still_held_by = [&](const DeviceSession& holder, const std::string& when) {
        j.device.fault(
            R"({"rpc":"lock-configuration","action":"error","message":"configuration database locked by:\n  )" +
            user_name() + " terminal  (pid " + holder.id() +
            R"() on since 2021-05-06 11:04:06 UTC\n      exclusive ")" + when + "}");
    };
    still_held_by(*dead, R"(,"nth":2)");  // it falls only after it has been looked at once more
    auto broke = j.commit->break_lock(j.context, *session, dead->id());
    ASSERT_TRUE(broke) << broke.error().what;
    EXPECT_TRUE(*broke);

    auto stubborn = j.open();
    still_held_by(*stubborn, "");
    TestContext impatient(2s);  // enough for what comes before the wait
    broke = j.commit->break_lock(impatient, *session, stubborn->id());
    ASSERT_FALSE(broke);
    EXPECT_EQ(broke.error().code, ErrorCode::timeout) << broke.error().what;
    EXPECT_EQ(broke.error().retry, Retry::safe);
    EXPECT_TRUE(session->alive());
}

}  // namespace
}  // namespace qkd::junos::test
