// The runner, the devices and time.
#include "moves.hpp"

#include <algorithm>

namespace qkd::model {

using engine::Outcome;
using engine::Step;

namespace {

// What a member's clock says of the start-time, in place of the reading; 0 = no answer.
constexpr Tick is_before = 1;
constexpr Tick is_late = 2;

constexpr std::uint8_t undo_attempts = 3;

/// The device is told to end the dead session that holds its lock. Junos ends that session's unconfirmed commit with it.
void end_session(Device& device) {
    device.lock = Lock::none;
    device.candidate = false;
    if (device.pending) go_back(device);
}

/// Calls that change nothing at a device and whose time does not matter: one order stands for both.
bool any_order(Phase phase) {
    switch (phase) {
        case Phase::open:
        case Phase::difference:
        case Phase::choose_start:
        case Phase::retract: return true;
        default: return false;
    }
}

}  // namespace

std::string to_string(const Options& o) {
    constexpr std::array begins{"chain",
                                "foreign chain",
                                "chain without fallback",
                                "pre-shared",
                                "pre-shared, fallbacks differ",
                                "pre-shared keys differ",
                                "bare"};
    std::string text =
        std::string(qkd::to_string(o.rollover)) + " from " + begins.at(static_cast<std::size_t>(o.begin));
    text += ", " + std::to_string(o.faults) +
            (o.losses   ? " faults, "
             : o.deaths ? " deaths, "
                        : " interruptions, ") +
            std::to_string(o.runs) + " runs";
    if (o.linger) text += ", sessions linger";
    if (o.timer_lost) text += ", timers get lost";
    if (o.verify_next) text += ", verify = next-run";
    if (!o.commit_stage) text += ", no commit stage";
    if (o.patience != 2) text += ", a barrier takes up to " + std::to_string(o.patience) + " ticks";
    if (o.margins_hold) text += o.straddles ? ", margins hold but for the first readings" : ", margins hold";
    if (o.skew[0] != o.skew[1]) text += o.skew[0] > o.skew[1] ? ", A's clock is ahead" : ", B's clock is ahead";
    return text;
}

State Moves::initial() const {
    State state{};
    state.faults_left = options_.faults;
    state.runs_left = options_.runs;
    constexpr Key old = 1, fallback = 2, other = 3;
    for (std::size_t m = 0; m < 2; ++m) {
        Config& config = state.device[m].running;
        config.configured = options_.begin != Begin::bare;
        switch (options_.begin) {
            case Begin::bare: break;
            case Begin::chain:
            case Begin::foreign_chain: config.fallback = fallback; [[fallthrough]];
            case Begin::chain_only:
                config.uses_chain = true;
                config.chain[0] = {old, 1};
                break;
            case Begin::pre_shared:
                config.pre_shared = old;
                config.fallback = fallback;
                break;
            case Begin::pre_shared_apart:
                config.pre_shared = old;
                config.fallback = m == 0 ? fallback : other;
                break;
            case Begin::keys_apart:
                config.pre_shared = m == 0 ? old : other;
                config.fallback = fallback;
                break;
        }
    }
    if (options_.begin == Begin::chain || options_.begin == Begin::pre_shared) {
        state.own_record = KeySet{1} << old | some_forgotten;
    }
    normalise(state, options_.skew);
    return state;
}

std::pair<MkaState, Key> Moves::mka(const State& state) const {
    const auto a = usable(state.device[0].running, clock(0));
    const auto b = usable(state.device[1].running, clock(1));
    for (const Key key : a) {
        if (key == 0 || std::find(b.begin(), b.end(), key) == b.end()) continue;
        return {key == a[0] && key == b[0] ? MkaState::secured : MkaState::fallback, key};
    }
    return {MkaState::down, 0};
}

bool Moves::waits(const State& state) const {
    const Runner& r = state.runner;
    // Of the members' clocks, the earliest counts.
    return r.alive && r.phase == Phase::verify && r.start > std::min(clock(0), clock(1)) &&
           !(options_.verify_next && !r.interrupted);
}

bool Moves::may_be_slow(const Runner& r) const {
    if (r.waited >= options_.patience) return false;
    if (!options_.margins_hold) return true;
    switch (r.phase) {
        case Phase::gate: return options_.straddles;
        case Phase::commit_clock:
        case Phase::confirm_clock:
        case Phase::confirm:
        case Phase::verify_clock:
        case Phase::undo_clock:
        case Phase::undo: return false;
        default: return true;
    }
}

bool Moves::is_local(const State& state, std::size_t m) const {
    switch (state.runner.phase) {
        case Phase::note_revert:
        case Phase::note_withdrawal:
        case Phase::take_key:
        case Phase::note_mint:
        case Phase::note_intent:
        case Phase::save_intent:
        case Phase::persist:
        case Phase::close: return true;
        case Phase::fetch: return state.runner.pc[m] == 0 || state.runner.pc[m] == 3;
        default: return false;
    }
}

bool Moves::only_reads(const State& state, std::size_t m) const {
    const auto pc = state.runner.pc[m];
    switch (state.runner.phase) {
        case Phase::mint:
        case Phase::announce:
        case Phase::fetch:
        case Phase::stage:
        case Phase::release:
        case Phase::revert_dead:
        case Phase::withdraw_leftovers:
        case Phase::break_locks: return false;
        case Phase::commit:
        case Phase::confirm: return pc == 1;
        case Phase::undo: return pc == 0 || pc == 5;
        default: return true;
    }
}

void Moves::of(const State& state, std::vector<Move>& into) {
    const Runner& r = state.runner;
    const bool fault = state.faults_left > 0;
    if (r.alive) {
        if (!waits(state)) {
            for (std::uint8_t m = 0; m < 2; ++m) {
                if (r.pc[m] >= pc_done) continue;
                into.push_back({Kind::call, m, Fate::works});
                if (any_order(r.phase)) break;
            }
        }
        if (fault && options_.losses) {
            for (std::uint8_t m = 0; m < 2; ++m) {
                if (r.pc[m] >= pc_done) continue;
                if (any_order(r.phase) && m == 1 && r.pc[0] < pc_done) continue;
                if (is_local(state, m)) {
                    into.push_back({Kind::call, m, Fate::refused});  // the disk is full
                    continue;
                }
                into.push_back({Kind::call, m, Fate::lost_before});
                if (only_reads(state, m)) continue;
                into.push_back({Kind::call, m, Fate::lost_after});
                into.push_back({Kind::call, m, Fate::refused});
            }
        }
        if (fault && options_.interrupts) {
            const bool fresh = r.pc[0] == 0 && (r.pc[1] == 0 || r.pc[1] == pc_done);
            const bool may = r.phase == Phase::commit_read_back || r.phase == Phase::confirm_clock ||
                             r.phase == Phase::wait_live || (r.phase == Phase::verify && !r.interrupted);
            if (fresh && may) into.push_back({Kind::interrupt, 0, Fate::works});
        }
        if (fault && options_.deaths) into.push_back({Kind::die, 0, Fate::works});
    } else if (state.runs_left > 0) {
        into.push_back({Kind::start, 0, Fate::works});
    }
    if (timed(state) && (!r.alive || waits(state) || may_be_slow(r))) into.push_back({Kind::tick, 0, Fate::works});
    for (std::uint8_t m = 0; m < 2; ++m) {
        const Device& device = state.device[m];
        if (options_.timer_lost && fault && device.pending) into.push_back({Kind::lose_timer, m, Fate::works});
        if (device.lock == Lock::known || device.lock == Lock::unknown)
            into.push_back({Kind::drop_session, m, Fate::works});
    }
}

void Moves::apply(State& state, Move move) {
    const auto pay = [&] {
        if (state.faults_left > 0) --state.faults_left;
    };
    Device& device = state.device[move.member];
    switch (move.kind) {
        case Kind::tick:
            pass_time(state);
            if (state.runner.alive && !waits(state)) ++state.runner.waited;
            break;
        case Kind::start: start(state); break;
        case Kind::die:
            pay();
            die(state);
            break;
        case Kind::interrupt:
            pay();
            interrupt(state);
            break;
        case Kind::lose_timer:
            pay();
            device.pending = false;
            device.deadline = 0;
            device.lock = Lock::none;
            device.candidate = false;
            state.runner.session[move.member] = false;
            break;
        case Kind::drop_session:
            device.lock = Lock::none;
            device.candidate = false;
            break;
        case Kind::call:
            if (move.fate != Fate::works) pay();
            call(state, move.member, move.fate);
            break;
    }
}

void Moves::start(State& state) {
    if (state.runs_left > 0) --state.runs_left;
    Runner& r = state.runner;
    r = {};
    r.alive = true;
    r.run = unused_run(state);
    r.proven = true;
    r.dead = state.journal.there;
    state.own_runner = state.own_record | state.own_journal;
    enter(state, Step::connect);
}

void Moves::break_session(State& state, std::size_t m) const {
    Runner& r = state.runner;
    Device& device = state.device[m];
    r.session[m] = false;
    if (device.lock == Lock::runner) {
        device.lock = !options_.linger ? Lock::none : r.noted[m] ? Lock::known : Lock::unknown;
        if (device.lock == Lock::none) device.candidate = false;
    }
    r.noted[m] = false;
}

void Moves::die(State& state) {
    Runner& r = state.runner;
    Killed where = Killed::elsewhere;
    if (r.step < Step::commit) {
        where = Killed::before;
    } else if (r.phase < Phase::confirm) {
        where = Killed::commit;
    } else if (r.phase < Phase::release) {
        where = Killed::confirm;
    } else if (!r.failed && r.phase != Phase::undo && r.phase != Phase::undo_clock && r.phase != Phase::retract) {
        where = Killed::after;
    }
    if (options_.track_deaths && state.killed_in == 0) state.killed_in = static_cast<std::uint8_t>(where);
    for (std::size_t m = 0; m < 2; ++m) {
        // A repair takes the lock within its call: it may be in the middle of it.
        const bool repairs = r.phase == Phase::revert_dead || r.phase == Phase::withdraw_leftovers;
        Device& device = state.device[m];
        if (options_.linger && repairs && r.pc[m] == 0 && r.session[m] && device.lock == Lock::none &&
            !device.pending) {
            device.lock = Lock::runner;
        }
        break_session(state, m);
    }
    r.alive = false;
}

void Moves::interrupt(State& state) {
    Runner& r = state.runner;
    if (r.phase != Phase::verify) return finish(state, Outcome::failed);
    r.interrupted = true;
    go(state, Phase::verify_clock);
}

template <class Effect>
Moves::Answer Moves::ask(State& state, std::size_t m, Fate fate, bool reconnects, Effect&& effect) {
    Runner& r = state.runner;
    if (!r.session[m]) {
        if (!reconnects || fate == Fate::lost_before) return Answer::lost;
        r.session[m] = true;
        r.noted[m] = r.journalling && (r.phase == Phase::commit || r.phase == Phase::confirm || r.phase == Phase::undo);
    }
    if (fate == Fate::refused) return Answer::refused;
    if (fate == Fate::lost_before) {
        break_session(state, m);
        return Answer::lost;
    }
    const bool accepted = effect();
    if (fate == Fate::lost_after) {
        break_session(state, m);
        return Answer::lost;
    }
    return accepted ? Answer::done : Answer::refused;
}

bool Moves::stage_at(Device& device) const {
    if (device.lock != Lock::none || device.pending) return false;
    device.lock = Lock::runner;
    device.candidate = true;
    return true;
}

bool Moves::commit_at(State& state, std::size_t m) const {
    Device& device = state.device[m];
    if (device.lock != Lock::runner || !device.candidate) return false;
    const Change& change = state.runner.change[m];
    device.before = device.running;
    Config& config = device.running;
    config.configured = true;
    remove_slots(config, state.removes[m]);
    for (const auto& slot : change.add) {
        if (slot.key != 0) add_slot(config, slot);
    }
    if (change.use_chain) {
        config.uses_chain = true;
        config.pre_shared = 0;
    }
    if (change.pre_shared != 0) {
        config.uses_chain = false;
        config.pre_shared = change.pre_shared;
    }
    if (change.fallback != 0) config.fallback = change.fallback;
    device.latest = state.runner.run;
    device.pending = true;
    device.deadline = static_cast<Tick>(present + confirm_ticks);
    device.candidate = false;
    return true;
}

bool Moves::confirm_at(Device& device, std::uint8_t run) const {
    if (device.lock == Lock::known || device.lock == Lock::unknown) return false;
    if (device.latest != run) return false;
    device.lock = Lock::runner;
    device.pending = false;
    return true;
}

bool Moves::revert_at(Device& device, std::uint8_t run) const {
    if (device.lock == Lock::known || device.lock == Lock::unknown) return false;
    if (device.latest == run) go_back(device);
    device.lock = Lock::none;
    device.candidate = false;
    return true;
}

bool Moves::withdraw_at(Device& device, KeySet keys) const {
    if (device.lock != Lock::none || device.pending) return false;
    const Config before = device.running;
    remove_slots(device.running, keys);
    if (device.running != before) device.latest = 0;
    return true;
}

void Moves::look(State& state, std::size_t m) const {
    Snapshot& seen = state.runner.seen[m];
    const Device& device = state.device[m];
    seen.config = device.running;
    seen.pending = device.pending ? device.latest : 0;
    const auto [how, key] = mka(state);
    seen.mka = how;
    seen.live = key;
    seen.clock = state.runner.clock[m];
}

void Moves::call(State& state, std::size_t m, Fate fate) {
    Runner& r = state.runner;
    Device& device = state.device[m];
    const auto simple = [&](bool reconnects, auto&& effect) {
        r.pc[m] = ask(state, m, fate, reconnects, effect) == Answer::done ? pc_done : pc_failed;
    };
    const auto read_clock = [&](bool reconnects) {
        simple(reconnects, [&] {
            r.clock[m] = clock(m);
            return true;
        });
    };
    switch (r.phase) {
        case Phase::open: simple(true, [] { return true; }); break;
        case Phase::choose_start: read_clock(true); break;
        case Phase::gate: read_clock(false); break;
        // What these readings are good for is decided at once: the figures themselves would only multiply states.
        case Phase::commit_clock:
            simple(false, [&] {
                r.commit_clock[m] = clock(m);
                return r.start == 0 || decisions_.commit_fits(clock(m), r.start);
            });
            break;
        case Phase::confirm_clock:
            simple(false, [&] {
                // Read here for the last time before the next round of a groundwork looks at the members.
                if (options_.verify_next || r.groundwork) r.clock[m] = clock(m);
                return decisions_.confirm_in_time(clock(m), r.commit_clock[m], r.start);
            });
            break;
        case Phase::verify_clock:
        case Phase::undo_clock: {
            // Who does not answer is left out.
            r.clock[m] = 0;
            const auto skew = static_cast<Tick>(std::max(options_.skew[0], options_.skew[1]));
            simple(true, [&] {
                r.clock[m] = decisions_.before_start(clock(m), r.start, skew) ? is_before : is_late;
                return true;
            });
            r.pc[m] = pc_done;
            break;
        }
        case Phase::break_locks:
            simple(false, [&] {
                if (device.lock == Lock::known) end_session(device);
                return true;
            });
            break;
        case Phase::read:
        case Phase::read_again:
        case Phase::read_once_more:
            simple(false, [&] {
                look(state, m);
                return true;
            });
            break;
        case Phase::note_revert:
        case Phase::note_withdrawal:
            if (!r.dead) r.journalling = true;
            if (fate == Fate::works) {
                state.journal.there = true;
                r.noted = r.session;
            }
            r.pc[m] = fate == Fate::works ? pc_done : pc_failed;
            break;
        case Phase::revert_dead: simple(false, [&] { return revert_at(device, state.journal.run); }); break;
        case Phase::withdraw_leftovers: {
            const auto& finding = bridge_.reconcile(r.seen, state.own_runner, options_.rollover);
            simple(false, [&] { return withdraw_at(device, finding.withdrawals[m]); });
            break;
        }
        case Phase::difference: simple(false, [] { return true; }); break;
        case Phase::take_key: {
            r.journalling = r.dead_taken = true;
            if (fate == Fate::refused) {
                r.pc[m] = pc_failed;
                break;
            }
            const Key left = r.minted_twice ? Key{0} : state.journal.key;
            const bool stands = left != 0 && (holds(r.seen[0].config, left) || holds(r.seen[1].config, left));
            r.next = left != 0 && decisions_.reuse_key(chain(), stands) ? left : Key{0};
            Journal entry{};
            entry.there = true;
            if (r.next != 0) {
                entry.key = r.next;
                entry.asked_b = state.journal.asked_b;
                entry.have_b = state.journal.have_b;
            } else {
                state.used_at_b = false;
            }
            state.journal = entry;
            state.own_journal = 0;
            r.noted = r.session;
            r.pc[m] = pc_done;
            break;
        }
        case Phase::mint:
            simple(false, [&] {
                r.next = unused_key(state);
                state.used_at_b = false;
                return true;
            });
            if (r.pc[m] != pc_done) r.next = 0;
            break;
        case Phase::note_mint:
            if (fate == Fate::works) state.journal.key = r.next;
            r.pc[m] = fate == Fate::works ? pc_done : pc_failed;
            break;
        case Phase::announce:
            r.progress[0].notice = r.progress[1].notice = true;
            simple(false, [] { return true; });
            break;
        case Phase::fetch: {
            const auto take = [&] {
                const bool there = !state.used_at_b;
                state.used_at_b = true;
                return there;
            };
            if (r.pc[m] == 0) {
                const bool before = state.journal.asked_b;
                state.journal.asked_b = true;
                r.pc[m] = fate == Fate::refused ? pc_failed : before ? std::uint8_t{2} : std::uint8_t{1};
            } else if (r.pc[m] == 3) {
                if (fate == Fate::works) state.journal.have_b = true;
                r.pc[m] = fate == Fate::works ? pc_done : pc_failed;
            } else {
                const bool again = r.pc[m] == 2;
                // A KME's answer gets lost without the device's session.
                const auto answer = fate == Fate::lost_before  ? Answer::lost
                                    : fate == Fate::lost_after ? (take(), Answer::lost)
                                    : fate == Fate::refused    ? Answer::refused
                                    : take()                   ? Answer::done
                                                               : Answer::refused;
                if (answer == Answer::done) {
                    r.pc[m] = 3;
                } else if (again) {
                    r.pc[m] = answer == Answer::refused ? pc_gone : pc_failed;
                } else {
                    r.pc[m] = answer == Answer::lost ? std::uint8_t{2} : pc_failed;
                }
            }
            break;
        }
        case Phase::note_intent:
            r.journalling = true;
            if (fate == Fate::works) {
                KeySet written = 0;
                for (const auto& change : r.change) {
                    for (const auto& slot : change.add) {
                        if (slot.key != 0) written |= KeySet{1} << slot.key | some_forgotten;
                    }
                    if (change.fallback != 0) written |= KeySet{1} << change.fallback | some_forgotten;
                }
                state.own_runner |= written | KeySet{1} << r.next | some_forgotten;
                state.own_journal = written;
                state.journal.there = true;  // the dead run's key, not taken over yet, stays in it
                state.journal.run = r.run;
                r.noted = r.session;
            }
            r.pc[m] = fate == Fate::works ? pc_done : pc_failed;
            break;
        case Phase::save_intent:
            if (fate == Fate::works) state.own_record = state.own_runner;
            r.pc[m] = fate == Fate::works ? pc_done : pc_failed;
            break;
        case Phase::stage:
            r.progress[m].staged = true;
            simple(false, [&] { return stage_at(device); });
            break;
        case Phase::check_unmoved:
            simple(false, [&] {
                const Config &then = r.seen[m].config, &now = device.running;
                return then.chain == now.chain && then.pre_shared == now.pre_shared && then.fallback == now.fallback;
            });
            break;
        case Phase::commit:
            r.progress[m].committed = true;
            if (r.pc[m] == 0) {
                const auto answer = ask(state, m, fate, false, [&] { return commit_at(state, m); });
                r.pc[m] = answer == Answer::done ? pc_done : answer == Answer::lost ? std::uint8_t{1} : pc_failed;
            } else {
                simple(true, [&] { return device.pending && device.latest == r.run; });
            }
            break;
        case Phase::commit_read_back:
            simple(false, [&] { return bridge_.complete(device.running, r.change[m], state.removes[m]); });
            break;
        case Phase::wait_live: simple(true, [&] { return true; }); break;
        case Phase::confirm:
            r.progress[m].confirm_sent = true;
            if (r.pc[m] == 1) {
                bool again = false;
                simple(true, [&] {
                    if (!device.pending || device.latest != r.run) return true;  // the read-back tells the rest
                    again = decisions_.confirm_in_time(clock(m), r.commit_clock[m], 0);
                    return again;
                });
                if (again && r.pc[m] == pc_done) r.pc[m] = 2;
            } else {
                const bool first = r.pc[m] == 0;
                const auto answer = ask(state, m, fate, false, [&] { return confirm_at(device, r.run); });
                r.pc[m] = answer == Answer::done            ? pc_done
                          : answer == Answer::lost && first ? std::uint8_t{1}
                                                            : pc_failed;
            }
            break;
        case Phase::confirm_read_back:
            simple(false,
                   [&] { return bridge_.complete(device.running, r.change[m], state.removes[m]) && !device.pending; });
            break;
        case Phase::release: {
            const auto answer = ask(state, m, fate, false, [&] {
                if (device.lock == Lock::runner) device.lock = Lock::none;
                return true;
            });
            if (answer == Answer::done) {
                r.progress[m].staged = false;
            } else {
                if (r.session[m]) break_session(state, m);
                r.session[m] = true;
            }
            r.pc[m] = pc_done;
            break;
        }
        case Phase::verify: simple(true, [] { return true; }); break;
        case Phase::persist: r.pc[m] = fate == Fate::works ? pc_done : pc_failed; break;
        case Phase::undo: undo_call(state, m, fate); break;
        case Phase::retract: simple(true, [] { return true; }); break;
        case Phase::close: end(state, fate); return;
    }
    if (r.pc[0] >= pc_done && r.pc[1] >= pc_done) barrier(state);
}

void Moves::undo_call(State& state, std::size_t m, Fate fate) {
    Runner& r = state.runner;
    Device& device = state.device[m];
    Progress& progress = r.progress[m];
    const auto step = [&](std::uint8_t next, auto&& effect) {
        const auto answer = ask(state, m, fate, true, effect);
        r.pc[m] = answer == Answer::done ? next : pc_failed;
        // What was refused because of what is there will be refused again; anything else is tried again from the start.
        if (answer != Answer::done && fate != Fate::works && ++r.undone[m] < undo_attempts) r.pc[m] = 0;
    };
    const auto break_own_lock = [&] {
        if (device.lock == Lock::known) end_session(device);
    };
    const auto discard = [&] {
        if (device.lock == Lock::runner) {
            device.lock = Lock::none;
            device.candidate = false;
        }
        return true;
    };
    switch (r.pc[m]) {
        case 0: {
            if (!progress.committed) {
                step(pc_done, [&] {
                    break_own_lock();
                    return discard();
                });
                break;
            }
            std::uint8_t next = 0;
            step(1, [&] {
                break_own_lock();
                const bool pending = device.pending && device.latest == r.run;
                const auto what =
                    decisions_.undo_of({progress.staged, progress.committed, progress.confirm_sent, pending},
                                       {schedules(r), r.first_configuration, r.undo_withdraws});
                next = what == engine::Undo::revert ? 1 : what == engine::Undo::withdraw ? 3 : 2;
                return true;
            });
            if (next != 0 && r.pc[m] == 1) r.pc[m] = next;
            break;
        }
        case 1: step(5, [&] { return revert_at(device, r.run); }); break;
        case 2: step(pc_done, discard); break;
        case 3:
            step(4, [&] {
                discard();
                return decisions_.may_withdraw(clock(m), r.start);
            });
            break;
        case 4: step(5, [&] { return withdraw_at(device, KeySet{1} << r.next); }); break;
        default:
            step(pc_done, [&] {
                const Config& now = device.running;
                const bool first = r.first_configuration;
                const auto stands = [&](Key key) { return key != 0 && holds(now, key); };
                return !device.pending && !stands(r.next) &&
                       !(first && (stands(r.first_key) || stands(r.fallback_key)));
            });
            break;
    }
    if (r.pc[m] >= pc_done) r.undone[m] = 0;
    if (r.pc[m] == pc_done) progress = {progress.notice, false, false, false};
}

void Moves::forget(State& state, Phase phase) const {
    Runner& r = state.runner;
    // What nobody looks at any more would only multiply states.
    switch (phase) {
        case Phase::difference:
        case Phase::note_intent:
        case Phase::commit:
        case Phase::undo:
        case Phase::retract:
        case Phase::persist: r.clock = {}; break;
        case Phase::confirm:
        case Phase::verify:
            if (!options_.verify_next && !r.groundwork) r.clock = {};
            break;
        default: break;
    }
    if (phase == Phase::release || phase == Phase::undo || phase == Phase::retract || phase == Phase::close) {
        r.change = {};
        state.removes = {};
        r.commit_clock = {};
    }
    if (phase == Phase::undo || phase == Phase::retract || phase == Phase::close) r.seen = {};
    if (phase == Phase::retract || phase == Phase::close) r.start = 0;
}

void Moves::go(State& state, Phase phase) {
    Runner& r = state.runner;
    r.phase = phase;
    r.pc = {0, 0};
    r.waited = 0;
    forget(state, phase);
    const auto only = [&](std::size_t m) { r.pc[1 - m] = pc_done; };
    switch (phase) {
        case Phase::revert_dead:
            for (std::size_t m = 0; m < 2; ++m) {
                if (!decisions_.is_dead_commit(r.seen[m].pending, state.journal.run)) r.pc[m] = pc_done;
            }
            break;
        case Phase::withdraw_leftovers: {
            const auto& finding = bridge_.reconcile(r.seen, state.own_runner, options_.rollover);
            for (std::size_t m = 0; m < 2; ++m) {
                if (finding.withdrawals[m] == 0) r.pc[m] = pc_done;
            }
            break;
        }
        case Phase::note_revert:
        case Phase::note_withdrawal:
        case Phase::take_key:
        case Phase::mint:
        case Phase::note_mint:
        case Phase::announce:
        case Phase::note_intent:
        case Phase::save_intent:
        case Phase::persist:
        case Phase::close: only(0); break;
        case Phase::fetch:
            only(1);
            if (state.journal.have_b) finish(state, Outcome::done);
            break;
        case Phase::undo:
            for (std::size_t m = 0; m < 2; ++m) {
                if (!r.progress[m].staged && !r.progress[m].committed) r.pc[m] = pc_done;
            }
            if (r.pc[0] == pc_done && r.pc[1] == pc_done) barrier(state);
            break;
        case Phase::retract:
            for (std::size_t m = 0; m < 2; ++m) {
                if (!r.progress[m].notice) r.pc[m] = pc_done;
            }
            if (r.pc[0] == pc_done && r.pc[1] == pc_done) barrier(state);
            break;
        case Phase::verify:
            only(0);
            if (!chain() && !r.adopted) return finish(state, Outcome::done);
            if (options_.verify_next && !r.interrupted && r.start != 0 && std::max(r.clock[0], r.clock[1]) < r.start) {
                return finish(state, Outcome::done);
            }
            break;
        case Phase::wait_live: only(0); break;
        default: break;
    }
}

void Moves::after_look(State& state) {
    Runner& r = state.runner;
    const Finding& finding = bridge_.reconcile(r.seen, state.own_runner, options_.rollover);
    if (r.phase != Phase::read_once_more && (finding.withdrawals[0] | finding.withdrawals[1]) != 0) {
        return go(state, Phase::note_withdrawal);
    }
    const auto& in_force = chain() ? finding.active : finding.pre_shared;
    const Key dead = state.journal.key;
    const bool is_there = r.dead && dead != 0 && in_force[0] == dead && in_force[1] == dead;
    if (!is_there && !(finding.adopted.key != 0 && chain())) return finish(state, Outcome::done);
    if (finding.adopted.key != 0) {
        r.next = finding.adopted.key;
        r.start = finding.adopted.start;
    } else {
        r.next = dead;
        for (const auto& slot : r.seen[0].config.chain) {
            if (chain() && slot.key == dead) r.start = slot.start;
        }
    }
    r.adopted = r.dead_taken = true;
    r.commit_clock = r.clock;
    r.seen = {};
    finish(state, Outcome::adopted);
}

void Moves::choose_keys(State& state) {
    Runner& r = state.runner;
    r.start = static_cast<Tick>(std::max(r.clock[0], r.clock[1]) + decisions_.lead());
    const Finding& finding = bridge_.reconcile(r.seen, state.own_runner, options_.rollover);
    if (!finding.has_base) r.first_key = unused_key(state);
    if (finding.fallback != 0) {
        r.fallback_key = finding.fallback;
    } else if (finding.needs_groundwork || !finding.fallback_is_common) {
        r.fallback_key = unused_key(state);
    }
    const Plan& plan = bridge_.plan(state, options_.rollover);
    r.change = plan.change;
    state.removes = plan.removes;
    r.first_configuration = plan.first_configuration;
    if (!schedules(r)) r.start = 0;
}

void Moves::barrier(State& state) {
    Runner& r = state.runner;
    const bool good = r.pc[0] == pc_done && r.pc[1] == pc_done;
    const auto on = [&](Phase next) { good ? go(state, next) : finish(state, Outcome::failed); };
    const auto done = [&] { finish(state, good ? Outcome::done : Outcome::failed); };
    switch (r.phase) {
        case Phase::open:
            if (good && !options_.commit_stage) return finish(state, Outcome::no_keys);
            return on(Phase::gate);
        case Phase::gate: return done();
        case Phase::break_locks: return on(Phase::read);
        case Phase::read:
            if (!good) return finish(state, Outcome::failed);
            for (const auto& seen : r.seen) {
                if (r.dead && state.journal.run != 0 && decisions_.is_dead_commit(seen.pending, state.journal.run))
                    return go(state, Phase::note_revert);
            }
            return after_look(state);
        case Phase::note_revert: return on(Phase::revert_dead);
        case Phase::note_withdrawal: return on(Phase::withdraw_leftovers);
        case Phase::revert_dead: return on(Phase::read_again);
        case Phase::read_again:
        case Phase::read_once_more: return good ? after_look(state) : finish(state, Outcome::failed);
        case Phase::withdraw_leftovers: return on(Phase::read_once_more);
        case Phase::difference: {
            const bool needs =
                chain() && bridge_.reconcile(r.seen, state.own_runner, options_.rollover).needs_groundwork;
            if (!good || (r.groundwork && needs)) return finish(state, Outcome::failed);
            r.groundwork = needs;
            return finish(state, needs ? Outcome::groundwork : Outcome::done);
        }
        case Phase::take_key: return on(r.next != 0 ? Phase::announce : Phase::mint);
        case Phase::mint: return on(Phase::note_mint);
        case Phase::note_mint: return on(Phase::announce);
        case Phase::announce: return on(Phase::fetch);
        case Phase::fetch:
            if (r.pc[1] == pc_gone && !r.minted_twice) {
                r.minted_twice = true;
                r.next = 0;
                return finish(state, Outcome::key_gone);
            }
            return done();
        case Phase::choose_start:
            if (good) choose_keys(state);
            return on(Phase::note_intent);
        case Phase::note_intent: return on(Phase::save_intent);
        case Phase::save_intent: return on(Phase::stage);
        case Phase::stage: return on(Phase::check_unmoved);
        case Phase::check_unmoved: r.seen = {}; return done();
        case Phase::commit_clock: return on(Phase::commit);
        case Phase::commit: return on(Phase::commit_read_back);
        case Phase::commit_read_back: return done();
        case Phase::wait_live: {
            const auto [how, key] = mka(state);
            if (!good || how != MkaState::secured || key != r.next) return finish(state, Outcome::failed);
            return go(state, Phase::confirm_clock);
        }
        case Phase::confirm_clock: return on(Phase::confirm);
        case Phase::confirm: return on(Phase::confirm_read_back);
        case Phase::confirm_read_back: return on(Phase::release);
        case Phase::release:
            if (!r.groundwork) return finish(state, Outcome::done);
            // Its commit is nobody's to take back any more: the next one has another comment.
            r.progress = {};
            r.run = unused_run(state);
            r.fallback_key = 0;
            return finish(state, Outcome::groundwork);
        case Phase::verify: {
            const auto [how, key] = mka(state);
            const bool live = how == MkaState::secured && key == r.next;
            return finish(state, good && live ? Outcome::done : Outcome::failed);
        }
        case Phase::verify_clock:
            r.withdraw = !r.adopted && std::max(r.clock[0], r.clock[1]) == is_before;
            return r.withdraw ? finish(state, Outcome::too_soon) : go(state, Phase::verify);
        case Phase::persist: return done();
        case Phase::undo_clock:
            r.undo_withdraws = std::max(r.clock[0], r.clock[1]) == is_before;
            return go(state, Phase::undo);
        case Phase::undo:
        case Phase::retract:
            if (!good) r.proven = false;
            return done();
        case Phase::close: return;
    }
}

void Moves::enter(State& state, Step step) {
    Runner& r = state.runner;
    r.step = step;
    if (r.journalling) {
        for (std::size_t m = 0; m < 2; ++m) r.noted[m] = r.noted[m] || r.session[m];
    }
    switch (step) {
        case Step::connect: return go(state, Phase::open);
        // After a groundwork there is nothing left of the dead run's sessions.
        case Step::reconcile: return go(state, r.dead && !r.groundwork ? Phase::break_locks : Phase::read);
        case Step::prepare: return go(state, Phase::difference);
        case Step::reserve: return go(state, Phase::take_key);
        case Step::stage: return go(state, Phase::choose_start);
        case Step::commit: return go(state, Phase::commit_clock);
        case Step::confirm: return go(state, chain() ? Phase::confirm_clock : Phase::wait_live);
        case Step::verify: return go(state, Phase::verify);
        case Step::persist: return go(state, Phase::persist);
        case Step::undo: {
            const bool any = r.progress[0].confirm_sent || r.progress[1].confirm_sent;
            r.undo_withdraws = any;
            const bool asks = any && schedules(r) && !r.withdraw && !r.first_configuration;
            return go(state, asks ? Phase::undo_clock : Phase::undo);
        }
        case Step::retract: return go(state, Phase::retract);
        // Not in the model: tests/unit kills a run at each of their calls.
        case Step::withdraw:
        case Step::close:
        case Step::end: return go(state, Phase::close);
    }
}

void Moves::finish(State& state, Outcome outcome) {
    Runner& r = state.runner;
    if (outcome == Outcome::failed || outcome == Outcome::too_soon) r.failed = true;
    const Step from = r.step;
    const auto lines = engine::transitions();
    const bool known = std::any_of(lines.begin(), lines.end(),
                                   [&](const auto& line) { return line.from == from && line.when == outcome; });
    (known ? taken_ : off_table_).insert({from, outcome});
    enter(state, decisions_.next_step(from, outcome));
}

void Moves::end(State& state, Fate fate) {
    Runner& r = state.runner;
    const bool knows = r.dead ? r.dead_taken : r.journalling;
    const bool resolved = knows && (!r.failed || r.proven);
    if (resolved && fate == Fate::works) state.journal.there = false;
    for (std::size_t m = 0; m < 2; ++m) {
        Device& device = state.device[m];
        if (device.lock == Lock::runner) {
            device.lock = Lock::none;
            device.candidate = false;
        }
    }
    r.alive = false;
}

std::string Moves::words(const State& before, Move move) const {
    const char* name = move.member == 0 ? "A" : "B";
    switch (move.kind) {
        case Kind::tick: return "a tick passes";
        case Kind::start: return "a run begins";
        case Kind::die: return std::string("THE RUNNER DIES in ") + engine::to_string(before.runner.step);
        case Kind::interrupt: return "THE RUN IS INTERRUPTED";
        case Kind::lose_timer: return std::string(name) + " RESTARTS AND FORGETS ITS TIMER";
        case Kind::drop_session: return std::string(name) + " notices that a session is dead";
        case Kind::call: break;
    }
    std::string text = std::string(engine::to_string(before.runner.step)) + ": " + to_string(before.runner.phase);
    if (!is_local(before, move.member)) text += std::string(" at ") + name;
    if (const auto pc = before.runner.pc[move.member]; pc != 0) text += " (part " + std::to_string(pc) + ")";
    switch (move.fate) {
        case Fate::works: break;
        case Fate::lost_before: text += ", LOST before its effect"; break;
        case Fate::lost_after: text += ", its ANSWER LOST"; break;
        case Fate::refused: text += ", REFUSED"; break;
    }
    return text;
}

}  // namespace qkd::model
