// Where log lines go besides standard error and trace.log: a file that is rotated, syslog, the journal of systemd.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "engine/reporting/events.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// A log file (mode 0600, ours) with a bounded size: FILE.1 is the one before, up to FILE.5. Several processes may write the
/// same file; lines stay whole. Not synchronised.
class RotatingFile {
  public:
    static constexpr std::uint64_t most_octets = 10'000'000;
    static constexpr unsigned most_old = 5;

    /// Goes on at the end of what is there. A symbolic link or somebody else's file is refused.
    static Result<std::unique_ptr<RotatingFile>> open(const std::filesystem::path& path,
                                                      std::uint64_t most = most_octets);
    ~RotatingFile();
    RotatingFile(const RotatingFile&) = delete;
    RotatingFile& operator=(const RotatingFile&) = delete;

    /// `line` with its line end. A full disk loses lines, never the run.
    void write(std::string_view line) noexcept;

  private:
    RotatingFile(std::filesystem::path path, std::uint64_t most, int fd) noexcept;
    void rotate() noexcept;

    std::filesystem::path path_;
    std::uint64_t most_;
    int fd_;
};

enum class SystemLogKind : std::uint8_t {
    syslog,  ///< /dev/log: "<PRIORITY>qkd-macsec[PID]: TEXT" (RFC 3164 as syslog(3) writes it), facility daemon
    journal  ///< /run/systemd/journal/socket: fields (systemd's native protocol), QKD_RUN_ID, QKD_LINK, QKD_DEVICE, ...
};

/// A line with its parts.
struct LogLine {
    LogLevel level = LogLevel::info;
    std::string_view run_id;
    const Place& place;
    std::string_view message;  ///< one line
    std::string_view text;     ///< the whole, for syslog
};

/// Datagrams to the system's log. Never waits: what the other side does not take at once is dropped, and the next line
/// that arrives says how many. Not synchronised.
class SystemLog {
  public:
    /// `socket`: empty = where the system has it. An error when nobody listens there.
    static Result<std::unique_ptr<SystemLog>> open(SystemLogKind kind, const std::filesystem::path& socket = {});
    ~SystemLog();
    SystemLog(const SystemLog&) = delete;
    SystemLog& operator=(const SystemLog&) = delete;

    void write(const LogLine& line) noexcept;

  private:
    SystemLog(SystemLogKind kind, std::filesystem::path socket, int fd) noexcept;
    bool send(const std::string& datagram) noexcept;
    [[nodiscard]] std::string datagram(const LogLine& line) const;

    SystemLogKind kind_;
    std::filesystem::path socket_;
    int fd_;
    std::uint64_t lost_ = 0;
};

}  // namespace qkd::engine
