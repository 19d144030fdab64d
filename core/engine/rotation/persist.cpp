// Step persist: the memory of the key's name, generation and times. The key itself is on the devices.
#include <array>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {

Ended persist(Attempt& attempt, Crew& crew, LinkState& state, Peers& peers) {
    LinkRecord& record = state.record;
    const NewKey& key = attempt.key;
    record.saved = std::chrono::floor<std::chrono::seconds>(crew.latest_clock());
    if (attempt.verdict.arrival == Arrival::pending) {
        // Not active yet: remembered beside the active key until a later run finds it in force.
        record.pending_key_id = key.id;
        record.pending_ckn = key.ckn;
        QKD_TRY(state.save_record(Saving::to_the_end));
        return Outcome::done;
    }
    if (record.ckn != key.ckn) {
        record.previous_key_id = record.key_id;
        record.key_id = key.id;
        record.ckn = key.ckn;
    }
    record.rollover = to_string(attempt.pipeline.commit.rollover);
    peers.remember(attempt, record);
    record.start = key.start;
    record.pending_key_id.clear();
    record.pending_ckn.clear();
    // Without it the link is on its new key all the same; what is lost is the memory of its name.
    QKD_TRY(state.save_record(Saving::to_the_end));
    const std::array<Attr, 2> attributes{Attr{"key_id", std::string_view(key.id)},
                                         Attr{"ckn", std::string_view(key.ckn)}};
    crew.caller().event("rotation.done", attributes, "persist");
    return Outcome::done;
}

}  // namespace qkd::engine
