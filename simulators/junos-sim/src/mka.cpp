// The MKA model: which key a wire runs on, as a pure function of both ends' configuration over time.
#include "mka.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace qkd::junossim {

namespace {

constexpr Millis ready_after = 2000;

void update_end(EndState& end, const EndConfig& config, Millis device_time, const std::optional<Key>& live) {
    // Bound anew or booted: its sessions start from nothing.
    if (config.ca != end.ca || config.booting != end.booting) end = EndState{config.ca, {}, {}, {}, config.booting};
    if (config.ca.empty() || config.booting) return;
    const auto primary = config.primary_at(device_time);
    if (primary != end.primary) {
        const bool ran_here = live && (live == end.primary || live == end.preceding);
        end.preceding = ran_here ? live : std::nullopt;
        end.primary = primary;
    }
    if (!config.keep_preceding || end.preceding == end.primary) end.preceding.reset();
    end.fallback = config.fallback;
}

void update_common(WireState& state) {
    std::vector<WireState::Common> common;
    for (const auto* key : {&state.end[0].primary, &state.end[0].preceding, &state.end[0].fallback}) {
        if (!*key || state.end[1].role_of(**key) == Role::none) continue;
        if (std::any_of(common.begin(), common.end(), [&](const auto& c) { return c.key == **key; })) continue;
        common.push_back({**key, state.since(**key).value_or(state.at)});
    }
    state.common = std::move(common);
}

void update_live(WireState& state) {
    const auto rank = [&](const Key& key) {
        const auto a = static_cast<int>(state.end[0].role_of(key));
        const auto b = static_cast<int>(state.end[1].role_of(key));
        return std::make_tuple(std::max(a, b), a + b, key != state.live);
    };
    const WireState::Common* best = nullptr;
    for (const auto& c : state.common) {
        if (c.since + ready_after > state.at) continue;
        if (best == nullptr || rank(c.key) < rank(best->key)) best = &c;
    }
    const std::optional<Key> live = best == nullptr ? std::nullopt : std::optional(best->key);
    if (live != state.live) state.live_since = state.at;
    state.live = live;
    if (!live) return;
    for (auto& end : state.end) {
        if (end.primary == live) end.preceding.reset();
    }
    update_common(state);
}

void step(WireState& state, const EndTimeline& a, const EndTimeline& b, Millis at) {
    state.at = at;
    update_end(state.end[0], a.at(at), at + a.skew, state.live);
    update_end(state.end[1], b.at(at), at + b.skew, state.live);
    update_common(state);
    update_live(state);
}

void collect(const EndTimeline& timeline, Millis after, Millis until, std::set<Millis>& instants) {
    const auto note = [&](Millis at) {
        if (at > after && at <= until) instants.insert(at);
    };
    for (const auto& change : timeline.changes) {
        note(change.at);
        for (const auto& key : change.config.chain) note(key.start - timeline.skew);
    }
}

}  // namespace

std::optional<Key> EndConfig::primary_at(Millis device_time) const {
    const ChainKey* best = nullptr;
    for (const auto& k : chain) {
        if (k.start <= device_time && (best == nullptr || k.start >= best->start)) best = &k;
    }
    if (best != nullptr) return best->key;
    return pre_shared;
}

const EndConfig& EndTimeline::at(Millis lab) const {
    static const EndConfig nothing;
    const EndConfig* found = &nothing;
    for (const auto& change : changes) {
        if (change.at <= lab) found = &change.config;
    }
    return *found;
}

std::string_view to_word(Role role) {
    switch (role) {
        case Role::primary: return "primary";
        case Role::preceding: return "preceding";
        case Role::fallback: return "fallback";
        case Role::none: break;
    }
    return "none";
}

std::string_view to_word(LinkState state) {
    switch (state) {
        case LinkState::secured: return "secured";
        case LinkState::preceding: return "preceding";
        case LinkState::fallback: return "fallback";
        case LinkState::init: return "init";
        case LinkState::down: break;
    }
    return "down";
}

Role EndState::role_of(const Key& key) const {
    if (primary == key) return Role::primary;
    if (preceding == key) return Role::preceding;
    if (fallback == key) return Role::fallback;
    return Role::none;
}

bool WireState::apart() const {
    const auto up = [](const EndState& e) { return !e.ca.empty() && !e.booting; };
    return up(end[0]) && up(end[1]) && common.empty();
}

LinkState WireState::state_at(std::size_t which) const {
    if (!live) return common.empty() ? LinkState::down : LinkState::init;
    switch (end[which].role_of(*live)) {
        case Role::primary: return LinkState::secured;
        case Role::preceding: return LinkState::preceding;
        case Role::fallback: return LinkState::fallback;
        case Role::none: break;
    }
    return LinkState::down;
}

std::optional<Millis> WireState::since(const Key& key) const {
    for (const auto& c : common) {
        if (c.key == key) return c.since;
    }
    return std::nullopt;
}

bool Transition::same_as(const Transition& other) const {
    return configured == other.configured && apart == other.apart && state == other.state && role == other.role &&
           ckn == other.ckn;
}

Transition snapshot(const WireState& state) {
    Transition t;
    t.at = state.at;
    t.configured = !state.end[0].ca.empty() && !state.end[1].ca.empty();
    t.apart = state.apart();
    for (std::size_t i = 0; i < 2; ++i) {
        t.state[i] = state.state_at(i);
        t.role[i] = state.live ? state.end[i].role_of(*state.live) : Role::none;
    }
    if (state.live) t.ckn = state.live->ckn;
    return t;
}

std::vector<Transition> advance(WireState& state, const EndTimeline& a, const EndTimeline& b, Millis now) {
    std::vector<Transition> transitions;
    std::set<Millis> instants;
    collect(a, state.at, now, instants);
    collect(b, state.at, now, instants);
    Transition last = snapshot(state);
    const auto note = [&] {
        auto current = snapshot(state);
        if (current.same_as(last)) return;
        transitions.push_back(current);
        last = current;
    };
    while (true) {
        std::optional<Millis> next;
        if (!instants.empty()) next = *instants.begin();
        for (const auto& c : state.common) {
            const Millis ready = c.since + ready_after;
            if (ready > state.at && ready <= now && (!next || ready < *next)) next = ready;
        }
        if (!next) break;
        instants.erase(*next);
        step(state, a, b, *next);
        note();
    }
    state.at = std::max(state.at, now);
    return transitions;
}

}  // namespace qkd::junossim
