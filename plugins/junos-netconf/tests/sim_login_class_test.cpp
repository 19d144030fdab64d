// Least privilege: the login class of the README is enough, and every part of it is needed.
#include <algorithm>

#include "sim_member.hpp"

namespace qkd::junos::test {
namespace {

// The login class of the README, and what each part of it is for.
const std::vector<std::string> flags{"configure", "rollback", "secret-control", "view", "view-configuration"};
const std::vector<std::string> expressions{"security macsec .*", "security authentication-key-chains .*",
                                           "system static-host-mapping .*", "event-options .*"};

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

}  // namespace
}  // namespace qkd::junos::test
