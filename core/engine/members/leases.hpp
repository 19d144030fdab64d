// Leases: who may change a device now, within this process. The device's own exclusive lock guards against other
// processes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Thread-safe. A lease is exclusive per name. Several names are taken in sorted order, so that links cannot wait for
/// each other in a circle.
class Leases {
  public:
    /// Releases on destruction.
    class Held {
      public:
        Held() = default;
        Held(Held&& other) noexcept { *this = std::move(other); }
        Held& operator=(Held&& other) noexcept;
        ~Held() { release(); }
        void release() noexcept;
        [[nodiscard]] bool held() const noexcept { return owner_ != nullptr; }

      private:
        friend class Leases;
        Leases* owner_ = nullptr;
        std::vector<std::string> names_;
    };

    /// All of `names` or none. busy when the deadline passes first; cancelled on stop. `holder` is told to whoever
    /// waits.
    Result<Held> take(std::vector<std::string> names, const std::string& holder, std::chrono::milliseconds patience,
                      std::stop_token stop);

  private:
    std::mutex mutex_;
    std::condition_variable_any released_;
    std::map<std::string, std::string> taken_;  ///< name -> holder
};

}  // namespace qkd::engine
