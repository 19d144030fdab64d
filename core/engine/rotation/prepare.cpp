// Step prepare: everything that can be found wrong before a key is asked for.
#include "engine/rotation/certificates.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

/// Times that cannot work out on these devices are refused before anything is touched.
Result<void> check_times(const Attempt& attempt, LinkState& state) {
    const TimingTerms terms = attempt.terms(state);
    const Misfit misfit = misfit_of(terms);
    if (misfit == Misfit::none) return {};
    // One slow commit must not stop a link for ever: the figure fades with every refusal.
    state.record.commit_time = remembered_commit_time({}, state.record.commit_time);
    QKD_TRY(state.save_record(Saving::to_the_end));
    const bool lead = misfit == Misfit::lead_too_short;
    const std::string short_of = lead ? "the lead of " + seconds_text(*terms.lead) + " is too short (" +
                                            seconds_text(least_lead(terms)) + " at least)"
                                      : "a confirm of " + seconds_text(terms.confirm) + " is too short";
    return Error::config("link " + attempt.link.name + ": a commit was measured to take " +
                             seconds_text(commit_time(terms)) + " on these devices, for which " + short_of,
                         lead ? "give the commit stage a longer lead, or leave lead out"
                              : "give the commit stage a longer confirm")
        .retryable();
}

/// Keys that stay must be readable, and what gets keys must be there.
Result<void> check_members(const Attempt& attempt, const Crew& crew) {
    for (std::size_t i = 0; i < attempt.found.keys.views.size(); ++i) {
        const KeyView& view = attempt.found.keys.views[i];
        for (const auto* key : {view.active, view.pre_shared, view.fallback}) {
            if (key == nullptr || !key->cak.empty()) continue;
            return Error::auth(
                "device " + attempt.found.readings[i].device + " does not show the CAK of key " +
                    key->ckn.substr(0, 12) + "...",
                "the login needs the permission to read secrets, or the key is not hexadecimal: without it no key in "
                "common can be kept through the change");
        }
    }
    for (const auto& m : crew.members()) {
        if (m.initial || m.state.association_exists) continue;
        return Error::config(
            "device " + m.member->device + " has no connectivity association " + attempt.link.connectivity_association,
            "add [[stage]] kind = \"initial-config\" to the pipeline, or configure it on the device");
    }
    return {};
}

}  // namespace

Ended prepare(Attempt& attempt, Crew& crew, LinkState& state, Peers& peers, RunShared& run) {
    QKD_TRY(check_times(attempt, state));
    QKD_TRY(ensure_certificates(attempt, crew, run));
    QKD_TRY(crew.difference());
    QKD_TRY(check_members(attempt, crew));
    return peers.plan_round(attempt);
}

}  // namespace qkd::engine
