// keyid-88b7 on real interfaces: each member is a process in a network namespace of its own, and the test is the wire
// between them, which loses, damages, repeats and reflects frames as it likes.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>
#include <map>
#include <random>

#include "keyid-common/tests/net_sandbox.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "support/fake_network.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using namespace std::chrono_literals;
using support::NetSandbox;
using Transport = support::PluginObject<KeyIdTransport>;
using Payload = std::vector<std::uint8_t>;

const support::Values values{{"secret", "text:0123456789abcdef0123456789abcdef"}};
const TransportEnd r1{"r1", {"a"}, nullptr};
const TransportEnd r2{"r2", {"b"}, nullptr};

KeyIdNotice notice(std::uint64_t generation, NoticeKind kind = NoticeKind::offer) {
    KeyIdNotice made;
    made.link = "ring";
    made.generation = generation;
    made.sequence = kind == NoticeKind::offer ? 1 : 2;
    made.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-" + std::to_string(100000000000 + generation)};
    made.sender = "r1";
    made.kind = kind;
    return made;
}

/// A member's process. It tells what it has to say in one text when it ends.
class Process {
  public:
    Process(std::string netdev, const std::function<std::string()>& body) : netdev_(std::move(netdev)) {
        std::array<int, 2> up{}, down{};
        if (::pipe2(up.data(), O_CLOEXEC) != 0 || ::pipe2(down.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("pipe");
        pid_ = ::fork();
        if (pid_ == 0) run(up[1], down[0], body);
        ::close(up[1]);
        ::close(down[0]);
        from_ = up[0];
        to_ = down[1];
        char ready = 0;
        if (pid_ < 0 || ::read(from_, &ready, 1) != 1) throw std::runtime_error("the process did not start");
        NetSandbox::ip("link set dev " + netdev_ + " netns " + std::to_string(pid_));
    }
    ~Process() {
        if (!ended_) ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        ::close(from_);
        ::close(to_);
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void go() const { ASSERT_EQ(::write(to_, "g", 1), 1); }
    [[nodiscard]] int fd() const { return from_; }
    [[nodiscard]] bool ended() const { return ended_; }
    void read() {
        std::array<char, 4096> buffer{};
        const auto got = ::read(from_, buffer.data(), buffer.size());
        if (got > 0) said_.append(buffer.data(), static_cast<std::size_t>(got));
        ended_ = got <= 0;
    }
    [[nodiscard]] const std::string& said() const { return said_; }

  private:
    [[noreturn]] void run(int up, int down, const std::function<std::string()>& body) const {
        std::string said;
        try {
            NetSandbox here;
            char go = 'r';
            if (::write(up, &go, 1) != 1 || ::read(down, &go, 1) != 1) ::_exit(1);
            NetSandbox::ip("link set dev " + netdev_ + " up");
            said = body();
        } catch (const std::exception& error) {
            said = error.what();
        }
        for (std::size_t at = 0; at < said.size();) {
            const auto put = ::write(up, said.data() + at, said.size() - at);
            if (put <= 0) break;
            at += static_cast<std::size_t>(put);
        }
        ::_exit(0);
    }

    std::string netdev_;
    pid_t pid_ = -1;
    int from_ = -1, to_ = -1;
    bool ended_ = false;
    std::string said_;
};

/// The wire. `pass(side, frame)` is asked for every frame and puts onto the wire what it likes.
class Wire {
  public:
    Wire() {
        sandbox_.wire("a", "x");
        sandbox_.wire("b", "y");
        for (const char* netdev : {"x", "y"}) {
            const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b7));
            sockaddr_ll here{};
            here.sll_family = AF_PACKET;
            here.sll_protocol = htons(0x88b7);
            here.sll_ifindex = static_cast<int>(::if_nametoindex(netdev));
            if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) {
                throw std::runtime_error("packet socket");
            }
            packet_mreq all{};
            all.mr_ifindex = here.sll_ifindex;
            all.mr_type = PACKET_MR_PROMISC;
            (void)::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all);
            fds_.push_back(fd);
        }
    }
    ~Wire() {
        for (const int fd : fds_) ::close(fd);
    }
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    /// To the member at that side.
    void put(std::size_t side, const Payload& frame) const {
        (void)::send(fds_[side], frame.data(), frame.size(), MSG_NOSIGNAL);
    }

    /// Carries frames until `done`; false when a minute has passed.
    bool run(std::vector<Process*> processes, const std::function<void(std::size_t, const Payload&)>& pass,
             const std::function<bool()>& done) {
        const auto end = std::chrono::steady_clock::now() + 60s;
        while (!done()) {
            std::vector<pollfd> waiting{{fds_[0], POLLIN, 0}, {fds_[1], POLLIN, 0}};
            for (const Process* process : processes)
                waiting.push_back({process->ended() ? -1 : process->fd(), POLLIN, 0});
            if (std::chrono::steady_clock::now() > end) return false;
            if (::poll(waiting.data(), waiting.size(), 200) < 0) return false;
            for (std::size_t side = 0; side < 2; ++side) {
                while (auto frame = next(side)) {
                    ++frames;
                    pass(side, *frame);
                }
            }
            for (std::size_t i = 0; i < processes.size(); ++i) {
                if (waiting[i + 2].revents != 0) processes[i]->read();
            }
        }
        return true;
    }

    std::size_t frames = 0;

  private:
    std::optional<Payload> next(std::size_t side) const {
        for (;;) {
            Payload frame(2000);
            sockaddr_ll from{};
            socklen_t size = sizeof from;
            const auto got = ::recvfrom(fds_[side], frame.data(), frame.size(), MSG_DONTWAIT,
                                        reinterpret_cast<sockaddr*>(&from), &size);
            if (got < 0) return std::nullopt;
            if (from.sll_pkttype == PACKET_OUTGOING) continue;
            frame.resize(static_cast<std::size_t>(got));
            return frame;
        }
    }

    NetSandbox sandbox_;
    std::vector<int> fds_;
};

std::string told(const Error& error) {
    return std::string(to_string(error.code)) + ": " + error.what;
}

/// Offers, then arms, so many keys; each message only when the one before is acknowledged.
std::string initiate(std::uint64_t rotations) {
    const Transport transport(qkd_plugin, values);
    const std::array responders{r2};
    for (std::uint64_t generation = 1; generation <= rotations; ++generation) {
        for (const NoticeKind kind : {NoticeKind::offer, NoticeKind::armed}) {
            support::TestContext context(20s);
            auto sent = transport->announce(context, r1, responders, notice(generation, kind));
            if (!sent) return told(sent.error());
            auto answers = transport->acknowledgements(context, r1, responders, notice(generation, kind));
            if (!answers) return told(answers.error());
            if (*answers != std::vector<std::string>{"r2"})
                return "generation " + std::to_string(generation) + ": no answer";
        }
    }
    return "done";
}

/// Must receive exactly those, each once, in order. Then tells what else it heard.
std::string respond(std::uint64_t rotations) {
    const Transport transport(qkd_plugin, values);
    NoticeMark last{0, 0};
    for (std::uint64_t generation = 1; generation <= rotations; ++generation) {
        for (const NoticeKind kind : {NoticeKind::offer, NoticeKind::armed}) {
            support::TestContext context(20s);
            auto received = transport->receive(context, r2, "ring", {last, "r1", {}});
            if (!received) return told(received.error());
            if (*received != notice(generation, kind))
                return "something else than generation " + std::to_string(generation);
            last = received->mark();
            auto acknowledged = transport->acknowledge(context, r2, *received);
            if (!acknowledged) return told(acknowledged.error());
        }
    }
    support::TestContext context(1ms);
    const auto more = transport->receive(context, r2, "ring", {last, "r1", {}});
    return more ? "something after the last notice" : "done; " + more.error().what;
}

class Keyid88b7 : public ::testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = NetSandbox::impossible(); !reason.empty()) GTEST_SKIP() << reason;
    }
};

class Lossy : public Keyid88b7, public ::testing::WithParamInterface<unsigned> {};

TEST_P(Lossy, EveryNoticeArrivesOnceAndIsAcknowledged) {
    Wire wire;
    Process initiator("a", [] { return initiate(40); });
    Process responder("b", [] { return respond(40); });
    responder.go();
    initiator.go();
    std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same losses every time
    const auto pass = [&](std::size_t side, const Payload& frame) {
        if (random() % 100 >= GetParam()) wire.put(1 - side, frame);
    };
    const auto begun = std::chrono::steady_clock::now();
    const bool in_time =
        wire.run({&initiator, &responder}, pass, [&] { return initiator.ended() && responder.ended(); });
    EXPECT_TRUE(in_time);
    EXPECT_EQ(initiator.said(), "done");
    EXPECT_TRUE(responder.said().starts_with("done")) << responder.said();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
    std::cout << GetParam() << " % loss: 80 notices acknowledged in " << took.count() << " ms, " << wire.frames
              << " frames\n";
}

INSTANTIATE_TEST_SUITE_P(Percent, Lossy, ::testing::Values(0U, 10U, 30U));

// Everything an outsider on the wire can do with frames: change, cut, repeat, send back.
TEST_F(Keyid88b7, ForgedCutReplayedAndReflectedFramesChangeNothing) {
    Wire wire;
    Process initiator("a", [] { return initiate(10); });
    Process responder("b", [] { return respond(10); });
    responder.go();
    initiator.go();
    std::vector<Payload> old;
    std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same run every time
    const auto pass = [&](std::size_t side, const Payload& frame) {
        Payload forged = frame;
        std::uint8_t& octet = forged[54 + random() % (frame.size() - 60)];
        octet = static_cast<std::uint8_t>(octet ^ 1U << (random() % 8));
        for (const Payload& one : {forged, Payload(frame.begin(), frame.begin() + 30)}) {
            wire.put(1 - side, one);
            wire.put(side, one);
        }
        wire.put(side, frame);
        if (!old.empty()) {
            wire.put(0, old[random() % old.size()]);
            wire.put(1, old[random() % old.size()]);
        }
        old.push_back(frame);
        wire.put(1 - side, frame);
    };
    EXPECT_TRUE(wire.run({&initiator, &responder}, pass, [&] { return initiator.ended() && responder.ended(); }));
    EXPECT_EQ(initiator.said(), "done");
    EXPECT_TRUE(responder.said().starts_with("done")) << responder.said();
    for (const char* reason : {"malformed", "with a wrong tag", "replayed", "reflected"}) {
        EXPECT_NE(responder.said().find(reason), std::string::npos) << responder.said();
    }
}

// The initiator has given up its fast tries before the responder is even there.
TEST_F(Keyid88b7, AResponderThatComesLateIsServed) {
    Wire wire;
    Process initiator("a", [] { return initiate(1); });
    Process responder("b", [] { return respond(1); });
    initiator.go();
    const auto pass = [&](std::size_t side, const Payload& frame) { wire.put(1 - side, frame); };
    ASSERT_TRUE(wire.run({&initiator}, pass, [&] { return wire.frames >= 9; }));
    responder.go();
    EXPECT_TRUE(wire.run({&initiator, &responder}, pass, [&] { return initiator.ended() && responder.ended(); }));
    EXPECT_EQ(initiator.said(), "done");
    EXPECT_TRUE(responder.said().starts_with("done")) << responder.said();
}

/// One process, two ends of a wire: off-box, where sessions are lent.
class OneProcess : public Keyid88b7 {
  protected:
    void SetUp() override {
        Keyid88b7::SetUp();
        if (IsSkipped()) return;
        sandbox_.emplace();
        sandbox_->wire("a", "b");
        session_ = network_.session("r2");
        far_.session = session_.get();
    }
    std::optional<NetSandbox> sandbox_;
    support::FakeNetwork network_;
    std::unique_ptr<DeviceSession> session_;
    TransportEnd far_ = r2;
};

TEST_F(OneProcess, SilenceIsNoErrorForTheInitiator) {
    const Transport transport(qkd_plugin, values);
    const std::array nobody{r2};
    support::TestContext context(100ms);
    const auto answers = transport->acknowledgements(context, r1, nobody, notice(1));
    ASSERT_TRUE(answers) << answers.error().what;
    EXPECT_TRUE(answers->empty());
}

TEST_F(OneProcess, WhoeverHasTheSecretMustStillBeTheInitiator) {
    const Transport one(qkd_plugin, values);
    const Transport other(qkd_plugin, values);
    const std::array responders{far_};
    support::TestContext context;
    ASSERT_TRUE(one->announce(context, r1, responders, notice(1)));
    const auto received = other->receive(context, far_, "ring", {{0, 0}, "r9", {}});
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code, ErrorCode::rejected);
    EXPECT_TRUE(other->receive(context, far_, "ring", {{0, 0}, "r1", {}}));
}

TEST_F(OneProcess, WhatDoesNotFitIsRefusedBeforeAnythingIsSent) {
    NetSandbox::ip("link set dev a mtu 300");
    const Transport one(qkd_plugin, values);
    const Transport other(qkd_plugin, values);
    const std::array responders{far_};
    KeyIdNotice large = notice(1);
    large.key_ids.assign(8, large.key_ids.front());
    support::TestContext context;
    const auto sent = one->announce(context, r1, responders, large);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::rejected);
    EXPECT_NE(sent.error().what.find("300"), std::string::npos) << sent.error().what;
    support::TestContext brief(50ms);
    EXPECT_EQ(other->receive(brief, far_, "ring", 0).error().code, ErrorCode::not_found);
}

TEST_F(OneProcess, PortsNameTheInterfacesOfThisMachine) {
    support::Values named = values;
    named["ports"] = "r1 et-0/0/9=a\nr2 et-0/0/1:0=b";
    const Transport one(qkd_plugin, named);
    const Transport other(qkd_plugin, named);
    const std::array responders{TransportEnd{"r2", {"et-0/0/1:0"}, session_.get()}};
    support::TestContext context;
    ASSERT_TRUE(one->announce(context, {"r1", {"et-0/0/9"}, nullptr}, responders, notice(1)));
    EXPECT_TRUE(other->receive(context, responders.front(), "ring", 0));
    const auto unknown = one->announce(context, {"r1", {"et-0/0/8"}, nullptr}, {}, notice(2));
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, ErrorCode::config);
    EXPECT_NE(unknown.error().hint.find("ports"), std::string::npos);
    for (const char* wrong : {"r1 a", "=b", "r1=b", "r1 a=", "r1 a=much-too-long-for-it", "r1 a=b\nr1 a=c"}) {
        named["ports"] = wrong;
        EXPECT_THROW(Transport(qkd_plugin, named), std::runtime_error) << wrong;
    }
}

TEST_F(OneProcess, AStopEndsEveryWait) {
    const Transport transport(qkd_plugin, values);
    const std::array nobody{r2};
    support::TestContext stopped(60s);
    stopped.request_stop();
    EXPECT_EQ(transport->announce(stopped, r1, nobody, notice(1)).error().code, ErrorCode::cancelled);
    EXPECT_EQ(transport->acknowledgements(stopped, r1, nobody, notice(1)).error().code, ErrorCode::cancelled);
    EXPECT_EQ(transport->receive(stopped, r1, "ring", 7).error().code, ErrorCode::cancelled);
}

TEST_F(OneProcess, WithoutASecretNothingIsSent) {
    const Transport transport(qkd_plugin);
    support::TestContext context;
    EXPECT_EQ(transport->announce(context, r1, {}, notice(1)).error().code, ErrorCode::config);
}

bool become_nobody_with(std::uint32_t capabilities) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> sets{};
    sets[0] = {capabilities, capabilities, 0};
    return ::prctl(PR_SET_KEEPCAPS, 1) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
           ::setresuid(65534, 65534, 65534) == 0 && ::syscall(SYS_capset, &header, sets.data()) == 0;
}

// Least privilege: nothing but CAP_NET_RAW is needed, and without it the error says so.
TEST_F(OneProcess, NeedsCapNetRawAndNothingElse) {
    const auto as_nobody = [](std::uint32_t capabilities) {
        const pid_t child = ::fork();
        if (child == 0) {
            int outcome = 9;
            if (become_nobody_with(capabilities)) {
                const Transport transport(qkd_plugin, values);
                support::TestContext context(50ms);
                const auto probed = transport->probe(context);
                const auto sent = transport->announce(context, r1, {}, notice(1));
                outcome = probed && sent ? 0 : !sent && sent.error().code == ErrorCode::auth ? 1 : 2;
            }
            ::_exit(outcome);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    EXPECT_EQ(as_nobody(1U << CAP_NET_RAW), 0);
    EXPECT_EQ(as_nobody(0), 1);
}

}  // namespace
