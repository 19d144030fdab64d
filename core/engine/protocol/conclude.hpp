// How the attempt of one link ended, as data, and what follows from it. Pure, like undo_of in steps.hpp.
#pragma once

#include <cstdint>

namespace qkd::engine {

enum class LinkResult : std::uint8_t { rotated, unchanged, pending, degraded, reverted, failed };
const char* to_string(LinkResult result) noexcept;

/// How far the attempt got on its way forward.
enum class Arrival : std::uint8_t {
    nowhere,
    unchanged,  ///< there was nothing to do
    pending,    ///< scheduled at all members, the start-time is ahead
    live,       ///< MKA is live on the key at all members
    withdrawn   ///< asked for: what was scheduled, or left unconfirmed, is taken away
};

/// One writer each: the step that finds it out.
struct Verdict {
    Arrival arrival = Arrival::nowhere;
    bool failed = false;            ///< a step failed; on the way forward, or asked to withdraw
    bool past_return = false;       ///< it failed when nothing could be taken back any more
    bool written = false;           ///< something may have been written on a device
    bool kept = false;              ///< it was too late to take a confirmed key away
    bool stands_somewhere = false;  ///< the key is configured on a member after the undo
    bool undo_proven = true;        ///< the undo was seen on every member
    bool shortcoming = false;       ///< in force, but a device is not whole
    bool closed = false;            ///< no KME gives a key, and the old one was taken out of use
};

LinkResult conclude(const Verdict& verdict) noexcept;

/// Nothing is left for another run: the journal may go.
bool is_resolved(const Verdict& verdict) noexcept;

/// The key that the attempt remembered as its next one will not be used.
bool intent_is_void(const Verdict& verdict) noexcept;

}  // namespace qkd::engine
