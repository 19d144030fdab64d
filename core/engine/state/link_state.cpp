// The journal entry as it grows, and what is remembered beside it.
#include "engine/state/link_state.hpp"

#include <algorithm>
#include <utility>

namespace qkd::engine {
namespace {

JournalEntry copy(const JournalEntry& entry) {
    auto same = decode_entry(encode(entry));
    return same ? std::move(*same) : JournalEntry{};
}

}  // namespace

LinkState::LinkState(Store& store, LinkRecords* records, std::string link, Complaint complain)
    : records_(records),
      link_(std::move(link)),
      complain_(std::move(complain)),
      journal_(store.journal(link_)),
      audit_(store.audit()) {}

Result<void> LinkState::load() {
    if (records_ != nullptr) {
        auto remembered = records_->load();
        if (!remembered) return std::move(remembered).error();
        record = std::move(*remembered);
    }
    auto entry = journal_->load();
    if (!entry) return std::move(entry).error();
    if (!*entry) return {};
    dead = std::move(**entry);
    record.generation = std::max(record.generation, dead->generation);
    for (const auto& ckn : dead->own_ckns) {
        auto& own = record.own_ckns;
        if (std::find(own.begin(), own.end(), ckn) == own.end()) own.insert(own.begin(), ckn);
    }
    return {};
}

Result<void> LinkState::note(const Change& change) {
    const std::lock_guard lock(mutex_);
    if (!journalling_ && dead) entry_ = copy(*dead);
    change(entry_);
    journalling_ = true;
    return journal_->write(entry_);
}

void LinkState::try_note(const Change& change) {
    if (auto written = note(change); !written) complain_(written.error());
}

Result<void> LinkState::note_repair(const Change& change) {
    if (!dead) return note(change);
    const std::lock_guard lock(mutex_);
    change(*dead);
    return journal_->write(*dead);
}

std::vector<std::string> LinkState::noted_sessions(const std::string& device) {
    const std::lock_guard lock(mutex_);
    const JournalMember* noted = entry_.member(device);
    return noted != nullptr ? noted->sessions : std::vector<std::string>{};
}

Result<void> LinkState::erase_journal() {
    return journal_->erase();
}

bool LinkState::audit(const char* event, const KeyName& key, const std::string& outcome, const std::string& device) {
    auto written = audit_.append({link_, event, key.id, key.ckn, device, outcome});
    if (!written) complain_(written.error());
    return written.ok();
}

Result<void> LinkState::save_record(Saving how) {
    if (records_ == nullptr) return {};
    record.link = link_;
    return records_->save(record, how);
}

}  // namespace qkd::engine
