// Two lldpd, each in a network namespace of its own, joined by a wire.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "keyid-common/tests/net_sandbox.hpp"
#include "support/temp_dir.hpp"

namespace qkd::support {

class TwoLldpd {
  public:
    /// Empty when they can be had here, else why not.
    static std::string impossible();
    /// Runs on interfaces ll0 and ll1; throws when a daemon does not start.
    TwoLldpd();
    ~TwoLldpd();
    TwoLldpd(const TwoLldpd&) = delete;
    TwoLldpd& operator=(const TwoLldpd&) = delete;

    /// Control socket of the daemon on that end, 0 or 1. They are there, the neighbours may not have met yet.
    [[nodiscard]] std::string socket(int end) const;

  private:
    void start(int end);
    TempDir folder_;
    std::vector<pid_t> daemons_;
};

}  // namespace qkd::support
