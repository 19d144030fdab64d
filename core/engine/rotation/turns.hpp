// The turns that one link takes at what it shares with other links: its devices, and the SAE pairs of its KMEs.
#pragma once

#include <vector>

#include "engine/members/crew.hpp"
#include "engine/members/leases.hpp"

namespace qkd::engine {

/// Of one attempt. Devices are taken before SAE pairs, everywhere, and each in sorted order: nobody waits in a circle.
class Turns {
  public:
    Turns(Leases& devices, Leases& sae_pairs, const Crew& crew)
        : devices_(devices), sae_pairs_(sae_pairs), crew_(crew) {}

    /// All devices of the link, for all commits, commit checks and description changes. Success when they are held already.
    Result<void> take_devices();
    /// The same on the way back, which nothing interrupts.
    Result<void> take_devices_to_undo();
    void release_devices() { held_.release(); }
    [[nodiscard]] bool has_devices() const noexcept { return held_.held(); }
    /// For one call, where the devices are not held anyway. Nothing interrupts it.
    Result<Leases::Held> borrow_devices();

    /// From mint to fetch one SAE pair is served serially.
    Result<Leases::Held> take_sae_pairs();

  private:
    [[nodiscard]] milliseconds device_patience() const;
    [[nodiscard]] milliseconds pair_patience() const;
    Result<Leases::Held> take(std::stop_token stop);

    Leases& devices_;
    Leases& sae_pairs_;
    const Crew& crew_;
    Leases::Held held_;
};

}  // namespace qkd::engine
