// Sessions that stay open from one rotation to the next, for a program that rotates again and again.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "engine/members/bound.hpp"
#include "qkd/sdk/device.hpp"

namespace qkd::engine {

/// A session with the stage object that made it and must outlive it.
struct KeptSession {
    Bound<Connector> connector;
    std::unique_ptr<DeviceSession> session;
};

/// Thread-safe. Made for one loaded pipeline: throw it away when the file is read again.
class SessionPool {
  public:
    std::optional<KeptSession> take(const std::string& link, const std::string& device) {
        const std::lock_guard lock(mutex_);
        auto found = kept_.extract({link, device});
        if (!found) return std::nullopt;
        return std::move(found.mapped());
    }
    void put(const std::string& link, const std::string& device, KeptSession session) {
        const std::lock_guard lock(mutex_);
        kept_.insert_or_assign({link, device}, std::move(session));
    }
    [[nodiscard]] std::size_t size() const {
        const std::lock_guard lock(mutex_);
        return kept_.size();
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, KeptSession> kept_;
};

}  // namespace qkd::engine
