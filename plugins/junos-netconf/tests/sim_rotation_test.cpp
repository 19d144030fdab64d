// What the engine will do, step by step: a member brought up, keys that come, go and go back.
#include <algorithm>

#include "sim_member.hpp"

namespace qkd::junos::test {
namespace {

SshdOptions in_zone(const std::string& zone) {
    SshdOptions options;
    options.zone = zone;
    options.host_key_type = "ecdsa";
    return options;
}

SshdOptions in_new_york(bool chunked) {
    SshdOptions options;
    options.zone = "America/New_York";
    options.rfc_compliant = options.version_1_1 = chunked;
    options.routing_engines = chunked ? 2 : 1;
    return options;
}

TEST(Sim, SaysWhoItIsAndWhatTimeItIs) {
    Junos j(in_zone("Europe/Berlin"));
    auto session = j.open();
    EXPECT_EQ(session->facts().model, "mx304");
    EXPECT_FALSE(session->facts().software.empty());
    auto clock = session->clock()->read(j.context);
    ASSERT_TRUE(clock) << clock.error().what;
    const auto skew = std::chrono::abs(clock->now - std::chrono::system_clock::now());
    EXPECT_LT(skew, 5s);
    const auto* zone = "Europe/Berlin";
    EXPECT_EQ(clock->zone, zone);
    EXPECT_TRUE(clock->utc_offset == 60min || clock->utc_offset == 120min);
    Junos::expect(session->close(j.context));
    EXPECT_FALSE(session->alive());
}

TEST(Sim, BringsABareMemberUpInOneConfirmedCommit) {
    for (const bool chunked : {false, true}) {
        Junos j(in_new_york(chunked));
        auto session = j.open();
        EXPECT_FALSE(j.read(*session).association_exists);
        const auto before = j.now(*session);
        j.bring_up(*session);
        auto state = j.read(*session);
        EXPECT_TRUE(state.association_exists);
        EXPECT_TRUE(state.uses_chain);
        EXPECT_EQ(state.bound_interfaces, j.target.interfaces);
        ASSERT_EQ(state.keys.size(), 1U);
        EXPECT_EQ(state.keys[0].ckn, ckn_a);
        EXPECT_EQ(state.keys[0].slot, "0");
        EXPECT_TRUE(state.keys[0].cak.same_as(j.key_a));
        ASSERT_TRUE(state.keys[0].start);
        EXPECT_LT(*state.keys[0].start, before);
        EXPECT_GE(*state.keys[0].start, before - 3600s);
        EXPECT_FALSE(state.pending);
        EXPECT_NE(std::find(state.recent_comments.begin(), state.recent_comments.end(), "rotation 1"),
                  state.recent_comments.end());
        ASSERT_EQ(state.mka.size(), 1U);
        EXPECT_EQ(state.mka[0].state, MkaState::down);  // no wire, no peer
        // The simulator's own view holds the key itself.
        EXPECT_NE(j.device.show().find(std::string(reinterpret_cast<const char*>("5a5a5a5a"))), std::string::npos);
        // Nothing is left to do.
        auto again = j.initial->difference(j.context, *session, j.target);
        ASSERT_TRUE(again);
        EXPECT_TRUE((*again)->empty());
    }
}

TEST(Sim, PreviewShowsMaskedLinesAndNothingWhenNothingChanges) {
    Junos j;
    auto session = j.open();
    auto edits = j.initial->difference(j.context, *session, j.target);
    ASSERT_TRUE(edits);
    MemberChange change;
    change.initial = edits->get();
    change.use_chain = true;
    change.add_to_chain = {{"", nullptr, std::nullopt}};
    auto lines = j.commit->preview(j.context, *session, j.target, change);
    ASSERT_TRUE(lines) << lines.error().what;
    const std::vector<std::string> expected{
        "set security macsec connectivity-association CA_basic cipher-suite gcm-aes-xpn-256",
        "set security macsec connectivity-association CA_basic security-mode static-cak",
        "set security macsec interfaces et-0/0/9 apply-macro qkd kme-ca true",
        "set security macsec interfaces et-0/0/9 apply-macro qkd kme-keyid-check true",
        "set security macsec interfaces et-0/0/9 apply-macro qkd kme-method get",
        "set security macsec interfaces et-0/0/9 apply-macro qkd kme-port 443",
        "set security macsec interfaces et-0/0/9 apply-macro qkd kme-host kme.example",
        "set security macsec interfaces et-0/0/9 apply-macro qkd written-by-qkd-macsec \"kme-ca=true "
        "kme-keyid-check=true kme-method=get kme-port=443\"",
        "set security macsec interfaces et-0/0/9 connectivity-association CA_basic",
        "set system static-host-mapping kme.example inet 192.0.2.1",
        "set security authentication-key-chains key-chain QKD_CA_basic key 0 key-name <ckn-of-new-key>",
        "set security authentication-key-chains key-chain QKD_CA_basic key 0 secret /* SECRET-DATA */",
        "set security authentication-key-chains key-chain QKD_CA_basic key 0 start-time <start-time>",
        "set security macsec connectivity-association CA_basic pre-shared-key-chain QKD_CA_basic"};
    EXPECT_EQ(*lines, expected);
    EXPECT_EQ(j.read(*session).recent_comments.size(), j.read(*session).recent_comments.size());
    EXPECT_FALSE(j.read(*session).association_exists) << "a preview changes nothing";

    j.bring_up(*session);
    MemberChange same;
    same.use_chain = true;
    auto start = j.read(*session).keys.at(0).start;
    same.add_to_chain = {{ckn_a, &j.key_a, start}};
    lines = j.commit->preview(j.context, *session, j.target, same);
    ASSERT_TRUE(lines);
    EXPECT_TRUE(lines->empty()) << lines->front();
}

TEST(Sim, WritesNamesAndEventsOnceAndKnowsThemAgain) {
    Junos j(in_zone("America/Los_Angeles"),
            Junos::with(with_events, {{"host_mappings", "kme-1=192.0.2.7\npeer.example=2001:db8::7"}}));
    auto session = j.open();
    j.bring_up(*session);
    const auto shown = j.device.show();
    for (const char* wanted : {"<name>kme-1</name><inet>192.0.2.7</inet>", "<inet6>2001:db8::7</inet6>",
                               "<time-interval>600</time-interval>", "<event-script><name>qkd-macsec.py</name>"}) {
        std::string flat;
        for (const char c : shown) {
            if (c != '\n' && c != ' ') flat += c;
        }
        EXPECT_NE(flat.find(wanted), std::string::npos) << wanted << "\n" << shown;
    }
    auto again = j.initial->difference(j.context, *session, j.target);
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_TRUE((*again)->empty());
}

TEST(Sim, RevertBringsTheOldConfigurationBack) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    j.commit_confirmed(*session, j.second_key(*session), "rotation 2");
    auto state = j.read(*session);
    ASSERT_TRUE(state.pending);
    EXPECT_EQ(state.pending->comment, "rotation 2");
    EXPECT_EQ(state.keys.size(), 2U);
    Junos::expect(j.commit->revert(j.context, *session, "rotation 2"));
    state = j.read(*session);
    EXPECT_FALSE(state.pending);
    ASSERT_EQ(state.keys.size(), 1U);
    EXPECT_EQ(state.keys[0].ckn, ckn_a);
    // Once more, and of a commit that never was: success, nothing changes.
    const auto comments = j.read(*session).recent_comments;
    Junos::expect(j.commit->revert(j.context, *session, "rotation 2"));
    Junos::expect(j.commit->revert(j.context, *session, "never made"));
    EXPECT_EQ(j.read(*session).recent_comments, comments);
    // Not even from another session.
    auto other = j.open();
    Junos::expect(j.commit->revert(j.context, *other, "rotation 2"));
}

TEST(Sim, RevertFromAnotherSessionAfterTheFirstWasLost) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    j.commit_confirmed(*session, j.second_key(*session), "rotation 2");
    session.reset();
    auto other = j.open();
    // The device may need a moment until it has noticed that the first session is gone.
    j.when_free([&] { return j.commit->revert(j.context, *other, "rotation 2"); });
    EXPECT_EQ(j.read(*other).keys.size(), 1U);
}

TEST(Sim, AConfirmedCommitCanBeRevertedWhileNobodyCommittedSince) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    j.commit_confirmed(*session, j.second_key(*session), "rotation 2");
    Junos::expect(j.commit->confirm(j.context, *session, "rotation 2"));
    Junos::expect(j.commit->confirm(j.context, *session, "rotation 2"));  // a lost answer, asked again
    Junos::expect(j.commit->revert(j.context, *session, "rotation 2"));
    EXPECT_EQ(j.read(*session).keys.size(), 1U);
}

TEST(Sim, AnExpiredCommitIsNotConfirmedAndNeedsNoRevert) {
    Junos j(lab_options());
    auto session = j.open();
    j.bring_up(*session);
    j.stage(*session, j.second_key(*session));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{1}, "rotation 2"));
    j.device.advance(61s);
    auto confirmed = j.commit->confirm(j.context, *session, "rotation 2");
    ASSERT_FALSE(confirmed);
    EXPECT_EQ(confirmed.error().code, ErrorCode::conflict);
    auto state = j.read(*session);
    EXPECT_FALSE(state.pending);
    EXPECT_EQ(state.keys.size(), 1U);
    const auto comments = state.recent_comments;
    Junos::expect(j.commit->revert(j.context, *session, "rotation 2"));
    state = j.read(*session);
    EXPECT_EQ(state.recent_comments, comments) << "a revert that has nothing to do commits nothing";
    EXPECT_EQ(state.keys.size(), 1U);
}

TEST(Sim, ARefusedConfirmKeepsNoLock) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    auto refused = j.commit->confirm(j.context, *session, "never made");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    auto other = j.open();
    j.stage(*other, j.second_key(*other));
}

TEST(Sim, DiscardAndFailureLeaveNothingBehind) {
    Junos j;
    auto session = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*session)}};
    j.stage(*session, change);
    Junos::expect(j.commit->discard(j.context, *session));
    Junos::expect(j.commit->discard(j.context, *session));
    auto committed = j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{1}, "x");
    ASSERT_FALSE(committed);
    EXPECT_EQ(committed.error().code, ErrorCode::conflict);

    // The association without a key: refused by the commit check.
    auto edits = j.initial->difference(j.context, *session, j.target);
    ASSERT_TRUE(edits);
    MemberChange keyless;
    keyless.initial = edits->get();
    auto refused = j.commit->stage(j.context, *session, j.target, keyless);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::rejected);
    EXPECT_NE(refused.error().what.find("required"), std::string::npos) << refused.error().what;
    // The lock is free and the candidate clean: another session may work.
    auto other = j.open();
    j.bring_up(*other);
}

TEST(Sim, WithdrawDeletesExactlyOneKey) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    j.commit_confirmed(*session, j.second_key(*session), "rotation 2");
    j.settle(*session, "rotation 2");
    Junos::expect(j.commit->withdraw(j.context, *session, j.target, ckn_b, "withdraw 2"));
    auto state = j.read(*session);
    ASSERT_EQ(state.keys.size(), 1U);
    EXPECT_EQ(state.keys[0].ckn, ckn_a);
    EXPECT_EQ(state.recent_comments.front(), "withdraw 2");
    Junos::expect(j.commit->withdraw(j.context, *session, j.target, ckn_b, "withdraw again"));
    EXPECT_EQ(j.read(*session).recent_comments.front(), "withdraw 2") << "no commit where there is nothing to do";
}

TEST(Sim, ReplacesAPreSharedKeyAndKeepsTheOldOneAsFallback) {
    Junos j;
    j.target.rollover = Rollover::pre_shared_key;
    auto session = j.open();
    auto edits = j.initial->difference(j.context, *session, j.target);
    ASSERT_TRUE(edits);
    MemberChange first;
    first.initial = edits->get();
    first.pre_shared = NamedKey{ckn_a, &j.key_a, std::nullopt};
    j.commit_confirmed(*session, first, "first");
    j.settle(*session, "first");
    MemberChange second;
    second.pre_shared = NamedKey{ckn_b, &j.key_b, std::nullopt};
    second.fallback = NamedKey{ckn_a, &j.key_a, std::nullopt};
    j.commit_confirmed(*session, second, "second");
    auto state = j.read(*session);
    ASSERT_EQ(state.keys.size(), 2U);
    EXPECT_EQ(state.keys[0].place, KeyPlace::pre_shared);
    EXPECT_EQ(state.keys[0].ckn, ckn_b);
    EXPECT_TRUE(state.keys[0].cak.same_as(j.key_b));
    EXPECT_EQ(state.keys[1].place, KeyPlace::fallback);
    EXPECT_TRUE(state.keys[1].cak.same_as(j.key_a));
    j.settle(*session, "second");

    // From there to the key chain: the pre-shared key goes.
    MemberChange chain;
    chain.use_chain = true;
    chain.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) - 60s}};
    j.commit_confirmed(*session, chain, "third");
    Junos::expect(j.commit->confirm(j.context, *session, "third"));
    state = j.read(*session);
    EXPECT_TRUE(state.uses_chain);
    ASSERT_EQ(state.keys.size(), 2U);
    EXPECT_EQ(state.keys[0].place, KeyPlace::chain);
    EXPECT_EQ(state.keys[1].place, KeyPlace::fallback);
}

TEST(Sim, FromTheChainBackToAPreSharedKeyTheWholeChainGoes) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    MemberChange change;
    change.pre_shared = NamedKey{ckn_b, &j.key_b, std::nullopt};
    change.fallback = NamedKey{ckn_a, &j.key_a, std::nullopt};
    change.remove_from_chain = {ckn_a};
    j.commit_confirmed(*session, change, "back");
    j.settle(*session, "back");
    const auto state = j.read(*session);
    EXPECT_FALSE(state.uses_chain);
    ASSERT_EQ(state.keys.size(), 2U);
    EXPECT_EQ(state.keys[0].place, KeyPlace::pre_shared);
    EXPECT_EQ(state.keys[1].place, KeyPlace::fallback);
    EXPECT_EQ(j.device.show().find("key-chain"), std::string::npos);
}

TEST(Sim, TheLastKeyOfAChainInUseCannotGo) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    auto refused = j.commit->withdraw(j.context, *session, j.target, ckn_a, "withdraw");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::rejected) << refused.error().what;
    EXPECT_EQ(j.read(*session).keys.size(), 1U);
}

TEST(Sim, ALostAnswerToTheCommitIsAnUnknownOutcomeThatTheHistoryResolves) {
    for (const char* action : {"hang", "drop", "garbage", "crash", "reboot"}) {
        SCOPED_TRACE(action);
        Junos j;
        auto session = j.open();
        j.bring_up(*session);
        j.stage(*session, j.second_key(*session));
        j.device.fault(R"({"rpc":"commit-configuration","action":")" + std::string(action) + R"(","phase":"after"})");
        TestContext impatient(3s);  // enough for what comes before the silence
        auto done = j.commit->commit_confirmed(impatient, *session, std::chrono::minutes{5}, "rotation 2");
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, ErrorCode::unknown_outcome);
        j.device.fault("");
        session.reset();
        auto other = j.open();
        auto state = j.read(*other);
        ASSERT_TRUE(state.pending) << "it had happened";
        EXPECT_EQ(state.pending->comment, "rotation 2");
        j.when_free([&] { return j.commit->revert(j.context, *other, "rotation 2"); });
        EXPECT_EQ(j.read(*other).keys.size(), 1U);
    }
}

TEST(Sim, AnInterruptedStageEndsTheSessionSoThatTheDeviceCleansUp) {
    Junos j;
    auto session = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*session)}};
    j.device.fault(R"({"rpc":"get-configuration","action":"hang"})");
    TestContext impatient(3s);  // enough for what comes before the silence
    auto staged = j.commit->stage(impatient, *session, j.target, change);
    ASSERT_FALSE(staged);
    EXPECT_EQ(staged.error().code, ErrorCode::timeout);
    EXPECT_FALSE(session->alive());
    Junos::expect(j.commit->discard(j.context, *session));
    j.device.fault("");
    auto other = j.open();
    j.when_free([&] { return j.commit->stage(j.context, *other, j.target, change); });
}

TEST(Sim, ErrorsOfTheDeviceNeverShowAKey) {
    Junos j;
    auto session = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*session)}};
    j.device.fault(R"({"rpc":"load-configuration","action":"error","message":"bad value )" +
                   std::string("5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a") + R"(")" + "}");
    auto staged = j.commit->stage(j.context, *session, j.target, change);
    ASSERT_FALSE(staged);
    EXPECT_EQ(staged.error().code, ErrorCode::rejected);
    EXPECT_EQ(staged.error().what.find("5a5a"), std::string::npos) << staged.error().what;
    EXPECT_NE(staged.error().what.find("bad value <64 hex digits>"), std::string::npos) << staged.error().what;
}

}  // namespace
}  // namespace qkd::junos::test
