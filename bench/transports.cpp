// How long a notice takes from announce() at the initiator until receive() has it at the responder, for each transport, and
// beside them a file copied by a new scp connection in the same run.
//
//   qkd-bench-transports [ROUNDS [SCP_ROUNDS]]      default 1000 and 50
//
// Initiator and responder are processes of their own, as on-box, except with keyid-memory, which lives in one, and with
// keyid-lldp, whose routers are in memory here: what is measured is its own part, without their commit.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stdexcept>

#include "keyid-common/tests/net_sandbox.hpp"
#include "keyid-scp/tests/sftp_host.hpp"
#ifdef QKD_WITH_LLDPD
#include "keyid-lldpd/tests/two_lldpd.hpp"
#endif
#include "qkd/sdk/key_id_transport.hpp"
#include "support/fake_network.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

namespace {

using namespace qkd;
using Steady = std::chrono::steady_clock;  // the same clock in all processes of a machine
using Transport = support::PluginObject<KeyIdTransport>;
using Times = std::vector<double>;  // ms

bool failed = false;

const PluginDescriptor& plugin(const std::string& name) {
    const std::string path = std::string(QKD_PLUGIN_FOLDER) + "/libqkd-" + name + ".so";
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const void* symbol = library == nullptr ? nullptr : ::dlsym(library, "qkd_plugin");
    if (symbol == nullptr) throw std::runtime_error(path + " cannot be loaded");
    return *static_cast<const PluginDescriptor*>(symbol);
}

KeyIdNotice notice(std::uint64_t generation) {
    return {"mx1--mx2", generation, {"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f"}, {}, 1, "r1", {}, NoticeKind::offer};
}

double since(Steady::rep begin, Steady::rep end) {
    return std::chrono::duration<double, std::milli>(Steady::duration(end - begin)).count();
}

/// Both ends in turns in one process, with devices in memory.
Times in_process(const std::string& name, unsigned rounds) {
    support::FakeNetwork network;
    network.wire("r1", "a", "r2", "b");
    const auto session1 = network.session("r1");
    const auto session2 = network.session("r2");
    const Transport one(plugin(name));
    const Transport other(plugin(name));
    const TransportEnd r1{"r1", {"a"}, session1.get()};
    const TransportEnd r2{"r2", {"b"}, session2.get()};
    const std::array responders{r2};
    support::TestContext context(std::chrono::hours{1});
    Times times;
    for (unsigned i = 1; i <= rounds; ++i) {
        const auto begin = Steady::now();
        if (!one->announce(context, r1, responders, notice(i)) || !other->receive(context, r2, "mx1--mx2", i - 1)) {
            throw std::runtime_error(name + " failed");
        }
        times.push_back(since(begin.time_since_epoch().count(), Steady::now().time_since_epoch().count()));
    }
    return times;
}

/// The responder is a child that tells when it had each notice.
Times between_processes(const std::string& name, unsigned rounds, const support::Values& at_one,
                        const support::Values& at_other, const std::array<std::string, 2>& interfaces) {
    const TransportEnd r1{"r1", {interfaces[0]}, nullptr};
    const TransportEnd r2{"r2", {interfaces[1]}, nullptr};
    const std::array responders{r2};
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const Transport other(plugin(name), at_other);
        support::TestContext context(std::chrono::hours{1});
        NoticeMark last{0, 0};
        // One look before it begins, so that connections are there and sockets are open.
        support::TestContext glance(std::chrono::milliseconds{300});
        (void)other->receive(glance, r2, "mx1--mx2", last);
        Steady::rep ready = 0;
        if (::write(ends[1], &ready, sizeof ready) != sizeof ready) ::_exit(1);
        while (last.generation < rounds) {
            support::TestContext waiting(std::chrono::seconds{20});
            const auto received = other->receive(waiting, r2, "mx1--mx2", {last, "r1", {}});
            const Steady::rep now = Steady::now().time_since_epoch().count();
            if (!received && received.error().code == ErrorCode::not_found) continue;
            if (!received) ::_exit(1);
            last = received->mark();
            if (::write(ends[1], &now, sizeof now) != sizeof now) ::_exit(1);
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    const auto told = [&] {
        Steady::rep when = 0;
        if (::read(ends[0], &when, sizeof when) != sizeof when)
            throw std::runtime_error(name + ": the responder failed");
        return when;
    };
    Times times;
    try {
        const Transport one(plugin(name), at_one);
        (void)told();
        for (unsigned i = 1; i <= rounds; ++i) {
            support::TestContext context;
            const auto begin = Steady::now().time_since_epoch().count();
            const auto sent = one->announce(context, r1, responders, notice(i));
            if (!sent) throw std::runtime_error(name + ": " + sent.error().what);
            times.push_back(since(begin, told()));
        }
    } catch (...) {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        ::close(ends[0]);
        throw;
    }
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    times.erase(times.begin());  // the first opens the initiator's own connection
    return times;
}

/// What the scripts of old did for each notice: a new scp.
Times new_scp(const support::SftpHosts& hosts, unsigned rounds) {
    const std::string file = (hosts.folder() / "notice").string();
    support::write_file(file, std::string(150, 'x'));
    const std::string command = "scp -q -P " + std::to_string(hosts.port("r2")) + " -i " +
                                (hosts.folder() / "id").string() +
                                " -o BatchMode=yes -o UserKnownHostsFile=" + (hosts.folder() / "known_hosts").string() +
                                " " + file + " " + support::SftpHosts::user() + "@127.0.0.1:notice";
    Times times;
    for (unsigned i = 0; i < rounds; ++i) {
        const auto begin = Steady::now();
        // NOLINTNEXTLINE(concurrency-mt-unsafe, cert-env33-c): our own words
        if (std::system(command.c_str()) != 0) throw std::runtime_error("scp failed");
        times.push_back(since(begin.time_since_epoch().count(), Steady::now().time_since_epoch().count()));
    }
    return times;
}

void row(const char* name, const std::function<Times()>& measure) {
    try {
        Times times = measure();
        std::sort(times.begin(), times.end());
        const auto at = [&](double part) {
            return times[std::min(times.size() - 1,
                                  static_cast<std::size_t>(part * static_cast<double>(times.size())))];
        };
        std::printf("| %-28s | %6zu | %11.3f | %8.3f | %8.3f |\n", name, times.size(), at(0.5), at(0.99), times.back());
    } catch (const std::exception& error) {
        std::printf("| %-28s | not measured: %s\n", name, error.what());
        failed = true;
    }
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const auto number = [&](int index, unsigned otherwise) {
        return argc > index ? static_cast<unsigned>(std::strtoul(argv[index], nullptr, 10)) : otherwise;
    };
    const unsigned rounds = std::max(2U, number(1, 1000));
    const unsigned scp_rounds = std::max(1U, number(2, std::min(rounds, 50U)));
    std::printf("| announce -> received         |      n | median (ms) | p99 (ms) | max (ms) |\n");
    std::printf("|------------------------------|-------:|------------:|---------:|---------:|\n");
    row("keyid-memory", [&] { return in_process("keyid-memory", rounds); });
    row("keyid-lldp (without commit)", [&] { return in_process("keyid-lldp", rounds); });
    if (const std::string reason = support::NetSandbox::impossible(); reason.empty()) {
        row("keyid-88b7 (veth)", [&] {
            support::NetSandbox sandbox;
            sandbox.wire("a", "b");
            const support::Values values{{"secret", "text:0123456789abcdef0123456789abcdef"}};
            return between_processes("keyid-88b7", rounds, values, values, {"a", "b"});
        });
    } else {
        std::printf("| keyid-88b7                   | not measured: %s\n", reason.c_str());
    }
#ifdef QKD_WITH_LLDPD
    if (const std::string reason = support::TwoLldpd::impossible(); reason.empty()) {
        row("keyid-lldpd (veth)", [&] {
            const support::TwoLldpd daemons;
            support::Values one{{"secret", "text:0123456789abcdef0123456789abcdef"}, {"socket", daemons.socket(0)}};
            support::Values other = one;
            other["socket"] = daemons.socket(1);
            return between_processes("keyid-lldpd", rounds, one, other, {"ll0", "ll1"});
        });
    } else {
        std::printf("| keyid-lldpd                  | not measured: %s\n", reason.c_str());
    }
#endif
    if (const std::string reason = support::SftpHosts::impossible(); reason.empty()) {
        support::SftpHosts hosts;
        hosts.add("r1");
        hosts.add("r2");
        row("keyid-scp (session open)", [&] {
            return between_processes("keyid-scp", rounds, hosts.values(), hosts.values(), {"a", "b"});
        });
        row("new scp connection", [&] { return new_scp(hosts, scp_rounds); });
    } else {
        std::printf("| keyid-scp, scp               | not measured: %s\n", reason.c_str());
    }
    return failed ? 1 : 0;
}
