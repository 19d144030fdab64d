// The MKA model: which key a wire runs on, as a pure function of both ends' configuration over time.
//
// Each end takes part with up to three keys: its primary (the chain key with the latest start-time reached on its own
// clock, or the pre-shared key), the preceding one (what it ran on before the primary changed, until the new primary
// is live) and the fallback. A key held by both ends, CKN and CAK alike, is ready two seconds later (IEEE 802.1X-2020
// clause 9: two hello times to find the peer and agree on a SAK); the wire is live on the best ready key. An end that
// boots has no keys at all and forgets its preceding one; the wire is down meanwhile, but its ends are not apart.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "util.hpp"

namespace qkd::junossim {

struct Key {
    std::string ckn;  // lower-case hex
    std::string cak;
    bool operator==(const Key&) const = default;
};

struct ChainKey {
    Key key;
    Millis start = 0;  // device clock
    bool operator==(const ChainKey&) const = default;
};

// What one interface is configured to use; `ca` is empty when MACsec is not configured there.
struct EndConfig {
    std::string ca;
    std::vector<ChainKey> chain;
    std::optional<Key> pre_shared;
    std::optional<Key> fallback;
    bool keep_preceding = true;
    bool booting = false;
    bool operator==(const EndConfig&) const = default;

    std::optional<Key> primary_at(Millis device_time) const;
};

struct EndTimeline {
    Millis skew = 0;  // device clock minus lab clock
    struct Change {
        Millis at = 0;  // lab clock
        EndConfig config;
    };
    std::vector<Change> changes;  // by instant
    const EndConfig& at(Millis lab) const;
};

enum class Role { primary, preceding, fallback, none };
enum class LinkState { secured, preceding, fallback, init, down };
std::string_view to_word(Role role);
std::string_view to_word(LinkState state);

struct EndState {
    std::string ca;
    std::optional<Key> primary;
    std::optional<Key> preceding;
    std::optional<Key> fallback;
    bool booting = false;
    Role role_of(const Key& key) const;
};

struct WireState {
    Millis at = -1;  // lab clock; everything up to here has been worked out
    std::array<EndState, 2> end;
    struct Common {
        Key key;
        Millis since = 0;
    };
    std::vector<Common> common;
    std::optional<Key> live;
    Millis live_since = 0;

    bool apart() const;  // both ends are configured and up, and share no usable key
    LinkState state_at(std::size_t which) const;
    std::optional<Millis> since(const Key& key) const;
};

struct Transition {
    Millis at = 0;
    bool configured = false;  // MACsec at both ends
    bool apart = false;
    std::array<LinkState, 2> state{};
    std::array<Role, 2> role{};
    std::string ckn;
    bool same_as(const Transition& other) const;
};
Transition snapshot(const WireState& state);

// Moves `state` forward to `now` through every instant at which something changes; returns one entry for each change
// of what snapshot() says.
std::vector<Transition> advance(WireState& state, const EndTimeline& a, const EndTimeline& b, Millis now);

}  // namespace qkd::junossim
