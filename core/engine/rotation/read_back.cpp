// Reading back, over a new session where the old one broke.
#include "engine/rotation/read_back.hpp"

#include "engine/rotation/member_calls.hpp"

namespace qkd::engine {

Result<void> read_back(Crew& crew, const char* when) {
    return crew.each([&](MemberRun& m) -> Result<void> {
        QKD_TRY(crew.read_again(m, "read-back"));
        const std::string missing = missing_after(m.state, m.change);
        if (missing.empty()) return {};
        return Error::conflict("device " + m.member->device + ", " + when + ": " + missing,
                               "somebody else may have changed the device; look at its latest commits")
            .retryable();
    });
}

Result<void> renew_session(Crew& crew, LinkState& state, MemberRun& m) {
    m.session_is_doubtful = true;
    QKD_TRY(crew.reconnect(m, Cancel::never));
    state.try_note([&](JournalEntry& entry) { note_sessions(entry, crew, &m); });
    return {};
}

}  // namespace qkd::engine
