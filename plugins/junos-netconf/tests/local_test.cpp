// On the router itself: NETCONF through a local command, files of this file system, and a command that misbehaves.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <future>

#include "local_files.hpp"
#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/initial_config.hpp"
#include "qkd/sdk/net/program.hpp"
#include "sim_member.hpp"
#include "sshd.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace qkd::junos::test {
namespace {

using namespace std::chrono_literals;
using net::Program;
using support::PluginObject;
using support::TestContext;

// Generous where a hang would last much longer.
constexpr auto soon = 20s;

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

support::Values running(const std::string& script) {
    return {{"transport", "local"}, {"command", "/bin/sh\n-c\n" + script}};
}

Result<std::unique_ptr<DeviceSession>> open(const support::Values& values, Context& context) {
    PluginObject<Connector> connector(qkd_plugin, values);
    return connector->open(context);
}

Error refusal(const support::Values& values, std::chrono::milliseconds budget = 30s) {
    TestContext context{budget};
    auto session = open(values, context);
    return session ? Error{ErrorCode::internal, Retry::never, "it opened", ""} : session.error();
}

SshdOptions no_ssh() {
    SshdOptions options;
    options.ssh = false;
    return options;
}

void expect(const Result<void>& result) {
    EXPECT_TRUE(result) << result.error().what << " / " << result.error().hint;
}

// The whole life of a key, as over SSH.
TEST(Local, FirstKeyNextKeyRevertAndWithdrawThroughALocalCommand) {
    SimulatedDevice device(no_ssh());
    const auto values = device.local_values();
    PluginObject<Connector> connector(qkd_plugin, values);
    PluginObject<InitialConfig> initial(qkd_plugin, values);
    PluginObject<Commit> commit(qkd_plugin, values);
    TestContext context{60s};
    const auto descriptors = open_descriptors();
    expect(connector->probe(context));
    auto opened = connector->open(context);
    ASSERT_TRUE(opened) << opened.error().what;
    auto& session = **opened;
    EXPECT_EQ(session.facts().model, "mx304");
    EXPECT_FALSE(session.id().empty());
    auto clock = session.clock()->read(context);
    ASSERT_TRUE(clock) << clock.error().what;
    EXPECT_LT(std::chrono::abs(clock->now - std::chrono::system_clock::now()), 60s);
    auto described = session.lldp()->description(context, "et-0/0/9");
    EXPECT_TRUE(described) << described.error().what;

    const MemberTarget target = member();
    const std::string first = std::string(62, 'a') + "01";
    const std::string second = std::string(62, 'b') + "02";
    SecretBytes cak = SecretBytes::zeros(32);
    cak.writable()[0] = 0x5a;
    const auto now = std::chrono::floor<std::chrono::seconds>(clock->now);
    auto edits = initial->difference(context, session, target);
    ASSERT_TRUE(edits) << edits.error().what;
    MemberChange bring_up;
    bring_up.initial = edits->get();
    bring_up.use_chain = true;
    bring_up.add_to_chain = {{first, &cak, now - 3600s}};
    expect(commit->stage(context, session, target, bring_up));
    expect(commit->commit_confirmed(context, session, 5min, "rotation 1"));
    expect(commit->confirm(context, session, "rotation 1"));
    expect(commit->release(context, session));

    for (const bool keep : {false, true}) {
        MemberChange next;
        next.add_to_chain = {{second, &cak, now + 3600s}};
        expect(commit->stage(context, session, target, next));
        const std::string comment = keep ? "rotation 3" : "rotation 2";
        expect(commit->commit_confirmed(context, session, 5min, comment));
        expect(keep ? commit->confirm(context, session, comment) : commit->revert(context, session, comment));
        expect(commit->release(context, session));
        auto state = commit->read(context, session, target);
        ASSERT_TRUE(state) << state.error().what;
        EXPECT_EQ(state->keys.size(), keep ? 2U : 1U);
        EXPECT_FALSE(state->pending);
    }
    expect(commit->withdraw(context, session, target, second, "withdraw"));
    auto state = commit->read(context, session, target);
    ASSERT_TRUE(state) << state.error().what;
    ASSERT_EQ(state->keys.size(), 1U);
    EXPECT_EQ(state->keys[0].ckn, first);

    expect(session.close(context));
    EXPECT_FALSE(session.alive());
    EXPECT_EQ(session.files(), nullptr);
    EXPECT_FALSE(has_children());
    EXPECT_EQ(open_descriptors(), descriptors);
}

// A session that goes without close-session ends its process and with it its lock.
TEST(Local, ALostSessionGivesItsLockBack) {
    SimulatedDevice device(no_ssh());
    const auto values = device.local_values();
    PluginObject<Commit> commit(qkd_plugin, values);
    TestContext context{60s};
    SecretBytes cak = SecretBytes::zeros(32);
    for (int round = 0; round < 2; ++round) {
        auto session = open(values, context);
        ASSERT_TRUE(session) << session.error().what;
        MemberChange change;
        change.add_to_chain = {{std::string(62, 'a') + "01", &cak, UtcSeconds(1700000000s)}};
        expect(commit->stage(context, **session, member(), change));
    }
    EXPECT_FALSE(has_children());
}

TEST(Local, FilesAreThoseOfTheRouterWithExactlyTheModeAskedFor) {
    SimulatedDevice device(no_ssh());
    TestContext context{60s};
    auto session = open(device.local_values(), context);
    ASSERT_TRUE(session) << session.error().what;
    FileAccess& files = *(*session)->files();
    const auto place = device.state() / "fs/var/tmp/qkd-macsec";
    expect(files.make_directory(context, "/var/tmp/qkd-macsec", 0700));
    expect(files.make_directory(context, "/var/tmp/qkd-macsec", 0700));
    const std::string path = "/var/tmp/qkd-macsec/a.notice";
    const auto old_mask = ::umask(0);
    expect(files.put(context, path, SecretBytes(std::string_view("one")), 0600));
    ::umask(0777);
    expect(files.put(context, path, SecretBytes(std::string_view("another")), 0640));
    ::umask(old_mask);
    struct stat info {};
    ASSERT_EQ(::stat((place / "a.notice").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0640U);
    auto content = files.get(context, path);
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), "another");
    auto names = files.list(context, "/var/tmp/qkd-macsec");
    ASSERT_TRUE(names);
    EXPECT_EQ(*names, std::vector<std::string>{"a.notice"}) << "nothing temporary is left";
    expect(files.remove(context, path));
    expect(files.remove(context, path));
    auto absent = files.get(context, path);
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, ErrorCode::not_found);
    names = files.list(context, "/var/tmp/nowhere");
    ASSERT_TRUE(names);
    EXPECT_TRUE(names->empty());
    auto nowhere = files.put(context, "/var/nowhere/a", SecretBytes(std::string_view("x")), 0600);
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().code, ErrorCode::not_found);
    EXPECT_NE(nowhere.error().what.find("/var/nowhere/a"), std::string::npos);
    expect((*session)->close(context));
}

TEST(Local, FilesRefuseWhatNobodyWouldSend) {
    const support::TempDir temp;
    std::filesystem::create_directories(temp.path() / "home/qkd");
    std::filesystem::create_directories(temp.path() / "tmp");
    LocalFiles files(temp.path(), "/home/qkd");
    TestContext context;
    ASSERT_EQ(::mkfifo((temp.path() / "tmp/pipe").c_str(), 0600), 0);
    support::write_file(temp.path() / "tmp/large", std::string((1U << 20U) + 1, 'x'));
    for (const char* path : {"/tmp/pipe", "/tmp/large", "/tmp"}) {
        auto content = files.get(context, path);
        ASSERT_FALSE(content) << path;
        EXPECT_EQ(content.error().code, ErrorCode::rejected) << content.error().what;
    }
    auto odd = files.get(context, "two\nlines");
    ASSERT_FALSE(odd);
    EXPECT_EQ(odd.error().code, ErrorCode::config);
    auto taken = files.make_directory(context, "/tmp/large", 0700);
    EXPECT_FALSE(taken);
    namespace fs = std::filesystem;
    fs::permissions(temp.path() / "tmp", fs::perms::all);
    EXPECT_EQ(files.make_directory(context, "/tmp", 0700).error().code, ErrorCode::auth) << "anybody's";
    fs::permissions(temp.path() / "tmp", fs::perms::all | fs::perms::sticky_bit);
    EXPECT_TRUE(files.make_directory(context, "/tmp", 0700));
    // Relative paths count from the home directory, and a link is replaced, not followed.
    std::filesystem::create_symlink(temp.path() / "tmp/large", temp.path() / "home/qkd/link");
    expect(files.put(context, "link", SecretBytes(std::string_view("mine")), 0600));
    EXPECT_FALSE(std::filesystem::is_symlink(temp.path() / "home/qkd/link"));
    EXPECT_EQ(support::read_file(temp.path() / "home/qkd/link"), "mine");
    context.request_stop();
    auto stopped = files.put(context, "/tmp/late", SecretBytes(std::string_view("x")), 0600);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
    EXPECT_FALSE(std::filesystem::exists(temp.path() / "tmp/late"));
}

TEST(Local, ACommandThatIsNotThereIsAFaultOfTheFile) {
    for (const char* command : {"/nowhere/netconf", "no-such-netconf-here", "/etc/passwd"}) {
        const Error error = refusal({{"transport", "local"}, {"command", command}});
        EXPECT_EQ(error.code, ErrorCode::config) << error.what;
        EXPECT_EQ(error.retry, Retry::never);
        EXPECT_NE(error.what.find(command), std::string::npos) << error.what;
    }
    EXPECT_FALSE(has_children());
}

TEST(Local, ACommandThatEndsAtOnceIsQuoted) {
    Error error = refusal(running("echo 'connection limit reached' >&2; exit 7"));
    EXPECT_EQ(error.code, ErrorCode::unreachable) << error.what;
    EXPECT_NE(error.what.find("ended with exit code 7: connection limit reached"), std::string::npos) << error.what;
    error = refusal(running("kill -9 $$"));
    EXPECT_EQ(error.code, ErrorCode::unreachable);
    EXPECT_NE(error.what.find("ended by signal 9"), std::string::npos) << error.what;
    error = refusal(running("head -c 1 >/dev/null"));
    EXPECT_EQ(error.code, ErrorCode::unreachable);
    EXPECT_NE(error.what.find("closed the session"), std::string::npos) << error.what;
    // What could be a key is blanked there as everywhere.
    error = refusal(running("echo cak 000102030405060708090a0b0c0d0e0f1011121314151617 >&2; exit 1"));
    EXPECT_EQ(error.what.find("0001020304"), std::string::npos) << error.what;
    EXPECT_NE(error.what.find("hex digits"), std::string::npos) << error.what;
    EXPECT_FALSE(has_children());
}

TEST(Local, GarbageInsteadOfAHelloIsQuotedAndEndsWithTheDeadline) {
    Error error = refusal(running("echo 'user@mx1> '; read line"), 500ms);
    EXPECT_EQ(error.code, ErrorCode::timeout) << error.what;
    EXPECT_NE(error.what.find("it said: user@mx1>"), std::string::npos) << error.what;
    error = refusal(running("echo 'netconf: not licensed'"));
    EXPECT_EQ(error.code, ErrorCode::unreachable) << error.what;
    EXPECT_NE(error.what.find("it said: netconf: not licensed"), std::string::npos) << error.what;
    error = refusal(running("printf '<html>]]>]]>'; read line"));
    EXPECT_EQ(error.code, ErrorCode::protocol) << error.what;
    // Without an end, and far more than any reply.
    error = refusal(running("exec cat /dev/zero"), 60s);
    EXPECT_EQ(error.code, ErrorCode::protocol) << error.what;
    EXPECT_FALSE(has_children());
}

TEST(Local, ACommandThatHangsEndsWithTheDeadlineOrTheStop) {
    const auto begin = std::chrono::steady_clock::now();
    Error error = refusal(running("exec sleep 1000"), 200ms);
    EXPECT_EQ(error.code, ErrorCode::timeout) << error.what;
    TestContext context{600s};
    auto waiting = std::async(std::launch::async, [&] { return open(running("exec sleep 1000"), context); });
    context.request_stop();
    auto session = waiting.get();
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::cancelled) << session.error().what;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, soon);
    EXPECT_FALSE(has_children());
}

TEST(Local, ADeadlineInTheMidstOfACallLeavesTheSessionInStep) {
    SimulatedDevice device(no_ssh());
    TestContext context{60s};
    auto session = open(device.local_values(), context);
    ASSERT_TRUE(session) << session.error().what;
    device.fault(R"({"rpc":"get-system-uptime-information","action":"delay","ms":400})");
    TestContext hurried{50ms};
    auto clock = (*session)->clock()->read(hurried);
    ASSERT_FALSE(clock);
    EXPECT_EQ(clock.error().code, ErrorCode::timeout) << clock.error().what;
    EXPECT_TRUE((*session)->alive());
    device.fault("");
    clock = (*session)->clock()->read(context);
    EXPECT_TRUE(clock) << clock.error().what;
}

// One that ignores the end of its input and SIGTERM, with a child of its own, is gone when close() returns.
TEST(Local, AStubbornCommandIsKilledWithItsGroup) {
    TestContext context{60s};
    const auto descriptors = open_descriptors();
    auto program = Program::start({"/bin/sh", "-c", "trap '' TERM; sleep 1000 & echo $$ $!; while :; do wait; done"});
    ASSERT_TRUE(program) << program.error().what;
    std::string said;
    std::array<std::uint8_t, 64> chunk{};
    while (said.find('\n') == std::string::npos) {
        auto count = (*program)->read(context, chunk);
        ASSERT_TRUE(count) << count.error().what;
        said.append(reinterpret_cast<const char*>(chunk.data()), *count);
    }
    const auto leader = static_cast<pid_t>(std::stol(said));
    ASSERT_EQ(::kill(-leader, 0), 0);
    const auto begin = std::chrono::steady_clock::now();
    (*program)->close();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, soon);
    EXPECT_FALSE((*program)->alive());
    EXPECT_FALSE(has_children());
    // Its child has no parent any more: who collects it is not for us to say, but it got the same signal.
    EXPECT_EQ(::kill(leader, 0), -1);
    (*program)->close();
    program->reset();
    EXPECT_EQ(open_descriptors(), descriptors);
}

TEST(Local, AChattyCommandIsNotHeldUpAndItsLastWordsAreKept) {
    TestContext context{60s};
    auto program = Program::start(
        {"/bin/sh", "-c",
         "i=0; while [ $i -lt 4000 ]; do echo 'noise, noise, noise, noise, noise' >&2; i=$((i+1)); done; "
         "echo done; read line; echo 'the reason' >&2; exit 3"});
    ASSERT_TRUE(program) << program.error().what;
    std::array<std::uint8_t, 64> chunk{};
    auto count = (*program)->read(context, chunk);
    ASSERT_TRUE(count) << count.error().what;
    EXPECT_EQ(*count, 5U);
    const std::string_view line = "go\n";
    expect((*program)->write(context, {reinterpret_cast<const std::uint8_t*>(line.data()), line.size()}));
    count = (*program)->read(context, chunk);
    ASSERT_FALSE(count);
    EXPECT_NE(count.error().what.find("exit code 3"), std::string::npos) << count.error().what;
    EXPECT_TRUE(count.error().what.ends_with("the reason")) << count.error().what;
    EXPECT_LT(count.error().what.size(), 500U);
    EXPECT_FALSE((*program)->alive());
}

TEST(Local, TheCommandInheritsNoDescriptors) {
    // One without FD_CLOEXEC, and high enough that no program opens it by itself.
    const int leaky = ::fcntl(STDERR_FILENO, F_DUPFD, 200);
    ASSERT_GE(leaky, 200);
    const Error error = refusal(running("ls /proc/$$/fd >&2; exit 1"));
    ::close(leaky);
    EXPECT_NE(error.what.find(": 0 1 "), std::string::npos) << error.what;
    EXPECT_EQ(error.what.find(std::to_string(leaky)), std::string::npos) << error.what;
}

TEST(Local, EachTransportAsksForWhatItNeedsAndRefusesWhatMeansNothing) {
    const auto configured = [](const support::Values& values) -> std::string {
        try {
            PluginObject<Connector> connector(qkd_plugin, values);
            PluginObject<Commit> commit(qkd_plugin, values);
            PluginObject<InitialConfig> initial(qkd_plugin, values);
        } catch (const std::runtime_error& error) {
            return error.what();
        }
        return "";
    };
    const support::Values ssh{
        {"host", "192.0.2.1"}, {"user", "lab"}, {"password", "text:x"}, {"host_key", "SHA256:AAAA"}};
    EXPECT_EQ(configured({{"transport", "local"}}), "");
    EXPECT_EQ(configured({{"transport", "local"}, {"command", "netconf"}, {"files_root", "/host"}}), "");
    // The same inventory may serve elsewhere, over SSH.
    auto both = ssh;
    both["transport"] = "local";
    EXPECT_EQ(configured(both), "");
    EXPECT_EQ(configured(ssh), "");
    for (const char* needed : {"host", "user"}) {
        auto without = ssh;
        without.erase(needed);
        EXPECT_NE(configured(without).find(std::string(needed) + " is missing"), std::string::npos);
    }
    for (const char* local : {"command", "files_root"}) {
        auto with = ssh;
        with[local] = "/x";
        EXPECT_NE(configured(with).find(std::string(local) + " has no meaning"), std::string::npos);
    }
    EXPECT_NE(configured({{"transport", "local"}, {"command", ""}}).find("command is empty"), std::string::npos);
    EXPECT_NE(configured({{"transport", "local"}, {"files_root", "fs"}}).find("absolute"), std::string::npos);
    EXPECT_NE(configured({{"transport", "local"}, {"event_script", "qkd.slax"}}).find("event_user"), std::string::npos);
}

}  // namespace
}  // namespace qkd::junos::test
