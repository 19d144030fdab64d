// The device in memory. One candidate, one lock, one pending commit, as on a real one.
#include "conformance/model_device.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/encoding.hpp"
#include "qkd/sdk/initial_config.hpp"

namespace qkd::conformance {
namespace {

struct Stored {
    KeyPlace place;
    std::string cak_hex;
    std::optional<UtcSeconds> start;
    bool operator==(const Stored&) const = default;
};
struct Config {
    bool association = false;
    bool chain = false;
    std::map<std::string, Stored> keys;  ///< by CKN
};

struct Model {
    Lie lie = Lie::none;
    UtcMillis now{std::chrono::seconds{1795000000}};
    Config running;
    std::optional<Config> candidate;
    const void* lock = nullptr;  ///< the session that holds it
    std::string lock_id;         ///< its id
    int sessions = 0;
    std::optional<Config> before;
    std::string pending;
    UtcMillis pending_until;
    std::vector<std::string> comments;

    void expire() {
        if (pending.empty() || now < pending_until || lie == Lie::never_expires) return;
        running = *before;
        forget_pending();
    }
    void forget_pending() {
        before.reset();
        pending.clear();
    }
};

Model& model() {
    static Model only;
    return only;
}

Error fault(ErrorCode code, const std::string& what, Retry retry = Retry::never) {
    return {code, retry, "model: " + what, "this is a model"};
}

class ModelSession final : public DeviceSession, public ClockAccess {
  public:
    const DeviceFacts& facts() const override { return facts_; }
    [[nodiscard]] std::string id() const override { return std::to_string(id_); }
    FileAccess* files() noexcept override { return nullptr; }
    LldpAccess* lldp() noexcept override { return nullptr; }
    ClockAccess* clock() noexcept override { return this; }
    Result<void> close(Context&) override {
        alive_ = false;
        if (model().lock == this) model().lock = nullptr;
        return {};
    }
    [[nodiscard]] bool alive() const noexcept override { return alive_; }
    Result<ClockReading> read(Context&) override {
        return ClockReading{model().now, std::chrono::seconds{1}, {}, "UTC", {}};
    }
    ~ModelSession() override {
        if (model().lock == this) model().lock = nullptr;
    }
    ModelSession() = default;
    ModelSession(const ModelSession&) = delete;
    ModelSession& operator=(const ModelSession&) = delete;

  private:
    DeviceFacts facts_{"model", "model", "1"};
    bool alive_ = true;
    int id_ = ++model().sessions;
};

class ModelConnector final : public Connector {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }
    Result<std::unique_ptr<DeviceSession>> open(Context&) override {
        return std::unique_ptr<DeviceSession>(std::make_unique<ModelSession>());
    }
};

struct ModelEdits final : ConfigEdits {
    explicit ModelEdits(bool nothing) : nothing_(nothing) {}
    [[nodiscard]] bool empty() const override { return nothing_; }
    bool nothing_;
};

bool ours(DeviceSession& session) {
    return model().lie == Lie::takes_any_session || dynamic_cast<ModelSession*>(&session) != nullptr;
}
Error foreign() {
    return fault(ErrorCode::internal, "a session of another plugin");
}

class ModelInitial final : public InitialConfig {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }
    Result<std::unique_ptr<ConfigEdits>> difference(Context&, DeviceSession& session, const MemberTarget&) override {
        if (!ours(session)) return foreign();
        const bool done = model().running.association && model().lie != Lie::not_idempotent;
        return std::unique_ptr<ConfigEdits>(std::make_unique<ModelEdits>(done));
    }
};

class ModelCommit final : public Commit {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }

    Result<MemberState> read(Context& context, DeviceSession& session, const MemberTarget& target) override {
        if (!ours(session)) return foreign();
        Model& m = model();
        m.expire();
        MemberState state;
        state.association_exists = m.running.association;
        state.uses_chain = m.running.chain;
        for (const auto& [ckn, stored] : m.running.keys) {
            ConfiguredKey key;
            key.place = stored.place;
            key.ckn = ckn;
            key.cak = std::move(hex_decode(stored.cak_hex)).value();
            key.start = stored.start;
            state.keys.push_back(std::move(key));
        }
        if (!m.pending.empty()) state.pending = PendingCommit{m.pending, "model"};
        state.recent_comments.assign(m.comments.rbegin(), m.comments.rend());
        state.mka = *read_mka(context, session, target);
        return state;
    }
    Result<std::vector<InterfaceMka>> read_mka(Context&, DeviceSession&, const MemberTarget& target) override {
        std::vector<InterfaceMka> mka;
        for (const auto& name : target.interfaces) mka.push_back({name, MkaState::down, ""});
        if (model().lie == Lie::hides_an_interface) mka.pop_back();
        return mka;
    }
    Result<std::vector<std::string>> preview(Context&, DeviceSession&, const MemberTarget&,
                                             const MemberChange& change) override {
        std::vector<std::string> lines{"+ a key"};
        if (model().lie == Lie::preview_shows_key) {
            lines.emplace_back(hex_encode(*change.add_to_chain.front().cak).reveal_text());
        }
        return lines;
    }
    Result<void> stage(Context&, DeviceSession& session, const MemberTarget&, const MemberChange& change) override {
        if (!ours(session)) return foreign();
        Model& m = model();
        m.expire();
        if (m.lock != nullptr && m.lock != &session && m.lie != Lie::lock_ignored) {
            return fault(ErrorCode::busy, "locked", Retry::safe);
        }
        if (!m.pending.empty()) {
            if (m.lie != Lie::pending_ignored) return fault(ErrorCode::busy, "a commit is pending", Retry::safe);
            m.forget_pending();
        }
        m.lock = &session;
        m.lock_id = session.id();
        m.candidate = m.running;
        m.candidate->association = m.candidate->association || change.initial != nullptr;
        m.candidate->chain = m.candidate->chain || change.use_chain;
        for (const NamedKey& key : change.add_to_chain) {
            Stored stored{KeyPlace::chain, std::string(hex_encode(*key.cak).reveal_text()), key.start};
            if (m.lie == Lie::wrong_cak) stored.cak_hex.resize(stored.cak_hex.size() - 2);
            if (m.lie == Lie::wrong_start) *stored.start += std::chrono::hours{1};
            m.candidate->keys[key.ckn] = stored;
        }
        for (const auto& ckn : change.remove_from_chain) m.candidate->keys.erase(ckn);
        return {};
    }
    Result<void> commit_confirmed(Context&, DeviceSession& session, std::chrono::minutes timeout,
                                  const std::string& comment) override {
        Model& m = model();
        if (!m.candidate || m.lock != &session) return fault(ErrorCode::internal, "nothing staged");
        m.before = m.running;
        m.running = *std::exchange(m.candidate, std::nullopt);
        m.pending = comment;
        m.pending_until = m.now + timeout;
        m.comments.push_back(comment);
        m.lock = nullptr;  // a pending commit is guard enough
        return {};
    }
    Result<void> confirm(Context&, DeviceSession& session, const std::string& comment) override {
        Model& m = model();
        m.expire();
        if (m.pending != comment && m.lie != Lie::late_confirm_is_ok) {
            if (m.lie == Lie::confirm_keeps_lock) m.lock = &session;
            return fault(ErrorCode::conflict, "not pending");
        }
        m.forget_pending();
        return {};
    }
    Result<void> revert(Context&, DeviceSession&, const std::string& comment) override {
        Model& m = model();
        m.expire();
        if (m.pending != comment || m.lie == Lie::revert_does_nothing) return {};
        m.running = *m.before;
        m.forget_pending();
        return {};
    }
    Result<void> discard(Context&, DeviceSession& session) override {
        Model& m = model();
        if (m.lie == Lie::discard_keeps || m.lock != &session) return {};
        m.candidate.reset();
        m.lock = nullptr;
        return {};
    }
    Result<void> release(Context&, DeviceSession& session) override {
        if (model().lock == &session) model().lock = nullptr;
        return {};
    }
    Result<bool> break_lock(Context&, DeviceSession&, const std::string& session_id) override {
        Model& m = model();
        if (m.lock == nullptr || (m.lock_id != session_id && m.lie != Lie::breaks_any_lock)) return false;
        if (m.lie == Lie::break_does_nothing) return true;
        if (m.lie == Lie::break_keeps_change) m.running = *m.candidate;
        m.candidate.reset();
        m.lock = nullptr;
        return true;
    }
    Result<void> withdraw(Context&, DeviceSession&, const MemberTarget&, const std::string& ckn,
                          const std::string&) override {
        model().running.keys.erase(ckn);
        if (model().lie == Lie::withdraw_takes_more) model().running.keys.clear();
        return {};
    }
};

constexpr std::array<Field, 0> no_fields{};

consteval std::array<StageInfo, 3> stages_providing(CapabilitySet provides) {
    return {stage<Connector, ModelConnector>(provides), stage<InitialConfig, ModelInitial>(),
            stage<Commit, ModelCommit>({Capability::confirmed})};
}

constexpr auto honest = stages_providing({Capability::clock});
constexpr auto boastful = stages_providing({Capability::clock, Capability::files});

constexpr PluginDescriptor descriptor(const std::array<StageInfo, 3>& stages) {
    return {plugin_magic,         QKD_ABI_MAJOR, QKD_ABI_MINOR, QKD_FINGERPRINT, "model-device",   "1.0.0", "tests",
            "A device in memory", "test only",   stages.data(), stages.size(),   no_fields.data(), 0};
}
constexpr PluginDescriptor honest_plugin = descriptor(honest);
constexpr PluginDescriptor boastful_plugin = descriptor(boastful);

}  // namespace

const PluginDescriptor& model_device(Lie lie) {
    model().lie = lie;
    return lie == Lie::claims_files ? boastful_plugin : honest_plugin;
}

void reset_model() {
    model() = Model{};
}

void advance_model(std::chrono::seconds time) {
    model().now += time;
}

}  // namespace qkd::conformance
