// The key-id-transport stage: carries the ID of a new key from the initiator to the responders.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "qkd/sdk/device.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

/// The message that names the next key of a link. Public: it holds no key.
struct KeyIdNotice {
    std::string link;
    std::uint64_t generation = 0;  ///< grows with every rotation of the link
    std::vector<std::string> key_ids;
    UtcSeconds start{};          ///< start-time of the first key; the epoch for pre-shared-key
    std::uint64_t sequence = 0;  ///< grows with every message of a sender
    std::string sender;          ///< device of the initiator
    UtcSeconds expires{};

    bool operator==(const KeyIdNotice&) const = default;
};

/// One end of a link as a transport sees it. Off-box the engine lends its open session; on-box a far end has none.
struct TransportEnd {
    std::string device;
    std::vector<std::string> interfaces;
    DeviceSession* session = nullptr;
};

/// key-id-transport: one object per link and member, configured with the link's key_ids table. Off-box all objects of a
/// link live in one process; the memory transport meets in a static table keyed by link.
class KeyIdTransport : public Stage {
  public:
    /// Called for the initiator; nobody else uses the sessions of `responders` meanwhile. Idempotent for equal notices.
    /// A notice that the transport cannot carry (too long, say) is refused before anything is sent.
    virtual Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd> responders,
                                  const KeyIdNotice& notice) = 0;
    /// Called for each responder, at the same time for different members; uses the session of `self` only.
    /// The newest notice of `link` with a generation above `after`. not_found/safe when there is none yet: the engine
    /// asks again until its deadline. May wait for one if the transport can watch.
    virtual Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                        std::uint64_t after) = 0;
    /// The responder has the keys of this notice.
    virtual Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) = 0;
    /// Undo of announce and receive at this end: takes the notice away, restores what it replaced. Idempotent.
    virtual Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) = 0;
};

}  // namespace qkd
