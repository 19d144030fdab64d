// Rotation: stage, commit confirmed, read back, confirm.
#include <algorithm>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// First keys start this long before the moment they are written.
constexpr auto first_key_age = 24h;
constexpr std::size_t remembered_ckns = 16;

}  // namespace

Result<void> Rotation::stage() {
    if (auto r = take_leases(); !r) return r;
    // Waiting for the devices' turn may have taken its time: sessions may be gone, and the start-time must be ahead by the lead.
    if (auto r = crew_.connect(); !r) return r;
    if (auto r = gate_clocks(); !r) return r;
    if (auto r = settle_start_time(); !r) return r;
    comment_ = "qkd-macsec " + link_.name + " " + shared_.run_id + (groundwork_ ? " fallback" : "");
    if (auto r = make_changes(); !r) return r;
    fill_key();
    if (auto r = remember_intent(); !r) return r;
    const auto read_before = crew_.copy_keys();
    auto staged = crew_.each([&](MemberRun& m) -> Result<void> {
        progress_of(m).staged = true;  // also when the call fails: the undo is harmless where nothing is staged
        return m.caller(busy_patient("stage"), m.commit.name, [&](Context& context) {
            return m.commit->stage(context, *m.session, m.target, changes_[index_of(m)]);
        });
    });
    if (!staged) return staged;
    return check_unmoved(read_before);
}

Result<void> Rotation::check_unmoved(const std::vector<std::vector<ConfiguredKey>>& before) {
    return crew_.each([&](MemberRun& m) -> Result<void> {
        auto read = read_member(m);
        if (!read) return read;
        const auto& then = before[index_of(m)];
        const auto& now = m.state.keys;
        const bool same = std::equal(then.begin(), then.end(), now.begin(), now.end(),
                                     [](const ConfiguredKey& a, const ConfiguredKey& b) {
                                         return a.place == b.place && a.start == b.start && same_key(a, b);
                                     });
        if (same) return {};
        return Error{ErrorCode::conflict, Retry::safe,
                     "device " + m.member->device + ": its keys changed between reading and locking it",
                     "somebody else works on the same link; see `show system commit` there, then run again"};
    });
}

Result<void> Rotation::make_changes() {
    const std::size_t octets = cak_octets(link_.cipher);
    if (reconciliation_.base == nullptr && !onbox()) {
        auto key = random_key(octets);
        if (!key) return std::move(key).error();
        first_key_ = std::move(*key);
    }
    fallback_is_fresh_ = reconciliation_.fallback == nullptr;
    if (const ConfiguredKey* ours = reconciliation_.fallback; ours != nullptr) {
        fallback_key_ = {ours->ckn, ours->cak.clone()};
    } else if (onbox()) {
        // Random keys would not be the others'.
        fallback_key_ = groundwork_ ? RandomKey{next_ckn_, crew_.front().key.clone()} : RandomKey{};
    } else if (reconciliation_.needs_groundwork || !reconciliation_.fallback_is_common) {
        auto key = random_key(octets);
        if (!key) return std::move(key).error();
        fallback_key_ = std::move(*key);
    }
    ChangeKeys keys;
    if (!groundwork_) keys.next = {next_ckn_, &crew_.front().key, start_};
    // The base key lives in a member's state, which is read anew before the change is over: hence the copy.
    base_.ckn = reconciliation_.base != nullptr ? reconciliation_.base->ckn : first_key_.ckn;
    base_.cak = reconciliation_.base != nullptr ? reconciliation_.base->cak.clone() : first_key_.cak.clone();
    keys.base = {base_.ckn, &base_.cak, std::nullopt};
    keys.base.start = *start_ - first_key_age;
    keys.fallback = {fallback_key_.ckn, &fallback_key_.cak, std::nullopt};
    if (immediate() || groundwork_) start_.reset();
    changes_.clear();
    for (std::size_t i = 0; i < readings_.size(); ++i) {
        changes_.push_back(make_change(reconciliation_, readings_, i, pipeline_.commit.rollover, keys, record_.own_ckns,
                                       crew_.members()[i].edits.get()));
        if (!onbox()) continue;
        auto& change = changes_.back();
        std::erase_if(change.add_to_chain, [](const NamedKey& key) { return key.ckn.empty(); });
        if (change.fallback && change.fallback->ckn.empty()) change.fallback.reset();
    }
    return {};
}

Result<void> Rotation::remember_intent() {
    const auto add = [&](const std::string& ckn) {
        auto& own = record_.own_ckns;
        if (ckn.empty() || std::find(own.begin(), own.end(), ckn) != own.end()) return;
        own.insert(own.begin(), ckn);
    };
    for (const auto& change : changes_) {
        for (const auto& key : change.add_to_chain) add(key.ckn);
        if (change.fallback) add(change.fallback->ckn);
    }
    add(next_ckn_);
    // The oldest go first, but never one that still stands on a device: it could not be told from somebody else's any more.
    auto& own = record_.own_ckns;
    const auto on_a_device = [&](const std::string& ckn) {
        return std::any_of(readings_.begin(), readings_.end(), [&](const MemberReading& reading) {
            return std::any_of(reading.state->keys.begin(), reading.state->keys.end(),
                               [&](const ConfiguredKey& key) { return key.ckn == ckn; });
        });
    };
    for (auto at = own.size(); at-- > 1 && own.size() > remembered_ckns;) {
        if (!on_a_device(own[at])) own.erase(own.begin() + static_cast<std::ptrdiff_t>(at));
    }
    record_.generation = std::max(record_.generation, notice_.generation);
    if (!groundwork_) {
        record_.pending_key_id = key_id_;
        record_.pending_ckn = next_ckn_;
    }
    auto noted = note([&](JournalEntry& entry) {
        entry.run_id = shared_.run_id;
        entry.generation = notice_.generation;
        entry.comment = comment_;
        for (const auto& m : crew_.members()) {
            if (entry.member(m.member->device) == nullptr) entry.members.emplace_back().device = m.member->device;
        }
        entry.start = start_;
        entry.own_ckns.clear();
        for (const auto& change : changes_) {
            const auto note_own = [&](const std::string& ckn) {
                auto& all = entry.own_ckns;
                if (std::find(all.begin(), all.end(), ckn) == all.end()) all.push_back(ckn);
            };
            for (const auto& key : change.add_to_chain) note_own(key.ckn);
            if (change.fallback) note_own(change.fallback->ckn);
        }
        note_sessions(entry);
    });
    if (!noted) return noted;
    return save_record(Cancel::allowed);
}

Result<void> Rotation::commit() {
    // The figures below are the devices' own: before the commit, so that the timer ends no earlier than reckoned.
    if (auto r = crew_.read_clocks(); !r) return r;
    if (start_) {
        const auto left = *start_ - latest_clock();
        // The device's timer must end before the start-time however long the commit takes, and leave time to withdraw.
        const milliseconds needed = pipeline_.commit.confirm + commit_time();
        if (left < needed) {
            return Error{ErrorCode::timeout, Retry::safe,
                         "link " + link_.name + ": staging took so long that only " +
                             seconds_text(std::chrono::duration_cast<milliseconds>(left)) +
                             " are left until the start-time (" + seconds_text(needed) + " are needed)",
                         "give the commit stage a longer lead"};
        }
    }
    commit_clocks_.clear();
    for (const auto& m : crew_.members()) commit_clocks_.push_back(m.clock.now);

    std::vector<Steady::time_point> acknowledged(crew_.members().size());
    auto committed = crew_.each([&](MemberRun& m) -> Result<void> {
        progress_of(m).committed = true;
        written_ = true;
        // Once one member commits, the others must too or all go back: no interruption in the middle.
        CallSpec spec = crew_.spec(StageKind::commit, "commit-confirmed", Cancel::never);
        spec.retry.attempts = 1;
        auto done = m.caller(spec, m.commit.name, [&](Context& context) {
            return m.commit->commit_confirmed(context, *m.session, pipeline_.commit.confirm, comment_);
        });
        acknowledged[index_of(m)] = Steady::now();
        if (!done && done.error().code == ErrorCode::unknown_outcome) return find_out_commit(m);
        return done;
    });
    if (!committed) return committed;
    measure_commit();
    const auto [first, last] = std::minmax_element(acknowledged.begin(), acknowledged.end());
    report_.out_of_sync_ms = std::chrono::duration<double, std::milli>(*last - *first).count();
    if (auto r = interrupted("after the commit"); !r) return r;
    return read_back("read-back");
}

void Rotation::measure_commit() {
    if (auto r = crew_.read_clocks(Cancel::never); !r) return;  // what comes next says what is wrong
    milliseconds longest{0};
    for (auto& m : crew_.members()) {
        longest = std::max(longest, std::chrono::duration_cast<milliseconds>(m.clock.now + m.clock.resolution -
                                                                             commit_clocks_[index_of(m)]));
    }
    record_.commit_time = std::max(longest, record_.commit_time * 3 / 4);
}

Result<void> Rotation::find_out_commit(MemberRun& m) {
    m.caller.log(LogLevel::warning, "the answer to the commit was lost; reading back what happened",
                 "commit-confirmed");
    if (auto r = renew_session(m); !r) return r;
    auto state = read_member(m);
    if (!state) return std::move(state).error();
    if (m.state.pending && m.state.pending->comment == comment_) return {};
    return Error{ErrorCode::conflict, Retry::safe,
                 "device " + m.member->device + " did not make the commit whose answer was lost", "run again"};
}

Result<void> Rotation::read_member(MemberRun& m) {
    auto state = m.caller(crew_.spec(StageKind::commit, "read-back", Cancel::never), m.commit.name,
                          [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
    if (!state) return std::move(state).error();
    m.state = std::move(*state);
    return {};
}

Result<void> Rotation::read_back(const char* when) {
    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (auto r = read_member(m); !r) return r;
        const std::string missing = missing_after(m.state, changes_[index_of(m)]);
        if (missing.empty()) return {};
        return Error{ErrorCode::conflict, Retry::safe, "device " + m.member->device + ", " + when + ": " + missing,
                     "somebody else may have changed the device; look at `show system commit` there"};
    });
}

Rotation::Ended Rotation::confirm() {
    if (immediate()) {
        if (auto r = wait_until_live(Cancel::allowed); !r) return std::move(r).error();
    }
    // A clock that jumped after the first look would change key at another moment than the others.
    if (auto r = gate_clocks(); !r) return std::move(r).error();
    if (auto r = check_confirm_in_time(); !r) return std::move(r).error();
    if (auto r = interrupted("before the confirm"); !r) return std::move(r).error();
    auto confirmed = crew_.each([&](MemberRun& m) -> Result<void> {
        progress_of(m).confirmed = true;
        auto done = m.caller(confirm_spec(), m.commit.name,
                             [&](Context& context) { return m.commit->confirm(context, *m.session, comment_); });
        if (!done && done.error().code == ErrorCode::unknown_outcome) return find_out_confirm(m);
        return done;
    });
    if (!confirmed) return std::move(confirmed).error();
    if (auto r = read_back("after the confirm"); !r) return std::move(r).error();
    for (auto& m : crew_.members()) {
        if (m.state.pending) {
            return Error{ErrorCode::conflict, Retry::safe,
                         "device " + m.member->device + " still has an unconfirmed commit after the confirm",
                         "run again"};
        }
    }
    (void)crew_.each([&](MemberRun& m) -> Result<void> {
        auto released = m.caller(crew_.spec(StageKind::commit, "release", Cancel::never), m.commit.name,
                                 [&](Context& context) { return m.commit->release(context, *m.session); });
        if (released) {
            progress_of(m).staged = false;
        } else {
            m.caller.log(LogLevel::warning, "the lock could not be released: " + released.error().what, "release");
            m.session.reset();  // the device frees the lock with the session
            return crew_.reconnect(m, Cancel::never);
        }
        return {};
    });
    if (onbox()) {
        if (auto r = settle_with_peers(); !r) return std::move(r).error();
    }
    if (!groundwork_) return Outcome::done;
    if (onbox()) end_groundwork();
    // What stands now is as good as what stood before, and better to build on: nothing of it is undone later.
    leases_.release();
    progress_.assign(progress_.size(), Progress{});
    return Outcome::groundwork;
}

CallSpec Rotation::confirm_spec() const {
    CallSpec spec = crew_.spec(StageKind::commit, "confirm", Cancel::never);
    spec.retry.attempts = 1;
    // The lock of a session of ours that broke may take a moment to fall.
    spec.wait_out = ErrorCode::busy;
    spec.patience = spec.timeout;
    return spec;
}

Result<void> Rotation::renew_session(MemberRun& m) {
    m.session_is_doubtful = true;
    if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
    note_if_possible([&](JournalEntry& entry) { note_sessions(entry, &m); });
    return {};
}

Result<void> Rotation::find_out_confirm(MemberRun& m) {
    m.caller.log(LogLevel::warning, "the answer to the confirm was lost; reading back what happened", "confirm");
    if (auto r = renew_session(m); !r) return r;
    if (auto r = read_member(m); !r) return r;
    if (!m.state.pending || m.state.pending->comment != comment_)
        return {};  // the read-back of all members tells the rest
    auto now = read_clock(m);
    if (!now) return std::move(now).error();
    if (*now > commit_clocks_[index_of(m)] + pipeline_.commit.confirm - confirm_margin) {
        return Error{ErrorCode::timeout, Retry::safe,
                     "device " + m.member->device + " did not get the confirm, and its timer is about to end",
                     "run again"};
    }
    return m.caller(confirm_spec(), m.commit.name,
                    [&](Context& context) { return m.commit->confirm(context, *m.session, comment_); });
}

Result<void> Rotation::check_confirm_in_time() {
    for (auto& m : crew_.members()) {
        const auto ends = commit_clocks_[index_of(m)] + pipeline_.commit.confirm;
        const bool timer_near = m.clock.now + m.clock.resolution > ends - confirm_margin;
        const bool start_near = start_ && m.clock.now + m.clock.resolution + 1s > *start_;
        if (!timer_near && !start_near) continue;
        return Error{ErrorCode::timeout, Retry::safe,
                     "device " + m.member->device + ": it took too long from the commit to its confirm",
                     timer_near ? "give the commit stage a longer confirm" : "give the commit stage a longer lead"};
    }
    return {};
}

}  // namespace qkd::engine
