// Rotation: what an earlier run left, the journal of this one, and the audit.
#include <algorithm>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

JournalEntry copy(const JournalEntry& entry) {
    auto same = decode_entry(encode(entry));
    return same ? std::move(*same) : JournalEntry{};
}

}  // namespace

Result<void> Rotation::load_journal() {
    auto entry = journal_.load();
    if (!entry) return std::move(entry).error();
    if (!*entry) return {};
    dead_ = std::move(**entry);
    crew_.caller().log(LogLevel::notice,
                       "run " + dead_->run_id + " ended " + (dead_->ended ? "after" : "in") + " step " +
                           to_string(dead_->step) + "; resolving what it left",
                       "connect");
    record_.generation = std::max(record_.generation, dead_->generation);
    for (const auto& ckn : dead_->own_ckns) {
        auto& own = record_.own_ckns;
        if (std::find(own.begin(), own.end(), ckn) == own.end()) own.insert(own.begin(), ckn);
    }
    return {};
}

Result<void> Rotation::break_dead_locks() {
    if (!dead_) return {};
    return crew_.each([&](MemberRun& m) -> Result<void> {
        const JournalMember* left = dead_->member(m.member->device);
        if (left == nullptr) return {};
        for (const auto& id : left->sessions) {
            CallSpec spec = crew_.spec(StageKind::commit, "break-lock");
            spec.look = true;
            auto broken = m.caller(spec, m.commit.name,
                                   [&](Context& context) { return m.commit->break_lock(context, *m.session, id); });
            if (!broken) return std::move(broken).error();
            if (*broken) {
                m.caller.log(LogLevel::notice, "ended session " + id + " of the dead run, which still held the lock",
                             "reconcile");
            }
        }
        return {};
    });
}

Result<void> Rotation::undo_own_pending_commit() {
    if (!dead_ || dead_->comment.empty()) return {};
    const auto ours = [&](const MemberRun& m) { return m.state.pending && m.state.pending->comment == dead_->comment; };
    if (std::none_of(crew_.members().begin(), crew_.members().end(), ours)) return {};
    if (auto r = take_leases(); !r) return r;
    if (auto r = note_repair(); !r) return r;
    auto reverted = crew_.each([&](MemberRun& m) -> Result<void> {
        if (!ours(m)) return {};
        m.caller.log(LogLevel::warning, "reverting the unconfirmed commit of an interrupted run", "reconcile");
        return m.caller(busy_patient("revert"), m.commit.name,
                        [&](Context& context) { return m.commit->revert(context, *m.session, dead_->comment); });
    });
    leases_.release();
    if (!reverted) return reverted;
    return crew_.read_states();
}

Result<void> Rotation::note_repair() {
    const auto add_members = [&](JournalEntry& entry) {
        for (const auto& m : crew_.members()) {
            if (entry.member(m.member->device) == nullptr) entry.members.emplace_back().device = m.member->device;
        }
        note_sessions(entry);
    };
    if (dead_) {
        add_members(*dead_);
        return journal_.write(*dead_);
    }
    return note([&](JournalEntry& entry) {
        entry.run_id = shared_.run_id;
        entry.step = step_;
        add_members(entry);
    });
}

bool Rotation::dead_key_in_force() {
    if (!dead_ || dead_->ckn.empty() || dead_->members.empty() || dead_->members.front().key.empty()) return false;
    const bool chain = pipeline_.commit.rollover == Rollover::key_chain;
    return std::all_of(reconciliation_.views.begin(), reconciliation_.views.end(), [&](const KeyView& view) {
        const ConfiguredKey* key = chain ? view.active : view.pre_shared;
        return key != nullptr && key->ckn == dead_->ckn && key->cak.same_as(dead_->members.front().key);
    });
}

std::string Rotation::why_not_reuse() {
    const auto& members = crew_.members();
    if (dead_->members.size() != members.size() ||
        std::any_of(members.begin(), members.end(),
                    [&](const MemberRun& m) { return dead_->member(m.member->device) == nullptr; }) ||
        dead_->members.front().device != members.front().member->device) {
        return "the link has other members now";
    }
    if (onbox() && initiates() && dead_->generation != 0) return "its key_ID was offered in a rotation that is over";
    // A responder may have asked and not noted the answer.
    const bool asks_again = onbox() && !initiates() && dead_->members.front().key.empty();
    if (!asks_again && dead_->members.front().key.size() != cak_octets(link_.cipher))
        return "the link has another cipher now";
    auto ckn = derive_ckn(link_.name, dead_->key_id, link_.ckn_prefix);
    if (!ckn || *ckn != dead_->ckn) return "the link names its keys in another way now";
    if (pipeline_.commit.rollover == Rollover::key_chain) {
        for (const auto& reading : readings_) {
            for (const auto& key : reading.state->keys) {
                if (key.ckn == dead_->ckn)
                    return "it is in force on " + reading.device + " already, but not everywhere";
            }
        }
    }
    return {};
}

void Rotation::take_over_dead_key() {
    if (!dead_) return;
    dead_taken_ = true;
    if (dead_->key_id.empty()) {
        if (!dead_->members.empty() && dead_->members.front().asked) {
            audit("lost", "a KME was asked for a key, and the run died before the answer was known");
            crew_.caller().log(LogLevel::warning, "the dead run may have lost the answer to a request for a new key",
                               "reserve");
        }
        dead_.reset();
        return;
    }
    key_id_ = dead_->key_id;
    next_ckn_ = dead_->ckn;
    if (const std::string why = why_not_reuse(); !why.empty()) return give_up_dead_key(why);
    for (auto& m : crew_.members()) m.key = dead_->member(m.member->device)->key.clone();
    audit("resumed", "the run that minted it died; this run goes on with the key");
    crew_.caller().log(LogLevel::notice, "going on with key " + key_id_ + " of the dead run", "reserve");
}

void Rotation::give_up_dead_key(const std::string& why) {
    dead_taken_ = true;
    key_id_ = dead_->key_id;
    next_ckn_ = dead_->ckn;
    audit("unused", "not used any more: " + why);
    crew_.caller().log(LogLevel::notice, "key " + key_id_ + " of the dead run is not used: " + why, "reserve");
    key_id_.clear();
    next_ckn_.clear();
    dead_.reset();
}

Result<void> Rotation::note(const std::function<void(JournalEntry&)>& change) {
    const std::lock_guard lock(entry_mutex_);
    // Until the dead run's key is taken over or given up, it stays in the journal.
    if (!journalling_ && dead_) entry_ = copy(*dead_);
    change(entry_);
    journalling_ = true;
    return journal_.write(entry_);
}

void Rotation::note_if_possible(const std::function<void(JournalEntry&)>& change) {
    if (auto written = note(change); !written) {
        crew_.caller().log(LogLevel::error, written.error().what, to_string(step_));
    }
}

void Rotation::note_sessions(JournalEntry& entry, const MemberRun* only) {
    for (const auto& m : crew_.members()) {
        if (only != nullptr && only != &m) continue;
        JournalMember* into = entry.member(m.member->device);
        if (into == nullptr || m.session == nullptr) continue;
        const std::string id = m.session->id();
        auto& known = into->sessions;
        if (!id.empty() && std::find(known.begin(), known.end(), id) == known.end()) known.push_back(id);
    }
}

bool Rotation::audit(const char* event, const std::string& outcome, const std::string& device) {
    AuditLine line{link_.name, event, key_id_, next_ckn_, device, outcome};
    if (auto written = shared_.audit.append(line); !written) {
        crew_.caller().log(LogLevel::error, written.error().what, "audit");
        return false;
    }
    return true;
}

void Rotation::close_journal() {
    // A run that failed before it could look into what an earlier one left has resolved nothing.
    if (dead_ && !dead_taken_) return;
    if (!journalling_ && !dead_taken_) return;
    // What is not proven undone is the next run's to resolve, and it needs the journal for that.
    const bool resolved = !failure_ || proven_;
    bool accounted = true;
    if (!key_id_.empty()) {
        const std::string why = failure_ ? failure_->what : std::string{};
        switch (report_.result) {
            case LinkResult::rotated: accounted = audit("rotated", "MKA is live on it at all members"); break;
            case LinkResult::pending: accounted = audit("pending", "scheduled at all members"); break;
            case LinkResult::unchanged: break;
            case LinkResult::degraded: accounted = audit("degraded", why); break;
            case LinkResult::reverted: accounted = audit(resolved ? "reverted" : "unresolved", why); break;
            case LinkResult::failed: accounted = audit(resolved ? "unused" : "unresolved", why); break;
        }
    }
    // On-box the next run has to see whether the key came alive.
    if (onbox() && report_.result == LinkResult::pending) return;
    // The next run writes the line that has no room now; until then the journal accounts for the key.
    if (!resolved || !accounted) return;
    if (auto erased = journal_.erase(); !erased) {
        crew_.caller().log(LogLevel::error, erased.error().what, "end");
    }
}

}  // namespace qkd::engine
