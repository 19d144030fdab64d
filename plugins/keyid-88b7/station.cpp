// The protocol: who sends what again, what is believed, what is passed on.
#include "station.hpp"

#include <poll.h>

#include <algorithm>
#include <set>
#include <utility>

#include "qkd/sdk/net/notice.hpp"

namespace qkd::keyid_88b7 {
namespace {

using namespace std::chrono_literals;

constexpr unsigned fast_tries = 8;  // 20, 30, 45, ... ms: about one second in all
constexpr auto first_pause = 20ms;
constexpr auto slow_pause = 1000ms;
/// Another thread of the link may take the frame that this one waits for out of the socket.
constexpr auto longest_nap = 50ms;
constexpr unsigned most_frames_at_once = 256;

}  // namespace

std::string Dropped::account() const {
    std::string text;
    const auto add = [&](unsigned count, const char* what) {
        if (count > 0) text += (text.empty() ? " (dropped: " : ", ") + std::to_string(count) + " " + what;
    };
    add(malformed, "malformed");
    add(wrong_tag, "with a wrong tag");
    add(replayed, "replayed");
    add(reflected, "reflected");
    return text.empty() ? text : text + ")";
}

std::shared_ptr<Station> Station::of(const std::string& link, const SecretBytes& secret) {
    using Key =
        std::pair<std::string, std::array<std::uint8_t, notice::tag_octets>>;  // a digest: secrets are no keys of maps
    static std::mutex mutex;
    static std::map<Key, std::weak_ptr<Station>> stations;
    Key key{link, {}};
    notice::hmac(secret, {}, key.second);
    const std::lock_guard lock(mutex);
    std::erase_if(stations, [](const auto& one) { return one.second.expired(); });
    auto station = stations[key].lock();
    if (!station) stations[key] = station = std::make_shared<Station>(link, secret.clone());
    return station;
}

Result<void> Station::open(const std::string& device, const std::vector<std::string>& netdevs, const Mac& destination) {
    const std::lock_guard lock(mutex_);
    Member& member = members_[device];
    for (const std::string& netdev : netdevs) {
        if (member.ports.contains(netdev)) continue;
        auto socket = PacketSocket::open(netdev, destination);
        if (!socket) {
            Error& error = socket.error();
            error.what.insert(0, device + ": ");
            return std::move(error);
        }
        member.ports.emplace(netdev, std::move(*socket));
    }
    return {};
}

bool Station::Sending::over() const {
    return tries > fast_tries;
}

void Station::send(Member& member, const Frame& frame) {
    Frame copy = frame;
    copy.attempt = ++attempts_;
    const auto payload = encode(copy, secret_);
    if (!payload) return;  // measured when it was made
    for (const auto& [netdev, port] : member.ports) port.send(*payload);
}

void Station::send_again(Member& member, Sending& sending) {
    send(member, sending.frame);
    auto pause = std::chrono::duration_cast<std::chrono::microseconds>(slow_pause);
    if (sending.tries < fast_tries) {
        pause = first_pause;
        for (unsigned i = 0; i < sending.tries; ++i) pause = pause * 3 / 2;
    }
    if (!sending.over()) ++sending.tries;
    pause += std::chrono::microseconds(random_() %
                                       static_cast<unsigned>(pause.count() / 4));  // two ends must not march in step
    sending.next = Clock::now() + pause;
}

Result<void> Station::announce(const std::string& device, const KeyIdNotice& notice,
                               const std::vector<std::string>& responders, bool send_now) {
    auto text = notice::seal(notice, {});
    if (!text) return std::move(text).error();
    const std::lock_guard lock(mutex_);
    Member& member = members_[device];
    std::size_t limit = largest_payload;
    for (const auto& [netdev, port] : member.ports) limit = std::min(limit, port.mtu());
    Frame frame{FrameType::notice, 0, notice.mark(), *std::move(text)};
    if (auto good = fits(frame, limit); !good) {
        Error& error = good.error();
        error.what.insert(0, device + ", notice of link " + link_ + ": ");
        return std::move(error);
    }
    const bool is_new = !member.offer || member.offer->notice != notice;
    if (is_new) member.offer = Offer{notice, {std::move(frame)}, {}};
    Offer& offer = *member.offer;
    for (const std::string& responder : responders) offer.responders.try_emplace(responder, Progress::silent);
    if (!is_new && (!send_now || !wants_sending(member))) return {};
    offer.sending.tries = 0;
    send_again(member, offer.sending);
    return {};
}

bool Station::arrived_everywhere(const std::string& device) {
    const std::lock_guard lock(mutex_);
    const auto& offer = members_[device].offer;
    return offer.has_value() && std::none_of(offer->responders.begin(), offer->responders.end(),
                                             [](const auto& one) { return one.second == Progress::silent; });
}

bool Station::tries_are_over(const std::string& device) {
    const std::lock_guard lock(mutex_);
    const auto& offer = members_[device].offer;
    return !offer || offer->sending.over();
}

std::vector<std::string> Station::acknowledged_by(const std::string& device) {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> devices;
    if (const auto& offer = members_[device].offer) {
        for (const auto& [responder, progress] : offer->responders) {
            if (progress == Progress::acknowledged) devices.push_back(responder);
        }
    }
    return devices;
}

std::optional<KeyIdNotice> Station::inbox(const std::string& device) {
    const std::lock_guard lock(mutex_);
    return members_[device].inbox;
}

Frame Station::answer_frame(FrameType type, NoticeMark mark, const std::string& device) {
    auto text = notice::seal(notice::Acknowledgement{link_, mark, device}, {});
    return {type, 0, mark, text ? *std::move(text) : std::string()};
}

Result<void> Station::acknowledge(const std::string& device, const KeyIdNotice& notice) {
    if (auto text = notice::seal(notice::Acknowledgement{link_, notice.mark(), device}, {}); !text) {
        return std::move(text).error();
    }
    const std::lock_guard lock(mutex_);
    Member& member = members_[device];
    const bool again = member.answer && member.answer->mark == notice.mark();
    if (!again)
        member.answer = Answer{notice.mark(), {answer_frame(FrameType::acknowledged, notice.mark(), device)}, false};
    if (member.answer->heard) return {};
    member.answer->sending.tries = 0;
    send_again(member, member.answer->sending);
    return {};
}

bool Station::answer_was_heard(const std::string& device) {
    const std::lock_guard lock(mutex_);
    const Member& member = members_[device];
    const auto& answer = member.answer;
    // A newer notice says the same: the initiator has gone on.
    return answer && (answer->heard || (member.inbox && member.inbox->mark() > answer->mark));
}

bool Station::answer_tries_are_over(const std::string& device) {
    const std::lock_guard lock(mutex_);
    const auto& answer = members_[device].answer;
    return !answer || answer->sending.over();
}

void Station::retract(const std::string& device) {
    const std::lock_guard lock(mutex_);
    pump();  // what is in the sockets already must not be taken for something new later
    Member& member = members_[device];
    if (member.inbox) member.floor = std::max(member.floor, member.inbox->mark());
    member.inbox.reset();
    member.offer.reset();
    member.answer.reset();
}

Dropped Station::dropped() {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

void Station::take_notice(const std::string& device, Member& member, NoticeMark mark, KeyIdNotice notice) {
    const bool same = member.inbox == notice;
    if (!same && (mark <= member.floor || (member.inbox && mark <= member.inbox->mark()))) {
        ++dropped_.replayed;
        return;
    }
    if (!same) member.inbox = std::move(notice);
    const bool done = member.answer && member.answer->mark == mark;
    send(member, answer_frame(done ? FrameType::acknowledged : FrameType::arrived, mark, device));
}

void Station::relay(Member& member, const std::string& from_netdev, const Frame& frame, const std::string& about,
                    const std::vector<std::uint8_t>& payload) {
    if (member.ports.size() < 2) return;
    const std::tuple now(frame.mark, frame.attempt);
    const auto [known, first] = member.relayed.try_emplace({frame.type, about}, now);
    if (!first) {
        if (now <= known->second) return;
        known->second = now;
    }
    for (const auto& [netdev, port] : member.ports) {
        if (netdev != from_netdev) port.send(payload);
    }
}

void Station::take(const std::string& device, Member& member, const std::string& netdev,
                   const std::vector<std::uint8_t>& payload) {
    Frame frame;
    std::string_view link;
    const Flaw flaw = decode(payload, secret_, frame, link);
    if (flaw == Flaw::foreign_protocol) return;
    if (flaw != Flaw::malformed && link != link_) return;  // another link's, on the same wire
    if (flaw == Flaw::malformed) ++dropped_.malformed;
    if (flaw == Flaw::wrong_tag) ++dropped_.wrong_tag;
    if (flaw != Flaw::none) return;
    if (frame.type == FrameType::notice) {
        auto notice = notice::open(frame.text, {}, device);
        if (!notice || notice->mark() != frame.mark) {
            ++dropped_.malformed;
        } else if (notice->sender == device) {
            ++dropped_.reflected;
        } else {
            relay(member, netdev, frame, notice->sender, payload);
            take_notice(device, member, frame.mark, *std::move(notice));
        }
        return;
    }
    const auto answer = notice::open_acknowledgement(frame.text, {}, device);
    if (!answer || answer->mark != frame.mark) {
        ++dropped_.malformed;
        return;
    }
    if (frame.type == FrameType::heard) {
        if (answer->device != device) return relay(member, netdev, frame, answer->device, payload);
        if (member.answer && member.answer->mark == frame.mark) member.answer->heard = true;
        return;
    }
    if (answer->device == device) {
        ++dropped_.reflected;
        return;
    }
    if (!member.offer || member.offer->notice.sender != device) {
        return relay(member, netdev, frame, answer->device, payload);
    }
    const auto responder = member.offer->responders.find(answer->device);
    if (responder == member.offer->responders.end() || member.offer->notice.mark() < frame.mark) {
        ++dropped_.replayed;
        return;
    }
    const bool acknowledged = frame.type == FrameType::acknowledged;
    if (member.offer->notice.mark() == frame.mark) {
        responder->second = std::max(responder->second, acknowledged ? Progress::acknowledged : Progress::arrived);
    }
    // Also to an answer about an earlier notice: it was heard, or this end would not have gone on.
    if (acknowledged) send(member, answer_frame(FrameType::heard, frame.mark, answer->device));
}

bool Station::wants_sending(const Member& member) {
    return member.offer && std::any_of(member.offer->responders.begin(), member.offer->responders.end(),
                                       [](const auto& one) { return one.second != Progress::acknowledged; });
}

void Station::pump() {
    for (auto& [device, member] : members_) {
        for (auto& [netdev, port] : member.ports) {
            for (unsigned i = 0; i < most_frames_at_once; ++i) {
                const auto payload = port.receive();
                if (!payload) break;
                take(device, member, netdev, *payload);
            }
        }
    }
    const auto now = Clock::now();
    for (auto& [device, member] : members_) {
        if (wants_sending(member) && member.offer->sending.next <= now) send_again(member, member.offer->sending);
        if (member.answer && !member.answer->heard && !member.answer->sending.over() &&
            member.answer->sending.next <= now) {
            send_again(member, member.answer->sending);
        }
    }
}

Result<void> Station::work_until(Context& context, const std::function<bool()>& done) {
    for (;;) {
        std::vector<pollfd> waiting;
        Clock::time_point until = std::min(context.deadline(), Clock::now() + longest_nap);
        {
            const std::lock_guard lock(mutex_);
            pump();
            for (const auto& [device, member] : members_) {
                for (const auto& [netdev, port] : member.ports) waiting.push_back({port.fd(), POLLIN, 0});
                if (wants_sending(member)) until = std::min(until, member.offer->sending.next);
                if (member.answer && !member.answer->heard && !member.answer->sending.over()) {
                    until = std::min(until, member.answer->sending.next);
                }
            }
        }
        if (done()) return {};
        if (context.stop_requested()) {
            return Error{ErrorCode::cancelled, Retry::safe, "interrupted while waiting on link " + link_, ""};
        }
        if (context.remaining().count() == 0) return {};
        if (context.cancel_fd() >= 0) waiting.push_back({context.cancel_fd(), POLLIN, 0});
        const auto nap =
            std::max(std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()), std::chrono::milliseconds{0});
        (void)::poll(waiting.data(), waiting.size(), static_cast<int>(nap.count()));
    }
}

}  // namespace qkd::keyid_88b7
