// The table of the rotation protocol.
#include "engine/protocol/steps.hpp"

#include <array>

namespace qkd::engine {
namespace {

constexpr std::array table{
    Transition{Step::connect, Outcome::done, Step::reconcile},
    Transition{Step::connect, Outcome::no_keys, Step::end},
    Transition{Step::connect, Outcome::failed, Step::end},
    Transition{Step::reconcile, Outcome::done, Step::prepare},
    Transition{Step::reconcile, Outcome::adopted, Step::verify},
    Transition{Step::reconcile, Outcome::withdraws, Step::withdraw},
    Transition{Step::reconcile, Outcome::failed, Step::end},
    Transition{Step::prepare, Outcome::done, Step::reserve},
    Transition{Step::prepare, Outcome::groundwork, Step::stage},
    Transition{Step::prepare, Outcome::failed, Step::end},
    Transition{Step::reserve, Outcome::done, Step::stage},
    Transition{Step::reserve, Outcome::key_gone, Step::reserve},
    Transition{Step::reserve, Outcome::superseded, Step::reserve},
    Transition{Step::reserve, Outcome::unchanged, Step::end},
    Transition{Step::reserve, Outcome::failed, Step::retract},
    Transition{Step::stage, Outcome::done, Step::commit},
    Transition{Step::stage, Outcome::failed, Step::undo},
    Transition{Step::commit, Outcome::done, Step::confirm},
    Transition{Step::commit, Outcome::failed, Step::undo},
    Transition{Step::confirm, Outcome::done, Step::verify},
    Transition{Step::confirm, Outcome::groundwork, Step::reconcile},
    Transition{Step::confirm, Outcome::failed, Step::undo},
    Transition{Step::verify, Outcome::done, Step::persist},
    Transition{Step::verify, Outcome::too_soon, Step::undo},
    Transition{Step::verify, Outcome::failed, Step::persist},
    Transition{Step::persist, Outcome::done, Step::end},
    Transition{Step::persist, Outcome::failed, Step::end},
    Transition{Step::undo, Outcome::done, Step::retract},
    Transition{Step::undo, Outcome::failed, Step::retract},
    Transition{Step::retract, Outcome::done, Step::end},
    Transition{Step::retract, Outcome::closes, Step::close},
    Transition{Step::retract, Outcome::failed, Step::end},
    Transition{Step::withdraw, Outcome::done, Step::end},
    Transition{Step::withdraw, Outcome::failed, Step::end},
    Transition{Step::close, Outcome::done, Step::end},
    Transition{Step::close, Outcome::failed, Step::end},
};

constexpr std::array facts{
    StepFacts{Step::connect, "sessions to all members, their clocks compared", "nothing to undo",
              "the devices close the sessions"},
    StepFacts{Step::reconcile, "reads what all members have; resolves what an earlier run left", "nothing to undo",
              "the next run reads again"},
    StepFacts{Step::prepare, "certificates; what initial-config wants", "nothing to undo", "the next run looks again"},
    StepFacts{Step::reserve, "the key is minted, its ID carried, the key fetched and compared", "retract",
              "the next run uses the very key from the journal"},
    StepFacts{Step::stage, "exclusive lock, load, commit check", "discard",
              "the device drops lock and candidate with the session; the next run ends a session that lingers"},
    StepFacts{Step::commit, "confirmed commit, read back", "revert",
              "the device takes the commit back when its timer ends, or the next run before that"},
    StepFacts{
        Step::confirm, "confirm, read back", "revert what is pending, withdraw what is confirmed",
        "pending members go back by themselves; the next run withdraws the key where it stands or goes on with it"},
    StepFacts{Step::verify, "MKA live on the new key after the start-time", "withdraw, only before the start-time",
              "the devices change key at the start-time; the next run verifies"},
    StepFacts{Step::persist, "remembers key_ID and CKN", "nothing: the members are on the new key",
              "the next run finds the key in force and remembers it"},
    StepFacts{Step::undo, "takes back what was done on each member and reads it back", "is an undo itself",
              "as commit and confirm: each member goes back by itself or is brought back by the next run"},
    StepFacts{Step::retract, "takes the key_ID notices away", "is an undo itself",
              "the next notice replaces what is left"},
    StepFacts{Step::withdraw, "deletes scheduled keys of ours on all members", "is an undo itself",
              "a member without the key stays without it; the next run withdraws it from the others"},
    StepFacts{Step::close, "gives every member keys that nobody else has", "revert, where its confirm fails",
              "the next run reverts what is unconfirmed, and its new key opens what is closed"},
    StepFacts{Step::end, "report, audit, journal erased", "nothing", "the next run finds the journal and resolves it"},
};

}  // namespace

std::span<const Transition> transitions() noexcept {
    return table;
}

std::span<const StepFacts> step_facts() noexcept {
    return facts;
}

Step next_step(Step from, Outcome outcome) noexcept {
    for (const auto& line : table) {
        if (line.from == from && line.when == outcome) return line.to;
    }
    switch (from) {
        case Step::undo:
        case Step::retract:
        case Step::withdraw:
        case Step::close:
        case Step::end: return Step::end;
        default: return Step::undo;
    }
}

Undo undo_of(const MemberStanding& member, const UndoTerms& terms) noexcept {
    if (!member.committed) return member.staged ? Undo::discard : Undo::nothing;
    if (member.pending || !member.confirm_sent || !terms.schedules || terms.first_configuration) return Undo::revert;
    return terms.withdraw ? Undo::withdraw : Undo::keep;
}

const char* to_string(Step step) noexcept {
    switch (step) {
        case Step::connect: return "connect";
        case Step::reconcile: return "reconcile";
        case Step::prepare: return "prepare";
        case Step::reserve: return "reserve";
        case Step::stage: return "stage";
        case Step::commit: return "commit";
        case Step::confirm: return "confirm";
        case Step::verify: return "verify";
        case Step::persist: return "persist";
        case Step::undo: return "undo";
        case Step::retract: return "retract";
        case Step::withdraw: return "withdraw";
        case Step::close: return "close";
        case Step::end: return "end";
    }
    return "?";
}

std::optional<Step> parse_step(std::string_view word) noexcept {
    for (const auto& fact : facts) {
        if (word == to_string(fact.step)) return fact.step;
    }
    return std::nullopt;
}

const char* to_string(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::done: return "done";
        case Outcome::failed: return "failed";
        case Outcome::adopted: return "adopted";
        case Outcome::no_keys: return "no_keys";
        case Outcome::groundwork: return "groundwork";
        case Outcome::key_gone: return "key_gone";
        case Outcome::superseded: return "superseded";
        case Outcome::unchanged: return "unchanged";
        case Outcome::too_soon: return "too_soon";
        case Outcome::withdraws: return "withdraws";
        case Outcome::closes: return "closes";
    }
    return "?";
}

const char* to_string(Undo undo) noexcept {
    switch (undo) {
        case Undo::nothing: return "nothing";
        case Undo::discard: return "discard";
        case Undo::revert: return "revert";
        case Undo::withdraw: return "withdraw";
        case Undo::keep: return "keep";
    }
    return "?";
}

}  // namespace qkd::engine
