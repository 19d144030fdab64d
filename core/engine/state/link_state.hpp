// One rotation's view of what outlives it: the journal it writes, what a dead run left in it, the remembered record, the audit.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine/state/store.hpp"

namespace qkd::engine {

/// Which key an audit line is about. Empty texts where that is not known.
struct KeyName {
    std::string id;
    std::string ckn;
};

/// Of one link and one attempt. `note`, `try_note` and `audit` are thread-safe; the rest is the link's own thread's.
class LinkState {
  public:
    using Change = std::function<void(JournalEntry&)>;
    /// Told of what could not be written where nothing else can be done about it.
    using Complaint = std::function<void(const Error&)>;

    /// `records` null: nothing is remembered. `store` and `records` outlive this object.
    LinkState(Store& store, LinkRecords* records, std::string link, Complaint complain);

    /// Reads the record and the journal. What a dead run knew of generation and own keys goes into `record`.
    Result<void> load();

    // ---- journal
    /// Changes the entry and writes it; when it returns, it is on the disk. The first call begins with what the dead run left: until
    /// its key is taken over or given up, it stays in the journal.
    Result<void> note(const Change& change);
    /// The same where the way back must go on whatever the disk says.
    void try_note(const Change& change);
    /// A repair of what the dead run left, which goes on in its own entry.
    Result<void> note_repair(const Change& change);
    [[nodiscard]] bool journalling() const noexcept { return journalling_; }
    /// Sessions of `device` that this attempt noted and that may hold its lock.
    [[nodiscard]] std::vector<std::string> noted_sessions(const std::string& device);
    Result<void> erase_journal();

    // ---- audit
    /// False when the line could not be written; `complain` was told why.
    bool audit(const char* event, const KeyName& key, const std::string& outcome, const std::string& device = {});

    // ---- record
    [[nodiscard]] bool remembers() const noexcept { return records_ != nullptr; }
    Result<void> save_record(Saving how);

    LinkRecord record;
    /// What an earlier run left, until this one has taken it over or given it up.
    std::optional<JournalEntry> dead;
    /// What an earlier run left is resolved, or part of this attempt.
    bool dead_is_settled = false;

  private:
    LinkRecords* records_;
    std::string link_;
    Complaint complain_;
    std::unique_ptr<LinkJournal> journal_;
    AuditLog& audit_;
    std::mutex mutex_;
    bool journalling_ = false;
    JournalEntry entry_;  ///< as last written
};

}  // namespace qkd::engine
