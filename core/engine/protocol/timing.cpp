// The rules of time, one function each.
#include "engine/protocol/timing.hpp"

#include <algorithm>

#include "engine/protocol/rollover.hpp"

namespace qkd::engine {

TimingTerms timing_terms(const CommitPolicy& policy, milliseconds measured_commit, int commits_in_turn) {
    return {traits_of(policy.rollover).schedules,
            policy.confirm,
            policy.assumed_commit,
            measured_commit,
            policy.max_clock_skew,
            policy.lead,
            commits_in_turn};
}

milliseconds commit_time(const TimingTerms& terms) {
    return terms.measured_commit.count() > 0 ? terms.measured_commit : terms.assumed_commit;
}

milliseconds remembered_commit_time(milliseconds longest, milliseconds before) {
    return std::max(longest, before * 3 / 4);
}

milliseconds lead_of(const TimingTerms& terms) {
    constexpr milliseconds margin{30000};
    if (terms.lead) return *terms.lead;
    return terms.confirm + (1 + terms.commits_in_turn) * commit_time(terms) + terms.max_clock_skew + margin;
}

milliseconds least_lead(const TimingTerms& terms) {
    return terms.confirm + terms.commits_in_turn * commit_time(terms) + terms.max_clock_skew;
}

Misfit misfit_of(const TimingTerms& terms) {
    if (terms.measured_commit.count() == 0) return Misfit::none;  // what is assumed was looked at with the file
    if (terms.confirm < commit_time(terms) + confirm_margin) return Misfit::confirm_too_short;
    if (terms.schedules && terms.lead && *terms.lead < least_lead(terms)) return Misfit::lead_too_short;
    return Misfit::none;
}

bool commit_fits(UtcMillis latest_clock, UtcSeconds start, const TimingTerms& terms) {
    return latest_clock + terms.confirm + commit_time(terms) <= start;
}

ConfirmTime confirm_time(UtcMillis clock, UtcMillis commit_clock, std::optional<UtcSeconds> start,
                         const TimingTerms& terms) {
    if (clock > commit_clock + terms.confirm - confirm_margin) return ConfirmTime::timer_near;
    if (start && clock + start_margin > *start) return ConfirmTime::start_near;
    return ConfirmTime::fits;
}

bool before_start(UtcMillis latest_clock, std::optional<UtcSeconds> start, milliseconds needed,
                  const TimingTerms& terms) {
    return start && latest_clock + terms.max_clock_skew + needed < *start;
}

bool may_withdraw(UtcMillis clock, UtcSeconds start, const TimingTerms& terms) {
    return clock + terms.assumed_commit < start;
}

bool is_commit_of_dead_run(const std::optional<PendingCommit>& pending, const std::string& journalled_comment) {
    return pending && !journalled_comment.empty() && pending->comment == journalled_comment;
}

bool may_schedule_again(Rollover rollover, const std::vector<ConfiguredKey>& configured, const std::string& ckn) {
    return !traits_of(rollover).schedules ||
           std::none_of(configured.begin(), configured.end(), [&](const ConfiguredKey& key) { return key.ckn == ckn; });
}

}  // namespace qkd::engine
