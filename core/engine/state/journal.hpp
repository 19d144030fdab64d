// The write-ahead journal of the rotations under way: what the next run needs when this one dies at any instant. One file per
// link, STATE/journal/LINK.journal, there only while a rotation is under way or was left unresolved.
//
// A file is the octets "QKDJ\1", then records: length (4 octets, big endian), then so many octets, a JournalEntry sealed
// with AES-256-GCM under the pipeline's seal key and bound to the link and to the record's number. Each record holds the
// whole entry, and the last complete one counts: a file may be cut off at any octet.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/protocol/steps.hpp"
#include "qkd/sdk/device.hpp"
#include "qkd/sdk/macsec.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

/// One member in a journal entry.
struct JournalMember {
    std::string device;
    std::vector<std::string> sessions;  ///< ids of sessions that may hold the device's lock
    bool asked = false;                 ///< its KME was asked for the key (the initiator's: to make one)
    bool maybe_consumed = false;        ///< an answer was lost that may have used the key up
    SecretBytes key;                    ///< empty until its KME delivered it
};

/// A rotation under way. Move-only: it holds keys.
struct JournalEntry {
    std::string run_id;
    Step step = Step::connect;
    bool ended = false;  ///< the step was done when this was written; else it was about to begin
    std::uint64_t generation = 0;
    Rollover rollover = Rollover::key_chain;
    std::string key_id;                 ///< empty until minted
    std::string ckn;                    ///< of the key
    std::string comment;                ///< of the confirmed commits
    std::vector<std::string> own_ckns;  ///< names of all keys that this rotation writes
    std::optional<UtcSeconds> start;
    std::vector<JournalMember> members;  ///< the initiator first

    [[nodiscard]] JournalMember* member(const std::string& device) noexcept;
};

/// An entry as octets, before sealing. Fails on no input.
SecretBytes encode(const JournalEntry& entry);
/// nullopt for anything that encode() does not write.
std::optional<JournalEntry> decode_entry(const SecretBytes& octets);

/// The journal of one link. Not synchronised. Errors name the file.
class Journal {
  public:
    /// `state` exists; `key` outlives the journal.
    Journal(const std::filesystem::path& state, const std::string& link, const SecretBytes& key);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /// What an earlier run left; nullopt when there is nothing or it died before its first record was whole. Another seal key
    /// is an error of the code `config`, and the file stays as it is. Records that follow are added behind it.
    Result<std::optional<JournalEntry>> load();
    /// Appends a record; when it returns, the record is on the disk.
    Result<void> write(const JournalEntry& entry);
    /// Overwrites and removes the file. Success when there is none.
    Result<void> erase();

    [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }

  private:
    Result<void> create();
    [[nodiscard]] std::string purpose(std::size_t number) const;

    std::filesystem::path file_;
    std::string link_;
    const SecretBytes& key_;
    int fd_ = -1;
    std::size_t records_ = 0;
    std::uint64_t size_ = 0;  ///< of the whole records; a torn one behind them is overwritten
};

/// The links of which STATE/journal holds something, by file name without ".journal".
std::vector<std::string> journalled_links(const std::filesystem::path& state);

/// A link's name as a file name: letters, digits and '-' as they are, anything else as "_" and two hex digits.
std::string file_stem(const std::string& link);

}  // namespace qkd::engine
