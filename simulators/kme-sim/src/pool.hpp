// The keys: how many each SAE pair can draw, which ones are out, and who may still fetch them.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "audit.hpp"
#include "config.hpp"
#include "encoding.hpp"

namespace qkd::kme_sim {

struct Key {
    std::string id;
    Bytes bytes;
};

/// All KMEs of the process share one. Thread-safe.
class KeyPool {
  public:
    enum class Outcome {
        ok,
        depleted,   ///< issue: a pair has too few keys; nothing was taken
        forbidden,  ///< fetch: a key was issued, but not from this master to this caller; nothing was taken
        missing     ///< fetch: a key is not held (unknown, fetched already, deleted, expired); nothing was taken
    };
    struct Answer {
        Outcome outcome = Outcome::ok;
        std::vector<Key> keys{};
        std::vector<std::string> missing{};
    };

    KeyPool(PoolSettings settings, AuditSink& audit, std::function<TimePoint()> clock);

    /// Keys the pair could draw now.
    std::int64_t stored(const std::string& one_sae, const std::string& other_sae);
    /// Fresh keys of `bytes` bytes each for the master; each slave may fetch them. Draws on the pool of every pair.
    /// Pickup::later: the master is not handed the keys now and fetches them as a slave does.
    enum class Pickup { now, later };
    Answer issue(const std::string& kme, const std::string& master, const std::vector<std::string>& slaves,
                 std::size_t number, std::size_t bytes, Pickup pickup = Pickup::now);
    /// All of the named keys, or none. An empty master is any. IDs are UUIDs or their 32 hex digits without dashes;
    /// the answer spells them as they were asked for.
    Answer fetch(const std::string& kme, const std::string& slave, const std::string& master,
                 const std::vector<std::string>& ids);
    /// Lets another SAE fetch a key of this master as well. Draws on the pool of their pair.
    Outcome share(const std::string& kme, const std::string& master, const std::string& id, const std::string& other,
                  std::size_t most_additional);
    /// The key is gone for everybody. Any SAE that has part in it may say so.
    Outcome remove(const std::string& kme, const std::string& caller, const std::string& id);
    /// ok: the caller can fetch it; missing: it has had it, or there is none; forbidden.
    Outcome look(const std::string& caller, const std::string& id);
    /// What this SAE can fetch now, the keys of one master or (empty) of all, 1000 at most.
    std::vector<std::string> waiting(const std::string& caller, const std::string& master);
    /// The newest events in which this SAE has part, oldest first, without keys.
    std::vector<AuditEvent> trail(const std::string& caller, std::size_t most);
    /// Takes over what an earlier process recorded. Only before the first call.
    void replay(const std::vector<AuditEvent>& events);

  private:
    using Pair = std::pair<std::string, std::string>;
    struct Level {
        double keys = 0;
        TimePoint at{};
    };
    struct Issued {
        Bytes bytes;  ///< empty: handed out for good
        std::string master;
        std::set<std::string> slaves;
        std::set<std::string> fetched;
    };

    Level& level(const std::string& one_sae, const std::string& other_sae, TimePoint time);
    void keep(const std::string& id, Bytes bytes, const std::string& master, const std::vector<std::string>& slaves,
              TimePoint time);
    void hand_out(Issued& key, const std::string& slave) const;
    void forget_expired(TimePoint time);
    void record(AuditEvent event);
    /// Null when no key is held under that name.
    Issued* find(const std::string& id);

    const PoolSettings settings_;
    AuditSink& audit_;
    const std::function<TimePoint()> clock_;
    std::mutex mutex_;
    std::map<Pair, Level> levels_;
    std::unordered_map<std::string, Issued> issued_;
    std::deque<std::pair<TimePoint, std::string>> by_age_;  ///< only kept with a ttl
    std::deque<AuditEvent> trail_;                          ///< the newest, without keys
};

}  // namespace qkd::kme_sim
