// What can happen next: the runner's calls and what may become of them, its death, time, and the devices' own doing. The runner
// follows core/engine/rotation*.cpp barrier by barrier; where it goes and what it decides comes from Decisions.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bridge.hpp"

namespace qkd::model {

enum class Begin : std::uint8_t {
    chain,             ///< both on a chain key, a fallback in common
    foreign_chain,     ///< the same, written by somebody else
    chain_only,        ///< no fallback at all
    pre_shared,        ///< both on a pre-shared key, a fallback in common
    pre_shared_apart,  ///< both on a pre-shared key, with different fallbacks
    keys_apart,        ///< both on their common fallback, with different pre-shared keys
    bare               ///< nothing
};

struct Options {
    Rollover rollover = Rollover::key_chain;
    Begin begin = Begin::chain;
    std::uint8_t faults = 2;  ///< lost calls, refusals, deaths, interruptions, lost timers
    std::uint8_t runs = 3;
    bool linger = false;       ///< devices keep a dead session, its lock and candidate, until they notice
    bool timer_lost = false;   ///< a reboot may make a pending commit permanent
    bool verify_next = false;  ///< verify = "next-run"
    bool commit_stage = true;
    bool losses = true;          ///< kinds of faults: calls that are lost or refused, disks that are full,
    bool deaths = true;          ///< the runner dies,
    bool interrupts = true;      ///< somebody interrupts it
    std::uint8_t patience = 2;   ///< ticks that may pass within one phase of a living runner; margins are of one tick
    bool margins_hold = false;   ///< no time passes between the reading of a clock and what was judged by it
    bool straddles = true;       ///< with margins_hold: it may pass between the first readings of two members' clocks
    bool track_deaths = false;   ///< remember where the runner died
    std::array<Tick, 2> skew{};  ///< how far each clock is ahead of the true time
};
std::string to_string(const Options& options);

enum class Kind : std::uint8_t { tick, start, call, interrupt, die, lose_timer, drop_session };
enum class Fate : std::uint8_t { works, lost_before, lost_after, refused };
struct Move {
    Kind kind;
    std::uint8_t member;
    Fate fate;
};

/// Where a runner died, in the words of the table of promises in docs/rotation.md.
enum class Killed : std::uint8_t { nowhere, before, commit, confirm, after, elsewhere };

class Moves {
  public:
    Moves(const Options& options, const Decisions& decisions)
        : options_(options), decisions_(decisions), bridge_(decisions_) {}

    [[nodiscard]] State initial() const;
    /// All that can happen; the runner's own fault-free move first, if there is one.
    void of(const State& state, std::vector<Move>& into);
    /// Not in normal form: keys keep their numbers.
    void apply(State& state, Move move);
    [[nodiscard]] std::string words(const State& before, Move move) const;

    /// The runner waits for time to pass and does nothing else.
    [[nodiscard]] bool waits(const State& state) const;
    [[nodiscard]] bool timed(const State& state) const { return timed_ahead(state, options_.skew); }
    [[nodiscard]] Tick clock(std::size_t member) const { return static_cast<Tick>(present + options_.skew[member]); }
    [[nodiscard]] const Options& options() const { return options_; }
    /// The state of MKA of the link, and its key.
    [[nodiscard]] std::pair<MkaState, Key> mka(const State& state) const;

    /// Lines of the table that were taken, and pairs that are not in it.
    [[nodiscard]] const std::set<std::pair<engine::Step, engine::Outcome>>& taken() const { return taken_; }
    [[nodiscard]] const std::set<std::pair<engine::Step, engine::Outcome>>& off_table() const { return off_table_; }

  private:
    enum class Answer : std::uint8_t { done, refused, lost };

    [[nodiscard]] bool schedules(const Runner& r) const { return chain() && !r.groundwork; }
    [[nodiscard]] bool chain() const { return options_.rollover == Rollover::key_chain; }
    [[nodiscard]] bool may_be_slow(const Runner& r) const;
    [[nodiscard]] bool is_local(const State& state, std::size_t m) const;
    [[nodiscard]] bool only_reads(const State& state, std::size_t m) const;
    void start(State& state);
    void die(State& state);
    void interrupt(State& state);
    void break_session(State& state, std::size_t m) const;
    void call(State& state, std::size_t m, Fate fate);
    template <class Effect>
    Answer ask(State& state, std::size_t m, Fate fate, bool reconnects, Effect&& effect);
    void undo_call(State& state, std::size_t m, Fate fate);
    void look(State& state, std::size_t m) const;
    void forget(State& state, Phase phase) const;
    void go(State& state, Phase phase);
    void barrier(State& state);
    void after_look(State& state);
    void enter(State& state, engine::Step step);
    void finish(State& state, engine::Outcome outcome);
    void choose_keys(State& state);
    void end(State& state, Fate fate);

    // The devices.
    [[nodiscard]] bool stage_at(Device& device) const;
    bool commit_at(State& state, std::size_t m) const;
    [[nodiscard]] bool confirm_at(Device& device, std::uint8_t run) const;
    bool revert_at(Device& device, std::uint8_t run) const;
    bool withdraw_at(Device& device, KeySet keys) const;

    Options options_;
    Decisions decisions_;
    Bridge bridge_;
    std::set<std::pair<engine::Step, engine::Outcome>> taken_, off_table_;
};

}  // namespace qkd::model
