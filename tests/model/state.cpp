// What devices do by themselves, and states brought into their normal form.
#include "state.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace qkd::model {
namespace {

template <class Visit>
void each_config(State& state, Visit&& visit) {
    for (auto& device : state.device) {
        visit(device.running);
        visit(device.before);
    }
    for (auto& seen : state.runner.seen) visit(seen.config);
}

/// Every key in the state, always in the same order.
template <class Visit>
void each_key(State& state, Visit&& visit) {
    each_config(state, [&](Config& config) {
        for (auto& slot : config.chain) visit(slot.key);
        visit(config.pre_shared);
        visit(config.fallback);
    });
    Runner& r = state.runner;
    for (Key* key : {&r.next, &r.first_key, &r.fallback_key, &state.journal.key}) visit(*key);
    for (auto& seen : r.seen) visit(seen.live);
    for (auto& change : r.change) {
        for (auto& slot : change.add) visit(slot.key);
        visit(change.pre_shared);
        visit(change.fallback);
    }
}

/// Every instant that moves with time: start-times, the timers, the runner's clock readings.
template <class Starts, class Others>
void each_instant(State& state, Starts&& starts, Others&& others) {
    each_config(state, [&](Config& config) {
        for (auto& slot : config.chain) {
            if (slot.key != 0) starts(slot.start);
        }
    });
    Runner& r = state.runner;
    starts(r.start);
    for (auto& change : r.change) {
        for (auto& slot : change.add) {
            if (slot.key != 0) starts(slot.start);
        }
    }
    for (auto& device : state.device) others(device.deadline);
    for (auto& seen : r.seen) others(seen.clock);
    for (auto& clock : r.clock) others(clock);
    for (auto& clock : r.commit_clock) others(clock);
}

void sort_chain(Config& config) noexcept {
    std::sort(config.chain.begin(), config.chain.end(), [](const Slot& a, const Slot& b) {
        if ((a.key == 0) != (b.key == 0)) return b.key == 0;
        return a.start != b.start ? a.start < b.start : a.key < b.key;
    });
}

void number_keys(State& state) {
    std::array<Key, max_keys + 1> number{};
    Key last = 0;
    each_key(state, [&](Key& key) {
        if (key == 0) return;
        if (number[key] == 0) number[key] = ++last;
        key = number[key];
    });
    const auto renamed = [&](KeySet set) {
        KeySet result = set != 0 ? some_forgotten : 0;
        for (unsigned key = 1; key <= max_keys; ++key) {
            if ((set >> key & 1U) != 0 && number[key] != 0) result |= KeySet{1} << number[key];
        }
        return result;
    };
    for (KeySet* set : {&state.own_record, &state.own_journal, &state.own_runner}) *set = renamed(*set);
    for (KeySet& set : state.removes) set = renamed(set) & ~some_forgotten;
    each_config(state, sort_chain);
}

void number_runs(State& state) {
    std::array<std::uint8_t, 256> number{};
    std::uint8_t last = 0;
    for (std::uint8_t* run : {&state.runner.run, &state.journal.run, &state.device[0].latest, &state.device[1].latest,
                              &state.runner.seen[0].pending, &state.runner.seen[1].pending}) {
        if (*run == 0) continue;
        if (number[*run] == 0) number[*run] = ++last;
        *run = number[*run];
    }
}

void rank_old_starts(State& state, const std::array<Tick, 2>& skew) {
    Tick floor = static_cast<Tick>(present + std::min(skew[0], skew[1]));
    each_instant(
        state, [](Tick) {},
        [&](Tick instant) {
            if (instant > long_ago) floor = std::min(floor, instant);
        });
    std::array<bool, 256> old{};
    each_instant(
        state,
        [&](Tick start) {
            if (start != 0 && start <= floor) old[start] = true;
        },
        [](Tick) {});
    std::array<Tick, 256> rank{};
    Tick last = 0;
    for (std::size_t start = 1; start <= floor; ++start) {
        if (old[start]) rank[start] = ++last;
    }
    if (last >= long_ago) throw std::logic_error("model: too many start-times");
    each_instant(
        state,
        [&](Tick& start) {
            if (start != 0 && start <= floor) start = rank[start];
        },
        [](Tick) {});
}

}  // namespace

bool operator==(const State& a, const State& b) noexcept {
    return std::memcmp(&a, &b, sizeof(State)) == 0;
}

std::size_t hash_of(const State& state) noexcept {
    static_assert(sizeof(State) % 4 == 0);
    std::array<std::uint32_t, sizeof(State) / 4> words{};
    std::memcpy(words.data(), &state, sizeof(State));
    std::uint64_t hash = 0x9e3779b97f4a7c15U;
    for (const auto word : words) {
        hash = (hash ^ word) * 0xff51afd7ed558ccdU;
        hash ^= hash >> 32U;
    }
    return hash;
}

std::array<Key, 3> usable(const Config& config, Tick clock) noexcept {
    std::array<Key, 3> keys{};
    std::size_t count = 0;
    if (config.uses_chain) {
        Key active = 0;
        for (const auto& slot : config.chain) {
            if (slot.key != 0 && slot.start <= clock) active = slot.key;
        }
        if (active != 0) keys[count++] = active;
    }
    if (config.pre_shared != 0) keys[count++] = config.pre_shared;
    if (config.fallback != 0) keys[count++] = config.fallback;
    return keys;
}

bool holds(const Config& config, Key key) noexcept {
    return config.pre_shared == key || config.fallback == key ||
           std::any_of(config.chain.begin(), config.chain.end(), [&](const Slot& slot) { return slot.key == key; });
}

void add_slot(Config& config, Slot slot) {
    // By name: a key that is there already gets the new start-time.
    auto place =
        std::find_if(config.chain.begin(), config.chain.end(), [&](const Slot& s) { return s.key == slot.key; });
    if (place == config.chain.end()) {
        place = std::find_if(config.chain.begin(), config.chain.end(), [](const Slot& s) { return s.key == 0; });
    }
    if (place == config.chain.end()) throw std::logic_error("model: the chain is full");
    *place = slot;
    sort_chain(config);
}

void remove_slots(Config& config, KeySet keys) {
    for (auto& slot : config.chain) {
        if (slot.key != 0 && (keys >> slot.key & 1U) != 0) slot = {};
    }
    sort_chain(config);
}

void go_back(Device& device) noexcept {
    device.running = device.before;
    device.before = {};
    device.pending = false;
    device.deadline = 0;
    device.latest = 0;
}

void pass_time(State& state) noexcept {
    const auto move = [](Tick& instant) {
        if (instant > long_ago) --instant;
    };
    each_instant(state, move, move);
    for (auto& device : state.device) {
        if (device.pending && device.deadline <= present) go_back(device);
    }
}

bool timed_ahead(const State& state, const std::array<Tick, 2>& skew) noexcept {
    const Tick behind = static_cast<Tick>(present + std::min(skew[0], skew[1]));
    const auto ahead = [&](const Config& config) {
        return std::any_of(config.chain.begin(), config.chain.end(),
                           [&](const Slot& slot) { return slot.key != 0 && slot.start > behind; });
    };
    for (const auto& device : state.device) {
        if (device.pending || ahead(device.running)) return true;
    }
    return state.runner.start > behind;
}

void normalise(State& state, const std::array<Tick, 2>& skew) {
    if (!state.runner.alive) {
        state.runner = {};
        state.own_runner = 0;
        state.removes = {};
    }
    for (auto& device : state.device) {
        if (device.pending) continue;
        device.deadline = 0;
        // A confirmed commit is taken back by the run that made it or by nobody.
        if (device.latest != 0 && state.runner.alive && device.latest == state.runner.run) continue;
        device.latest = 0;
        device.before = {};
    }
    if (!state.journal.there) {
        state.journal = {};
        state.own_journal = 0;
        for (auto& device : state.device) {
            if (device.lock == Lock::known) device.lock = Lock::unknown;
        }
    }
    if (state.journal.key == 0 && !state.runner.alive) state.used_at_b = false;
    // Older than the timer is as good as much older.
    for (auto& clock : state.runner.commit_clock) {
        if (clock != 0) clock = std::max(clock, static_cast<Tick>(present - confirm_ticks - margin_ticks));
    }
    number_keys(state);
    number_runs(state);
    rank_old_starts(state, skew);
    each_config(state, sort_chain);
}

Key unused_key(const State& state) {
    State copy = state;
    KeySet used = 0;
    each_key(copy, [&](Key key) { used |= KeySet{1} << key; });
    for (Key key = 1; key <= max_keys; ++key) {
        if ((used >> key & 1U) == 0) return key;
    }
    throw std::logic_error("model: no key number is free");
}

std::uint8_t unused_run(const State& state) noexcept {
    std::uint8_t run = std::max(state.journal.run, state.runner.run);
    for (const auto& device : state.device) run = std::max(run, device.latest);
    return static_cast<std::uint8_t>(run + 1);
}

namespace {

std::string words(const Config& config, Tick clock) {
    if (!config.configured) return "bare";
    std::string text = "{";
    const auto add = [&](const std::string& word) { text += (text.size() > 1 ? ", " : "") + word; };
    for (const auto& slot : config.chain) {
        if (slot.key == 0) continue;
        std::string word = "k" + std::to_string(slot.key);
        if (slot.start > clock) {
            word += " in " + std::to_string(slot.start - clock);
        } else if (slot.key == primary(config, clock) && config.uses_chain) {
            word += " active";
        }
        add(word);
    }
    if (!config.uses_chain) text += text.size() > 1 ? " (chain not used)" : "";
    if (config.pre_shared != 0) add("pre-shared k" + std::to_string(config.pre_shared));
    if (config.fallback != 0) add("fallback k" + std::to_string(config.fallback));
    return text + "}";
}

}  // namespace

std::string describe(const State& state, const std::array<Tick, 2>& skew) {
    std::string text;
    for (std::size_t m = 0; m < 2; ++m) {
        const Device& device = state.device[m];
        text += (m == 0 ? "A " : "   B ") + words(device.running, static_cast<Tick>(present + skew[m]));
        if (device.pending) text += " unconfirmed for " + std::to_string(device.deadline - present);
        if (device.lock != Lock::none) text += device.lock == Lock::runner ? " locked" : " locked by a dead session";
    }
    if (state.journal.there) {
        text +=
            "   journal: " + (state.journal.key != 0 ? "k" + std::to_string(state.journal.key) : std::string("no key"));
    }
    return text;
}

const char* to_string(Phase phase) noexcept {
    switch (phase) {
        case Phase::open: return "opens a session";
        case Phase::gate: return "reads the clock";
        case Phase::break_locks: return "ends the dead run's session";
        case Phase::read: return "reads the state";
        case Phase::note_revert:
        case Phase::note_withdrawal: return "notes its sessions before a repair";
        case Phase::revert_dead: return "reverts the dead run's commit";
        case Phase::read_again: return "reads the state again";
        case Phase::withdraw_leftovers: return "withdraws what not all have";
        case Phase::read_once_more: return "reads the state once more";
        case Phase::difference: return "asks for the initial configuration";
        case Phase::take_key: return "begins its journal";
        case Phase::mint: return "mints a key";
        case Phase::note_mint: return "notes the minted key";
        case Phase::announce: return "announces the key";
        case Phase::fetch: return "fetches the key";
        case Phase::choose_start: return "reads the clock for the start-time";
        case Phase::note_intent: return "notes its intent";
        case Phase::save_intent: return "saves the record";
        case Phase::stage: return "stages";
        case Phase::check_unmoved: return "looks whether the keys moved";
        case Phase::commit_clock: return "reads the clock before the commit";
        case Phase::commit: return "commits, confirmed";
        case Phase::commit_read_back: return "reads back";
        case Phase::wait_live: return "waits for MKA";
        case Phase::confirm_clock: return "reads the clock before the confirm";
        case Phase::confirm: return "confirms";
        case Phase::confirm_read_back: return "reads back after the confirm";
        case Phase::release: return "releases the lock";
        case Phase::verify: return "verifies";
        case Phase::verify_clock: return "reads the clock after the interruption";
        case Phase::persist: return "remembers the key";
        case Phase::undo_clock: return "reads the clock before the undo";
        case Phase::undo: return "undoes";
        case Phase::retract: return "retracts the notice";
        case Phase::close: return "closes its journal";
    }
    return "?";
}

}  // namespace qkd::model
