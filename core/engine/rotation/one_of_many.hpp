// On-box: this process drives one member, and the others are driven by processes of their own, which it meets only through the
// key-id-transport.
//
//   initiator: mint, offer ........ all answered: stage, commit, confirm, armed ........ all answered: verify
//   responder:       offer: fetch, rehearse, answer ........ armed: stage, commit, confirm, answer: verify
//
// Nobody holds a lock, a lease or a device's timer while it waits for another process. A key that takes effect at once (a
// pre-shared key, the first key of a link that is down) is armed before the initiator commits: it is confirmed by whoever
// sees it live, and a commit that nobody confirms goes back by itself.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/rotation/peers.hpp"

namespace qkd::engine {

class OneOfMany final : public Peers {
  public:
    explicit OneOfMany(const PeerServices& services) : services_(services) {}

    [[nodiscard]] const PeerTraits& traits() const noexcept override;
    void judge_leftovers(Attempt& attempt) override;
    [[nodiscard]] std::string why_not_reuse(const JournalEntry& dead) const override;
    Ended plan_round(Attempt&) override { return Outcome::done; }  // settled with the others, in reserve
    Ended reserve(Attempt& attempt) override;
    Result<void> settle_start_time(Attempt& attempt) override;
    Result<void> settle(Attempt& attempt) override;
    Result<void> hear(const Attempt& attempt) override;
    Result<NotLive> on_not_live(Attempt& attempt, Error why) override;
    Result<void> on_live() override;
    void remember(const Attempt& attempt, LinkRecord& record) const override;
    void turn_round(Attempt& attempt) const override;
    Result<void> retract(Attempt& attempt) override;

  private:
    class Wait;

    [[nodiscard]] bool initiates() const;
    [[nodiscard]] MemberRun& self() const { return services_.crew.front(); }

    // ---- which round: initiator.cpp chooses, responder.cpp believes
    [[nodiscard]] bool has_common_fallback(const Attempt& attempt) const;
    void begin_round(Attempt& attempt, KeyRound round);

    // ---- initiator.cpp
    Ended lead(Attempt& attempt);
    [[nodiscard]] KeyRound choose_round(const Attempt& attempt);
    /// MKA is down on all interfaces, and not for a moment only.
    [[nodiscard]] bool stays_down(const Attempt& attempt);
    void write_offer(Attempt& attempt);
    Result<void> announce(Attempt& attempt, NoticeKind kind, Cancel cancel);
    Result<void> await_answers(const Attempt& attempt);
    Result<std::vector<std::string>> missing_answers(const Attempt& attempt, milliseconds patience, std::string& why);
    Result<void> arm(Attempt& attempt);
    [[nodiscard]] std::vector<TransportEnd> others() const;

    // ---- responder.cpp
    Ended follow(Attempt& attempt);
    Result<void> take_offer(Attempt& attempt);
    Result<void> check_offer(const Attempt& attempt) const;
    Result<void> take_key_of_offer(Attempt& attempt);
    /// Lock, load, check and discard, before anything is promised.
    Result<void> rehearse(Attempt& attempt);
    Result<void> answer(const Attempt& attempt);
    /// Waits until the initiator arms the key: done; superseded when it began anew.
    Ended await_arming(Attempt& attempt);
    /// No new notice came: is the link on the key of the last one?
    Ended no_news(Attempt& attempt, const Error& error);
    Result<KeyIdNotice> receive(const Attempt& attempt, NoticeMark after, milliseconds timeout, bool judge_expiry);
    Result<KeyIdNotice> await_notice(const Attempt& attempt, NoticeMark after, milliseconds patience,
                                     const std::function<bool(const KeyIdNotice&)>& wanted);

    // ---- the way back
    /// The key did not come alive, or the others do not have it: it goes here, also after its start-time.
    void abandon(Attempt& attempt);
    [[nodiscard]] bool lives_on_another_key(const Attempt& attempt) const;
    /// The same, seen anew and well after the start-time.
    [[nodiscard]] bool is_left_alone(const Attempt& attempt);

    PeerServices services_;
    std::optional<Error> unanswered_;   ///< not all members said that they have the key
    bool withdrawn_elsewhere_ = false;  ///< the initiator took the key away while it waited for its start-time
};

/// So long by the member's own clock.
class OneOfMany::Wait {
  public:
    Wait(Crew& crew, milliseconds patience);
    [[nodiscard]] bool over() const;

  private:
    Crew& crew_;
    UtcMillis until_{};
    Steady::time_point at_most_;
};

namespace onbox {

/// A notice expires so long after it was issued.
inline constexpr std::chrono::seconds notice_life_time{3600};
inline constexpr milliseconds poll_pause{500};
/// How long a look at the transport may take while something else is waited for.
inline constexpr milliseconds glance{2000};

/// A notice that is not there yet, or a false one, which somebody may follow up with a good one.
bool may_pass(const Error& error);
/// What to do when another member's process says nothing.
std::string see_whether_it_runs(const std::string& device);

}  // namespace onbox

}  // namespace qkd::engine
