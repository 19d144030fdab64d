// Devices with two routing engines, of which one may refuse or lag behind.
#include <algorithm>

#include "sim_member.hpp"

namespace qkd::junos::test {
namespace {

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
          connector_(qkd_plugin, device_.local_values()),
          commit_(qkd_plugin, values(local_allowed)) {
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
