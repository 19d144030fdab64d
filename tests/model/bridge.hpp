// From the model's bytes to the engine's structs and back: what the engine's pure functions say about a state. They are asked once
// per question; the same bytes get the same answer.
#pragma once

#include <string>
#include <unordered_map>

#include "decisions.hpp"

namespace qkd::model {

/// engine::Reconciliation in the model's words.
struct Finding {
    bool base_is_common = false;
    bool has_base = false;
    bool fallback_is_common = false;
    bool needs_groundwork = false;
    Key fallback = 0;  ///< an own one of some member, for the others
    Slot adopted{};
    std::array<KeySet, 2> withdrawals{};
    std::array<Key, 2> active{}, pre_shared{};  ///< of view_keys()
};

/// engine::MemberChange of both members.
struct Plan {
    std::array<Change, 2> change{};
    std::array<KeySet, 2> removes{};
    bool first_configuration = false;
};

class Bridge {
  public:
    explicit Bridge(const Decisions& decisions) : decisions_(decisions) {}

    const Finding& reconcile(const std::array<Snapshot, 2>& seen, KeySet own, Rollover rollover);
    /// `next`, `first_key`, `fallback_key` of the runner; `start` as chosen; nothing is scheduled in a round of groundwork.
    const Plan& plan(const State& state, Rollover rollover);
    /// Nothing missing?
    bool complete(const Config& config, const Change& change, KeySet removes);

  private:
    const Decisions& decisions_;
    std::unordered_map<std::string, Finding> findings_;
    std::unordered_map<std::string, Plan> plans_;
    std::unordered_map<std::string, bool> complete_;
};

}  // namespace qkd::model
