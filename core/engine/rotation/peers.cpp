// Rotation on-box: this process drives one member, and the others are driven by processes of their own, which it meets only
// through the key-id-transport.
//
//   initiator: mint, offer ........ all answered: stage, commit, confirm, armed ........ all answered: verify
//   responder:       offer: fetch, rehearse, answer ........ armed: stage, commit, confirm, answer: verify
//
// Nobody holds a lock, a lease or a device's timer while it waits for another process. A key that takes effect at once (a
// pre-shared key, the first key of a link that is down) is armed before the initiator commits: it is confirmed by whoever
// sees it live, and a commit that nobody confirms goes back by itself.
#include <algorithm>
#include <array>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// The notices of a rotation are sent so long before they expire; a responder learns from it when that was.
constexpr std::chrono::seconds notice_life_time = 1h;
constexpr milliseconds poll_pause{500};
/// The waits go by the member's clock, as all do; one that stands still must not keep them up for ever.
constexpr auto clock_patience = 2min;
/// A link that has a key in force is given so long to come up before it gets another one at once.
constexpr milliseconds down_for_good = 60s;
/// How long a look at the transport may take while something else is waited for.
constexpr milliseconds glance{2000};

bool is_down(const std::vector<InterfaceMka>& mka) {
    return std::all_of(mka.begin(), mka.end(), [](const InterfaceMka& interface) {
        return interface.state == MkaState::down || interface.state == MkaState::unknown;
    });
}

/// A notice that is not there yet, or a false one, which somebody may follow up with a good one.
bool may_pass(const Error& error) {
    return error.code != ErrorCode::cancelled &&
           (error.retry == Retry::safe || error.code == ErrorCode::auth || error.code == ErrorCode::protocol);
}

}  // namespace

/// So long by the member's clock.
class Rotation::PeerWait {
  public:
    PeerWait(Rotation& rotation, milliseconds patience)
        : rotation_(rotation), at_most_(Steady::now() + patience + clock_patience) {
        auto now = rotation.read_clock(rotation.crew_.front());
        until_ = (now ? *now : rotation.crew_.front().clock.now) + patience;
    }
    [[nodiscard]] bool over() const { return rotation_.crew_.front().clock.now >= until_ || Steady::now() >= at_most_; }

  private:
    Rotation& rotation_;
    UtcMillis until_{};
    Steady::time_point at_most_;
};

bool Rotation::onbox() const {
    return !link_.peers.empty();
}

bool Rotation::initiates() const {
    return link_.members.front().role == Role::initiator;
}

bool Rotation::immediate() const {
    return pipeline_.commit.rollover == Rollover::pre_shared_key || round_ == Round::first;
}

void Rotation::judge_own_key() {
    if (reconciliation_.adopted == nullptr || !dead_ || reconciliation_.adopted->ckn != dead_->ckn) return;
    // Did the dead run know, or had it promised, that the others have the key as well?
    const bool settled =
        dead_->step == Step::verify || dead_->step == Step::persist || (!initiates() && dead_->step == Step::confirm);
    if (settled) return;
    const std::string ckn = reconciliation_.adopted->ckn;
    reconciliation_.adopted = nullptr;
    reconciliation_.withdrawals.push_back({0, ckn});
    reconciliation_.notes.push_back(crew_.front().member->device + " has scheduled key " + ckn.substr(0, 12) +
                                    "..., which the dead run had not settled with the others; it is withdrawn");
}

Rotation::Round Rotation::choose_round() {
    if (pipeline_.commit.rollover == Rollover::pre_shared_key) return Round::schedule;
    if (reconciliation_.base == nullptr || stays_down()) return Round::first;
    return has_common_fallback() ? Round::schedule : Round::fallback;
}

bool Rotation::stays_down() {
    // Half of what the others wait for the offer, at most.
    const PeerWait wait(*this, std::min(down_for_good, pipeline_.peer_wait / 2));
    for (;;) {
        if (!is_down(crew_.front().state.mka)) return false;
        if (wait.over()) return true;
        if (!shared_.pause(poll_pause, shared_.interruption.token())) return false;
        if (!crew_.connect() || !crew_.read_clocks() || !crew_.read_mka()) return false;
    }
}

bool Rotation::has_common_fallback() {
    const ConfiguredKey* fallback = reconciliation_.views.front().fallback;
    if (fallback == nullptr) return false;
    if (fallback->ckn == record_.fallback_ckn) return true;
    // What the link lives on is common, and the last thing to replace.
    const auto& mka = crew_.front().state.mka;
    return std::any_of(mka.begin(), mka.end(), [&](const InterfaceMka& interface) {
        return interface.ckn == fallback->ckn && interface.state != MkaState::down;
    });
}

Rotation::Round Rotation::round_of(const KeyIdNotice& offer) const {
    if (pipeline_.commit.rollover == Rollover::pre_shared_key) return Round::schedule;
    if (offer.start == UtcSeconds{}) return Round::fallback;
    return offer.expires - notice_life_time >= offer.start ? Round::first : Round::schedule;
}

void Rotation::begin_round(Round round) {
    round_ = round;
    groundwork_ = round == Round::fallback;
    reconciliation_.fallback = nullptr;
    reconciliation_.fallback_is_common = !groundwork_;
    reconciliation_.needs_groundwork = groundwork_;
    if (round == Round::first) reconciliation_.base = nullptr;
    reconciliation_.base_is_common = reconciliation_.base != nullptr;
    if (!groundwork_) return;
    crew_.caller().log(LogLevel::notice, "the members have no fallback in common; laying one before the new key",
                       "reserve");
}

Result<void> Rotation::settle_start_time() {
    const bool told = onbox() && notice_.start != UtcSeconds{} && (!initiates() || round_ == Round::first);
    if (!told) return choose_start_time();
    start_ = notice_.start;
    return {};
}

Result<Leases::Held> Rotation::lease_for_transport() {
    if (!transport_commits() || leases_.held()) return Leases::Held();
    // Also on the way back, which nothing interrupts.
    return shared_.devices.take(crew_.device_names(), link_.name, lease_patience(), {});
}

Result<void> Rotation::announce(NoticeKind kind, Cancel cancel) {
    auto& m = crew_.front();
    auto lease = lease_for_transport();
    if (!lease) return std::move(lease).error();
    if (auto r = crew_.reconnect(m, cancel); !r) return r;
    if (auto now = read_clock(m); now) {
        notice_.expires = std::chrono::floor<std::chrono::seconds>(*now) + notice_life_time;
    } else {
        return std::move(now).error();
    }
    notice_.kind = kind;
    ++notice_.sequence;
    if (round_ == Round::schedule && start_) notice_.start = *start_;
    progress_of(m).notice = true;
    written_ = written_ || transport_writes();
    std::vector<TransportEnd> responders;
    for (const auto& peer : link_.peers) responders.push_back({peer.device, peer.interfaces, nullptr});
    return m.caller(crew_.spec(StageKind::key_id_transport, "announce", cancel), m.transport.name,
                    [&](Context& context) { return m.transport->announce(context, end_of(m), responders, notice_); });
}

Result<void> Rotation::answer() {
    auto& m = crew_.front();
    auto lease = lease_for_transport();
    if (!lease) return std::move(lease).error();
    progress_of(m).notice = true;
    written_ = written_ || transport_writes();
    return m.caller(crew_.spec(StageKind::key_id_transport, "acknowledge"), m.transport.name,
                    [&](Context& context) { return m.transport->acknowledge(context, end_of(m), notice_); });
}

Rotation::Ended Rotation::lead_peers() {
    if (auto r = crew_.connect(); !r) return std::move(r).error();
    const Round round = choose_round();
    auto pair_lease = take_sae_pairs();
    if (!pair_lease) return std::move(pair_lease).error();
    if (auto r = crew_.connect(); !r) return std::move(r).error();
    begin_round(round);
    if (auto r = choose_start_time(); !r) return std::move(r).error();
    if (auto r = take_key(); !r) return std::move(r).error();
    fill_key();
    notice_ = KeyIdNotice{};
    notice_.link = link_.name;
    notice_.generation = next_generation();
    notice_.key_ids = {key_id_};
    notice_.sender = crew_.front().member->device;
    if (round_ == Round::first) notice_.start = std::chrono::floor<std::chrono::seconds>(crew_.front().clock.now);
    if (immediate()) start_.reset();
    record_.generation = notice_.generation;
    // An answer to an earlier notice must never pass for one to this.
    if (auto r = save_record(Cancel::allowed); !r) return std::move(r).error();
    if (auto r = note([&](JournalEntry& entry) { entry.generation = notice_.generation; }); !r)
        return std::move(r).error();
    if (auto r = announce(NoticeKind::offer, Cancel::allowed); !r) return std::move(r).error();
    pair_lease->release();
    if (auto r = await_answers(); !r) return std::move(r).error();
    if (!immediate()) return Outcome::done;
    // From here on the others wait for this device.
    if (auto r = take_leases(); !r) return std::move(r).error();
    if (auto r = announce(NoticeKind::armed, Cancel::allowed); !r) return std::move(r).error();
    return Outcome::done;
}

Result<void> Rotation::await_answers() {
    auto& m = crew_.front();
    std::vector<TransportEnd> responders;
    for (const auto& peer : link_.peers) responders.push_back({peer.device, peer.interfaces, nullptr});
    const bool armed = notice_.kind == NoticeKind::armed;
    crew_.caller().log(LogLevel::info,
                       std::string("waiting for the others to answer the ") + (armed ? "armed notice" : "offer"),
                       "acknowledgements");
    const bool bounded = armed && start_;
    // Time for two ways back, one after the other: here, then there.
    const milliseconds two_ways_back = 2 * std::max(commit_time(), pipeline_.commit.assumed_commit) + 5s;
    const PeerWait wait(*this, pipeline_.peer_wait);
    std::vector<std::string> missing;
    for (;;) {
        if (auto r = crew_.connect(); !r) return r;
        if (auto r = crew_.read_clocks(); !r) return r;
        CallSpec spec = crew_.spec(StageKind::key_id_transport, "acknowledgements");
        spec.timeout = std::min(spec.timeout, bounded ? glance : pipeline_.peer_wait);
        spec.retry.attempts = 1;
        spec.quiet = true;
        auto answered = m.caller(spec, m.transport.name, [&](Context& context) {
            return m.transport->acknowledgements(context, end_of(m), responders, notice_);
        });
        if (!answered && !may_pass(answered.error())) return std::move(answered).error();
        missing.clear();
        for (const auto& peer : link_.peers) {
            const bool has = answered && std::find(answered->begin(), answered->end(), peer.device) != answered->end();
            if (!has) missing.push_back(peer.device);
        }
        if (missing.empty()) return {};
        const bool too_late = bounded && !before_start(two_ways_back);
        if (too_late || wait.over()) {
            // Perhaps one of them could not go on from what it has: the next rotation begins with a new fallback.
            if (!too_late) record_.fallback_ckn.clear();
            if (auto saved = save_record(Cancel::never); !saved) return saved;
            std::string list;
            for (const auto& device : missing) list += (list.empty() ? "" : ", ") + device;
            return Error{ErrorCode::timeout, Retry::safe,
                         "link " + link_.name + ": no answer from " + list + " to the " +
                             (armed ? "word that the key is armed" : "new key_ID") +
                             (answered ? std::string() : " (" + answered.error().what + ")"),
                         "see whether `qkd-macsec run --as " + missing.front() +
                             "` runs there and what it says; both must run at the same time, within `wait` of the "
                             "key-id-transport stage"};
        }
        if (!shared_.pause(poll_pause, shared_.interruption.token()))
            return Error{ErrorCode::cancelled, Retry::safe, "interrupted while waiting for " + missing.front(),
                         "run again when ready"};
    }
}

Result<KeyIdNotice> Rotation::receive(NoticeMark after, milliseconds timeout, bool judge_expiry) {
    auto& m = crew_.front();
    if (auto r = crew_.connect(); !r) return std::move(r).error();
    if (auto r = crew_.read_clocks(); !r) return std::move(r).error();
    CallSpec spec = crew_.spec(StageKind::key_id_transport, "receive");
    spec.timeout = std::min(spec.timeout, timeout);
    spec.retry.attempts = 1;
    spec.quiet = true;
    spec.look = true;
    const UtcSeconds now = judge_expiry ? std::chrono::floor<std::chrono::seconds>(m.clock.now) : UtcSeconds{};
    return m.caller(spec, m.transport.name, [&](Context& context) {
        return m.transport->receive(context, end_of(m), link_.name, NoticeFilter{after, link_.initiator().device, now});
    });
}

Result<KeyIdNotice> Rotation::await_notice(NoticeMark after, milliseconds patience,
                                           const std::function<bool(const KeyIdNotice&)>& wanted) {
    const PeerWait wait(*this, patience);
    for (;;) {
        auto notice = receive(after, patience, true);
        if (notice && wanted(*notice)) return notice;
        if (notice) {
            after = notice->mark();
            continue;
        }
        const Error& error = notice.error();
        if (!may_pass(error)) return notice;
        if (wait.over()) return notice;
        if (!shared_.pause(poll_pause, shared_.interruption.token()))
            return Error{ErrorCode::cancelled, Retry::safe, "interrupted while waiting for a notice",
                         "run again when ready"};
    }
}

Rotation::Ended Rotation::follow() {
    auto& m = crew_.front();
    if (auto r = crew_.connect(); !r) return std::move(r).error();
    // A run that died with a key in hand takes that very notice up again.
    const bool resumes = dead_ && dead_->generation != 0 && dead_->members.size() == 1 && dead_->members.front().asked;
    const NoticeMark seen = resumes ? NoticeMark(dead_->generation, 0) : NoticeMark(record_.generation);
    crew_.caller().log(LogLevel::info, "waiting for a new key_ID from " + link_.initiator().device, "receive");
    auto offer = await_notice(seen, pipeline_.peer_wait, [&](const KeyIdNotice& notice) {
        const bool again = resumes && notice.generation == dead_->generation && notice.kind == NoticeKind::armed;
        return notice.kind == NoticeKind::offer || again;
    });
    if (!offer) return no_news(std::move(offer).error());
    notice_ = std::move(*offer);
    if (auto r = take_offer(); !r) return std::move(r).error();
    {
        auto pair_lease = take_sae_pairs();
        if (!pair_lease) return std::move(pair_lease).error();
        if (auto r = fetch(); !r) return std::move(r).error();
    }
    fill_key();
    if (auto r = rehearse(); !r) return std::move(r).error();
    if (notice_.kind == NoticeKind::armed) return Outcome::done;
    if (auto r = answer(); !r) return std::move(r).error();

    crew_.caller().log(LogLevel::info, "waiting until " + link_.initiator().device + " arms the key", "receive");
    // The initiator waits for all answers as long as that, and then for its own device.
    const milliseconds patience = 2 * pipeline_.peer_wait + pipeline_.commit.confirm + lead();
    auto next = await_notice(notice_.mark(), patience, [](const KeyIdNotice&) { return true; });
    if (!next) {
        Error error = std::move(next).error();
        if (error.code != ErrorCode::not_found) return error;
        return Error{ErrorCode::timeout, Retry::safe,
                     "link " + link_.name + ": " + link_.initiator().device + " did not arm key " + key_id_,
                     "see what `qkd-macsec run --as " + link_.initiator().device + "` says there"};
    }
    if (next->generation != notice_.generation) {
        crew_.caller().log(LogLevel::notice, link_.initiator().device + " began anew with another key", "receive");
        audit("unused", "the initiator began anew with another key");
        key_id_.clear();
        next_ckn_.clear();
        m.key.clear();
        dead_.reset();
        return Outcome::superseded;
    }
    if (next->kind == NoticeKind::withdrawn || next->key_ids != notice_.key_ids) {
        return Error{ErrorCode::conflict, Retry::safe,
                     "link " + link_.name + ": " + link_.initiator().device + " withdrew key " + key_id_,
                     "see what `qkd-macsec run --as " + link_.initiator().device + "` says there"};
    }
    notice_ = std::move(*next);
    return Outcome::done;
}

Result<void> Rotation::take_offer() {
    auto& m = crew_.front();
    if (notice_.key_ids.size() != 1) {
        return Error{ErrorCode::protocol, Retry::never,
                     "link " + link_.name + ": " + notice_.sender + " offers " +
                         std::to_string(notice_.key_ids.size()) + " keys at once",
                     "let all members run the same version of qkd-macsec"};
    }
    const UtcSeconds sent = notice_.expires - notice_life_time;
    const auto ahead = std::chrono::duration_cast<milliseconds>(sent - (m.clock.now + m.clock.resolution));
    if (ahead > pipeline_.commit.max_clock_skew + 1s) {  // a second for the rounding of what was sent
        return Error{ErrorCode::conflict, Retry::safe,
                     "link " + link_.name + ": the clock of " + notice_.sender + " is at least " + seconds_text(ahead) +
                         " ahead of that of " + m.member->device + " (max_clock_skew is " +
                         seconds_text(pipeline_.commit.max_clock_skew) + ")",
                     "let both devices follow the same NTP server, see `show ntp status` on them, then run again"};
    }
    begin_round(round_of(notice_));
    const bool lost_fallback = round_ == Round::schedule && pipeline_.commit.rollover == Rollover::key_chain &&
                               reconciliation_.views.front().active != nullptr && !has_common_fallback();
    if (lost_fallback) {
        record_.generation = notice_.generation;
        if (auto r = save_record(Cancel::never); !r) return r;
        return Error{ErrorCode::conflict, Retry::safe,
                     "device " + m.member->device + " does not have the fallback key that the members agreed on",
                     "run again: without an answer from here " + notice_.sender + " lays a new one first"};
    }
    if (dead_ && !dead_->key_id.empty() && dead_->key_id != notice_.key_ids.front())
        give_up_dead_key(notice_.sender + " offers another one");
    if (dead_) take_over_dead_key();
    key_id_ = notice_.key_ids.front();
    auto ckn = derive_ckn(link_.name, key_id_, link_.ckn_prefix);
    if (!ckn) return std::move(ckn).error();
    next_ckn_ = std::move(*ckn);
    if (auto r = begin_entry(false); !r) return r;
    record_.generation = notice_.generation;
    if (auto r = note([&](JournalEntry& entry) { entry.generation = notice_.generation; }); !r) return r;
    return save_record(Cancel::allowed);
}

Rotation::Ended Rotation::no_news(Error error) {
    if (error.code != ErrorCode::not_found) return error;
    auto& m = crew_.front();
    const KeyView& own = reconciliation_.views.front();
    const ConfiguredKey* active = own.active != nullptr ? own.active : own.pre_shared;
    const auto last = receive(NoticeMark(0, 0), glance, false);
    // What is left of the last notice differs from one transport to the next; the memory is as good.
    const std::string known = last && !last->key_ids.empty() ? last->key_ids.front() : record_.key_id;
    if (active != nullptr && !known.empty()) {
        auto ckn = derive_ckn(link_.name, known, link_.ckn_prefix);
        if (ckn && *ckn != active->ckn) ckn = record_.ckn;
        if (ckn && *ckn == active->ckn) {
            key_id_ = *ckn == record_.ckn && !record_.key_id.empty() ? record_.key_id : known;
            next_ckn_ = active->ckn;
            if (active->start) start_ = active->start;
            fill_key();
            if (!m.check_key_id) {
                if (auto same = compare_with_kme(*active); !same) return std::move(same).error();
            }
            report_.result = LinkResult::unchanged;
            m.caller.log(LogLevel::notice,
                         "no new key_ID from " + link_.initiator().device + ": the link stays on key " + key_id_,
                         "receive");
            return Outcome::unchanged;
        }
    }
    return Error{ErrorCode::timeout, Retry::safe,
                 "link " + link_.name + ": no new key_ID from " + link_.initiator().device + " (" + error.what + ")",
                 "see whether `qkd-macsec run --as " + link_.initiator().device +
                     "` runs there and what it says; both must run at the same time, within `wait` of the "
                     "key-id-transport stage"};
}

Result<void> Rotation::compare_with_kme(const ConfiguredKey& active) {
    auto& m = crew_.front();
    FetchRequest request;
    request.peer_sae = link_.initiator().sae;
    request.ids = {key_id_};
    request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
    CallSpec spec = crew_.spec(StageKind::key_source, "fetch");
    spec.retry.attempts = 1;
    auto keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
    if (!keys) {
        // Most KMEs hand a key out once.
        m.caller.log(LogLevel::info, "the KME does not show key " + key_id_ + " again: " + keys.error().what, "fetch");
        for (auto& stage : m.report->stages) {
            if (stage.kind == StageKind::key_source) stage.error.reset();
        }
        return {};
    }
    if (keys->size() != 1) return bad_keys(m, "fetch");
    if (active.cak.empty() || keys->front().bytes.same_as(active.cak)) return {};
    return Error{ErrorCode::conflict, Retry::safe,
                 "kme " + m.member->kme + " has another key under key_ID " + key_id_ + " than device " +
                     m.member->device + " runs on",
                 "tell the KME's operator the key_ID; the next rotation brings both to a new key"};
}

Result<void> Rotation::rehearse() {
    if (auto r = take_leases(); !r) return r;
    if (auto r = crew_.connect(); !r) return r;
    if (auto r = settle_start_time(); !r) return r;
    if (auto r = make_changes(); !r) return r;
    auto& m = crew_.front();
    progress_of(m).staged = true;
    auto staged = m.caller(busy_patient("rehearse"), m.commit.name, [&](Context& context) {
        return m.commit->stage(context, *m.session, m.target, changes_.front());
    });
    if (!staged) return staged;
    auto discarded = m.caller(busy_patient("discard"), m.commit.name,
                              [&](Context& context) { return m.commit->discard(context, *m.session); });
    if (!discarded) return discarded;
    progress_of(m).staged = false;
    leases_.release();
    return {};
}

Result<void> Rotation::settle_with_peers() {
    leases_.release();
    if (initiates() && !immediate()) {
        if (auto r = announce(NoticeKind::armed, Cancel::allowed); !r) return r;
        auto answered = await_answers();
        // Too late to take it away everywhere: whether the others have it, the start-time will show.
        if (!answered && start_ && !before_start()) {
            crew_.caller().log(LogLevel::warning, answered.error().what, "confirm");
            unanswered_ = answered.error();
        } else if (!answered) {
            return answered;
        }
    }
    if (groundwork_) {
        record_.fallback_ckn = next_ckn_;
        audit("fallback", "a key that all members hold in reserve");
        if (auto saved = save_record(Cancel::never); !saved) return saved;
    }
    if (initiates()) return {};
    // It may have got there although the call failed. Without it the initiator withdraws, and says so.
    if (auto answered = answer(); !answered)
        crew_.caller().log(LogLevel::warning, answered.error().what, "acknowledge");
    return {};
}

void Rotation::end_groundwork() {
    key_id_.clear();
    next_ckn_.clear();
    crew_.front().key.clear();
    minted_at_.reset();
    dead_.reset();
    fill_key();
}

bool Rotation::heed_withdrawal() {
    if (!onbox() || initiates() || notice_.generation == 0) return false;
    auto notice = receive(notice_.mark(), glance, true);
    if (!notice || notice->kind != NoticeKind::withdrawn || notice->generation != notice_.generation) return false;
    abandon_ = true;
    return true;
}

bool Rotation::lives_on_another_key() {
    const auto& mka = crew_.front().state.mka;
    return std::any_of(mka.begin(), mka.end(), [&](const InterfaceMka& interface) {
        return interface.state != MkaState::down && interface.state != MkaState::unknown && !interface.ckn.empty() &&
               interface.ckn != next_ckn_;
    });
}

void Rotation::abandon() {
    // What was adopted is ours to take away as well, or this would be no exit.
    abandon_ = true;
    withdraw_ = true;
    auto& progress = progress_of(crew_.front());
    progress.committed = progress.confirmed = true;
    written_ = true;
}

Result<void> Rotation::say_withdrawn() {
    auto& progress = progress_of(crew_.front());
    if (!progress.notice) return {};
    auto said = announce(NoticeKind::withdrawn, Cancel::never);
    if (said) progress.notice = false;
    return said;
}

}  // namespace qkd::engine
