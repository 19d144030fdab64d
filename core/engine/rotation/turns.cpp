// Leases of devices and SAE pairs, with patience for everybody else's turn.
#include "engine/rotation/turns.hpp"

#include <algorithm>

namespace qkd::engine {
namespace {

constexpr milliseconds usual_timeout{30000};
/// Calls with their time-outs that a link may make in one turn.
constexpr int device_turn = 5;
constexpr int pair_turn = 4;
constexpr std::size_t most_turns = 100;

milliseconds timeout_of(const Pipeline& pipeline, StageKind kind) {
    const StagePolicy* policy = pipeline.stage(kind);
    return policy != nullptr ? policy->timeout : usual_timeout;
}

}  // namespace

milliseconds Turns::device_patience() const {
    const Pipeline& pipeline = crew_.pipeline();
    const auto others = static_cast<int>(std::min(pipeline.links.size(), most_turns));
    return timeout_of(pipeline, StageKind::commit) * device_turn * others;
}

milliseconds Turns::pair_patience() const {
    const Pipeline& pipeline = crew_.pipeline();
    return timeout_of(pipeline, StageKind::key_source) * pair_turn + pipeline.dec_retry_window;
}

Result<Leases::Held> Turns::take(std::stop_token stop) {
    return devices_.take(crew_.device_names(), crew_.link().name, device_patience(), std::move(stop));
}

Result<void> Turns::take_devices() {
    if (held_.held()) return {};
    QKD_TRY(held_, take(crew_.interruption().token()));
    return {};
}

Result<void> Turns::take_devices_to_undo() {
    if (held_.held()) return {};
    QKD_TRY(held_, take({}));
    return {};
}

Result<Leases::Held> Turns::borrow_devices() {
    if (held_.held()) return Leases::Held();
    return take({});
}

Result<Leases::Held> Turns::take_sae_pairs() {
    const Link& link = crew_.link();
    std::vector<std::string> pairs;
    for (const auto* responder : link.responders()) pairs.push_back(link.initiator().sae + " > " + responder->sae);
    return sae_pairs_.take(pairs, link.name, pair_patience(), crew_.interruption().token());
}

}  // namespace qkd::engine
