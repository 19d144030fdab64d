// Laws for transports, on a link of three devices in memory: r1 (initiator) a - b r2 c - d r3.
#include <algorithm>
#include <array>
#include <functional>

#include "conformance/trial.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "support/fake_network.hpp"

namespace qkd::conformance {
namespace {

constexpr StageKind kind = StageKind::key_id_transport;
const std::string other_link = "conformance-other";

/// The link, one object and one session per member. The transport's memory, if it has one, is shared between rigs: so
/// each rig retracts what it announced.
class Rig {
  public:
    explicit Rig(Trial& trial, std::string link = "conformance") : trial_(trial), link_(std::move(link)) {
        network.wire("r1", "a", "r2", "b");
        network.wire("r2", "c", "r3", "d");
        network.device("r1").descriptions["a"] = "to r2 | rack 7";
        network.device("r2").descriptions["c"] = "to r3";
        for (const char* name : {"r1", "r2", "r3"}) {
            members_.push_back({name, network.session(name),
                                trial.make<KeyIdTransport>(kind, members_.empty() ? End::initiator : End::responder)});
        }
        members_[0].interfaces = {"a"};
        members_[1].interfaces = {"b", "c"};
        members_[2].interfaces = {"d"};
    }
    ~Rig() {
        network.intercept = nullptr;
        support::TestContext context;
        for (auto& member : members_) (void)member.transport->retract(context, end(member), link_);
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    [[nodiscard]] KeyIdNotice notice(std::uint64_t generation) const {
        KeyIdNotice notice;
        notice.link = link_;
        notice.generation = generation;
        notice.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-" + std::to_string(100000000000 + generation)};
        notice.start = UtcSeconds{std::chrono::seconds{1795000000}};
        notice.sequence = generation;
        notice.sender = "r1";
        notice.expires = UtcSeconds{std::chrono::seconds{1795000600}};
        return notice;
    }
    Result<void> announce(Context& context, const KeyIdNotice& notice) {
        const std::array responders{end(members_[1]), end(members_[2])};
        return members_[0].transport->announce(context, end(members_[0]), responders, notice);
    }
    void announce(std::uint64_t generation) { trial_.must(announce(trial_.context(), notice(generation)), "announce"); }
    Result<KeyIdNotice> receive(Context& context, std::size_t member, const NoticeFilter& wanted) {
        return members_[member].transport->receive(context, end(members_[member]), link_, wanted);
    }
    /// Asks every responder until it has the notice, as the engine does; hop by hop if the transport works that way.
    std::vector<KeyIdNotice> receive_all(std::uint64_t after) {
        std::vector<KeyIdNotice> received(2);
        std::array<bool, 2> done{};
        for (std::size_t round = 0; round < members_.size() && !(done[0] && done[1]); ++round) {
            for (std::size_t i = 2; i-- > 0;) {  // the far one first: it must wait
                if (done[i]) continue;
                auto answer = receive(trial_.context(), i + 1, after);
                if (answer) {
                    received[i] = std::move(answer).value();
                    done[i] = true;
                    continue;
                }
                silence(answer);
            }
        }
        Trial::require(done[0] && done[1], "not every responder received the notice");
        return received;
    }
    /// Nothing there: not_found, to be asked again.
    void silence(const Result<KeyIdNotice>& answer) {
        const auto error = trial_.must_fail(answer, "receive with nothing new", {ErrorCode::not_found});
        if (error) trial_.expect(error->retry == Retry::safe, "receive with nothing new must be safe to repeat");
    }
    void retract_all() {
        for (auto& member : members_) {
            trial_.must(member.transport->retract(trial_.context(), end(member), link_), "retract at " + member.device);
        }
    }
    Result<void> acknowledge(std::size_t member, const KeyIdNotice& notice) {
        return members_[member].transport->acknowledge(trial_.context(), end(members_[member]), notice);
    }
    Result<void> retract(Context& context, std::size_t member) {
        return members_[member].transport->retract(context, end(members_[member]), link_);
    }

    support::FakeNetwork network;

  private:
    struct Member {
        std::string device;
        std::unique_ptr<DeviceSession> session;
        support::PluginObject<KeyIdTransport> transport;
        std::vector<std::string> interfaces{};
    };
    static TransportEnd end(const Member& member) { return {member.device, member.interfaces, member.session.get()}; }

    Trial& trial_;
    std::string link_;
    std::vector<Member> members_;
};

void same_notice(Trial& trial) {
    Rig rig(trial);
    rig.announce(7);
    for (const auto& received : rig.receive_all(6)) trial.expect(received == rig.notice(7), "another notice arrives");
    trial.must(rig.acknowledge(1, rig.notice(7)), "acknowledge");
}

void newest_only(Trial& trial) {
    Rig rig(trial);
    rig.announce(7);
    (void)rig.receive_all(0);
    rig.announce(8);
    for (const auto& received : rig.receive_all(7))
        trial.expect(received == rig.notice(8), "not the newest notice arrives");
    rig.silence(rig.receive(trial.context(), 1, 8));
    rig.silence(rig.receive(trial.context(), 2, 8));
    trial.must(rig.acknowledge(1, rig.notice(8)), "acknowledge");
    rig.silence(rig.receive(trial.context(), 1, 8));
}

void links_apart(Trial& trial) {
    Rig rig(trial);
    Rig other(trial, other_link);
    rig.announce(7);
    rig.silence(other.receive(trial.context(), 1, 0));
    other.announce(9);
    for (const auto& received : rig.receive_all(0))
        trial.expect(received == rig.notice(7), "the other link's notice arrives");
    other.retract_all();
    trial.expect(rig.receive(trial.context(), 1, 0).ok(), "retracting one link takes another link's notice away");
}

void silence(Trial& trial) {
    Rig rig(trial);
    auto& context = trial.context(std::chrono::milliseconds{300});
    rig.silence(rig.receive(context, 1, 0));
    trial.late(std::chrono::steady_clock::now() - context.deadline(), "receive with nothing to hear");
}

void repeatable(Trial& trial) {
    Rig rig(trial);
    rig.announce(7);
    (void)rig.receive_all(0);
    const auto state = rig.network.state();
    rig.network.clear_calls();
    rig.announce(7);
    for (const auto& received : rig.receive_all(0))
        trial.expect(received == rig.notice(7), "repeating changes the notice");
    trial.expect(rig.network.state() == state, "repeating leaves the devices different");
    trial.expect(rig.network.count("lldp.describe") == 0, "repeating commits again although nothing changed");
}

void undone(Trial& trial) {
    Rig rig(trial);
    const auto before = rig.network.state();
    rig.announce(7);
    (void)rig.receive_all(0);
    rig.retract_all();
    trial.expect(rig.network.state() == before, "retract does not bring back what was there before");
    rig.silence(rig.receive(trial.context(), 1, 0));
    rig.retract_all();
    trial.expect(rig.network.state() == before, "retracting again changes something");
}

void whole_or_refused(Trial& trial) {
    Rig rig(trial);
    KeyIdNotice large = rig.notice(7);
    for (int i = 0; i < 400; ++i)
        large.key_ids.push_back("2d8a7c2e-0b5e-4a0c-9f0e-" + std::to_string(200000000000 + i));
    const auto before = rig.network.state();
    const auto sent = rig.announce(trial.context(), large);
    if (!sent) {
        (void)trial.must_fail(sent, "announce of 401 key_IDs", {ErrorCode::rejected, ErrorCode::unsupported});
        trial.expect(rig.network.state() == before, "a notice that was refused is half sent");
        return;
    }
    for (const auto& received : rig.receive_all(0)) trial.expect(received == large, "a large notice arrives changed");
}

void damaged(Trial& trial) {
    Rig rig(trial);
    const auto before = rig.network.state();
    rig.announce(7);
    const auto after = rig.network.state();
    Trial::needs(after != before, "leaves nothing on devices that could be damaged");
    // `place` finds the text anew each time: a relaying member may replace it.
    const auto damage = [&](const std::string& whole, const std::function<std::string&()>& place) {
        const std::array versions{
            std::string(),        whole.substr(0, whole.size() / 2), whole.substr(0, whole.size() - 2),
            "\xff\xfe" + whole,   std::string(100000, '{'),          "|{" + std::string(100000, '['),
            std::string(64, '\0')};
        for (const std::string& version : versions) {
            place() = version;
            for (const std::size_t member : {std::size_t{1}, std::size_t{2}}) {
                const auto received = rig.receive(trial.context(), member, 0);
                trial.either(received, "receive of something damaged");
                if (received) trial.expect(*received == rig.notice(7), "something damaged is believed");
            }
        }
        place() = whole;
    };
    for (const auto& [device, files] : after.files) {
        for (const auto& [path, file] : files) {
            if (before.files.at(device).contains(path)) continue;
            damage(file.content, [&]() -> std::string& { return rig.network.device(device).files[path].content; });
        }
    }
    for (const auto& [device, descriptions] : after.descriptions) {
        const auto& old = before.descriptions.at(device);
        for (const auto& [name, text] : descriptions) {
            if (const auto same = old.find(name); same != old.end() && same->second == text) continue;
            damage(text, [&]() -> std::string& { return rig.network.device(device).descriptions[name]; });
        }
    }
}

void stalled(Trial& trial, bool interrupted) {
    Rig rig(trial);
    support::TestContext* current = nullptr;
    std::chrono::steady_clock::time_point since;
    bool reached = false;
    const auto stall = [&](Context& context, const support::FakeCall& call) -> std::optional<Error> {
        if (!reached && interrupted) {
            since = std::chrono::steady_clock::now();
            current->request_stop();
        }
        reached = true;
        return support::TestContext::wait_for_the_end(context, call.device + ": " + call.operation);
    };
    const auto attempt = [&](const std::string& name, auto&& call) {
        current = &trial.context(std::chrono::milliseconds{interrupted ? 20000 : 200});
        since = current->deadline();
        reached = false;
        rig.network.intercept = stall;
        const auto result = call(*current);
        rig.network.intercept = nullptr;
        if (!reached) return;
        trial.late(std::chrono::steady_clock::now() - since, name + " on a stalled device");
        (void)trial.must_fail(result, name + " on a stalled device",
                              {interrupted ? ErrorCode::cancelled : ErrorCode::timeout});
    };
    bool any = false;
    attempt("announce", [&](Context& context) { return rig.announce(context, rig.notice(7)); });
    any = any || reached;
    rig.announce(7);
    attempt("receive", [&](Context& context) { return rig.receive(context, 1, 0); });
    any = any || reached;
    attempt("retract", [&](Context& context) { return rig.retract(context, 1); });
    any = any || reached;
    Trial::needs(any, "makes no call to a device");
}

void deadline(Trial& trial) {
    stalled(trial, false);
}
void stop(Trial& trial) {
    stalled(trial, true);
}

void without_sessions(Trial& trial) {
    auto transport = trial.make<KeyIdTransport>(kind);
    Rig rig(trial, other_link);
    const TransportEnd self{"r8", {"a"}, nullptr};
    const std::array responders{TransportEnd{"r9", {"b"}, nullptr}};
    trial.either(transport->announce(trial.context(), self, responders, rig.notice(7)), "announce without sessions");
    trial.either(transport->receive(trial.context(), self, other_link, 0), "receive without a session");
    trial.either(transport->acknowledge(trial.context(), self, rig.notice(7)), "acknowledge without a session");
    trial.either(transport->retract(trial.context(), self, other_link), "retract without a session");
}

}  // namespace

const std::vector<Law>& transport_laws() {
    static const std::vector<Law> laws{
        {"key-id-transport.same", "every responder receives the notice that was announced", same_notice},
        {"key-id-transport.newest", "the newest notice is delivered, an old generation is not", newest_only},
        {"key-id-transport.apart", "two links do not mix", links_apart},
        {"key-id-transport.silence", "receive without a notice is not_found, safe to repeat, and keeps its deadline",
         silence},
        {"key-id-transport.repeat", "announcing and receiving again changes nothing", repeatable},
        {"key-id-transport.undo", "retract at every member brings back what was there before; again is success",
         undone},
        {"key-id-transport.whole", "a large notice arrives whole or is refused before anything is sent",
         whole_or_refused},
        {"key-id-transport.damaged", "nothing damaged is believed", damaged},
        {"key-id-transport.deadline", "every call comes back within 200 ms of its deadline on a stalled device",
         deadline},
        {"key-id-transport.stop", "every call comes back within 200 ms of an interruption on a stalled device", stop},
        {"key-id-transport.sessions", "ends without a session are an error at most", without_sessions}};
    return laws;
}

}  // namespace qkd::conformance
