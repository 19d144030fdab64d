// The fake devices, KMEs, transport and memory behind fake_world.hpp.
#include "fake_world.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include "engine/secrets/references.hpp"
#include "qkd/sdk/initial_config.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"
#include "support/test_context.hpp"

namespace qkd::test {
namespace {

using Lock = std::lock_guard<std::mutex>;

/// "device.mx1" or "mx1" -> "mx1".
std::string last_word(const std::string& name) {
    return name.substr(name.rfind('.') + 1);
}

class Noun {
  protected:
    std::string name_;
};

class FakeClock final : public ClockAccess {
  public:
    explicit FakeClock(std::string device) : device_(std::move(device)) {}
    Result<ClockReading> read(Context&) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(device_, "clock")) return *e;
        world.advance(world.step);
        ClockReading reading;
        reading.now = world.now + world.devices.at(device_).skew;
        return reading;
    }

  private:
    std::string device_;
};

class FakeSession final : public DeviceSession {
  public:
    FakeSession(const std::string& device, std::string id) : clock_(device), id_(std::move(id)) {}
    const DeviceFacts& facts() const override { return facts_; }
    [[nodiscard]] std::string id() const override { return id_; }
    FileAccess* files() noexcept override { return nullptr; }
    LldpAccess* lldp() noexcept override { return nullptr; }
    ClockAccess* clock() noexcept override { return &clock_; }
    Result<void> close(Context&) override { return {}; }
    [[nodiscard]] bool alive() const noexcept override { return true; }

  private:
    DeviceFacts facts_;
    FakeClock clock_;
    std::string id_;
};

class FakeConnector final : public Connector, Noun {
  public:
    Result<void> configure(const ConfigView& config) override {
        name_ = last_word(config.name());
        return {};
    }
    Result<void> probe(Context&) override { return {}; }
    Result<std::unique_ptr<DeviceSession>> open(Context&) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "open")) return *e;
        return std::unique_ptr<DeviceSession>(std::make_unique<FakeSession>(name_, std::to_string(++world.sessions)));
    }
};

class FakeEdits final : public ConfigEdits {
  public:
    [[nodiscard]] bool empty() const override { return false; }
};

class FakeInitial final : public InitialConfig, Noun {
  public:
    Result<void> configure(const ConfigView& config) override {
        name_ = last_word(config.name());
        return {};
    }
    Result<void> probe(Context&) override { return {}; }
    Result<std::unique_ptr<ConfigEdits>> difference(Context&, DeviceSession&, const MemberTarget&) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "difference")) return *e;
        return std::unique_ptr<ConfigEdits>(std::make_unique<FakeEdits>());
    }
};

bool held_by_another(const FakeDevice& device, const DeviceSession& session) {
    return device.locked && device.lock_holder != session.id();
}

std::vector<InterfaceMka> mka_of(const std::string& name, const MemberTarget& target) {
    World& world = World::get();
    std::vector<InterfaceMka> list;
    const auto mine = usable(world.devices.at(name), world.now);
    for (const auto& interface : target.interfaces) {
        InterfaceMka mka{interface, MkaState::down, {}};
        // The best key that every device can use: primary everywhere is secured, anything else is fallback.
        for (const auto* key : mine) {
            bool common = true, primary = true;
            for (const auto& [other_name, other] : world.devices) {
                const auto theirs = usable(other, world.now);
                const auto found = std::find_if(theirs.begin(), theirs.end(), [&](const FakeKey* k) {
                    return k->ckn == key->ckn && k->cak.same_as(key->cak);
                });
                common = common && found != theirs.end();
                primary = primary && found == theirs.begin();
            }
            if (!common) continue;
            mka.state = primary ? MkaState::secured : MkaState::fallback;
            mka.ckn = key->ckn;
            break;
        }
        list.push_back(std::move(mka));
    }
    return list;
}

class FakeCommit final : public Commit, Noun {
  public:
    Result<void> configure(const ConfigView& config) override {
        name_ = last_word(config.name());
        return {};
    }
    Result<void> probe(Context&) override { return {}; }

    Result<MemberState> read(Context&, DeviceSession&, const MemberTarget& target) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "read")) return *e;
        world.check();
        const FakeDevice& device = world.devices.at(name_);
        MemberState state;
        state.association_exists = device.running.association;
        state.uses_chain = device.running.uses_chain;
        int slot = 0;
        for (const auto& key : device.running.keys) {
            state.keys.push_back({key.place, std::to_string(slot++), key.ckn, key.cak.clone(), key.start});
        }
        if (!device.pending.empty()) state.pending = PendingCommit{device.pending, "test"};
        state.recent_comments = device.comments;
        state.mka = mka_of(name_, target);
        state.shortcoming = device.shortcoming;
        return state;
    }

    Result<std::vector<InterfaceMka>> read_mka(Context&, DeviceSession&, const MemberTarget& target) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "read_mka")) return *e;
        return mka_of(name_, target);
    }

    Result<std::vector<std::string>> preview(Context&, DeviceSession&, const MemberTarget&,
                                             const MemberChange& change) override {
        std::vector<std::string> lines;
        for (const auto& key : change.add_to_chain)
            lines.push_back("+ chain " + (key.cak == nullptr ? "<new>" : key.ckn));
        if (change.pre_shared) lines.emplace_back("+ pre-shared");
        return lines;
    }

    Result<void> stage(Context&, DeviceSession& session, const MemberTarget&, const MemberChange& change) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "stage")) return *e;
        FakeDevice& device = world.devices.at(name_);
        if (device.locked || !device.pending.empty()) {
            return Error{ErrorCode::busy, Retry::safe, "device " + name_ + " is locked", ""};
        }
        FakeConfig config = device.running;
        config.association = true;
        const auto put = [&](KeyPlace place, const NamedKey& key) {
            config.keys.emplace_back(place, key.ckn, key.cak->clone(), key.start);
        };
        const auto drop = [&](KeyPlace place) {
            std::erase_if(config.keys, [&](const FakeKey& k) { return k.place == place; });
        };
        for (const auto& ckn : change.remove_from_chain) {
            std::erase_if(config.keys, [&](const FakeKey& k) { return k.place == KeyPlace::chain && k.ckn == ckn; });
        }
        for (const auto& key : change.add_to_chain) put(KeyPlace::chain, key);
        if (change.use_chain) {
            config.uses_chain = true;
            drop(KeyPlace::pre_shared);
        }
        if (change.pre_shared) {
            config.uses_chain = false;
            drop(KeyPlace::pre_shared);
            put(KeyPlace::pre_shared, *change.pre_shared);
        }
        if (change.fallback) {
            drop(KeyPlace::fallback);
            put(KeyPlace::fallback, *change.fallback);
        }
        device.candidate = std::move(config);
        device.locked = true;
        device.lock_holder = session.id();
        if (auto e = world.leave(name_, "stage")) return *e;
        return {};
    }

    Result<void> commit_confirmed(Context&, DeviceSession&, std::chrono::minutes timeout,
                                  const std::string& comment) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "commit_confirmed")) return *e;
        FakeDevice& device = world.devices.at(name_);
        if (!device.candidate) return Error{ErrorCode::conflict, Retry::never, "nothing staged on " + name_, ""};
        device.before = device.running;
        device.running = *device.candidate;
        device.candidate.reset();
        device.pending = comment;
        device.pending_until = world.now + timeout;
        device.comments.insert(device.comments.begin(), comment);
        world.check();
        if (auto e = world.leave(name_, "commit_confirmed")) return *e;
        return {};
    }

    Result<void> confirm(Context&, DeviceSession&, const std::string& comment) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "confirm")) return *e;
        world.check();
        FakeDevice& device = world.devices.at(name_);
        if (device.pending != comment) return Error{ErrorCode::conflict, Retry::never, "not pending on " + name_, ""};
        device.pending.clear();
        if (auto e = world.leave(name_, "confirm")) return *e;
        return {};
    }

    Result<void> revert(Context&, DeviceSession& session, const std::string& comment) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "revert")) return *e;
        FakeDevice& device = world.devices.at(name_);
        if (held_by_another(device, session)) return Error{ErrorCode::busy, Retry::safe, name_ + " is locked", ""};
        // As on a device: also a commit that was confirmed can be taken back while it is the latest.
        const bool in_effect = !device.comments.empty() && device.comments.front() == comment;
        if (in_effect && device.before) {
            device.running = *device.before;
            device.before.reset();
            device.pending.clear();
            device.comments.insert(device.comments.begin(), comment + " revert");
        }
        device.candidate.reset();
        device.locked = false;
        world.check();
        return {};
    }

    Result<void> discard(Context&, DeviceSession& session) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "discard")) return *e;
        if (held_by_another(world.devices.at(name_), session)) return {};
        world.devices.at(name_).candidate.reset();
        world.devices.at(name_).locked = false;
        return {};
    }

    Result<void> release(Context&, DeviceSession& session) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "release")) return *e;
        if (held_by_another(world.devices.at(name_), session)) return {};
        world.devices.at(name_).locked = false;
        return {};
    }

    Result<bool> break_lock(Context&, DeviceSession&, const std::string& session_id) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "break_lock")) return *e;
        FakeDevice& device = world.devices.at(name_);
        if (!device.locked || device.lock_holder != session_id) return false;
        device.locked = false;
        device.candidate.reset();
        return true;
    }

    Result<void> withdraw(Context&, DeviceSession&, const MemberTarget&, const std::string& ckn,
                          const std::string& comment) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "withdraw")) return *e;
        FakeDevice& device = world.devices.at(name_);
        if (device.locked) return Error{ErrorCode::busy, Retry::safe, "device " + name_ + " is locked", ""};
        std::erase_if(device.running.keys,
                      [&](const FakeKey& k) { return k.place == KeyPlace::chain && k.ckn == ckn; });
        device.comments.insert(device.comments.begin(), comment);
        world.check();
        if (auto e = world.leave(name_, "withdraw")) return *e;
        return {};
    }
};

class FakeSource final : public KeySource, Noun {
  public:
    Result<void> configure(const ConfigView& config) override {
        name_ = last_word(config.name());
        return {};
    }
    Result<void> probe(Context&) override { return {}; }
    Result<SourceStatus> status(Context&, const std::string&) override { return SourceStatus{}; }
    Result<std::vector<Key>> mint(Context&, const MintRequest& request) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "mint")) return *e;
        const std::string id = "key-" + std::to_string(++world.minted);
        SecretBytes key = SecretBytes::zeros(request.bits / 8);
        key.writable()[0] = static_cast<std::uint8_t>(world.minted);
        key.writable()[1] = 0x5a;
        world.kme_keys[id] = key.clone();
        if (auto e = world.leave(name_, "mint")) return *e;
        std::vector<Key> keys;
        keys.push_back({id, std::move(key)});
        return keys;
    }
    Result<std::vector<Key>> fetch(Context&, const FetchRequest& request) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(name_, "fetch")) return *e;
        const auto found = world.kme_keys.find(request.ids.front());
        if (found == world.kme_keys.end() || !world.handed_out.insert(name_ + " " + found->first).second) {
            return Error{ErrorCode::not_found, Retry::safe, "no such key", ""};
        }
        ++world.fetched;
        if (auto e = world.leave(name_, "fetch")) return *e;
        std::vector<Key> keys;
        keys.push_back({request.ids.front(), found->second.clone()});
        return keys;
    }
};

class FakeTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }
    Result<void> announce(Context&, const TransportEnd& self, std::span<const TransportEnd> responders,
                          const KeyIdNotice& notice) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(self.device, "announce")) return *e;
        for (const auto& responder : responders) world.devices.at(responder.device).notice = true;
        world.notices[notice.link] = notice;
        if (auto e = world.leave(self.device, "announce")) return *e;
        return {};
    }
    Result<KeyIdNotice> receive(Context&, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(self.device, "receive")) return *e;
        const auto found = world.notices.find(link);
        if (found == world.notices.end() || found->second.mark() <= wanted.after) {
            return Error{ErrorCode::not_found, Retry::safe, "no notice that is new", ""};
        }
        return found->second;
    }
    Result<void> acknowledge(Context&, const TransportEnd& self, const KeyIdNotice& notice) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(self.device, "acknowledge")) return *e;
        world.answers[self.device] = notice.mark();
        if (auto e = world.leave(self.device, "acknowledge")) return *e;
        return {};
    }
    Result<std::vector<std::string>> acknowledgements(Context&, const TransportEnd& self,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(self.device, "acknowledgements")) return *e;
        std::vector<std::string> devices;
        for (const auto& responder : responders) {
            const auto answer = world.answers.find(responder.device);
            if (answer != world.answers.end() && answer->second == notice.mark()) devices.push_back(responder.device);
        }
        return devices;
    }
    Result<void> retract(Context&, const TransportEnd& self, const std::string&) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(self.device, "retract")) return *e;
        world.devices.at(self.device).notice = false;
        return {};
    }
};

class FakePersist final : public Persist {
  public:
    Result<void> configure(const ConfigView& config) override {
        if (const auto at = config.name().find('@'); at != std::string::npos) of_ = config.name().substr(at + 1);
        return {};
    }
    Result<void> probe(Context&) override { return {}; }
    Result<std::optional<LinkRecord>> load(Context&, const std::string& link) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(of_, "load")) return *e;
        const auto found = world.records.find(of_.empty() ? link : link + "@" + of_);
        if (found == world.records.end()) return std::optional<LinkRecord>{};
        return std::optional<LinkRecord>{found->second};
    }
    Result<void> save(Context&, const LinkRecord& record) override {
        World& world = World::get();
        const Lock lock(world.mutex);
        if (auto e = world.enter(of_, "save")) return *e;
        world.records[of_.empty() ? record.link : record.link + "@" + of_] = record;
        return {};
    }

  private:
    std::string of_;  ///< on-box: whose memory this is
};

constexpr std::array device_stages{stage<Connector, FakeConnector>({Capability::clock, Capability::macsec}),
                                   stage<InitialConfig, FakeInitial>(), stage<Commit, FakeCommit>()};
constexpr std::array kme_stages{stage<KeySource, FakeSource>()};
constexpr std::array transport_stages{stage<KeyIdTransport, FakeTransport>({Capability::writes}, {Capability::clock})};
constexpr std::array persist_stages{stage<Persist, FakePersist>()};

PluginDescriptor descriptor(const char* name, const StageInfo* stages, std::size_t count) {
    return {plugin_magic, QKD_ABI_MAJOR, QKD_ABI_MINOR, QKD_FINGERPRINT, name,    "1.0.0", "tests",
            "a fake",     "test only",   stages,        count,           nullptr, 0};
}

const PluginDescriptor device_plugin = descriptor("fake-device", device_stages.data(), device_stages.size());
const PluginDescriptor kme_plugin = descriptor("fake-kme", kme_stages.data(), kme_stages.size());
const PluginDescriptor transport_plugin =
    descriptor("fake-transport", transport_stages.data(), transport_stages.size());
const PluginDescriptor persist_plugin = descriptor("fake-persist", persist_stages.data(), persist_stages.size());

}  // namespace

World& World::get() {
    static World world;
    return world;
}

void World::reset(std::vector<std::string> names) {
    const Lock lock(mutex);
    devices.clear();
    for (auto& name : names) devices[name];
    kme_keys.clear();
    handed_out.clear();
    records.clear();
    notices.clear();
    answers.clear();
    dead.clear();
    faults.clear();
    calls.clear();
    on_call = nullptr;
    now = UtcMillis(std::chrono::seconds{1'800'000'000});
    step = std::chrono::milliseconds{1000};
    apart = false;
    minted = fetched = 0;
}

std::optional<Error> World::killed(const std::string& device) const {
    const auto dash = device.find('-');  // "kme-a" is a's
    if (!dead.contains(dash == std::string::npos ? device : device.substr(dash + 1))) return std::nullopt;
    return Error{ErrorCode::unreachable, Retry::never, "killed", ""};
}

std::optional<Error> World::enter(const std::string& device, const std::string& call) {
    if (auto e = killed(device)) return e;
    calls.push_back(device + " " + call);
    if (on_call) on_call(device, call);
    if (auto e = killed(device)) return e;
    return fault(device, call, false);
}

std::optional<Error> World::leave(const std::string& device, const std::string& call) {
    if (auto e = killed(device)) return e;
    if (on_call) on_call(device, call + " done");
    if (auto e = killed(device)) return e;
    return fault(device, call, true);
}

std::optional<Error> World::fault(const std::string& device, const std::string& call, bool after) {
    for (auto& f : faults) {
        if (f.times <= 0 || f.call != call || f.after_effect != after || (!f.device.empty() && f.device != device))
            continue;
        --f.times;
        return f.error;
    }
    return std::nullopt;
}

World::Memory& World::Memory::operator=(const Memory& other) {
    if (this == &other) return *this;
    devices = other.devices;
    kme_keys.clear();
    for (const auto& [id, key] : other.kme_keys) kme_keys.emplace_back(id, key.clone());
    handed_out = other.handed_out;
    records = other.records;
    notices = other.notices;
    answers = other.answers;
    now = other.now;
    minted = other.minted;
    fetched = other.fetched;
    return *this;
}

World::Memory World::remember() const {
    Memory memory;
    memory.devices = devices;
    for (const auto& [id, key] : kme_keys) memory.kme_keys.emplace_back(id, key.clone());
    memory.handed_out = handed_out;
    memory.records = records;
    memory.notices = notices;
    memory.answers = answers;
    memory.now = now;
    memory.minted = minted;
    memory.fetched = fetched;
    return memory;
}

void World::go_back(Memory&& memory) {
    devices = std::move(memory.devices);
    kme_keys.clear();
    for (auto& [id, key] : memory.kme_keys) kme_keys[id] = std::move(key);
    handed_out = std::move(memory.handed_out);
    records = std::move(memory.records);
    notices = std::move(memory.notices);
    answers = std::move(memory.answers);
    now = memory.now;
    minted = memory.minted;
    fetched = memory.fetched;
}

void World::advance(std::chrono::milliseconds by) {
    now += by;
    check();
}

void World::check() {
    for (auto& [name, device] : devices) {
        if (device.pending.empty() || now < device.pending_until) continue;
        device.running = *device.before;
        device.before.reset();
        device.comments.insert(device.comments.begin(), "expired");
        device.pending.clear();
    }
    const bool all_configured =
        std::all_of(devices.begin(), devices.end(), [](const auto& entry) { return entry.second.running.association; });
    if (!all_configured || devices.empty()) return;
    const auto first = usable(devices.begin()->second, now);
    const bool common = std::any_of(first.begin(), first.end(), [&](const FakeKey* key) {
        return std::all_of(devices.begin(), devices.end(), [&](const auto& entry) {
            const auto theirs = usable(entry.second, now);
            return std::any_of(theirs.begin(), theirs.end(),
                               [&](const FakeKey* k) { return k->ckn == key->ckn && k->cak.same_as(key->cak); });
        });
    });
    if (!common) apart = true;
}

std::vector<const FakeKey*> usable(const FakeDevice& device, UtcMillis now) {
    const FakeKey *active = nullptr, *pre_shared = nullptr, *fallback = nullptr;
    for (const auto& key : device.running.keys) {
        if (key.place == KeyPlace::fallback) fallback = &key;
        if (key.place == KeyPlace::pre_shared) pre_shared = &key;
        if (key.place == KeyPlace::chain && device.running.uses_chain && *key.start <= now + device.skew) {
            if (active == nullptr || *key.start > *active->start) active = &key;
        }
    }
    std::vector<const FakeKey*> keys;
    for (const auto* key : {active, pre_shared, fallback}) {
        if (key != nullptr) keys.push_back(key);
    }
    return keys;
}

void add_fakes(engine::PluginHost& host) {
    for (const auto* plugin : {&device_plugin, &kme_plugin, &transport_plugin, &persist_plugin}) {
        if (auto added = host.add_builtin(*plugin); !added) throw std::runtime_error(added.error().what);
    }
}

std::optional<engine::JournalEntry> journal_of(const std::filesystem::path& state, const std::string& link) {
    support::TestContext context;
    const auto key = engine::load_seal_key({{}, state}, false, context);
    if (!key) return std::nullopt;
    engine::Journal journal(state, link, *key);
    auto entry = journal.load();
    return entry ? std::move(*entry) : std::nullopt;
}

engine::Pipeline fake_pipeline(const std::vector<std::string>& names, Rollover rollover) {
    engine::Pipeline pipeline;
    pipeline.name = "fake";
    pipeline.file = "fake.toml";
    for (const auto kind : {StageKind::connect, StageKind::initial_config, StageKind::key_source,
                            StageKind::key_id_transport, StageKind::commit, StageKind::persist}) {
        engine::StagePolicy policy;
        policy.kind = kind;
        policy.timeout = std::chrono::milliseconds{2000};
        pipeline.stages.push_back(policy);
    }
    pipeline.commit.rollover = rollover;
    pipeline.commit.lead = std::chrono::milliseconds{600000};
    pipeline.commit.confirm = std::chrono::minutes{5};
    pipeline.commit.max_clock_skew = std::chrono::milliseconds{60000};
    pipeline.dec_retry_window = std::chrono::milliseconds{0};
    pipeline.persist.plugin = "fake-persist";
    pipeline.persist.name = "stage.persist";
    engine::Kme kme;
    kme.name = "kme";
    kme.plugin = "fake-kme";
    engine::Link link;
    link.name = "link";
    link.connectivity_association = "CA";
    link.key_chain = "QKD_CA";
    link.key_ids.plugin = "fake-transport";
    link.key_ids.name = "link.key_ids";
    for (const auto& name : names) {
        engine::Device device;
        device.name = name;
        device.plugin = "fake-device";
        pipeline.devices[name] = device;
        kme.name = "kme-" + name;
        pipeline.kmes[kme.name] = kme;
        engine::Member member;
        member.role = link.members.empty() ? engine::Role::initiator : engine::Role::responder;
        member.device = name;
        member.interfaces = {"et-0/0/0"};
        member.kme = kme.name;
        member.sae = "sae-" + name;
        link.members.push_back(member);
    }
    pipeline.links.push_back(link);
    return pipeline;
}

}  // namespace qkd::test
