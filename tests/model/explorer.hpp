// Breadth first through all states of the model, so that the first violation found has the shortest path.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "moves.hpp"

namespace qkd::model {

/// What was explored, and what was wrong: empty = nothing.
struct Report {
    std::size_t states = 0;
    std::size_t transitions = 0;
    std::size_t idle = 0;   ///< states in which no runner lives
    std::string violation;  ///< which law, and the path to it in words
    std::set<std::pair<engine::Step, engine::Outcome>> taken, off_table;
};

/// A law of one option set: empty = it holds in this state.
using Law = std::function<std::string(const Moves& model, const State& state)>;

/// Explores everything that the options allow. Always held: the ends are never apart; a living runner can go on and, left alone,
/// ends, content only with its key at both; with no runner, one fault-free run ends well, begun at once or after all timers; no step leaves the table. `law` comes
/// on top.
Report explore(const Options& options, const Decisions& decisions = {}, const Law& law = {});

}  // namespace qkd::model
