// The key-id-transport stage: carries the ID of a new key from the initiator to the responders, and the answer back.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qkd/sdk/device.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

/// What the initiator says of the key.
enum class NoticeKind : std::uint8_t {
    offer,      ///< fetch it, stage it, acknowledge
    armed,      ///< everybody has acknowledged: confirm
    withdrawn,  ///< it will not be used: take it away again
    live,       ///< it is live beside the key in use: make it the one in use (devices that hold two keys)
    in_use      ///< it is the one in use everywhere: the one before it may go
};
const char* to_string(NoticeKind kind) noexcept;  ///< "offer", "in-use"

/// What the key is for.
enum class KeyRound : std::uint8_t {
    schedule,  ///< becomes the key in force, at its start-time or with the commit
    fallback,  ///< held in reserve by all members; another key comes in the round after it
    first      ///< the first key of a link that is down: in force with the commit, whatever the rollover
};
const char* to_string(KeyRound round) noexcept;  ///< "schedule"

/// Where a notice stands among those of its link. A later generation is newer; within one, the higher sequence.
struct NoticeMark {
    std::uint64_t generation = 0;
    std::uint64_t sequence = 0;

    NoticeMark() = default;
    /// Without a sequence: behind everything of that generation.
    NoticeMark(std::uint64_t of_generation,  // NOLINT(google-explicit-constructor): a generation is a mark
               std::uint64_t at_sequence = std::numeric_limits<std::uint64_t>::max()) noexcept
        : generation(of_generation), sequence(at_sequence) {}
    auto operator<=>(const NoticeMark&) const = default;
};

/// The message that names the next key of a link. Public: it holds no key. qkd/sdk/net/notice.hpp has its wire form with
/// the authentication tag.
struct KeyIdNotice {
    std::string link;
    std::uint64_t generation = 0;  ///< grows with every rotation of the link
    std::vector<std::string> key_ids;
    UtcSeconds start{};          ///< start-time of the first key; the epoch for pre-shared-key
    std::uint64_t sequence = 0;  ///< grows with every message about one generation
    std::string sender;          ///< device of the initiator
    UtcSeconds expires{};        ///< not to be believed from then on; the epoch = never expires
    NoticeKind kind = NoticeKind::offer;
    UtcSeconds issued{};  ///< when it was sent, by the initiator's clock
    KeyRound round = KeyRound::schedule;

    [[nodiscard]] NoticeMark mark() const noexcept { return {generation, sequence}; }
    bool operator==(const KeyIdNotice&) const = default;
};

/// Which notice a responder waits for.
struct NoticeFilter {
    NoticeMark after;    ///< only newer ones
    std::string sender;  ///< device of the initiator; empty = from anybody (the caller compares it by itself)
    UtcSeconds now{};    ///< time by the responder's device; the epoch = expiry is not judged

    NoticeFilter() = default;
    NoticeFilter(NoticeMark newer_than)  // NOLINT(google-explicit-constructor): mostly that is all there is to say
        : after(newer_than) {}
    NoticeFilter(std::uint64_t later_than_generation)  // NOLINT(google-explicit-constructor)
        : after(later_than_generation) {}
    NoticeFilter(NoticeMark newer_than, std::string from, UtcSeconds device_time)
        : after(newer_than), sender(std::move(from)), now(device_time) {}
};

/// One end of a link as a transport sees it. Off-box the engine lends its open session; on-box a far end has none.
struct TransportEnd {
    std::string device;
    std::vector<std::string> interfaces;
    DeviceSession* session = nullptr;
};

/// key-id-transport: one object per link and member, configured with the link's key_ids table. Off-box all objects of a
/// link live in one process; on-box there is one per process, and the processes start in any order.
///
/// A transport holds the newest notice of a link, no history: `armed` takes the place of `offer`, and a responder that
/// comes late sees only what is newest. Nothing of a link may ever reach another link.
///
/// capability.hpp says what a transport may provide, from in_process to authenticated.
class KeyIdTransport : public Stage {
  public:
    static constexpr StageKind kind = StageKind::key_id_transport;

    /// Called for the initiator; nobody else uses the sessions of `responders` meanwhile. Idempotent for equal notices.
    /// A notice that the transport cannot carry (too long, say) is rejected/never before anything is sent. Success says
    /// that the notice is on its way, not that anybody has it.
    virtual Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd> responders,
                                  const KeyIdNotice& notice) = 0;
    /// Called for each responder, at the same time for different members; uses the session of `self` only.
    /// The newest notice of `link` that `wanted` lets through. not_found/safe when there is none yet, or when what is
    /// there is too old or has expired (`what` says which): the engine asks again until its deadline. Else auth (the tag
    /// is wrong or missing), rejected (from somebody else than wanted.sender), protocol (no notice at all). May wait for
    /// one if the transport can watch. A transport that anybody may write to without leaving a trace, such as a
    /// network, drops what is wrong and waits on.
    virtual Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                        const NoticeFilter& wanted) = 0;
    /// The responder has done what this notice asks for. Idempotent.
    virtual Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) = 0;
    /// Called for the initiator: those of `responders` that acknowledged this very notice (link and mark), by device,
    /// each once. Silence is no error. Sends again what was lost, and may wait until all answered. Uses the sessions of
    /// `responders` as announce does. Errors as for receive; they concern the answers. unsupported/never when this
    /// transport, as it is configured, carries no answers.
    virtual Result<std::vector<std::string>> acknowledgements(Context& context, const TransportEnd& self,
                                                              std::span<const TransportEnd> responders,
                                                              const KeyIdNotice& notice) = 0;
    /// Undo of announce, receive and acknowledge at this end: takes the notice away, restores what it replaced.
    /// Idempotent.
    virtual Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) = 0;
};

}  // namespace qkd
