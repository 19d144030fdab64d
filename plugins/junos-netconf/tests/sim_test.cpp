// Whole conversations with a simulated device behind a real sshd: what the engine will do, step by step.
#include <gtest/gtest.h>

#include <algorithm>

#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/initial_config.hpp"
#include "session.hpp"
#include "sshd.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin_v1;

namespace qkd::junos::test {
namespace {

using namespace std::chrono_literals;
using support::PluginObject;
using support::TestContext;

const std::string ckn_a = std::string(62, 'a') + "01";
const std::string ckn_b = std::string(62, 'b') + "02";

SecretBytes key_of(std::uint8_t octet) {
    SecretBytes key = SecretBytes::zeros(32);
    for (auto& byte : key.writable()) byte = octet;
    return key;
}

MemberTarget member() {
    MemberTarget target;
    target.link = "a--b";
    target.device = "mx1";
    target.connectivity_association = "CA_basic";
    target.key_chain = "QKD_CA_basic";
    target.interfaces = {"et-0/0/9"};
    target.kme = {"kme.example", 443, "192.0.2.1"};
    return target;
}

SshdOptions lab_options() {
    SshdOptions options;
    options.lab = true;
    return options;
}

SshdOptions without_sftp() {
    SshdOptions options;
    options.sftp = false;
    return options;
}

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

// A member of a link on one simulated device, with all three stages.
class Junos {
  public:
    explicit Junos(const SshdOptions& options = {}, const support::Values& more = {})
        : device(options),
          connector(qkd_plugin_v1, StageKind::connect, device.values()),
          initial(qkd_plugin_v1, StageKind::initial_config, with(device.values(), more)),
          commit(qkd_plugin_v1, StageKind::commit, device.values()) {}
    static support::Values with(support::Values values, const support::Values& more) {
        for (const auto& [key, value] : more) values[key] = value;
        return values;
    }

    std::unique_ptr<DeviceSession> open() {
        auto session = connector->open(context);
        if (!session) throw std::runtime_error(session.error().what + " / " + session.error().hint);
        return std::move(*session);
    }
    UtcSeconds now(DeviceSession& session) {
        auto reading = session.clock()->read(context);
        if (!reading) throw std::runtime_error(reading.error().what);
        return std::chrono::floor<std::chrono::seconds>(reading->now);
    }
    MemberState read(DeviceSession& session) {
        auto state = commit->read(context, session, target);
        if (!state) throw std::runtime_error(state.error().what);
        return std::move(*state);
    }
    /// Stages and commits the first key and everything around it.
    void bring_up(DeviceSession& session) {
        auto edits = initial->difference(context, session, target);
        ASSERT_TRUE(edits) << edits.error().what;
        MemberChange change;
        change.initial = edits->get();
        change.use_chain = true;
        change.add_to_chain = {{ckn_a, &key_a, now(session) - 3600s}};
        expect(commit->stage(context, session, target, change));
        expect(commit->commit_confirmed(context, session, std::chrono::minutes{5}, "rotation 1"));
        expect(commit->confirm(context, session, "rotation 1"));
        expect(commit->release(context, session));
    }
    static void expect(const Result<void>& result) {
        EXPECT_TRUE(result) << result.error().what << " / " << result.error().hint;
    }

    TestContext context{30s};
    SimulatedDevice device;
    PluginObject<Connector> connector;
    PluginObject<InitialConfig> initial;
    PluginObject<Commit> commit;
    MemberTarget target = member();
    SecretBytes key_a = key_of(0x5a);
    SecretBytes key_b = key_of(0xc3);
};

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

TEST(Sim, RevertBringsTheOldConfigurationBack) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "rotation 2"));
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
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "rotation 2"));
    session.reset();
    auto other = j.open();
    // The device may need a moment until it has noticed that the first session is gone.
    Result<void> done = j.commit->revert(j.context, *other, "rotation 2");
    while (!done && done.error().code == ErrorCode::busy && j.context.remaining().count() > 0)
        done = j.commit->revert(j.context, *other, "rotation 2");
    Junos::expect(done);
    EXPECT_EQ(j.read(*other).keys.size(), 1U);
}

TEST(Sim, AConfirmedCommitCanBeRevertedWhileNobodyCommittedSince) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "rotation 2"));
    Junos::expect(j.commit->confirm(j.context, *session, "rotation 2"));
    Junos::expect(j.commit->confirm(j.context, *session, "rotation 2"));  // a lost answer, asked again
    Junos::expect(j.commit->revert(j.context, *session, "rotation 2"));
    EXPECT_EQ(j.read(*session).keys.size(), 1U);
}

TEST(Sim, DiscardAndFailureLeaveNothingBehind) {
    Junos j;
    auto session = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*session)}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
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

TEST(Sim, NamesWhoHoldsTheLockAndWhoseCommitIsPending) {
    Junos j;
    auto first = j.open();
    j.bring_up(*first);
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*first) + 600s}};
    Junos::expect(j.commit->stage(j.context, *first, j.target, change));
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
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
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
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
}

TEST(Sim, EndsItsOwnDeadSessionAndNoOther) {
    Junos j;
    auto dead = j.open();
    j.bring_up(*dead);
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*dead) + 600s}};
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

    Junos::expect(j.commit->stage(j.context, *dead, j.target, change));
    auto values = j.device.values();
    values["user"] = "somebody";
    PluginObject<Commit> other_user(qkd_plugin_v1, StageKind::commit, values);
    for (const std::string& id : {session->id(), std::string(), dead->id() + "0", std::string("1")})
        EXPECT_FALSE(breaks(j.commit, id)) << id;
    EXPECT_FALSE(breaks(other_user, dead->id())) << "the same session, but another user's";
    EXPECT_TRUE(locked()) << "nothing was touched";

    EXPECT_TRUE(breaks(j.commit, dead->id()));
    // At once and clean: what the dead session had staged is gone.
    MemberChange again;
    again.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 900s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, again));
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
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*dead) + 600s}};
    Junos::expect(j.commit->stage(j.context, *dead, j.target, change));
    Junos::expect(j.commit->commit_confirmed(j.context, *dead, std::chrono::minutes{5}, "rotation 2"));
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
    Junos::expect(j.commit->stage(j.context, *dead, j.target, change));
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
    TestContext impatient(800ms);
    broke = j.commit->break_lock(impatient, *session, stubborn->id());
    ASSERT_FALSE(broke);
    EXPECT_EQ(broke.error().code, ErrorCode::timeout) << broke.error().what;
    EXPECT_EQ(broke.error().retry, Retry::safe);
    EXPECT_TRUE(session->alive());
}

TEST(Sim, ARefusedConfirmKeepsNoLock) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    auto refused = j.commit->confirm(j.context, *session, "never made");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    auto other = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*other) + 600s}};
    Junos::expect(j.commit->stage(j.context, *other, j.target, change));
}

TEST(Sim, WithdrawDeletesExactlyOneKey) {
    Junos j;
    auto session = j.open();
    j.bring_up(*session);
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "rotation 2"));
    Junos::expect(j.commit->confirm(j.context, *session, "rotation 2"));
    Junos::expect(j.commit->release(j.context, *session));
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
    Junos::expect(j.commit->stage(j.context, *session, j.target, first));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "first"));
    Junos::expect(j.commit->confirm(j.context, *session, "first"));
    Junos::expect(j.commit->release(j.context, *session));
    MemberChange second;
    second.pre_shared = NamedKey{ckn_b, &j.key_b, std::nullopt};
    second.fallback = NamedKey{ckn_a, &j.key_a, std::nullopt};
    Junos::expect(j.commit->stage(j.context, *session, j.target, second));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "second"));
    auto state = j.read(*session);
    ASSERT_EQ(state.keys.size(), 2U);
    EXPECT_EQ(state.keys[0].place, KeyPlace::pre_shared);
    EXPECT_EQ(state.keys[0].ckn, ckn_b);
    EXPECT_TRUE(state.keys[0].cak.same_as(j.key_b));
    EXPECT_EQ(state.keys[1].place, KeyPlace::fallback);
    EXPECT_TRUE(state.keys[1].cak.same_as(j.key_a));
    Junos::expect(j.commit->confirm(j.context, *session, "second"));
    Junos::expect(j.commit->release(j.context, *session));

    // From there to the key chain: the pre-shared key goes.
    MemberChange chain;
    chain.use_chain = true;
    chain.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) - 60s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, chain));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "third"));
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
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
    Junos::expect(j.commit->commit_confirmed(j.context, *session, std::chrono::minutes{5}, "back"));
    Junos::expect(j.commit->confirm(j.context, *session, "back"));
    Junos::expect(j.commit->release(j.context, *session));
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

TEST(Sim, CarriesFilesAtomically) {
    Junos j;
    auto session = j.open();
    auto* files = session->files();
    ASSERT_NE(files, nullptr);
    const std::string folder = "/var/tmp/qkd";
    Junos::expect(files->make_directory(j.context, folder, 0700));
    Junos::expect(files->make_directory(j.context, folder, 0700));
    Junos::expect(files->put(j.context, folder + "/note", SecretBytes(std::string_view("one")), 0600));
    Junos::expect(files->put(j.context, folder + "/note", SecretBytes(std::string_view("two")), 0600));
    auto content = files->get(j.context, folder + "/note");
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), "two");
    auto names = files->list(j.context, folder);
    ASSERT_TRUE(names);
    EXPECT_EQ(*names, std::vector<std::string>{"note"}) << "no temporary file stays";
    Junos::expect(files->remove(j.context, folder + "/note"));
    Junos::expect(files->remove(j.context, folder + "/note"));
    auto missing = files->get(j.context, folder + "/note");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
    names = files->list(j.context, "/var/tmp/none");
    ASSERT_TRUE(names);
    EXPECT_TRUE(names->empty());
    // The NETCONF session on the same connection is still in step.
    EXPECT_FALSE(j.read(*session).pending);
}

TEST(Sim, SetsAndRestoresADescription) {
    Junos j;
    auto session = j.open();
    auto* lldp = session->lldp();
    ASSERT_NE(lldp, nullptr);
    auto text = lldp->description(j.context, "et-0/0/9");
    ASSERT_TRUE(text) << text.error().what;
    EXPECT_EQ(*text, "");
    Junos::expect(lldp->describe(j.context, "et-0/0/9", "to mx2 | 1234 \"x\""));
    EXPECT_EQ(*lldp->description(j.context, "et-0/0/9"), "to mx2 | 1234 \"x\"");
    Junos::expect(lldp->describe(j.context, "et-0/0/9", ""));
    EXPECT_EQ(*lldp->description(j.context, "et-0/0/9"), "");
    auto neighbour = lldp->neighbour(j.context, "et-0/0/9");
    ASSERT_FALSE(neighbour);
    EXPECT_EQ(neighbour.error().code, ErrorCode::not_found);
}

TEST(Sim, WithoutSftpFilesGoByScpAndAreRenamedByTheDevice) {
    Junos j(without_sftp());
    auto session = j.open();
    auto* files = session->files();
    const std::string note = "/var/tmp/note";
    Junos::expect(files->put(j.context, note, SecretBytes(std::string_view("one")), 0600));
    Junos::expect(files->put(j.context, note, SecretBytes(std::string(70000, 'x')), 0600));
    auto content = files->get(j.context, note);
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), std::string(70000, 'x'));
    auto names = files->list(j.context, "/var/tmp");
    ASSERT_TRUE(names) << names.error().what;
    EXPECT_EQ(*names, std::vector<std::string>{"note"});
    Junos::expect(files->make_directory(j.context, "/var/tmp", 0700));
    auto made = files->make_directory(j.context, "/var/tmp/new", 0700);
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().hint.find("sftp-server"), std::string::npos);
    Junos::expect(files->remove(j.context, note));
    Junos::expect(files->remove(j.context, note));
    auto missing = files->get(j.context, note);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

TEST(Sim, AnExpiredCommitIsNotConfirmedAndNeedsNoRevert) {
    Junos j(lab_options());
    auto session = j.open();
    j.bring_up(*session);
    MemberChange change;
    change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
    Junos::expect(j.commit->stage(j.context, *session, j.target, change));
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

TEST(Sim, ALostAnswerToTheCommitIsAnUnknownOutcomeThatTheHistoryResolves) {
    for (const char* action : {"hang", "drop", "garbage", "crash", "reboot"}) {
        SCOPED_TRACE(action);
        Junos j;
        auto session = j.open();
        j.bring_up(*session);
        MemberChange change;
        change.add_to_chain = {{ckn_b, &j.key_b, j.now(*session) + 600s}};
        Junos::expect(j.commit->stage(j.context, *session, j.target, change));
        j.device.fault(R"({"rpc":"commit-configuration","action":")" + std::string(action) + R"(","phase":"after"})");
        TestContext impatient(1500ms);
        auto done = j.commit->commit_confirmed(impatient, *session, std::chrono::minutes{5}, "rotation 2");
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, ErrorCode::unknown_outcome);
        j.device.fault("");
        session.reset();
        auto other = j.open();
        auto state = j.read(*other);
        ASSERT_TRUE(state.pending) << "it had happened";
        EXPECT_EQ(state.pending->comment, "rotation 2");
        auto undone = j.commit->revert(j.context, *other, "rotation 2");
        while (!undone && undone.error().code == ErrorCode::busy && j.context.remaining().count() > 0)
            undone = j.commit->revert(j.context, *other, "rotation 2");
        Junos::expect(undone);
        EXPECT_EQ(j.read(*other).keys.size(), 1U);
    }
}

TEST(Sim, AnInterruptedStageEndsTheSessionSoThatTheDeviceCleansUp) {
    Junos j;
    auto session = j.open();
    MemberChange change;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(*session)}};
    j.device.fault(R"({"rpc":"get-configuration","action":"hang"})");
    TestContext impatient(1500ms);
    auto staged = j.commit->stage(impatient, *session, j.target, change);
    ASSERT_FALSE(staged);
    EXPECT_EQ(staged.error().code, ErrorCode::timeout);
    EXPECT_FALSE(session->alive());
    Junos::expect(j.commit->discard(j.context, *session));
    j.device.fault("");
    auto other = j.open();
    auto done = j.commit->stage(j.context, *other, j.target, change);
    while (!done && done.error().code == ErrorCode::busy && j.context.remaining().count() > 0)
        done = j.commit->stage(j.context, *other, j.target, change);
    Junos::expect(done);
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

// The login class of the README, and what each part of it is for.
const std::vector<std::string> flags{"configure", "rollback", "secret-control", "view", "view-configuration"};
const std::vector<std::string> expressions{"security macsec .*", "security authentication-key-chains .*",
                                           "system static-host-mapping .*", "event-options .*"};
const support::Values with_events{{"event_script", "qkd-macsec.py"}, {"event_start", "2026-09-01.16:50:00"}};

std::vector<std::string> without(const std::vector<std::string>& all, const std::string& one) {
    std::vector<std::string> rest;
    for (const auto& word : all) {
        if (word != one) rest.push_back(word);
    }
    return rest;
}

/// The first error of a first configuration and its revert; none when all went well.
std::optional<Error> whole_job(Junos& j) {
    auto session = j.connector->open(j.context);
    if (!session) return session.error();
    auto state = j.commit->read(j.context, **session, j.target);
    if (!state) return state.error();
    auto edits = j.initial->difference(j.context, **session, j.target);
    if (!edits) return edits.error();
    MemberChange change;
    change.initial = edits->get();
    change.use_chain = true;
    change.add_to_chain = {{ckn_a, &j.key_a, j.now(**session) - 3600s}};
    if (auto r = j.commit->stage(j.context, **session, j.target, change); !r) return r.error();
    if (auto r = j.commit->commit_confirmed(j.context, **session, std::chrono::minutes{5}, "job"); !r) return r.error();
    state = j.commit->read(j.context, **session, j.target);
    if (!state) return state.error();
    EXPECT_TRUE(state->keys.size() == 1 && state->keys[0].cak.same_as(j.key_a));
    if (auto r = j.commit->revert(j.context, **session, "job"); !r) {
        (void)j.commit->release(j.context, **session);
        return r.error();
    }
    return std::nullopt;
}

TEST(Sim, TheDocumentedLoginClassIsEnoughForTheWholeJob) {
    Junos j({}, with_events);
    j.device.login_class(flags, expressions);
    const auto error = whole_job(j);
    EXPECT_FALSE(error) << error->what << " / " << error->hint;
}

TEST(Sim, EveryPartOfTheLoginClassIsNeededAndNamedWhenItIsMissing) {
    Junos j({}, with_events);
    const auto check = [&](const std::string& missing, const std::string& said) {
        const auto error = whole_job(j);
        ASSERT_TRUE(error) << missing << " is not needed";
        EXPECT_EQ(error->code, ErrorCode::auth) << missing << ": " << error->what;
        EXPECT_NE(error->hint.find(said), std::string::npos) << missing << ": " << error->what << " / " << error->hint;
        EXPECT_EQ((error->what + error->hint).find("5a5a5a"), std::string::npos);
    };
    // rollback comes last: without it the revert is refused, and its commit stays until the timer ends.
    for (const char* flag : {"configure", "secret-control", "view", "view-configuration", "rollback"}) {
        if (flag != std::string("rollback")) {
            j.device.login_class(without(flags, flag), expressions);
            check(flag, flag);
        }
    }
    for (const auto& expression : expressions) {
        j.device.login_class(flags, without(expressions, expression));
        check(expression, "allow-configuration-regexps");
    }
    j.device.login_class(without(flags, "rollback"), expressions);
    check("rollback", "rollback");
}

TEST(Sim, EveryDeniedCallIsAnErrorThatNamesThePermission) {
    Junos j;
    for (const auto& [call, permission] : std::initializer_list<std::pair<const char*, const char*>>{
             {"get-system-uptime-information", "view"},
             {"get-configuration", "view-configuration"},
             {"get-commit-information", "view"},
             {"get-mka-session-information", "view"},
             {"lock-configuration", "configure"},
             {"load-configuration", "allow-configuration-regexps"},
             {"commit-configuration", "configure"}}) {
        j.device.deny(call);
        const auto error = whole_job(j);
        ASSERT_TRUE(error) << call;
        EXPECT_EQ(error->code, ErrorCode::auth) << call << ": " << error->what;
        EXPECT_NE(error->hint.find(permission), std::string::npos) << call << ": " << error->hint;
    }
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

// ---- behind a jump host

TEST(Sim, ADeviceBehindAJumpHostIsReachedByOpenSshWithFilesAndAll) {
    Junos j;
    const SimulatedDevice jump;
    const auto folder = jump.folder() / "ssh";
    auto values = j.device.values();
    const auto by = jump.values();
    values["proxy_command"] = "/usr/bin/ssh\n-F\n/dev/null\n-i\n" + (folder / "client_key").string() +
                              "\n-o\nBatchMode=yes\n-o\nStrictHostKeyChecking=yes\n-o\nUserKnownHostsFile=" +
                              (folder / "known_hosts").string() + "\n-p\n" + by.at("port") +
                              "\n-W\n%h:%p\n%r@127.0.0.1";
    PluginObject<Connector> connector(qkd_plugin_v1, StageKind::connect, values);
    auto session = connector->open(j.context);
    ASSERT_TRUE(session) << session.error().what;
    EXPECT_EQ((*session)->facts().model, "mx304");
    Junos::expect((*session)->files()->put(j.context, "/var/tmp/x", SecretBytes(std::string_view("over two")), 0600));
    auto content = (*session)->files()->get(j.context, "/var/tmp/x");
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), "over two");
    j.bring_up(**session);
    Junos::expect((*session)->close(j.context));
    // The jump host is verified by ssh, the router by us: a key that is not known there is refused here.
    values["known_hosts"] = by.at("known_hosts");
    PluginObject<Connector> misled(qkd_plugin_v1, StageKind::connect, values);
    session = misled->open(j.context);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::auth) << session.error().what;
}

// ---- two routing engines

SshdOptions two_engines() {
    SshdOptions options;
    options.ssh = false;
    options.routing_engines = 2;
    return options;
}

class TwoEngines : public ::testing::Test {
  protected:
    explicit TwoEngines(bool local_allowed = false)
        : device_(two_engines()),
          connector_(qkd_plugin_v1, StageKind::connect, device_.local_values()),
          commit_(qkd_plugin_v1, StageKind::commit, values(local_allowed)) {
        auto opened = connector_->open(context_);
        if (!opened) throw std::runtime_error(opened.error().what);
        session_ = std::move(*opened);
        MemberChange change;
        change.add_to_chain = {{ckn_a, &key_, UtcSeconds(1700000000s)}};
        Junos::expect(commit_->stage(context_, *session_, target_, change));
    }
    support::Values values(bool local_allowed) const {
        auto values = device_.local_values();
        if (local_allowed) values["allow_local_commit"] = "true";
        return values;
    }
    MemberState read() {
        auto state = commit_->read(context_, *session_, target_);
        if (!state) throw std::runtime_error(state.error().what);
        return std::move(*state);
    }
    Result<void> commit() { return commit_->commit_confirmed(context_, *session_, 5min, "rotation 1"); }
    static std::string refusing(const std::string& message, const std::string& more = "") {
        return R"({"rpc":"commit-configuration","when":{"synchronize":true},"action":"error","message":")" + message +
               "\"" + more + "}";
    }

    TestContext context_{60s};
    SimulatedDevice device_;
    PluginObject<Connector> connector_;
    PluginObject<Commit> commit_;
    std::unique_ptr<DeviceSession> session_;
    MemberTarget target_ = member();
    SecretBytes key_ = key_of(0x5a);
};

class TwoEnginesOneMayLag : public TwoEngines {
  protected:
    TwoEnginesOneMayLag() : TwoEngines(true) {}
};

TEST_F(TwoEngines, BothTakeEveryCommit) {
    Junos::expect(commit());
    Junos::expect(commit_->confirm(context_, *session_, "rotation 1"));
    EXPECT_EQ(read().shortcoming, "");
}

TEST_F(TwoEngines, ACommitThatTheOtherEngineRefusesFailsAndChangesNothing) {
    device_.fault(refusing("remote commit-configuration failed on re1"));
    auto done = commit();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::rejected);
    EXPECT_NE(done.error().what.find("other routing engine"), std::string::npos) << done.error().what;
    EXPECT_NE(done.error().what.find("failed on re1"), std::string::npos) << done.error().what;
    EXPECT_NE(done.error().hint.find("allow_local_commit"), std::string::npos);
    Junos::expect(commit_->discard(context_, *session_));
    const auto state = read();
    EXPECT_TRUE(state.keys.empty());
    EXPECT_FALSE(state.pending);
    EXPECT_EQ(state.shortcoming, "");
}

// After each commit the other engine is busy for a moment.
TEST_F(TwoEngines, ALockOfTheOtherEngineIsWaitedFor) {
    device_.fault(refusing("remote lock-configuration failed on re1", R"(,"nth":1)"));
    Junos::expect(commit());
    ASSERT_TRUE(read().pending);
    EXPECT_EQ(read().shortcoming, "");
}

TEST_F(TwoEngines, TheWayBackDoesNotDependOnTheOtherEngine) {
    Junos::expect(commit());
    device_.fault(refusing("Could not open connection to re1 : No route to host"));
    Junos::expect(commit_->revert(context_, *session_, "rotation 1"));
    EXPECT_TRUE(read().keys.empty());
    EXPECT_FALSE(read().pending);
    EXPECT_TRUE(std::any_of(context_.lines().begin(), context_.lines().end(), [](const std::string& line) {
        return line.find("on this routing engine alone") != std::string::npos;
    }));
}

TEST_F(TwoEnginesOneMayLag, WhereThatIsAllowedOneEngineGoesOnAndTheStateSaysSo) {
    device_.fault(refusing("remote commit-configuration failed on re1"));
    Junos::expect(commit());
    ASSERT_TRUE(read().pending);
    EXPECT_EQ(read().pending->comment, "rotation 1");
    EXPECT_NE(read().shortcoming.find("failed on re1"), std::string::npos);
    device_.fault("");
    Junos::expect(commit_->confirm(context_, *session_, "rotation 1"));
    EXPECT_EQ(read().shortcoming, "") << "the confirm took the other engine along";
    EXPECT_EQ(read().keys.size(), 1U);
}

// The refusal came after this engine had committed: the same commit again would make it permanent.
TEST_F(TwoEnginesOneMayLag, ACommitThatWasMadeIsNotMadeTwice) {
    device_.fault(refusing("remote commit-configuration failed on re1", R"(,"phase":"after")"));
    Junos::expect(commit());
    ASSERT_TRUE(read().pending);
    EXPECT_EQ(read().recent_comments.size(), 1U);
    EXPECT_NE(read().shortcoming, "");
}

// A refusal of the change itself is none of the other engine.
TEST_F(TwoEnginesOneMayLag, ARefusalOfTheChangeStaysARefusal) {
    device_.fault(refusing("configuration check-out failed"));
    auto done = commit();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::rejected);
    EXPECT_EQ(read().shortcoming, "");
}

}  // namespace
}  // namespace qkd::junos::test
