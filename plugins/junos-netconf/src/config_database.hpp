// The operations on a device's configuration database, each one RPC, with Junos' ways of saying no understood.
#pragma once

#include <string>
#include <vector>

#include "commit_log.hpp"
#include "config_model.hpp"
#include "netconf_session.hpp"

namespace qkd::junos {

/// Where there are two routing engines: a commit that the other one does not take fails, or is made on this one alone.
enum class OtherEngine : std::uint8_t { must_follow, may_lag };

/// One per session; remembers whether this session holds the exclusive lock.
class ConfigDatabase {
  public:
    explicit ConfigDatabase(NetconfSession& session) : session_(session) {}

    enum class Source : std::uint8_t { committed, candidate };
    /// The parts that concern MACsec, and the description of one interface when it is named.
    Result<ConfigModel> read(Context& context, Source source, const std::string& described = {});
    /// The device's clock: UTC, offset of its local time. `zone` as configured may be added by the caller.
    Result<ClockReading> clock(Context& context);
    Result<std::vector<CommitEntry>> log(Context& context);

    /// busy/safe when somebody else holds the lock or left uncommitted changes; `what` is the device's own text.
    Result<void> lock(Context& context);
    Result<void> unlock(Context& context);
    [[nodiscard]] bool locked() const noexcept { return locked_; }

    Result<void> load(Context& context, const std::vector<Statement>& statements);
    /// Loads an earlier configuration into the candidate; 0 = discards what is in it.
    Result<void> load_rollback(Context& context, std::size_t number);
    /// "show | compare rollback N": empty when the candidate equals it.
    Result<std::string> compare(Context& context, std::size_t number);
    Result<void> check(Context& context);
    /// `confirm` 0 = an ordinary commit. unknown_outcome when the answer was lost or makes no sense. With two routing
    /// engines both commit; another one that is locked for a moment, as it is after each commit, is waited for.
    Result<void> commit(Context& context, std::chrono::minutes confirm, const std::string& comment,
                        OtherEngine other = OtherEngine::must_follow);
    /// What the other routing engine said to the latest commit, which only this one took; else empty.
    [[nodiscard]] const std::string& other_engine_lags() const noexcept { return other_engine_lags_; }

    /// Discards the candidate and releases the lock. When that cannot be done at once, the session is ended instead:
    /// the device then does both by itself. Never fails.
    void abandon(Context& context) noexcept;

  private:
    Result<bool> two_routing_engines(Context& context);
    /// `other` gets what the other routing engine said, when it was that one which refused.
    Result<void> commit_once(Context& context, std::chrono::minutes confirm, const std::string& comment,
                             bool synchronize, std::string& other);

    NetconfSession& session_;
    bool locked_ = false;
    int routing_engines_ = 0;  ///< 0 = not asked yet
    std::string other_engine_lags_;
};

}  // namespace qkd::junos
