// The SSH helper and the NETCONF session on it, against a server that does what is asked of it.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>

#include "connector.hpp"
#include "known_hosts.hpp"
#include "netconf_session.hpp"
#include "session.hpp"
#include "ssh_server.hpp"
#include "sshd.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace qkd::junos::test {
namespace {

using namespace std::chrono_literals;
using net::SshSession;
using support::TestContext;

const std::string hello =
    "<hello xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\"><capabilities>"
    "<capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>\n]]>]]>\n";

// Generous where a hang would last thirty times as long.
constexpr auto soon = 10s;

TEST(Ssh, LogsInByPassword) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true});
    TestContext context;
    auto session = SshSession::connect(context, server.target());
    ASSERT_TRUE(session) << session.error().what;
    EXPECT_EQ((*session)->fingerprint(), server.fingerprint());
    auto in = (*session)->login_password(context, "lab", SecretBytes(std::string_view("s3cret-Passw0rd")));
    EXPECT_TRUE(in) << in.error().what;
}

TEST(Ssh, LogsInByKeyboardInteractiveAndAnswersHiddenPromptsOnly) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .interactive = true});
    TestContext context;
    auto session = SshSession::connect(context, server.target());
    ASSERT_TRUE(session) << session.error().what;
    auto in = (*session)->login_password(context, "lab", SecretBytes(std::string_view("s3cret-Passw0rd")));
    EXPECT_TRUE(in) << in.error().what;
}

TEST(Ssh, AWrongPasswordIsAnAuthErrorWithoutThePassword) {
    for (const bool interactive : {false, true}) {
        SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = !interactive, .interactive = interactive});
        TestContext context;
        auto session = SshSession::connect(context, server.target());
        ASSERT_TRUE(session) << session.error().what;
        auto in = (*session)->login_password(context, "lab", SecretBytes(std::string_view("guessed-wrong")));
        ASSERT_FALSE(in);
        EXPECT_EQ(in.error().code, ErrorCode::auth);
        EXPECT_EQ(in.error().what.find("guessed"), std::string::npos);
        EXPECT_NE(in.error().what.find("lab"), std::string::npos);
    }
}

TEST(Ssh, RefusesADeviceThatOffersOnlyRsaHostKeysAndSaysHowToMendIt) {
    SshServer server({.host_keys = {SSH_KEYTYPE_RSA}, .password = true});
    TestContext context;
    auto session = SshSession::connect(context, server.target());
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::auth);
    EXPECT_NE(session.error().what.find("only RSA host keys"), std::string::npos) << session.error().what;
    EXPECT_NE(session.error().what.find("rsa-sha2"), std::string::npos) << session.error().what;
    EXPECT_NE(session.error().hint.find("ed25519"), std::string::npos);
}

TEST(Ssh, FindsThePinnedKeyAmongSeveral) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ECDSA_P256, SSH_KEYTYPE_ED25519}, .password = true});
    for (std::size_t pinned : {0U, 1U}) {
        TestContext context;
        auto target = server.target();
        target.host_key = server.fingerprint(pinned);
        auto session = SshSession::connect(context, target);
        ASSERT_TRUE(session) << session.error().what;
        EXPECT_EQ((*session)->fingerprint(), server.fingerprint(pinned));
    }
}

TEST(Ssh, RefusesAnotherKeyThanThePinnedOne) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519, SSH_KEYTYPE_ECDSA_P256}, .password = true});
    TestContext context;
    auto target = server.target();
    target.host_key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    auto session = SshSession::connect(context, target);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::auth);
}

TEST(Ssh, KnownHostsDecide) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ECDSA_P256, SSH_KEYTYPE_ED25519}, .password = true});
    SshServer stranger({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true});
    const std::string place = "[127.0.0.1]:" + std::to_string(server.port());
    const std::string ed25519 = server.public_key(1);
    support::TempDir temp;
    const auto connect = [&](const std::string& text) {
        TestContext context;
        net::SshTarget target = server.target();
        target.host_key.clear();
        target.known_hosts = temp.path() / "known_hosts";
        support::write_file(target.known_hosts, text);
        return SshSession::connect(context, target);
    };
    auto session = connect(place + " " + ed25519 + "\n");
    EXPECT_TRUE(session) << session.error().what;  // although the server prefers its ecdsa key
    session = connect(place + " " + server.public_key(0) + "\n");
    EXPECT_TRUE(session) << session.error().what;

    session = connect("# nothing\n");
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::auth);
    EXPECT_NE(session.error().what.find(server.fingerprint(1)), std::string::npos) << session.error().what;
    EXPECT_NE(
        session.error().hint.find("ssh-keyscan -p " + std::to_string(server.port()) + " -t ed25519 127.0.0.1 >> "),
        std::string::npos)
        << session.error().hint;

    session = connect(place + " " + stranger.public_key() + "\n");
    ASSERT_FALSE(session);
    EXPECT_NE(session.error().what.find("is not the one"), std::string::npos) << session.error().what;

    session = connect(place + " " + ed25519 + "\n@revoked " + place + " " + ed25519 + "\n");
    ASSERT_FALSE(session);
    EXPECT_NE(session.error().what.find("@revoked"), std::string::npos) << session.error().what;

    session = connect("@cert-authority " + place + " " + stranger.public_key() + "\n");
    ASSERT_FALSE(session);
    EXPECT_NE(session.error().what.find("@cert-authority"), std::string::npos) << session.error().what;

    TestContext context;
    net::SshTarget target = server.target();
    target.host_key.clear();
    target.known_hosts = temp.path() / "absent";
    session = SshSession::connect(context, target);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::config);
}

TEST(Ssh, ARefusedPortIsUnreachable) {
    net::SshTarget target;
    target.host = "127.0.0.1";
    target.port = static_cast<std::uint16_t>(free_port());
    TestContext context;
    auto session = SshSession::connect(context, target);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::unreachable);
    EXPECT_EQ(session.error().retry, Retry::safe);
}

TEST(Ssh, ASilentServerCostsTheDeadlineAndNoMore) {
    // Accepts by the backlog alone and never says a word.
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true, .script = [](Peer& peer) {
                          peer.say(hello);
                          peer.await("never");
                      }});
    TestContext context(300ms);
    net::SshTarget target = server.target();
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::listen(listener, 4), 0);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    target.port = ntohs(address.sin_port);
    const auto begin = std::chrono::steady_clock::now();
    auto session = SshSession::connect(context, target);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, soon);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::timeout);
    ::close(listener);
}

// A client that has got as far as a NETCONF session with a server that runs `script`.
struct Client {
    explicit Client(std::function<void(Peer&)> script)
        : server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true, .script = std::move(script)}) {
        TestContext context;
        auto opened = SshSession::connect(context, server.target());
        if (!opened) throw std::runtime_error(opened.error().what);
        ssh = std::move(*opened);
        auto in = ssh->login_password(context, "lab", SecretBytes(std::string_view("s3cret-Passw0rd")));
        if (!in) throw std::runtime_error(in.error().what);
        auto stream = ssh->subsystem(context, "netconf");
        if (!stream) throw std::runtime_error(stream.error().what);
        auto session = NetconfSession::open(context, std::move(*stream), "device");
        if (!session) throw std::runtime_error(session.error().what);
        netconf = std::move(*session);
    }
    Result<Reply> ask(Context& context) {
        return netconf->call(context, [](pugi::xml_node rpc) { rpc.append_child("get-thing"); });
    }
    SshServer server;
    std::unique_ptr<SshSession> ssh;
    std::unique_ptr<NetconfSession> netconf;
};

std::string reply_to(const std::string& id, const std::string& body) {
    return "<rpc-reply message-id=\"" + id + "\">" + body + "</rpc-reply>\n]]>]]>\n";
}

TEST(Netconf, AReplyThatNeverComesCostsTheDeadlineAndTheSessionStaysInStep) {
    std::promise<void> go;
    Client client([&](Peer& peer) {
        peer.say(hello);
        peer.await("message-id=\"1\"");
        peer.await("]]>]]>");
        go.get_future().wait();
        // The late answer, then the one to the second question.
        peer.say(reply_to("1", "<late/>"));
        peer.say(reply_to("2", "<thing>two</thing>"));
        peer.await("never");
    });
    TestContext impatient(1s);  // enough for the request to go out
    const auto begin = std::chrono::steady_clock::now();
    auto reply = client.ask(impatient);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, soon);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::timeout);
    EXPECT_TRUE(client.netconf->alive());
    go.set_value();
    TestContext context;
    reply = client.ask(context);
    ASSERT_TRUE(reply) << reply.error().what;
    EXPECT_EQ(child_text(reply->root(), "thing"), "two");
}

TEST(Netconf, AnInterruptionEndsTheWait) {
    std::promise<void> asked;
    Client client([&](Peer& peer) {
        peer.say(hello);
        peer.await("get-thing");
        asked.set_value();
        peer.await("never");
    });
    TestContext context(60s);
    auto interrupter = std::async(std::launch::async, [&] {
        asked.get_future().wait();
        context.request_stop();
    });
    const auto begin = std::chrono::steady_clock::now();
    auto reply = client.ask(context);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::cancelled);
    EXPECT_TRUE(client.netconf->alive());
}

TEST(Netconf, AClosedSessionIsUnreachableAndDead) {
    Client client([&](Peer& peer) {
        peer.say(hello);
        peer.await("get-thing");
    });
    TestContext context;
    auto reply = client.ask(context);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::unreachable);
    EXPECT_FALSE(client.netconf->alive());
    reply = client.ask(context);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::unreachable);
}

TEST(Netconf, AReplyThatIsNoXmlIsAProtocolErrorAndTheNextOneIsUnderstood) {
    Client client([&](Peer& peer) {
        peer.say(hello);
        peer.await("]]>]]>");
        peer.await("get-thing");
        // Not closed, as some releases send it.
        peer.say(reply_to("1", "<commit-results><routing-engine><name>re0</name></commit-results><ok/>"));
        peer.await("get-thing");
        peer.say(reply_to("2", "<ok/>"));
        peer.await("never");
    });
    TestContext context;
    auto reply = client.ask(context);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::protocol);
    reply = client.ask(context);
    EXPECT_TRUE(reply) << reply.error().what;
}

TEST(Netconf, ARequestAndItsDelimiterGoOutInOnePiece) {
    std::promise<std::string> seen;
    Client client([&](Peer& peer) {
        peer.say(hello);
        peer.await("]]>]]>");
        seen.set_value(peer.take());
        peer.say(reply_to("1", "<ok/>"));
        peer.await("never");
    });
    TestContext context;
    auto reply = client.ask(context);
    ASSERT_TRUE(reply) << reply.error().what;
    const std::string text = seen.get_future().get();
    EXPECT_TRUE(text.starts_with("<nc:rpc ")) << text;
    EXPECT_TRUE(text.ends_with("</nc:rpc>]]>]]>")) << text;
}

TEST(Connector, RefusesATableThatCannotWork) {
    const support::Values base{{"host", "r1"}, {"port", "830"}, {"user", "lab"}, {"connect_timeout", "1s"}};
    const auto configure = [&](support::Values more) {
        more.insert(base.begin(), base.end());
        const support::MapConfig config(qkd_plugin, Scope::device, more);
        JunosConnector connector;
        return connector.configure(config);
    };
    EXPECT_TRUE(configure({{"ssh_key", "text:x"}, {"known_hosts", "/k"}}));
    EXPECT_TRUE(configure({{"password", "text:x"}, {"host_key", "SHA256:x"}}));
    for (const support::Values& wrong : {support::Values{{"known_hosts", "/k"}}, support::Values{{"ssh_key", "text:x"}},
                                         support::Values{{"ssh_key", "text:x"}, {"host_key", "MD5:00"}}}) {
        const auto done = configure(wrong);
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, ErrorCode::config);
        EXPECT_FALSE(done.error().hint.empty());
    }
}

TEST(Connector, LogsInByPasswordWhereTheKeyIsRefused) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true, .script = [](Peer& peer) {
                          peer.say(hello);
                          for (int id = 1; id < 3; ++id) {
                              if (!peer.await("</nc:rpc>")) return;
                              peer.say(reply_to(std::to_string(id),
                                                "<system-information><host-name>r1</host-name>"
                                                "<hardware-model>mx304</hardware-model>"
                                                "<os-version>23.4R1</os-version></system-information>"));
                          }
                      }});
    support::TempDir temp;
    const std::string key = temp.path() / "key";
    run_program({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key});
    support::PluginObject<Connector> connector(qkd_plugin, {{"host", "127.0.0.1"},
                                                            {"port", std::to_string(server.port())},
                                                            {"user", "lab"},
                                                            {"ssh_key", "file:" + key},
                                                            {"password", "text:s3cret-Passw0rd"},
                                                            {"host_key", server.fingerprint()}});
    TestContext context;
    auto session = connector->open(context);
    ASSERT_TRUE(session) << session.error().what;
    EXPECT_EQ((*session)->facts().host_name, "r1");
}

TEST(Connector, SaysWhatToConfigureWhereNetconfIsOff) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true, .subsystem = false});
    support::PluginObject<Connector> connector(qkd_plugin, {{"host", "127.0.0.1"},
                                                            {"port", std::to_string(server.port())},
                                                            {"user", "lab"},
                                                            {"password", "text:s3cret-Passw0rd"},
                                                            {"host_key", server.fingerprint()}});
    TestContext context;
    auto session = connector->open(context);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::unsupported);
    EXPECT_NE(session.error().hint.find("system services netconf ssh"), std::string::npos);
}

// ---- two routing engines

// Where an answer comes once for each routing engine, it is wrapped, and the master's comes first. The name of the
// host may be that of the engine; nothing is derived from it.
TEST(Netconf, AnswersOfTwoRoutingEnginesAreUnwrapped) {
    const auto wrapped = [](const std::string& inside) {
        std::string text = "<multi-routing-engine-results>";
        for (const char* engine : {"re0", "re1"}) {
            text += std::string("<multi-routing-engine-item><re-name>") + engine + "</re-name>" + inside +
                    "</multi-routing-engine-item>";
        }
        return text + "</multi-routing-engine-results>";
    };
    Client client([&](Peer& peer) {
        peer.say(hello);
        peer.await("get-system-information");
        peer.say(reply_to("1", wrapped("<system-information><hardware-model>mx960</hardware-model>"
                                       "<os-version>23.4R1</os-version><host-name>mx304-11-re0</host-name>"
                                       "</system-information>")));
        peer.await("get-system-uptime-information");
        peer.say(reply_to("2", wrapped("<system-uptime-information><current-time><date-time "
                                       "junos:seconds=\"1767323045\">2026-01-02 04:04:05 CET</date-time>"
                                       "</current-time></system-uptime-information>")));
        peer.await("never");
    });
    TestContext context;
    JunosSession session(std::move(client.netconf), nullptr);
    auto facts = session.read_facts(context);
    ASSERT_TRUE(facts) << facts.error().what;
    EXPECT_EQ(session.facts().host_name, "mx304-11-re0");
    EXPECT_EQ(session.facts().model, "mx960");
    auto clock = session.database().clock(context);
    ASSERT_TRUE(clock) << clock.error().what;
    EXPECT_EQ(clock->now, UtcMillis{std::chrono::seconds{1767323045}});
    EXPECT_EQ(clock->utc_offset, 60min);
}

// ---- by way of a jump host

bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// What `nc` does, without nc.
const std::vector<std::string> relay{"/bin/bash", "-c", "exec 3<>/dev/tcp/$0/$1; cat <&3 & exec cat >&3", "%h", "%p"};

TEST(Proxy, ConnectsThroughAProgramAndVerifiesTheHostAllTheSame) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true});
    {
        TestContext context;
        auto target = server.target();
        target.proxy_command = relay;
        auto session = SshSession::connect(context, target);
        ASSERT_TRUE(session) << session.error().what;
        EXPECT_EQ((*session)->fingerprint(), server.fingerprint());
        auto in = (*session)->login_password(context, "lab", SecretBytes(std::string_view("s3cret-Passw0rd")));
        EXPECT_TRUE(in) << in.error().what;
        target.host_key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        session = SshSession::connect(context, target);
        ASSERT_FALSE(session);
        EXPECT_EQ(session.error().code, ErrorCode::auth);
    }
    EXPECT_FALSE(has_children());
}

TEST(Proxy, WhatItSaysIsInTheMessage) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true});
    auto target = server.target();
    TestContext context;
    target.proxy_command = {"/bin/sh", "-c", "echo 'jump.example: Permission denied (publickey).' >&2; exit 255"};
    auto session = SshSession::connect(context, target);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::unreachable) << session.error().what;
    EXPECT_NE(session.error().what.find("exit code 255: jump.example: Permission denied"), std::string::npos)
        << session.error().what;
    target.proxy_command = {"/nowhere/ssh", "%h"};
    session = SshSession::connect(context, target);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::config);
    EXPECT_NE(session.error().what.find("/nowhere/ssh"), std::string::npos);
    EXPECT_FALSE(has_children());
}

TEST(Proxy, OneThatHangsEndsWithTheDeadlineOrTheStop) {
    SshServer server({.host_keys = {SSH_KEYTYPE_ED25519}, .password = true});
    auto target = server.target();
    target.proxy_command = {"/bin/sh", "-c", "echo 'asking for a passphrase' >&2; exec sleep 1000"};
    const auto begin = std::chrono::steady_clock::now();
    TestContext hurried{500ms};
    auto session = SshSession::connect(hurried, target);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::timeout) << session.error().what;
    EXPECT_NE(session.error().what.find("asking for a passphrase"), std::string::npos) << session.error().what;
    TestContext context{600s};
    auto waiting = std::async(std::launch::async, [&] { return SshSession::connect(context, target); });
    context.request_stop();
    session = waiting.get();
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::cancelled) << session.error().what;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, soon);
    EXPECT_FALSE(has_children());
}

TEST(Proxy, WordsAreFilledInPerArgumentAndNeverBecomeOptions) {
    net::SshTarget target;
    target.host = "mx1.example";
    target.port = 830;
    target.user = "net ops";
    target.proxy_command = {"/usr/bin/ssh", "-W", "[%h]:%p", "%r@jump", "100%%", ""};
    auto words = net::expand_proxy_command(target);
    ASSERT_TRUE(words) << words.error().what;
    EXPECT_EQ(*words,
              (std::vector<std::string>{"/usr/bin/ssh", "-W", "[mx1.example]:830", "net ops@jump", "100%", ""}));
    for (const char* bad : {"%x", "%", "a%"}) {
        target.proxy_command = {"ssh", bad};
        EXPECT_EQ(net::expand_proxy_command(target).error().code, ErrorCode::config) << bad;
    }
    target.host = "-oProxyCommand=reboot";
    target.proxy_command = {"nc", "%h", "%p"};
    EXPECT_EQ(net::expand_proxy_command(target).error().code, ErrorCode::config);
    target.proxy_command = {"", "%p"};
    EXPECT_EQ(net::expand_proxy_command(target).error().code, ErrorCode::config);
}

}  // namespace
}  // namespace qkd::junos::test
