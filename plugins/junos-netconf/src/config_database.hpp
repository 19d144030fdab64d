// The operations on a device's configuration database, each one RPC, with Junos' ways of saying no understood.
#pragma once

#include <string>
#include <vector>

#include "commit_log.hpp"
#include "config_model.hpp"
#include "netconf_session.hpp"

namespace qkd::junos {

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
    /// `confirm` 0 = an ordinary commit. unknown_outcome when the answer was lost or makes no sense.
    Result<void> commit(Context& context, std::chrono::minutes confirm, const std::string& comment);

    /// Discards the candidate and releases the lock. When that cannot be done at once, the session is ended instead:
    /// the device then does both by itself. Never fails.
    void abandon(Context& context) noexcept;

  private:
    Result<bool> two_routing_engines(Context& context);

    NetconfSession& session_;
    bool locked_ = false;
    int routing_engines_ = 0;  ///< 0 = not asked yet
};

}  // namespace qkd::junos
