// The search, its laws and the words for a path.
#include "explorer.hpp"

#include <algorithm>

namespace qkd::model {
namespace {

constexpr std::uint32_t none = UINT32_MAX;
constexpr std::size_t too_many_states = 20'000'000;
constexpr int longest_run = 600;  ///< actions of one run that nothing disturbs

/// States by number, and the number of a state.
class Numbered {
  public:
    Numbered() : slots_(1U << 16U, none) {}

    /// The state's number, and whether it is new.
    std::pair<std::uint32_t, bool> put(const State& state) {
        if ((states_.size() + 1) * 2 > slots_.size()) grow();
        std::size_t at = hash_of(state) & (slots_.size() - 1);
        while (slots_[at] != none) {
            if (states_[slots_[at]] == state) return {slots_[at], false};
            at = (at + 1) & (slots_.size() - 1);
        }
        slots_[at] = static_cast<std::uint32_t>(states_.size());
        states_.push_back(state);
        return {slots_[at], true};
    }
    [[nodiscard]] const State& at(std::uint32_t number) const { return states_[number]; }
    [[nodiscard]] std::size_t size() const { return states_.size(); }

  private:
    void grow() {
        std::vector<std::uint32_t> larger(slots_.size() * 4, none);
        for (std::uint32_t number = 0; number < states_.size(); ++number) {
            std::size_t at = hash_of(states_[number]) & (larger.size() - 1);
            while (larger[at] != none) at = (at + 1) & (larger.size() - 1);
            larger[at] = number;
        }
        slots_ = std::move(larger);
    }

    std::vector<State> states_;
    std::vector<std::uint32_t> slots_;
};

class Search {
  public:
    Search(const Options& options, const Decisions& decisions, const Law& law)
        : model_(options, decisions), options_(options), law_(law) {}

    Report run() {
        visit(model_.initial(), none, {});
        std::vector<Move> moves;
        for (std::uint32_t number = 0; number < states_.size() && report_.violation.empty(); ++number) {
            const State state = states_.at(number);
            moves.clear();
            model_.of(state, moves);
            report_.transitions += moves.size();
            for (const Move move : moves) {
                State next = state;
                model_.apply(next, move);
                normalise(next, options_.skew);
                const auto there = visit(next, number, move);
                if (state.runner.alive && alone_[number] == none && is_alone(state, move)) alone_[number] = there;
                if (!report_.violation.empty()) break;
            }
            if (report_.violation.empty() && state.runner.alive && alone_[number] == none) {
                violated(number, "the runner is stuck");
            }
            if (states_.size() > too_many_states) violated(number, "too many states for this explorer");
        }
        if (report_.violation.empty()) every_run_ends();
        report_.states = states_.size();
        report_.taken = model_.taken();
        report_.off_table = model_.off_table();
        return std::move(report_);
    }

  private:
    bool is_alone(const State& state, Move move) const {
        return (move.kind == Kind::call && move.fate == Fate::works) ||
               (move.kind == Kind::tick && model_.waits(state));
    }

    std::uint32_t visit(const State& state, std::uint32_t from, Move move) {
        const auto [number, is_new] = states_.put(state);
        if (!is_new) return number;
        from_.push_back(from);
        by_.push_back(move);
        alone_.push_back(none);
        if (!state.runner.alive) ++report_.idle;
        if (model_.mka(state).first == MkaState::down && state.device[0].running.configured &&
            state.device[1].running.configured) {
            violated(number, "the ends are apart");
        } else if (!model_.off_table().empty()) {
            violated(number, "a step went a way that is not in the table");
        } else if (const Runner& r = state.runner;
                   r.alive && r.step == engine::Step::persist && !r.failed &&
                   !(holds(state.device[0].running, r.next) && holds(state.device[1].running, r.next))) {
            violated(number, "a run is content that has not brought its key to both");
        } else if (!state.runner.alive) {
            for (const bool late : {false, true}) {
                const auto problem = settle(state, late);
                if (problem.empty()) continue;
                violated(number, "a run begun " + std::string(late ? "after all timers" : "at once") +
                                     " does not end well: " + problem);
                break;
            }
        }
        if (report_.violation.empty() && law_) {
            if (const auto broken = law_(model_, state); !broken.empty()) violated(number, broken);
        }
        return number;
    }

    /// One run that nothing disturbs. Empty = both members are on its key, and nothing is left behind.
    std::string settle(State state, bool late) {
        state.faults_left = 0;
        state.runs_left = 1;
        state.killed_in = 0;
        while (late && model_.timed(state)) model_.apply(state, {Kind::tick, 0, Fate::works});
        // A session whose name nobody knows cannot be ended: then the device has to notice first.
        for (std::uint8_t m = 0; m < 2; ++m) {
            const Lock lock = state.device[m].lock;
            if (lock == Lock::unknown || (late && lock == Lock::known))
                model_.apply(state, {Kind::drop_session, m, Fate::works});
        }
        normalise(state, options_.skew);
        if (settled_.put(state).second == false) return {};
        if (!options_.commit_stage) return {};
        std::string trace = "\n      " + describe(state, options_.skew);
        State before = state;
        model_.apply(state, {Kind::start, 0, Fate::works});
        Key newest = 0;
        std::vector<Move> moves;
        for (int i = 0; state.runner.alive; ++i) {
            if (i > longest_run) return "it does not end" + trace;
            newest = state.runner.next;
            moves.clear();
            model_.of(state, moves);
            const auto own = std::find_if(moves.begin(), moves.end(), [&](Move move) { return is_alone(state, move); });
            if (own == moves.end()) return "it is stuck" + trace;
            before = state;
            model_.apply(state, *own);
            if (!report_.violation.empty()) return {};
            if (own->kind == Kind::call) trace += "\n      " + model_.words(before, *own);
            if (state.runner.step != before.runner.step && state.runner.alive)
                trace += "      " + describe(state, options_.skew);
        }
        while (model_.timed(state)) model_.apply(state, {Kind::tick, 0, Fate::works});
        const auto [how, key] = model_.mka(state);
        std::string wrong;
        if (how != MkaState::secured || key != newest || newest == 0) wrong = "the members are not on its key";
        for (const auto& device : state.device) {
            if (device.pending) wrong = "a commit is pending";
            if (device.lock != Lock::none) wrong = "a device is locked";
        }
        if (state.journal.there) wrong = "the journal is still there";
        return wrong.empty() ? wrong : wrong + trace + "\n      " + describe(state, options_.skew);
    }

    /// Left alone, a living runner comes to its end: its own moves make no circle.
    void every_run_ends() {
        enum : std::uint8_t { unknown, on_the_way, good };
        std::vector<std::uint8_t> seen(states_.size(), unknown);
        std::vector<std::uint32_t> way;
        for (std::uint32_t first = 0; first < states_.size(); ++first) {
            way.clear();
            std::uint32_t at = first;
            while (seen[at] == unknown && states_.at(at).runner.alive) {
                seen[at] = on_the_way;
                way.push_back(at);
                at = alone_[at];
            }
            if (seen[at] == on_the_way) return violated(at, "the run goes round in a circle");
            for (const auto number : way) seen[number] = good;
        }
    }

    void violated(std::uint32_t number, const std::string& law) {
        if (!report_.violation.empty()) return;
        std::vector<std::uint32_t> path;
        for (auto at = number; at != none; at = from_[at]) path.push_back(at);
        std::reverse(path.begin(), path.end());
        // Again from the start, with keys that keep their numbers.
        State state = states_.at(0);
        std::string text = law + "\n  " + to_string(options_) + "\n      " + describe(state, options_.skew);
        for (std::size_t i = 1; i < path.size(); ++i) {
            const State before = state;
            model_.apply(state, by_[path[i]]);
            text += "\n  " + model_.words(before, by_[path[i]]);
            const auto now = describe(state, options_.skew);
            if (now != describe(before, options_.skew)) text += "\n      " + now;
        }
        report_.violation = text;
    }

    Moves model_;
    Options options_;
    const Law& law_;
    Numbered states_, settled_;
    std::vector<std::uint32_t> from_;
    std::vector<Move> by_;
    std::vector<std::uint32_t> alone_;  ///< where the runner gets by itself, with no fault
    Report report_;
};

}  // namespace

Report explore(const Options& options, const Decisions& decisions, const Law& law) {
    return Search(options, decisions, law).run();
}

}  // namespace qkd::model
