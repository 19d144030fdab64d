// Questions to the engine's pure functions.
#include "bridge.hpp"

#include <stdexcept>

namespace qkd::model {
namespace {

std::string ckn_of(Key key) {
    constexpr const char* digits = "0123456789abcdef";
    return {digits[key >> 4U], digits[key & 15U]};
}

Key key_of(const std::string& ckn) {
    return static_cast<Key>(std::stoul(ckn, nullptr, 16));
}

SecretBytes cak_of(Key key) {
    SecretBytes cak = SecretBytes::zeros(16);
    cak.writable()[0] = key;
    return cak;
}

UtcSeconds instant(Tick tick) {
    return UtcSeconds(std::chrono::minutes{tick});
}

Tick tick_of(UtcSeconds time) {
    // A base key's start-time, a day before the others, is older than everything.
    const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(time.time_since_epoch()).count();
    return minutes < 0 ? Tick{0} : static_cast<Tick>(minutes);
}

MemberState state_of(const Config& config) {
    MemberState state;
    state.association_exists = config.configured;
    state.uses_chain = config.uses_chain;
    int number = 0;
    for (const auto& slot : config.chain) {
        if (slot.key == 0) continue;
        // Where 0 stands for "a day before", any negative instant does.
        const UtcSeconds start = slot.start == 0 ? UtcSeconds(-std::chrono::hours{1}) : instant(slot.start);
        state.keys.push_back({KeyPlace::chain, std::to_string(number++), ckn_of(slot.key), cak_of(slot.key), start});
    }
    if (config.pre_shared != 0) {
        state.keys.push_back(
            {KeyPlace::pre_shared, {}, ckn_of(config.pre_shared), cak_of(config.pre_shared), std::nullopt});
    }
    if (config.fallback != 0) {
        state.keys.push_back({KeyPlace::fallback, {}, ckn_of(config.fallback), cak_of(config.fallback), std::nullopt});
    }
    return state;
}

std::vector<std::string> names_of(KeySet keys) {
    std::vector<std::string> names;
    for (Key key = 1; key <= max_keys; ++key) {
        if ((keys >> key & 1U) != 0) names.push_back(ckn_of(key));
    }
    if ((keys & some_forgotten) != 0) names.emplace_back("ff");
    return names;
}

/// The two readings; they point into themselves.
struct Readings {
    std::array<MemberState, 2> states;
    std::vector<engine::MemberReading> list;

    explicit Readings(const std::array<Snapshot, 2>& seen) {
        for (std::size_t m = 0; m < 2; ++m) {
            states[m] = state_of(seen[m].config);
            InterfaceMka mka{"et-0/0/0", seen[m].mka, seen[m].live != 0 ? ckn_of(seen[m].live) : std::string{}};
            states[m].mka.push_back(std::move(mka));
            list.push_back({m == 0 ? "A" : "B", &states[m], UtcMillis(instant(seen[m].clock))});
        }
    }
    Readings(const Readings&) = delete;
    Readings& operator=(const Readings&) = delete;
};

template <class... Parts>
std::string question(const Parts&... parts) {
    std::string bytes;
    (bytes.append(reinterpret_cast<const char*>(&parts), sizeof(Parts)), ...);
    return bytes;
}

Key name_of(const ConfiguredKey* key) {
    return key != nullptr ? key_of(key->ckn) : Key{0};
}

}  // namespace

const Finding& Bridge::reconcile(const std::array<Snapshot, 2>& seen, KeySet own, Rollover rollover) {
    const auto [place, is_new] = findings_.try_emplace(question(seen, own, rollover));
    Finding& finding = place->second;
    if (!is_new) return finding;
    const Readings readings(seen);
    const auto result = decisions_.reconcile(readings.list, names_of(own), rollover);
    finding.base_is_common = result.base_is_common;
    finding.has_base = result.base != nullptr;
    finding.fallback_is_common = result.fallback_is_common;
    finding.needs_groundwork = result.needs_groundwork;
    finding.fallback = name_of(result.fallback);
    if (result.adopted != nullptr) finding.adopted = {key_of(result.adopted->ckn), tick_of(*result.adopted->start)};
    for (const auto& withdrawal : result.withdrawals) {
        finding.withdrawals.at(withdrawal.member) |= KeySet{1} << key_of(withdrawal.ckn);
    }
    for (std::size_t m = 0; m < 2; ++m) {
        const auto view = decisions_.view_keys(readings.list[m]);
        finding.active[m] = name_of(view.active);
        finding.pre_shared[m] = name_of(view.pre_shared);
    }
    return finding;
}

const Plan& Bridge::plan(const State& state, Rollover rollover) {
    const Runner& r = state.runner;
    const auto [place, is_new] = plans_.try_emplace(
        question(r.seen, state.own_runner, r.next, r.first_key, r.fallback_key, r.start, r.groundwork, rollover));
    Plan& plan = place->second;
    if (!is_new) return plan;
    const Readings readings(r.seen);
    const auto own = names_of(state.own_runner);
    const auto reconciliation = decisions_.reconcile(readings.list, own, rollover);
    const SecretBytes next = cak_of(r.next), fallback = cak_of(r.fallback_key);
    const Key base_key = reconciliation.base != nullptr ? key_of(reconciliation.base->ckn) : r.first_key;
    const SecretBytes base = cak_of(base_key);
    engine::ChangeKeys keys;
    const UtcSeconds start = instant(r.start);
    if (!r.groundwork) keys.next = {ckn_of(r.next), &next, start};
    keys.base = {ckn_of(base_key), &base, start - std::chrono::hours{24}};
    keys.fallback = {ckn_of(r.fallback_key), &fallback, std::nullopt};
    plan.first_configuration = !reconciliation.base_is_common;
    for (std::size_t m = 0; m < 2; ++m) {
        const auto change = decisions_.make_change(reconciliation, readings.list, m, rollover, keys, own, nullptr);
        Change& into = plan.change[m];
        if (change.add_to_chain.size() > into.add.size()) throw std::logic_error("model: a change adds three keys");
        for (std::size_t i = 0; i < change.add_to_chain.size(); ++i) {
            const auto& key = change.add_to_chain[i];
            into.add[i] = {key_of(key.ckn), tick_of(key.start.value())};
        }
        for (const auto& ckn : change.remove_from_chain) plan.removes[m] |= KeySet{1} << key_of(ckn);
        into.use_chain = change.use_chain;
        if (change.pre_shared) into.pre_shared = key_of(change.pre_shared->ckn);
        if (change.fallback) into.fallback = key_of(change.fallback->ckn);
    }
    return plan;
}

bool Bridge::complete(const Config& config, const Change& change, KeySet removes) {
    const auto [place, is_new] = complete_.try_emplace(question(config, change, removes));
    if (!is_new) return place->second;
    std::vector<SecretBytes> caks;
    caks.reserve(change.add.size() + 2);  // the change points into it
    const auto named = [&](Key key, std::optional<UtcSeconds> start) {
        caks.push_back(cak_of(key));
        return NamedKey{ckn_of(key), &caks.back(), start};
    };
    MemberChange wanted;
    for (const auto& slot : change.add) {
        if (slot.key == 0) continue;
        wanted.add_to_chain.push_back(
            named(slot.key, slot.start == 0 ? UtcSeconds(-std::chrono::hours{1}) : instant(slot.start)));
    }
    for (Key key = 1; key <= max_keys; ++key) {
        if ((removes >> key & 1U) != 0) wanted.remove_from_chain.push_back(ckn_of(key));
    }
    wanted.use_chain = change.use_chain;
    if (change.pre_shared != 0) wanted.pre_shared = named(change.pre_shared, std::nullopt);
    if (change.fallback != 0) wanted.fallback = named(change.fallback, std::nullopt);
    return place->second = decisions_.missing_after(state_of(config), wanted).empty();
}

}  // namespace qkd::model
