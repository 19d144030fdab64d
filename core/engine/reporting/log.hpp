// The log of a command: lines on standard error and, when asked for, everything in trace.log, and lines in a rotated file
// and in the log of the system.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/reporting/events.hpp"
#include "engine/reporting/log_targets.hpp"
#include "engine/reporting/screen.hpp"

namespace qkd::engine {

enum class LogFormat : unsigned char {
    text,  ///< TIME LEVEL RUN_ID LINK DEVICE STAGE PLUGIN: MESSAGE, "-" where a field is empty
    json   ///< one object per line: time, level, run_id, link, device, stage, plugin, message
};

struct LogOptions {
    LogLevel level = LogLevel::warning;  ///< of standard error; log_file and system_log get information in any case
    LogFormat format = LogFormat::text;  ///< of standard error, of the files and of syslog
    bool colour = false;
    std::filesystem::path trace_file{};  ///< empty: none
    std::filesystem::path log_file{};    ///< rotated, see RotatingFile; empty: none
    std::optional<SystemLogKind> system_log{};
    std::filesystem::path system_socket{};  ///< empty: the system's own
};

/// Words of the levels: error, warning, notice, info, debug, trace.
const char* to_string(LogLevel level) noexcept;

/// Thread-safe. The run's identity comes with the first event that has an attribute `run_id`; it stands in every line
/// from then on. Messages are cleaned by one_line(): a device cannot forge a line or move the cursor.
class Log final : public Observer {
  public:
    /// `screen` outlives the log. An error when the trace file cannot be made safely.
    static Result<std::unique_ptr<Log>> open(const LogOptions& options, Screen& screen);
    ~Log() override;
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void log(LogLevel level, const Place& place, std::string_view message) override;
    void event(const Place& place, std::string_view name, std::span<const Attr> attributes) override;
    void step_begins(const Place& place) override;
    void step_ends(const Place& place, std::chrono::nanoseconds took, const Error* error) override;
    void link_begins(const Link& link) override;
    void link_ends(const LinkReport& report) override;

  private:
    Log();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace qkd::engine
