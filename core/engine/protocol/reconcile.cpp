// What the members have, and what each of them needs.
#include "engine/protocol/reconcile.hpp"

#include <algorithm>

namespace qkd::engine {
namespace {

bool contains(std::span<const std::string> names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// The keys with which MKA can be live on this member now, best first.
std::vector<const ConfiguredKey*> usable(const KeyView& view) {
    std::vector<const ConfiguredKey*> keys;
    for (const auto* key : {view.active, view.pre_shared, view.fallback}) {
        if (key != nullptr && !key->cak.empty()) keys.push_back(key);
    }
    return keys;
}

bool holds(const std::vector<const ConfiguredKey*>& keys, const ConfiguredKey& wanted) {
    return std::any_of(keys.begin(), keys.end(), [&](const auto* key) { return same_key(*key, wanted); });
}

std::size_t live_interfaces(std::span<const MemberReading> readings, const std::string& ckn) {
    std::size_t count = 0;
    for (const auto& reading : readings) {
        for (const auto& interface : reading.state->mka) {
            if (interface.state != MkaState::down && interface.ckn == ckn) ++count;
        }
    }
    return count;
}

std::string short_name(const std::string& ckn) {
    return ckn.substr(0, 12) + (ckn.size() > 12 ? "..." : "");
}

}  // namespace

bool same_key(const ConfiguredKey& a, const ConfiguredKey& b) {
    return a.ckn == b.ckn && a.cak.same_as(b.cak);
}

KeyView view_keys(const MemberReading& reading) {
    KeyView view;
    std::vector<const ConfiguredKey*> past;
    for (const auto& key : reading.state->keys) {
        switch (key.place) {
            case KeyPlace::pre_shared: view.pre_shared = &key; break;
            case KeyPlace::fallback: view.fallback = &key; break;
            case KeyPlace::chain:
                if (!reading.state->uses_chain) break;
                (key.start && *key.start > reading.now ? view.pending : past).push_back(&key);
                break;
        }
    }
    const auto earlier = [](const ConfiguredKey* a, const ConfiguredKey* b) {
        return a->start.value_or(UtcSeconds{}) < b->start.value_or(UtcSeconds{});
    };
    std::sort(past.begin(), past.end(), earlier);
    std::sort(view.pending.begin(), view.pending.end(), earlier);
    if (!past.empty()) view.active = past.back();
    if (past.size() > 1) view.previous = past[past.size() - 2];
    return view;
}

Reconciliation reconcile(std::span<const MemberReading> readings, std::span<const std::string> own_ckns,
                         Rollover rollover) {
    Reconciliation result;
    for (const auto& reading : readings) result.views.push_back(view_keys(reading));
    std::vector<std::vector<const ConfiguredKey*>> usable_keys;
    for (const auto& view : result.views) usable_keys.push_back(usable(view));

    // The common key on which most interfaces live; by order of use where MKA does not tell.
    std::size_t best = 0;
    for (const auto* key : usable_keys.front()) {
        const bool common =
            std::all_of(usable_keys.begin(), usable_keys.end(), [&](const auto& keys) { return holds(keys, *key); });
        if (!common) continue;
        const std::size_t live = live_interfaces(readings, key->ckn);
        if (result.base == nullptr || live > best) {
            result.base = key;
            best = live;
        }
        result.base_is_common = true;
    }
    if (result.base == nullptr) {
        for (const auto& keys : usable_keys) {
            if (!keys.empty()) {
                result.base = keys.front();
                result.notes.push_back("the members have no common key; key " + short_name(result.base->ckn) +
                                       " goes to those that have none");
                break;
            }
        }
    }

    const ConfiguredKey* fallback = result.views.front().fallback;
    result.fallback_is_common = fallback != nullptr && !fallback->cak.empty() &&
                                std::all_of(result.views.begin(), result.views.end(), [&](const KeyView& view) {
                                    return view.fallback != nullptr && same_key(*view.fallback, *fallback);
                                });
    // Where the fallback is all they share, it must stay the fallback of all: as a chain key of one it would have to be replaced.
    const bool fallback_would_move =
        rollover == Rollover::key_chain && result.fallback_is_common && result.base != nullptr &&
        result.base->ckn == fallback->ckn &&
        std::any_of(result.views.begin(), result.views.end(), [](const auto& view) { return view.active == nullptr; });
    if (fallback_would_move) {
        result.base = nullptr;
        result.base_is_common = false;
        for (const auto& view : result.views) {
            if (view.active != nullptr && !view.active->cak.empty() && view.active->ckn != fallback->ckn)
                result.base = view.active;
        }
        for (const auto& view : result.views) {
            if (result.base == nullptr && view.pre_shared != nullptr && !view.pre_shared->cak.empty() &&
                view.pre_shared->ckn != fallback->ckn) {
                result.base = view.pre_shared;
            }
        }
    }
    if (!result.fallback_is_common) {
        for (const auto& view : result.views) {
            if (view.fallback == nullptr || view.fallback->cak.empty() || !contains(own_ckns, view.fallback->ckn))
                continue;
            if (result.base != nullptr && view.fallback->ckn == result.base->ckn)
                continue;  // a device holds a CKN once
            result.fallback = view.fallback;
            break;
        }
    }

    for (std::size_t i = 0; i < readings.size(); ++i) {
        for (const auto* key : result.views[i].pending) {
            // The members are read one after the other: while a start-time passes, one shows the key as active already.
            const auto matches = [&](const ConfiguredKey* other) {
                return other != nullptr && same_key(*key, *other) && key->start == other->start;
            };
            const auto find = [&](const KeyView& view) -> const ConfiguredKey* {
                if (matches(view.active)) return view.active;
                const auto found = std::find_if(view.pending.begin(), view.pending.end(), matches);
                return found == view.pending.end() ? nullptr : *found;
            };
            const bool everywhere = std::all_of(result.views.begin(), result.views.end(),
                                                [&](const KeyView& view) { return find(view) != nullptr; });
            if (everywhere) {
                // Sorted by start-time: the last one wins, as it will on the device. Somebody else's schedule is not ours to follow.
                const ConfiguredKey* first = find(result.views.front());
                const bool later = result.adopted == nullptr || *first->start >= *result.adopted->start;
                if (later && (own_ckns.empty() || contains(own_ckns, key->ckn))) result.adopted = first;
            } else if (contains(own_ckns, key->ckn)) {
                result.withdrawals.push_back({i, key->ckn});
                result.notes.push_back(readings[i].device + " has scheduled key " + short_name(key->ckn) +
                                       " that not all members have; it is withdrawn");
            } else {
                result.notes.push_back(readings[i].device + " has scheduled key " + short_name(key->ckn) + " in slot " +
                                       key->slot + " that this program did not write; it is left alone");
            }
        }
        for (const auto& key : readings[i].state->keys) {
            if (key.place != KeyPlace::chain || contains(own_ckns, key.ckn) || own_ckns.empty()) continue;
            if (key.start && *key.start > readings[i].now) continue;  // told above
            result.notes.push_back(readings[i].device + " has key " + short_name(key.ckn) + " in slot " + key.slot +
                                   " that this program did not write; it is left alone");
        }
    }
    result.needs_groundwork = result.base_is_common && !result.fallback_is_common;
    return result;
}

MemberChange make_change(const Reconciliation& reconciliation, std::span<const MemberReading> readings,
                         std::size_t index, Rollover rollover, const ChangeKeys& keys,
                         std::span<const std::string> own_ckns, const ConfigEdits* initial) {
    const MemberState& state = *readings[index].state;
    const KeyView& view = reconciliation.views[index];
    MemberChange change;
    change.initial = initial;

    if (rollover == Rollover::pre_shared_key) {
        change.pre_shared = NamedKey{keys.next.ckn, keys.next.cak, std::nullopt};
        // The replaced key stays usable, so that a member whose commit is lost still has a key in common with the
        // others.
        // Where the base is the new key itself (an earlier run brought it to some members), another fallback takes its place.
        const NamedKey& fallback = keys.base.ckn == keys.next.ckn ? keys.fallback : keys.base;
        if (!fallback.ckn.empty() || fallback.cak == nullptr) {
            change.fallback = NamedKey{fallback.ckn, fallback.cak, std::nullopt};
        }
        return change;
    }

    change.use_chain = !state.uses_chain || view.pre_shared != nullptr;
    if (view.active == nullptr) change.add_to_chain.push_back(keys.base);
    if (keys.next.start) change.add_to_chain.push_back(keys.next);
    if (!reconciliation.fallback_is_common || reconciliation.needs_groundwork) {
        change.fallback = NamedKey{keys.fallback.ckn, keys.fallback.cak, std::nullopt};
    }
    for (const auto& key : state.keys) {
        if (key.place != KeyPlace::chain || !contains(own_ckns, key.ckn)) continue;
        const bool in_use = &key == view.active || &key == view.previous || key.ckn == keys.base.ckn ||
                            (key.start && *key.start > readings[index].now) ||
                            std::any_of(state.mka.begin(), state.mka.end(),
                                        [&](const InterfaceMka& interface) { return interface.ckn == key.ckn; });
        if (!in_use) change.remove_from_chain.push_back(key.ckn);
    }
    return change;
}

std::string missing_after(const MemberState& state, const MemberChange& change) {
    const auto lacks = [&](const NamedKey& wanted, KeyPlace place) {
        return std::none_of(state.keys.begin(), state.keys.end(), [&](const ConfiguredKey& key) {
            return key.place == place && key.ckn == wanted.ckn && wanted.cak != nullptr &&
                   key.cak.same_as(*wanted.cak) && (place != KeyPlace::chain || key.start == wanted.start);
        });
    };
    for (const auto& key : change.add_to_chain) {
        if (lacks(key, KeyPlace::chain)) return "the key chain lacks key " + short_name(key.ckn) + " as it was written";
    }
    if (change.pre_shared && lacks(*change.pre_shared, KeyPlace::pre_shared)) {
        return "the pre-shared key is not " + short_name(change.pre_shared->ckn);
    }
    if (change.fallback && lacks(*change.fallback, KeyPlace::fallback)) {
        return "the fallback key is not " + short_name(change.fallback->ckn);
    }
    if (change.pre_shared && state.uses_chain) return "the connectivity association still uses the key chain";
    if (change.use_chain && !state.uses_chain) return "the connectivity association does not use the key chain";
    return {};
}

}  // namespace qkd::engine
