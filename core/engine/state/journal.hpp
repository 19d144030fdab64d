// The journal of the rotations under way in files: one per link, STATE/journal/LINK.journal, there only while a rotation is under
// way or was left unresolved.
//
// A file is the octets "QKDJ\1", then records: length (4 octets, big endian), then so many octets, a JournalEntry sealed
// with AES-256-GCM under the pipeline's seal key and bound to the link and to the record's number. Each record holds the
// whole entry, and the last complete one counts: a file may be cut off at any octet.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/state/store.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

/// Errors name the file.
class Journal final : public LinkJournal {
  public:
    /// `state` exists; `key` outlives the journal.
    Journal(const std::filesystem::path& state, const std::string& link, const SecretBytes& key);
    ~Journal() override;

    /// Another seal key is an error of the code `config`, and the file stays as it is. Records that follow are added behind it.
    Result<std::optional<JournalEntry>> load() override;
    /// Appends a record and flushes it to the disk.
    Result<void> write(const JournalEntry& entry) override;
    /// Overwrites and removes the file.
    Result<void> erase() override;

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
