// Exclusive leases by name, in sorted order.
#include "engine/members/leases.hpp"

#include <algorithm>
#include <utility>

namespace qkd::engine {

Leases::Held& Leases::Held::operator=(Held&& other) noexcept {
    if (this != &other) {
        release();
        owner_ = std::exchange(other.owner_, nullptr);
        names_ = std::move(other.names_);
    }
    return *this;
}

void Leases::Held::release() noexcept {
    if (owner_ == nullptr) return;
    {
        const std::lock_guard lock(owner_->mutex_);
        for (const auto& name : names_) owner_->taken_.erase(name);
    }
    owner_->released_.notify_all();
    owner_ = nullptr;
    names_.clear();
}

Result<Leases::Held> Leases::take(std::vector<std::string> names, const std::string& holder,
                                  std::chrono::milliseconds patience, std::stop_token stop) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    const auto deadline = std::chrono::steady_clock::now() + patience;
    Held held;
    held.owner_ = this;
    for (const auto& name : names) {
        std::unique_lock lock(mutex_);
        const bool free = released_.wait_until(lock, stop, deadline, [&] { return !taken_.contains(name); });
        if (!free) {
            const std::string other = taken_[name];
            lock.unlock();
            if (stop.stop_requested()) {
                return Error{ErrorCode::cancelled, Retry::safe, "interrupted while waiting for " + name,
                             "run again when ready"};
            }
            return Error{ErrorCode::busy, Retry::safe, name + " is held by link " + other + " of this run for too long",
                         "give the commit stage a longer timeout or run fewer links at once"};
        }
        taken_.emplace(name, holder);
        held.names_.push_back(name);
    }
    return held;
}

}  // namespace qkd::engine
