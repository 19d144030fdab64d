// Issues and hands out keys.
#include "pool.hpp"

#include <algorithm>

namespace qkd::kme_sim {
namespace {

constexpr std::size_t longest_trail = 5000;
constexpr std::size_t longest_list = 1000;

/// The UUID behind 32 hex digits; anything else stays as it is.
std::string as_uuid(std::string id) {
    if (id.size() != 32 || id.find_first_not_of("0123456789abcdef") != std::string::npos) return id;
    for (const std::size_t dash : {8U, 13U, 18U, 23U}) id.insert(dash, "-");
    return id;
}

}  // namespace

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
                               const std::vector<std::string>& slaves, std::size_t number, std::size_t bytes,
                               Pickup pickup) {
    const std::lock_guard lock(mutex_);
    const TimePoint time = clock_();
    forget_expired(time);
    const auto needed = static_cast<double>(number);
    for (const std::string& slave : slaves) {
        if (level(master, slave, time).keys < needed) return Answer{.outcome = Outcome::depleted};
    }
    for (const std::string& slave : slaves) level(master, slave, time).keys -= needed;

    std::vector<std::string> entitled = slaves;
    if (pickup == Pickup::later) entitled.push_back(master);
    Answer answer;
    for (std::size_t i = 0; i < number; ++i) {
        Key key{random_uuid(), random_bytes(bytes)};
        keep(key.id, key.bytes, master, entitled, time);
        record({.kind = AuditEvent::Kind::issued,
                .time = time,
                .kme = kme,
                .caller = master,
                .key_id = key.id,
                .key = key.bytes,
                .slaves = entitled});
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
        record({.kind = AuditEvent::Kind::refused,
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
        const Issued* key = find(id);
        if (key == nullptr) {
            refuse(id, "not held");
            answer.missing.push_back(id);
        } else if ((!master.empty() && key->master != master) || !key->slaves.contains(slave)) {
            refuse(id, "not entitled");
            forbidden = true;
        } else if (settings_.one_shot && key->fetched.contains(slave)) {
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
        Issued& key = *find(id);
        answer.keys.push_back({id, key.bytes});
        record({.kind = AuditEvent::Kind::fetched,
                .time = time,
                .kme = kme,
                .caller = slave,
                .key_id = as_uuid(id),
                .key = key.bytes,
                .master = key.master});
        hand_out(key, slave);
    }
    return answer;
}

KeyPool::Outcome KeyPool::share(const std::string& kme, const std::string& master, const std::string& id,
                                const std::string& other, std::size_t most_additional) {
    const std::lock_guard lock(mutex_);
    const TimePoint time = clock_();
    forget_expired(time);
    Issued* key = find(id);
    if (key == nullptr || key->bytes.empty()) return Outcome::missing;
    const std::size_t additional = key->slaves.size() - 1 - (key->slaves.contains(master) ? 1 : 0);
    if (key->master != master || key->slaves.contains(other) || additional >= most_additional) {
        return Outcome::forbidden;
    }
    Level& pair = level(master, other, time);
    if (pair.keys < 1) return Outcome::depleted;
    pair.keys -= 1;
    key->slaves.insert(other);
    record({.kind = AuditEvent::Kind::shared,
            .time = time,
            .kme = kme,
            .caller = master,
            .key_id = as_uuid(id),
            .slaves = {other}});
    return Outcome::ok;
}

KeyPool::Outcome KeyPool::remove(const std::string& kme, const std::string& caller, const std::string& id) {
    const std::lock_guard lock(mutex_);
    const TimePoint time = clock_();
    forget_expired(time);
    const Issued* key = find(id);
    if (key == nullptr) return Outcome::missing;
    if (key->master != caller && !key->slaves.contains(caller)) return Outcome::forbidden;
    record({.kind = AuditEvent::Kind::deleted,
            .time = time,
            .kme = kme,
            .caller = caller,
            .key_id = as_uuid(id),
            .master = key->master});
    issued_.erase(as_uuid(id));
    return Outcome::ok;
}

KeyPool::Outcome KeyPool::look(const std::string& caller, const std::string& id) {
    const std::lock_guard lock(mutex_);
    forget_expired(clock_());
    const Issued* key = find(id);
    if (key == nullptr) return Outcome::missing;
    if (key->master != caller && !key->slaves.contains(caller)) return Outcome::forbidden;
    const bool had = settings_.one_shot && key->fetched.contains(caller);
    return key->slaves.contains(caller) && !had ? Outcome::ok : Outcome::missing;
}

std::vector<std::string> KeyPool::waiting(const std::string& caller, const std::string& master) {
    const std::lock_guard lock(mutex_);
    forget_expired(clock_());
    std::vector<std::string> ids;
    for (const auto& [id, key] : issued_) {
        const bool had = settings_.one_shot && key.fetched.contains(caller);
        if (!key.slaves.contains(caller) || had || (!master.empty() && key.master != master)) continue;
        ids.push_back(id);
        if (ids.size() == longest_list) break;
    }
    return ids;
}

std::vector<AuditEvent> KeyPool::trail(const std::string& caller, std::size_t most) {
    const std::lock_guard lock(mutex_);
    std::vector<AuditEvent> events;
    for (auto at = trail_.rbegin(); at != trail_.rend() && events.size() < most; ++at) {
        const bool part = at->caller == caller || at->master == caller ||
                          std::find(at->slaves.begin(), at->slaves.end(), caller) != at->slaves.end();
        if (part) events.push_back(*at);
    }
    std::reverse(events.begin(), events.end());
    return events;
}

KeyPool::Issued* KeyPool::find(const std::string& id) {
    const auto at = issued_.find(as_uuid(id));
    return at == issued_.end() ? nullptr : &at->second;
}

void KeyPool::record(AuditEvent event) {
    audit_.record(event);
    event.key.clear();
    trail_.push_back(std::move(event));
    if (trail_.size() > longest_trail) trail_.pop_front();
}

void KeyPool::replay(const std::vector<AuditEvent>& events) {
    const std::lock_guard lock(mutex_);
    for (const AuditEvent& event : events) {
        if (event.kind == AuditEvent::Kind::issued) {
            for (const std::string& slave : event.slaves) {
                if (slave == event.caller) continue;  // who fetches its own key draws on no pool
                Level& pair = level(event.caller, slave, event.time);
                pair.keys = std::max(0.0, pair.keys - 1);
            }
            keep(event.key_id, event.key, event.caller, event.slaves, event.time);
        } else if (event.kind == AuditEvent::Kind::fetched) {
            if (const auto at = issued_.find(event.key_id); at != issued_.end()) hand_out(at->second, event.caller);
        } else if (event.kind == AuditEvent::Kind::shared) {
            for (const std::string& other : event.slaves) {
                Level& pair = level(event.caller, other, event.time);
                pair.keys = std::max(0.0, pair.keys - 1);
                if (const auto at = issued_.find(event.key_id); at != issued_.end()) at->second.slaves.insert(other);
            }
        } else if (event.kind == AuditEvent::Kind::deleted) {
            issued_.erase(event.key_id);
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
