// Off-box: all members of the link are driven by this process, side by side.
#pragma once

#include "engine/rotation/peers.hpp"

namespace qkd::engine {

class AllHere final : public Peers {
  public:
    explicit AllHere(const PeerServices& services) : services_(services) {}

    [[nodiscard]] const PeerTraits& traits() const noexcept override;
    void judge_leftovers(Attempt&) override {}
    [[nodiscard]] std::string why_not_reuse(const JournalEntry&) const override { return {}; }
    Ended plan_round(Attempt& attempt) override;
    Ended reserve(Attempt& attempt) override;
    Result<void> settle_start_time(Attempt& attempt) override;
    Result<void> settle(Attempt&) override { return {}; }
    Result<void> hear(const Attempt&) override { return {}; }
    Result<NotLive> on_not_live(Attempt& attempt, Error why) override;
    Result<void> on_live() override { return {}; }
    void remember(const Attempt&, LinkRecord&) const override {}
    void turn_round(Attempt&) const override {}
    Result<void> retract(Attempt& attempt) override;

  private:
    void write_notice(Attempt& attempt) const;
    Result<void> announce(const Attempt& attempt);
    Result<void> receive(const Attempt& attempt);
    Result<void> acknowledge(const Attempt& attempt);
    Ended take_another_key(Attempt& attempt, const Error& why);

    PeerServices services_;
};

}  // namespace qkd::engine
