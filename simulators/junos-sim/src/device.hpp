// One simulated device's state on disk: running, candidate and rollback configurations, commit history, the pending
// confirmed commit, the configuration lock, and the timeline of its MACsec keys.
//
// Opening a Device takes its lock and first lets a confirmed commit expire whose instant has passed: so every reader
// sees the device as if it had been running all along. Never open a second Device while holding one, except through
// open_pair(), which orders the locks.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config_tree.hpp"
#include "lab.hpp"
#include "mka.hpp"
#include "util.hpp"

namespace qkd::junossim {

constexpr std::size_t history_limit = 50;  // as on the device: 50 rollback configurations

struct HistoryEntry {
    std::string config;  // id of the stored configuration
    Millis at = 0;       // lab clock
    std::string user;
    std::string client;
    std::string comment;  // what the device notes itself: "commit confirmed, rollback in 2mins"
    std::string log;      // the operator's commit comment
};

struct LockHolder {
    long pid = 0;
    std::string user;
    Millis since = 0;  // lab clock
};

class Device {
  public:
    explicit Device(const std::filesystem::path& state);

    const DeviceInfo& info() const { return info_; }
    const Lab& lab() const { return lab_; }
    const std::filesystem::path& folder() const { return folder_; }

    // The instant of this access. Never earlier than anything already recorded.
    Millis lab_now() const { return now_; }
    Millis device_now() const { return now_ + info_.skew; }
    Millis to_device(Millis lab) const { return lab + info_.skew; }
    std::string zone() const;       // as configured, or the device's own
    std::string host_name() const;  // likewise

    const Node& running() const;
    const Node& candidate() const;  // the shared one
    std::optional<Node> rollback(std::size_t index) const;
    bool dirty() const { return !candidate_id_.empty(); }
    Millis dirty_since() const { return dirty_since_; }
    void set_candidate(const Node& configuration);
    void discard_candidate();

    const std::vector<HistoryEntry>& history() const { return history_; }   // newest first
    std::optional<Millis> pending_until() const { return pending_until_; }  // lab clock
    // The earliest start-time ahead of a key in force, on the lab clock.
    std::optional<Millis> next_start() const;
    // Makes `configuration` the running one. A pending confirmed commit is thereby confirmed; with `confirm_within`
    // (ms of lab time) this commit is itself one to be confirmed; `pid` is the session that makes it.
    void commit(const Node& configuration, HistoryEntry entry, std::optional<Millis> confirm_within, long pid = 0);
    // kill-session of the one that made a confirmed commit, before its confirm: the device goes back (RFC 6241 clause 7.9).
    void revert_pending_of(long pid);
    // All sessions end by SIGKILL, but for one of this process; lock and candidate go, MKA starts from nothing, and the
    // timer of a confirmed commit stays or goes (timer_survives_reboot). Takes a millisecond of lab time.
    void reboot();
    void confirm_pending();

    // The holder of the exclusive lock; one whose process is gone loses it, and its changes, here.
    const std::optional<LockHolder>& lock_holder();
    void set_lock(std::optional<LockHolder> holder);

    const std::vector<EndTimeline::Change>& timeline(const std::string& interface) const;
    EndTimeline end_timeline(const std::string& interface) const;
    std::size_t longest_timeline() const;
    void prune_timeline(Millis before);

    // Counts calls across processes; returns the new count.
    int count(const std::string& counter);

    void save();
    std::filesystem::path session_file(long pid) const;

  private:
    void load();
    void initialise();
    void expire();
    void go_back(Millis at);
    void end_sessions() const;
    void note_keys(Millis at);
    std::string store(const Node& configuration);
    Node fetch(const std::string& id) const;

    std::filesystem::path folder_;
    DeviceInfo info_;
    Lab lab_;
    std::unique_ptr<FileLock> lock_;
    Millis now_ = 0;
    Millis last_ = 0;
    long next_config_ = 1;
    std::vector<HistoryEntry> history_;
    std::string candidate_id_;  // empty: the same as running
    Millis dirty_since_ = 0;
    std::optional<Millis> pending_until_;
    long pending_pid_ = 0;
    std::optional<LockHolder> holder_;
    std::map<std::string, std::vector<EndTimeline::Change>> timeline_;
    std::map<std::string, int> counters_;
    mutable std::map<std::string, Node> cache_;
};

// Both ends of a wire, locked in one order everywhere so that two processes cannot wait for each other.
// `second` is null when both ends are the same device.
struct DevicePair {
    std::unique_ptr<Device> first;
    std::unique_ptr<Device> second;
};
DevicePair open_pair(const std::filesystem::path& a, const std::filesystem::path& b);

// In a lab that skips waits: when every device has a start-time ahead and none is locked or has a commit to confirm, everybody
// only waits, and the lab goes to two seconds before the earliest of them. Does nothing in other labs. No Device may be open.
void skip_to_next_start(const std::filesystem::path& state);

// The MACsec keys each interface is configured to use.
std::map<std::string, EndConfig> mka_configuration(const Node& configuration, const DeviceInfo& info);

}  // namespace qkd::junossim
