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
        missing     ///< fetch: a key is not held (unknown, fetched already, expired); nothing was taken
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
    Answer issue(const std::string& kme, const std::string& master, const std::vector<std::string>& slaves,
                 std::size_t number, std::size_t bytes);
    /// All of the named keys, or none.
    Answer fetch(const std::string& kme, const std::string& slave, const std::string& master,
                 const std::vector<std::string>& ids);
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

    const PoolSettings settings_;
    AuditSink& audit_;
    const std::function<TimePoint()> clock_;
    std::mutex mutex_;
    std::map<Pair, Level> levels_;
    std::unordered_map<std::string, Issued> issued_;
    std::deque<std::pair<TimePoint, std::string>> by_age_;  ///< only kept with a ttl
};

}  // namespace qkd::kme_sim
