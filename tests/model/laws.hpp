// Laws beyond those that explore() always holds, and the options under which they are promised.
#pragma once

#include "explorer.hpp"

namespace qkd::model {

/// MKA is secured in every state. For a key chain, whose members change key at one instant.
inline std::string hitless(const Moves& model, const State& state) {
    return model.mka(state).first == MkaState::secured ? "" : "not hitless";
}

/// The lines of `kill` in docs/rotation.md, "Promises". Needs Options::track_deaths.
inline std::string promise_of_kill(const Moves& model, const State& state) {
    using engine::Step;
    const auto killed = static_cast<Killed>(state.killed_in);
    // After a death in the confirm, degraded is promised: not apart. In the undo of something else, nothing is.
    if (killed == Killed::elsewhere || killed == Killed::confirm) return {};
    if (model.mka(state).first == MkaState::secured) return {};
    if (model.options().rollover == Rollover::key_chain) return "not hitless";
    // Two members never commit a pre-shared key at the same instant.
    const Runner& r = state.runner;
    const bool changing = r.alive && (r.step == Step::commit || r.step == Step::confirm || r.step == Step::undo ||
                                      r.phase == Phase::revert_dead);
    if (changing) return {};
    if (killed == Killed::commit && (state.device[0].pending || state.device[1].pending)) return {};
    return "not as promised after a death";
}

/// One death in two runs; calls are within the margins.
inline Options deaths_only(Rollover rollover, Begin begin) {
    Options options;
    options.rollover = rollover;
    options.begin = begin;
    options.faults = 1;
    options.runs = 2;
    options.patience = 1;
    options.losses = options.interrupts = false;
    options.track_deaths = true;
    options.margins_hold = true;
    options.straddles = false;
    return options;
}

/// One interruption of a key chain's rotation; calls are within the margins.
inline Options interruptions_only() {
    Options options = deaths_only(Rollover::key_chain, Begin::chain);
    options.deaths = false;
    options.interrupts = true;
    return options;
}

}  // namespace qkd::model
