// Reconciliation: what the members of a link have, what that means, and the change that brings each of them to the next
// key. Pure functions: nothing here talks to anybody.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/protocol/naming.hpp"
#include "qkd/sdk/macsec.hpp"

namespace qkd::engine {

/// One member as it was read, with its own clock at that moment.
struct MemberReading {
    std::string device;
    const MemberState* state = nullptr;
    UtcMillis now;
};

/// The keys of one member by the part they play now. Pointers into the reading's state; null = none.
struct KeyView {
    const ConfiguredKey* active = nullptr;      ///< chain key in force: the latest start-time that is not in the future
    const ConfiguredKey* previous = nullptr;    ///< the one that was in force before
    std::vector<const ConfiguredKey*> pending;  ///< chain keys with a start-time ahead
    const ConfiguredKey* pre_shared = nullptr;
    const ConfiguredKey* fallback = nullptr;
};
KeyView view_keys(const MemberReading& reading);

/// A key that is to be taken away again before it becomes active.
struct Withdrawal {
    std::size_t member = 0;
    std::string ckn;
};

struct Reconciliation {
    std::vector<KeyView> views;  ///< in the order of the readings
    /// The key that members without a key in force get as their first one: a key that all can use now, else one that
    /// some member has. Null: no member has any, a random one is made.
    const ConfiguredKey* base = nullptr;
    bool base_is_common = false;  ///< every member can use `base` right now
    bool fallback_is_common = false;
    /// Not common, but one of ours that some member has: the others get it, so that it becomes common whatever gets
    /// through. Null: a random one is made.
    const ConfiguredKey* fallback = nullptr;
    /// Before a key is scheduled, all members must have a fallback in common: with one end on the new key and the other
    /// back on the old one it is all they share. True where that takes a round of its own.
    bool needs_groundwork = false;
    /// A scheduled key that all members hold alike: the rotation goes on with it. Points into the first reading.
    const ConfiguredKey* adopted = nullptr;
    std::vector<Withdrawal> withdrawals;  ///< our own scheduled keys that not all members hold
    std::vector<std::string> notes;       ///< for the log: foreign keys, differing keys
};

/// `own_ckns`: names of keys that this program wrote. `rollover`: of the change to come. Needs at least one reading.
Reconciliation reconcile(std::span<const MemberReading> readings, std::span<const std::string> own_ckns,
                         Rollover rollover);

/// The keys that a change writes. The engine owns them.
struct ChangeKeys {
    NamedKey next;      ///< cak null in a plan; no start: key-chain schedules nothing in this round
    NamedKey base;      ///< first key of members that have none in force; start in the past
    NamedKey fallback;  ///< used when the members have no common fallback
};

/// The change of member `index`. `initial` may be null.
MemberChange make_change(const Reconciliation& reconciliation, std::span<const MemberReading> readings,
                         std::size_t index, Rollover rollover, const ChangeKeys& keys,
                         std::span<const std::string> own_ckns, const ConfigEdits* initial);

/// Is `key` configured with this name and octets?
bool same_key(const ConfiguredKey& a, const ConfiguredKey& b);

/// Does `state` hold what `change` writes, name and octets and start-time? What differs, in words; empty = all there.
std::string missing_after(const MemberState& state, const MemberChange& change);

}  // namespace qkd::engine
