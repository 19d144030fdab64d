// A world of simulated devices and KMEs inside the test process: enough of a device to run the rotation protocol against,
// with the preceding key switched off, which is the hardest case, and with a fault at any call.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/host/plugin_host.hpp"
#include "engine/pipeline/model.hpp"
#include "engine/state/journal.hpp"
#include "qkd/sdk/commit.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/persist.hpp"

namespace qkd::test {

struct FakeKey {
    KeyPlace place;
    std::string ckn;
    SecretBytes cak;
    std::optional<UtcSeconds> start;
    FakeKey(KeyPlace p, std::string n, SecretBytes k, std::optional<UtcSeconds> s)
        : place(p), ckn(std::move(n)), cak(std::move(k)), start(s) {}
    FakeKey(const FakeKey& o) : place(o.place), ckn(o.ckn), cak(o.cak.clone()), start(o.start) {}
    FakeKey& operator=(const FakeKey& o) {
        place = o.place;
        ckn = o.ckn;
        cak = o.cak.clone();
        start = o.start;
        return *this;
    }
};

struct FakeConfig {
    bool association = false;
    bool uses_chain = false;
    std::vector<FakeKey> keys;
};

struct FakeDevice {
    FakeConfig running;
    std::optional<FakeConfig> candidate;
    std::optional<FakeConfig> before;  ///< what the pending confirmed commit would go back to
    std::string pending;               ///< its comment
    UtcMillis pending_until{};
    std::vector<std::string> comments;
    std::string shortcoming;  ///< what a read says of it
    bool locked = false;
    std::string lock_holder;  ///< id of the session that took the lock
    bool notice = false;
    std::chrono::milliseconds skew{0};
};

/// What happens to one call of one device: before its effect or after it (the answer is lost).
struct Fault {
    std::string device;  ///< empty = any
    std::string call;    ///< "stage", "commit_confirmed", "fetch", ...
    bool after_effect = false;
    Error error;
    int times = 1;
};

/// All state, one lock. Time passes only when a clock is read, and when the test says so.
class World {
  public:
    static World& get();
    void reset(std::vector<std::string> devices);

    std::mutex mutex;
    std::map<std::string, FakeDevice> devices;
    std::map<std::string, SecretBytes> kme_keys;  ///< key_ID -> key
    std::set<std::string> handed_out;             ///< "kme key_ID": each KME gives a key once
    std::map<std::string, LinkRecord> records;    ///< by link; on-box "link@device"
    std::map<std::string, KeyIdNotice> notices;   ///< by link, as announced last
    std::map<std::string, NoticeMark> answers;    ///< by device, as acknowledged last
    /// On-box: members whose process was killed. Whatever it still tries fails and has no effect.
    std::set<std::string> dead;
    std::vector<Fault> faults;
    std::vector<std::string> calls;  ///< "device call", in order
    /// Called before a call's effect and, where there is one, after it; with the lock held.
    std::function<void(const std::string& device, const std::string& call)> on_call;
    UtcMillis now{};
    std::chrono::milliseconds step{1000};  ///< how far time moves with each clock reading
    bool apart = false;                    ///< some members were configured without any key in common
    unsigned minted = 0, fetched = 0, sessions = 0;

    /// Entry and fault of one call; with the lock held. An error means: return it now.
    std::optional<Error> enter(const std::string& device, const std::string& call);
    std::optional<Error> leave(const std::string& device, const std::string& call);
    void advance(std::chrono::milliseconds by);
    void check();  ///< expiries and the invariant

    /// Devices, KMEs and records as they are, to go back to: what is left when the program dies now. With the lock held.
    struct Memory {
        std::map<std::string, FakeDevice> devices;
        std::vector<std::pair<std::string, SecretBytes>> kme_keys;
        std::set<std::string> handed_out;
        std::map<std::string, LinkRecord> records;
        std::map<std::string, KeyIdNotice> notices;
        std::map<std::string, NoticeMark> answers;
        UtcMillis now{};
        unsigned minted = 0, fetched = 0;

        Memory() = default;
        Memory(const Memory& other) { *this = other; }
        Memory& operator=(const Memory& other);
        Memory(Memory&&) = default;
        Memory& operator=(Memory&&) = default;
        ~Memory() = default;
    };
    [[nodiscard]] Memory remember() const;
    void go_back(Memory&& memory);

  private:
    [[nodiscard]] std::optional<Error> killed(const std::string& device) const;
    std::optional<Error> fault(const std::string& device, const std::string& call, bool after);
};

/// The keys with which MKA can be live on this device now, primary first.
std::vector<const FakeKey*> usable(const FakeDevice& device, UtcMillis now);

/// Registers the fake plugins with `host`: fake-device, fake-kme, fake-transport, fake-persist.
void add_fakes(engine::PluginHost& host);

/// What the journal of a link holds, read with the seal key in `state`.
std::optional<engine::JournalEntry> journal_of(const std::filesystem::path& state, const std::string& link);

/// A pipeline with one link of these devices (the first is the initiator), one interface each.
engine::Pipeline fake_pipeline(const std::vector<std::string>& devices, Rollover rollover);

}  // namespace qkd::test
