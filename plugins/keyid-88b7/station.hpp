// The members of one link that this process drives, their sockets, and what they have sent and heard.
//
// There are no threads and no timers: whoever waits in a call drives the protocol for all members of the link in this
// process, which off-box are all of them and on-box is one.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "frame.hpp"
#include "qkd/sdk/key_id_transport.hpp"

namespace qkd::keyid_88b7 {

using Mac = std::array<std::uint8_t, 6>;
inline constexpr Mac nearest_bridge{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e};  ///< IEEE Std 802.1Q table 8-1: not forwarded
inline constexpr Mac broadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/// A bound packet socket. Movable handle; closed with the object.
class PacketSocket {
  public:
    /// auth/never without CAP_NET_RAW, config/never when there is no such interface.
    static Result<PacketSocket> open(const std::string& netdev, const Mac& destination);
    PacketSocket(PacketSocket&& other) noexcept;
    PacketSocket& operator=(PacketSocket&& other) noexcept;
    PacketSocket(const PacketSocket&) = delete;
    PacketSocket& operator=(const PacketSocket&) = delete;
    ~PacketSocket();

    /// A frame that the interface does not take now counts as lost on the way.
    void send(const std::vector<std::uint8_t>& payload) const;
    /// The next payload that came from outside; nullopt when there is none. Never waits.
    [[nodiscard]] std::optional<std::vector<std::uint8_t>> receive() const;
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] std::size_t mtu() const noexcept { return mtu_; }

  private:
    PacketSocket(int fd, int index, std::size_t mtu, const Mac& destination)
        : fd_(fd), index_(index), mtu_(mtu), destination_(destination) {}
    int fd_ = -1;
    int index_ = 0;
    std::size_t mtu_ = 0;
    Mac destination_{};
};

/// Why frames were not believed.
struct Dropped {
    unsigned malformed = 0, wrong_tag = 0, replayed = 0, reflected = 0;
    [[nodiscard]] std::string account() const;  ///< " (dropped: 2 with a wrong tag)", or empty
};

/// All calls are thread-safe.
class Station {
  public:
    /// The one of this link and secret in this process, made if need be. Lives as long as somebody holds it.
    static std::shared_ptr<Station> of(const std::string& link, const SecretBytes& secret);
    Station(std::string link, SecretBytes secret) : link_(std::move(link)), secret_(std::move(secret)) {}

    /// Opens what is not open yet. `netdevs` are those of `device`.
    Result<void> open(const std::string& device, const std::vector<std::string>& netdevs, const Mac& destination);

    /// Starts to send. The same notice again is sent once more if `send_now` and somebody has not acknowledged it.
    /// rejected/never when it does not fit.
    Result<void> announce(const std::string& device, const KeyIdNotice& notice,
                          const std::vector<std::string>& responders, bool send_now);
    [[nodiscard]] bool arrived_everywhere(const std::string& device);
    [[nodiscard]] bool tries_are_over(const std::string& device);
    [[nodiscard]] std::vector<std::string> acknowledged_by(const std::string& device);

    [[nodiscard]] std::optional<KeyIdNotice> inbox(const std::string& device);

    /// Starts to answer.
    Result<void> acknowledge(const std::string& device, const KeyIdNotice& notice);
    [[nodiscard]] bool answer_was_heard(const std::string& device);
    [[nodiscard]] bool answer_tries_are_over(const std::string& device);

    /// Forgets everything of this device, and believes no notice any more that is not newer than what it held.
    void retract(const std::string& device);
    [[nodiscard]] Dropped dropped();

    /// Works until `done` says so or the deadline passes (success both), or until cancelled. `done` is asked without a
    /// lock held.
    Result<void> work_until(Context& context, const std::function<bool()>& done);

  private:
    using Clock = std::chrono::steady_clock;

    /// Something that is sent until it is answered: fast at first, then now and then.
    struct Sending {
        Frame frame;
        Clock::time_point next{};
        unsigned tries = 0;
        [[nodiscard]] bool over() const;
    };
    enum class Progress : std::uint8_t { silent, arrived, acknowledged };
    struct Offer {
        KeyIdNotice notice;
        Sending sending;
        std::map<std::string, Progress> responders;
    };
    struct Answer {
        NoticeMark mark{0, 0};
        Sending sending;
        bool heard = false;
    };
    struct Member {
        std::map<std::string, PacketSocket> ports;  ///< by netdev
        std::optional<Offer> offer;
        std::optional<KeyIdNotice> inbox;
        NoticeMark floor{0, 0};
        std::optional<Answer> answer;
        /// The latest that was passed on, by type and device: each copy once, so that no ring is walked for ever.
        std::map<std::pair<FrameType, std::string>, std::tuple<NoticeMark, std::uint16_t>> relayed;
    };

    void pump();
    void take(const std::string& device, Member& member, const std::string& netdev,
              const std::vector<std::uint8_t>& payload);
    void take_notice(const std::string& device, Member& member, NoticeMark mark, KeyIdNotice notice);
    void relay(Member& member, const std::string& from_netdev, const Frame& frame, const std::string& about,
               const std::vector<std::uint8_t>& payload);
    void send(Member& member, const Frame& frame);
    void send_again(Member& member, Sending& sending);
    Frame answer_frame(FrameType type, NoticeMark mark, const std::string& device);
    [[nodiscard]] static bool wants_sending(const Member& member);

    std::mutex mutex_;
    const std::string link_;
    const SecretBytes secret_;
    std::map<std::string, Member> members_;
    std::uint16_t attempts_ = 0;
    Dropped dropped_;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace qkd::keyid_88b7
