// The audit log: which key ran when, on which link, and what became of every other one. STATE/audit.jsonl, append-only, a
// JSON object per line; each line holds the SHA-256 of the line before it, so that a line cannot be changed, dropped or put
// in later without all that follow telling. It holds key_IDs and CKNs, never keys.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "engine/state/store.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Open for appending. Thread-safe.
class Audit final : public AuditLog {
  public:
    /// The state directory exists and is locked by this process.
    static Result<std::unique_ptr<Audit>> open(const std::filesystem::path& state, std::string run_id);
    ~Audit() override;

    /// When it returns, the line is on the disk.
    Result<void> append(const AuditLine& line) override;

  private:
    Audit(std::filesystem::path file, int fd, std::string previous, std::string run_id);

    std::filesystem::path file_;
    int fd_;
    std::mutex mutex_;
    std::string previous_;  ///< hash of the last line
    std::string run_id_;
    std::string who_;  ///< user@host
};

/// Goes through the whole chain. The value is the number of lines; an error names the first line that does not fit.
Result<std::size_t> verify_audit(const std::filesystem::path& file);

}  // namespace qkd::engine
