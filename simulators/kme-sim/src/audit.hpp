// The audit file: one JSON object a line for every key issued, shared, fetched, deleted or refused. It holds the keys themselves,
// because the test harness must know what to search logs for, and because a restarted kme-sim takes its undelivered
// keys from it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "encoding.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::kme_sim {

struct AuditEvent {
    enum class Kind { issued, fetched, refused, shared, deleted };
    Kind kind = Kind::issued;
    TimePoint time{};
    std::string kme{};     ///< who was asked
    std::string caller{};  ///< the SAE that asked
    std::string key_id{};
    Bytes key{};                        ///< of issued and fetched
    std::string master{};               ///< of fetched and refused: the master the caller named
    std::vector<std::string> slaves{};  ///< of issued: who may fetch; of shared: who may besides
    std::string reason{};               ///< of refused
};

const char* to_string(AuditEvent::Kind kind);

/// Where events go. Called under the pool's lock, so lines stand in the order in which things happened.
class AuditSink {
  public:
    AuditSink() = default;
    AuditSink(const AuditSink&) = delete;
    AuditSink& operator=(const AuditSink&) = delete;
    virtual ~AuditSink() = default;
    virtual void record(const AuditEvent& event) = 0;
};

/// Appends to a file of mode 0600; every line is one write.
class AuditFile : public AuditSink {
  public:
    /// An empty path gives a sink that keeps nothing.
    static Result<std::unique_ptr<AuditFile>> open(const std::string& path);
    ~AuditFile() override;
    void record(const AuditEvent& event) override;

  private:
    explicit AuditFile(int descriptor) : descriptor_(descriptor) {}
    int descriptor_;
};

/// What an earlier process wrote, in order; nothing if there is no such file. A last line cut short by a crash is left
/// out.
Result<std::vector<AuditEvent>> read_audit(const std::string& path);

}  // namespace qkd::kme_sim
