// Step connect.
#include "engine/rotation/certificates.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {

Ended connect(Attempt& attempt, Crew& crew, RunShared& run) {
    QKD_TRY(crew.connect());
    if (!attempt.pipeline.has(StageKind::commit)) {
        QKD_TRY(ensure_certificates(attempt, crew, run));
        attempt.verdict.arrival = Arrival::unchanged;
        return Outcome::no_keys;
    }
    if (attempt.goal == Goal::withdraw) {
        // Whatever the clocks say, a key may be taken away.
        QKD_TRY(crew.read_clocks());
        return Outcome::done;
    }
    QKD_TRY(gate_clocks(attempt, crew));
    return Outcome::done;
}

}  // namespace qkd::engine
