// Laws for transports, on a link of three devices in memory: r1 (initiator) a - b r2 c - d r3.
#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "kit/support/fake_network.hpp"
#include "kit/trial.hpp"
#include "qkd/sdk/key_id_transport.hpp"

namespace qkd::conformance {
namespace {

constexpr StageKind kind = StageKind::key_id_transport;
const std::string other_link = "conformance-other";

/// The subject's values, and a secret of the link.
class WithSecret final : public ConfigView {
  public:
    WithSecret(std::unique_ptr<ConfigView> others, std::string_view secret)
        : others_(std::move(others)), secret_(secret) {}
    [[nodiscard]] bool has(std::string_view key) const override { return key == "secret" || others_->has(key); }
    [[nodiscard]] std::string string(std::string_view key) const override { return others_->string(key); }
    [[nodiscard]] std::int64_t integer(std::string_view key) const override { return others_->integer(key); }
    [[nodiscard]] bool boolean(std::string_view key) const override { return others_->boolean(key); }
    [[nodiscard]] std::chrono::milliseconds duration(std::string_view key) const override {
        return others_->duration(key);
    }
    [[nodiscard]] std::filesystem::path path(std::string_view key) const override { return others_->path(key); }
    [[nodiscard]] std::vector<std::string> list(std::string_view key) const override { return others_->list(key); }
    [[nodiscard]] Result<SecretBytes> secret(std::string_view key, Context& context) const override {
        if (key == "secret") return secret_.clone();
        return others_->secret(key, context);
    }
    [[nodiscard]] std::filesystem::path secret_path(std::string_view key) const override {
        return key == "secret" ? std::filesystem::path() : others_->secret_path(key);
    }
    [[nodiscard]] std::string name() const override { return others_->name(); }

  private:
    std::unique_ptr<ConfigView> others_;
    SecretBytes secret_;
};

/// Enough for what is there already, little to wait for what is not: some transports wait by themselves.
constexpr std::chrono::milliseconds glance{300};

/// The link, one object and one session per member. The transport's memory, if it has one, is shared between rigs: so
/// each rig retracts what it announced.
class Rig {
  public:
    explicit Rig(Trial& trial, std::string link = "conformance", std::string_view secret = {})
        : trial_(trial), link_(std::move(link)), devices_(network) {
        Trial::needs(!support::find_stage(trial.plugin(), kind)->provides.has(Capability::one_end),
                     "works for one end of a link in each process");
        network.wire("r1", "a", "r2", "b");
        network.wire("r2", "c", "r3", "d");
        network.wire("r1", "e", "r2", "f");
        network.wire("r2", "g", "r3", "h");
        network.device("r1").descriptions["a"] = "to r2 | rack 7";
        network.device("r2").descriptions["c"] = "to r3";
        populate({{"a"}, {"b", "c"}, {"d"}}, secret);
        needs_wires();
    }
    /// Another party at the devices of `other`: its link on interfaces of its own, or on the same ones.
    Rig(Trial& trial, Rig& other, std::string link, bool same_interfaces, std::string_view secret = {})
        : trial_(trial), link_(std::move(link)), devices_(other.network) {
        if (same_interfaces) {
            populate({{"a"}, {"b", "c"}, {"d"}}, secret);
        } else {
            populate({{"e"}, {"f", "g"}, {"h"}}, secret);
        }
        needs_wires();
    }
    ~Rig() {
        devices_.intercept = nullptr;
        support::TestContext context;
        for (auto& member : members_) (void)member.transport->retract(context, end(member), link_);
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    [[nodiscard]] KeyIdNotice notice(std::uint64_t generation, NoticeKind what = NoticeKind::offer) const {
        KeyIdNotice notice;
        notice.kind = what;
        notice.link = link_;
        notice.generation = generation;
        notice.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-" + std::to_string(100000000000 + generation)};
        notice.start = UtcSeconds{std::chrono::seconds{1795000000}};
        notice.sequence = generation + static_cast<std::uint64_t>(what);
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
    std::vector<KeyIdNotice> receive_all(const NoticeFilter& wanted) {
        std::vector<KeyIdNotice> received(2);
        std::array<bool, 2> done{};
        for (std::size_t round = 0; round < 3 * members_.size() && !(done[0] && done[1]); ++round) {
            for (std::size_t i = 2; i-- > 0;) {  // the far one first: it must wait
                if (done[i]) continue;
                auto answer = receive(trial_.context(glance), i + 1, wanted);
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
    Result<void> acknowledge(Context& context, std::size_t member, const KeyIdNotice& notice) {
        return members_[member].transport->acknowledge(context, end(members_[member]), notice);
    }
    Result<void> acknowledge(std::size_t member, const KeyIdNotice& notice) {
        return acknowledge(trial_.context(), member, notice);
    }
    /// Those who answered, among both responders.
    Result<std::vector<std::string>> acknowledgements(Context& context, const KeyIdNotice& notice) {
        const std::array responders{end(members_[1]), end(members_[2])};
        return members_[0].transport->acknowledgements(context, end(members_[0]), responders, notice);
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
        std::vector<std::string> interfaces;
    };
    void populate(const std::vector<std::vector<std::string>>& interfaces, std::string_view secret) {
        for (std::size_t i = 0; i < interfaces.size(); ++i) {
            const std::string name = "r" + std::to_string(i + 1);
            members_.push_back(
                {name, devices_.session(name), make(i == 0 ? End::initiator : End::responder, secret), interfaces[i]});
        }
    }
    /// A transport with the field `ports` works on network interfaces of this machine: are those of this link there?
    void needs_wires() {
        const std::span<const Field> fields(trial_.plugin().fields, trial_.plugin().field_count);
        if (std::none_of(fields.begin(), fields.end(), [](const Field& field) {
                return field.scope == Scope::key_ids && std::string_view(field.key) == "ports";
            })) {
            return;
        }
        const auto there = [](const Result<void>& result) {
            if (result) return;
            Trial::needs(false, result.error().what + " (" + result.error().hint +
                                    "); the laws run on wires between interfaces of this machine, r1 a - b r2 c - d r3 "
                                    "and r1 e - f r2 g - h r3, which `ports` may give other names");
        };
        for (auto& member : members_) {
            support::TestContext context;
            there(member.transport->probe(context));
            there(member.transport->retract(context, end(member), link_));
        }
    }
    support::PluginObject<KeyIdTransport> make(End at, std::string_view secret) {
        auto config = trial_.subject().config(kind, at);
        if (!secret.empty()) config = std::make_unique<WithSecret>(std::move(config), secret);
        return {trial_.plugin(), std::move(config)};
    }
    static TransportEnd end(const Member& member) { return {member.device, member.interfaces, member.session.get()}; }

    Trial& trial_;
    std::string link_;
    support::FakeNetwork& devices_;  ///< `network`, or another rig's
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
    rig.silence(rig.receive(trial.context(glance), 1, 8));
    rig.silence(rig.receive(trial.context(glance), 2, 8));
    trial.must(rig.acknowledge(1, rig.notice(8)), "acknowledge");
    rig.silence(rig.receive(trial.context(glance), 1, 8));
}

void in_order(Trial& trial) {
    Rig rig(trial);
    rig.announce(7);
    const auto offers = rig.receive_all(6);
    const auto armed = rig.notice(7, NoticeKind::armed);
    trial.must(rig.announce(trial.context(), armed), "announce that the same generation is armed");
    for (const auto& received : rig.receive_all(offers.front().mark()))
        trial.expect(received == armed, "not the newer notice of the same generation arrives");
    rig.silence(rig.receive(trial.context(glance), 1, armed.mark()));
}

void only_wanted(Trial& trial) {
    Rig rig(trial);
    rig.announce(7);
    const auto expires = rig.notice(7).expires;
    (void)rig.receive_all({{6}, "r1", expires - std::chrono::seconds{1}});
    rig.silence(rig.receive(trial.context(glance), 1, {{6}, "r1", expires}));
    const auto foreign = rig.receive(trial.context(glance), 1, {{6}, "r9", {}});
    (void)trial.must_fail(foreign, "receive of another device's notice", {ErrorCode::rejected});
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

void answered(Trial& trial) {
    Rig rig(trial);
    rig.announce(7);
    const auto answers = [&](std::uint64_t generation, std::chrono::milliseconds budget) {
        auto& context = trial.context(budget);
        auto devices = rig.acknowledgements(context, rig.notice(generation));
        if (!devices && devices.error().code == ErrorCode::unsupported) {
            trial.either(devices, "acknowledgements");
            Trial::needs(false, "carries no answers as it is configured");
        }
        trial.late(std::chrono::steady_clock::now() - context.deadline(), "acknowledgements");
        auto names = trial.must(std::move(devices), "acknowledgements");
        std::sort(names.begin(), names.end());
        return joined(names);
    };
    trial.expect(answers(7, glance).empty(), "somebody is said to have answered, and nobody did");
    (void)rig.receive_all(6);
    trial.expect(answers(7, glance).empty(), "having received is taken for an answer");
    trial.must(rig.acknowledge(1, rig.notice(7)), "acknowledge");
    trial.must(rig.acknowledge(1, rig.notice(7)), "acknowledge again");
    trial.expect(answers(7, glance) == "r2", "not exactly the one who answered is named");
    trial.must(rig.acknowledge(2, rig.notice(7)), "acknowledge");
    trial.expect(answers(7, std::chrono::seconds{20}) == "r2 r3", "not both who answered are named");
    rig.announce(8);
    trial.expect(answers(8, glance).empty(), "answers to the notice before are taken for answers to this one");
}

/// Who has not the link's secret is not believed; the same notice by one who has it is.
void authenticated(Trial& trial) {
    bool offers_secret = false;
    for (std::size_t i = 0; i < trial.plugin().field_count; ++i) {
        const Field& field = trial.plugin().fields[i];
        offers_secret = offers_secret || (field.scope == Scope::key_ids && std::string_view(field.key) == "secret");
    }
    Trial::needs(offers_secret, "has no field secret in its key_ids table");
    Trial::needs(!support::find_stage(trial.plugin(), kind)->provides.has(Capability::in_process),
                 "nobody else can write into this process");

    constexpr std::string_view secret = "the secret of this link, 32 octets";
    trial.guard_text(secret);
    Rig rig(trial, "conformance", secret);
    rig.announce(7);
    (void)rig.receive_all(6);
    // A stranger writes to the same places: first with a secret of its own, then, if it can, with none.
    for (const std::string other : {"the secret of somebody who is not in it", ""}) {
        Rig stranger(trial, rig, "conformance", true, other);
        const auto sent = stranger.announce(trial.context(), stranger.notice(9));
        trial.either(sent, "announce by a stranger");
        for (const std::size_t member : {std::size_t{1}, std::size_t{2}}) {
            const auto received = rig.receive(trial.context(glance), member, 7);
            (void)trial.must_fail(received, "receive of a forged notice", {ErrorCode::auth, ErrorCode::not_found});
        }
    }
}

void links_apart(Trial& trial) {
    Rig rig(trial);
    Rig other(trial, rig, other_link, false);
    rig.announce(7);
    rig.silence(other.receive(trial.context(glance), 1, 0));
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
    rig.silence(rig.receive(trial.context(glance), 1, 0));
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
                const auto received = rig.receive(trial.context(glance), member, 0);
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
        if (trial.was_late()) return;  // one is enough
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
    attempt("acknowledge", [&](Context& context) { return rig.acknowledge(context, 1, rig.notice(7)); });
    any = any || reached;
    // Whoever waits for answers has them all, so that nothing but the device holds it up.
    for (const std::size_t member : {std::size_t{1}, std::size_t{2}})
        trial.either(rig.acknowledge(member, rig.notice(7)), "acknowledge");
    attempt("acknowledgements", [&](Context& context) { return rig.acknowledgements(context, rig.notice(7)); });
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
    auto transport = trial.make<KeyIdTransport>();
    Rig rig(trial, other_link);
    const TransportEnd self{"r8", {"a"}, nullptr};
    const std::array responders{TransportEnd{"r9", {"b"}, nullptr}};
    trial.either(transport->announce(trial.context(), self, responders, rig.notice(7)), "announce without sessions");
    trial.either(transport->receive(trial.context(glance), self, other_link, 0), "receive without a session");
    trial.either(transport->acknowledge(trial.context(), self, rig.notice(7)), "acknowledge without a session");
    trial.either(transport->acknowledgements(trial.context(glance), self, responders, rig.notice(7)),
                 "acknowledgements without sessions");
    trial.either(transport->retract(trial.context(), self, other_link), "retract without a session");
}

}  // namespace

const std::vector<Law>& transport_laws() {
    static const std::vector<Law> laws{
        {"key-id-transport.same", "every responder receives the notice that was announced", same_notice},
        {"key-id-transport.newest", "the newest notice is delivered, an old generation is not", newest_only},
        {"key-id-transport.order", "within a generation the later message takes the place of the earlier one",
         in_order},
        {"key-id-transport.wanted", "what has expired or comes from another sender is not delivered", only_wanted},
        {"key-id-transport.answered", "acknowledgements names exactly those who acknowledged this very notice",
         answered},
        {"key-id-transport.authentic", "with a secret, nobody without it is believed", authenticated},
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
