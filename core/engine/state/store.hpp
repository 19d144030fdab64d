// What outlives the process, behind one interface: the journal of every link, the audit log, and the claim that nobody else works
// on the same links now. Who uses it knows neither files nor databases. Remembered records come through it as well, wherever
// they are kept.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/state/journal_entry.hpp"
#include "qkd/sdk/context.hpp"
#include "qkd/sdk/persist.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// The journal of one link. Not synchronised.
class LinkJournal {
  public:
    LinkJournal() = default;
    virtual ~LinkJournal() = default;
    LinkJournal(const LinkJournal&) = delete;
    LinkJournal& operator=(const LinkJournal&) = delete;

    /// What an earlier run left; nullopt when there is nothing or it died before its first record was whole.
    virtual Result<std::optional<JournalEntry>> load() = 0;
    /// When it returns, the entry outlives this process and a loss of power.
    virtual Result<void> write(const JournalEntry& entry) = 0;
    /// The link has no unfinished rotation any more. Success when it had none.
    virtual Result<void> erase() = 0;
};

/// One line. Empty texts become null.
struct AuditLine {
    std::string link;
    std::string event;  ///< "minted", "rotated", "pending", "reverted", "withdrawn", "unused", "lost", ...
    std::string key_id;
    std::string ckn;
    std::string device;   ///< where it concerns one member
    std::string outcome;  ///< in words, for people
};

/// Thread-safe.
class AuditLog {
  public:
    AuditLog() = default;
    virtual ~AuditLog() = default;
    AuditLog(const AuditLog&) = delete;
    AuditLog& operator=(const AuditLog&) = delete;

    /// When it returns, the line outlives this process.
    virtual Result<void> append(const AuditLine& line) = 0;
};

enum class Saving : std::uint8_t {
    may_be_interrupted,
    to_the_end,      ///< no interruption ends it
    on_the_way_back  ///< the same, and the report keeps what it says
};

/// Where the remembered record of a link is kept. Not synchronised.
class LinkRecords {
  public:
    LinkRecords() = default;
    virtual ~LinkRecords() = default;
    LinkRecords(const LinkRecords&) = delete;
    LinkRecords& operator=(const LinkRecords&) = delete;

    /// An empty record when nothing is remembered.
    virtual Result<LinkRecord> load() = 0;
    virtual Result<void> save(const LinkRecord& record, Saving how) = 0;
};

/// The state of one pipeline, claimed by this process until destruction. Thread-safe.
class Store {
  public:
    Store() = default;
    virtual ~Store() = default;
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    virtual std::unique_ptr<LinkJournal> journal(const std::string& link) = 0;
    virtual AuditLog& audit() = 0;
};

/// Where the state of a pipeline is and what seals it.
struct StateSpec {
    std::filesystem::path directory;  ///< made (0700) if it is not there
    std::string seal_key;             ///< secret reference; empty = a key file is made in the directory
};

/// Claims the state. busy names the process that has it; config: the directory, the key or the audit log cannot be used.
Result<std::unique_ptr<Store>> open_store(const StateSpec& spec, const std::string& run_id, Context& context);

}  // namespace qkd::engine
