// Which of the two it is, and what both do alike.
#include "engine/rotation/peers.hpp"

#include "engine/rotation/all_here.hpp"
#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/one_of_many.hpp"

namespace qkd::engine {

std::unique_ptr<Peers> make_peers(const Link& link, const PeerServices& services) {
    if (link.peers.empty()) return std::make_unique<AllHere>(services);
    return std::make_unique<OneOfMany>(services);
}

Result<void> retract_notices(Crew& crew, Turns& turns, bool borrows_devices) {
    return crew.each([&](MemberRun& m) -> Result<void> {
        if (!m.progress.notice) return {};
        QKD_TRY(crew.reconnect(m, Cancel::never));
        Leases::Held lease;
        if (borrows_devices && transport_commits(crew)) {
            QKD_TRY(lease, turns.borrow_devices());
        }
        CallSpec spec = crew.spec(StageKind::key_id_transport, "retract", Cancel::never);
        spec.wait_out = ErrorCode::busy;
        spec.patience = spec.timeout;
        QKD_TRY(crew.aside(m)(spec, m.transport.name, [&](Context& context) {
            return m.transport->retract(context, end_of(m), crew.link().name);
        }));
        m.progress.notice = false;
        for (auto& stage : m.report->stages) {
            if (stage.kind == StageKind::key_id_transport && stage.result == StageResult::ok)
                stage.result = StageResult::reverted;
        }
        return {};
    });
}

}  // namespace qkd::engine
