// Issues and hands out keys.
#include "pool.hpp"

#include <algorithm>

namespace qkd::kme_sim {

KeyPool::KeyPool(PoolSettings settings, AuditSink& audit, std::function<TimePoint()> clock)
    : settings_(settings), audit_(audit), clock_(std::move(clock)) {}

KeyPool::Level& KeyPool::level(const std::string& one_sae, const std::string& other_sae, TimePoint time) {
    const Pair pair = std::minmax(one_sae, other_sae);
    const auto [at, fresh] = levels_.try_emplace(pair, Level{static_cast<double>(settings_.initial_key_count), time});
    Level& level = at->second;
    if (time > level.at) {
        const double seconds = std::chrono::duration<double>(time - level.at).count();
        level.keys =
            std::min(static_cast<double>(settings_.max_key_count), level.keys + seconds * settings_.refill_per_second);
        level.at = time;
    }
    return level;
}

std::int64_t KeyPool::stored(const std::string& one_sae, const std::string& other_sae) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::int64_t>(level(one_sae, other_sae, clock_()).keys);
}

KeyPool::Answer KeyPool::issue(const std::string& kme, const std::string& master,
                               const std::vector<std::string>& slaves, std::size_t number, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const TimePoint time = clock_();
    forget_expired(time);
    const auto needed = static_cast<double>(number);
    for (const std::string& slave : slaves) {
        if (level(master, slave, time).keys < needed) return Answer{.outcome = Outcome::depleted};
    }
    for (const std::string& slave : slaves) level(master, slave, time).keys -= needed;

    Answer answer;
    for (std::size_t i = 0; i < number; ++i) {
        Key key{random_uuid(), random_bytes(bytes)};
        keep(key.id, key.bytes, master, slaves, time);
        audit_.record({.kind = AuditEvent::Kind::issued,
                       .time = time,
                       .kme = kme,
                       .caller = master,
                       .key_id = key.id,
                       .key = key.bytes,
                       .slaves = slaves});
        answer.keys.push_back(std::move(key));
    }
    return answer;
}

KeyPool::Answer KeyPool::fetch(const std::string& kme, const std::string& slave, const std::string& master,
                               const std::vector<std::string>& ids) {
    const std::lock_guard lock(mutex_);
    const TimePoint time = clock_();
    forget_expired(time);
    const auto refuse = [&](const std::string& id, const char* reason) {
        audit_.record({.kind = AuditEvent::Kind::refused,
                       .time = time,
                       .kme = kme,
                       .caller = slave,
                       .key_id = id,
                       .master = master,
                       .reason = reason});
    };

    Answer answer;
    bool forbidden = false;
    for (const std::string& id : ids) {
        const auto at = issued_.find(id);
        if (at == issued_.end()) {
            refuse(id, "not held");
            answer.missing.push_back(id);
        } else if (at->second.master != master || !at->second.slaves.contains(slave)) {
            refuse(id, "not entitled");
            forbidden = true;
        } else if (settings_.one_shot && at->second.fetched.contains(slave)) {
            refuse(id, "already fetched");
            answer.missing.push_back(id);
        }
    }
    if (forbidden) return Answer{.outcome = Outcome::forbidden};
    if (!answer.missing.empty()) {
        answer.outcome = Outcome::missing;
        return answer;
    }
    for (const std::string& id : ids) {
        Issued& key = issued_.at(id);
        answer.keys.push_back({id, key.bytes});
        audit_.record({.kind = AuditEvent::Kind::fetched,
                       .time = time,
                       .kme = kme,
                       .caller = slave,
                       .key_id = id,
                       .key = key.bytes,
                       .master = master});
        hand_out(key, slave);
    }
    return answer;
}

void KeyPool::replay(const std::vector<AuditEvent>& events) {
    const std::lock_guard lock(mutex_);
    for (const AuditEvent& event : events) {
        if (event.kind == AuditEvent::Kind::issued) {
            for (const std::string& slave : event.slaves) {
                Level& pair = level(event.caller, slave, event.time);
                pair.keys = std::max(0.0, pair.keys - 1);
            }
            keep(event.key_id, event.key, event.caller, event.slaves, event.time);
        } else if (event.kind == AuditEvent::Kind::fetched) {
            if (const auto at = issued_.find(event.key_id); at != issued_.end()) hand_out(at->second, event.caller);
        }
    }
    forget_expired(clock_());
}

void KeyPool::keep(const std::string& id, Bytes bytes, const std::string& master,
                   const std::vector<std::string>& slaves, TimePoint time) {
    issued_[id] = Issued{std::move(bytes), master, {slaves.begin(), slaves.end()}, {}};
    if (settings_.ttl.count() > 0) by_age_.emplace_back(time, id);
}

void KeyPool::hand_out(Issued& key, const std::string& slave) const {
    key.fetched.insert(slave);
    // The name stays, so that a second fetch can be told from an unknown key in the audit.
    if (settings_.one_shot && key.fetched == key.slaves) key.bytes.clear();
}

void KeyPool::forget_expired(TimePoint time) {
    while (!by_age_.empty() && time - by_age_.front().first >= settings_.ttl) {
        issued_.erase(by_age_.front().second);
        by_age_.pop_front();
    }
}

}  // namespace qkd::kme_sim
