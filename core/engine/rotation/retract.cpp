// Step retract: the notices go. Where a KME failed, the link stays on its key and people are told; where the pipeline says so, a key that
// is too old is taken out of use next.
#include "engine/base/text.hpp"
#include "engine/rotation/key.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

std::string age_text(std::chrono::seconds age) {
    return format_duration(std::chrono::duration_cast<milliseconds>(age));
}

/// done, or `closes`.
Outcome on_kme_loss(const Attempt& attempt, Crew& crew, LinkState& state) {
    const auto age = key_age(attempt, crew);
    const std::string old = age ? "its key is " + age_text(*age) + " old" : "the age of its key is not known";
    const auto& limit = attempt.pipeline.max_key_age;
    const bool too_old = limit && age && *age > *limit;
    if (too_old && attempt.pipeline.on_kme_loss != KmeLoss::keep) return Outcome::closes;
    crew.caller().log(too_old ? LogLevel::error : LogLevel::warning,
                      "the link stays on its key without its KME: " + old +
                          (too_old ? ", older than max_key_age (" + format_duration(*limit) + ")" : ""),
                      "reserve");
    state.audit("kept", attempt.key.name(), old);
    return Outcome::done;
}

}  // namespace

std::optional<std::chrono::seconds> key_age(const Attempt& attempt, const Crew& crew) {
    // The router knows when a chain key began; a pre-shared key has no date there.
    if (!attempt.found.in_force_since) return std::nullopt;
    return std::chrono::floor<std::chrono::seconds>(crew.earliest_clock()) - *attempt.found.in_force_since;
}

Ended retract(Attempt& attempt, Crew& crew, LinkState& state, Turns& turns, Peers& peers) {
    auto retracted = peers.retract(attempt);
    turns.release_devices();
    if (!retracted) attempt.verdict.undo_proven = false;
    const Outcome then = lost_kme(crew) ? on_kme_loss(attempt, crew, state) : Outcome::done;
    if (retracted || then == Outcome::closes) {
        if (!retracted) crew.caller().log(LogLevel::error, retracted.error().what, "retract");
        return then;
    }
    return std::move(retracted).error();
}

}  // namespace qkd::engine
