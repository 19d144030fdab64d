// Rotation: mint a key, carry its ID across, fetch it at the other ends. No device's MACsec is touched.
#include <algorithm>
#include <array>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
constexpr auto notice_life_time = 10min;
constexpr milliseconds ask_again_pause{500};

/// A defect of ours or of a plugin, or an interruption, says nothing about the KME.
bool is_kme_loss(const Error& error) {
    return error.code != ErrorCode::cancelled && error.code != ErrorCode::internal && error.code != ErrorCode::config;
}

}  // namespace

Rotation::Ended Rotation::reserve() {
    if (onbox()) return initiates() ? lead_peers() : follow();
    // Devices before SAE pairs, everywhere: nobody waits the other way round.
    if (transport_commits()) {
        if (auto r = take_leases(); !r) return std::move(r).error();
    }
    auto pair_lease = take_sae_pairs();
    if (!pair_lease) return std::move(pair_lease).error();

    if (auto r = crew_.connect(); !r) return std::move(r).error();
    if (auto r = choose_start_time(); !r) return std::move(r).error();
    if (auto r = take_key(); !r) return std::move(r).error();
    if (auto r = hand_over_key_id(); !r) return std::move(r).error();
    if (auto r = fetch(); !r) {
        if (!key_gone_ || minted_twice_) return std::move(r).error();
        // Both ends of a lost answer: the key is used up, and nobody can use it. Another one, once.
        minted_twice_ = true;
        key_gone_ = false;
        audit("lost", r.error().what);
        crew_.caller().log(LogLevel::warning, "key " + key_id_ + " is gone with a lost answer; taking a new one",
                           "fetch");
        if (auto retracted = retract_notices(); !retracted) return std::move(retracted).error();
        key_id_.clear();
        next_ckn_.clear();
        dead_.reset();
        for (auto& m : crew_.members()) m.key.clear();
        lost_kme_ = false;
        minted_at_.reset();
        return Outcome::key_gone;
    }
    if (auto r = compare_keys(); !r) return std::move(r).error();
    if (auto r = acknowledge(); !r) return std::move(r).error();
    return Outcome::done;
}

Result<Leases::Held> Rotation::take_sae_pairs() {
    std::vector<std::string> pairs;
    for (const auto* responder : link_.responders()) pairs.push_back(link_.initiator().sae + " > " + responder->sae);
    return shared_.sae_pairs.take(pairs, link_.name, pair_patience(), shared_.interruption.token());
}

Result<void> Rotation::begin_entry(bool asks) {
    return note([&](JournalEntry& entry) {
        std::vector<JournalMember> known = std::move(entry.members);
        entry = JournalEntry{};
        entry.run_id = shared_.run_id;
        entry.step = Step::reserve;
        entry.rollover = pipeline_.commit.rollover;
        entry.key_id = key_id_;
        entry.ckn = next_ckn_;
        for (const auto& m : crew_.members()) {
            JournalMember& into = entry.members.emplace_back();
            into.device = m.member->device;
            into.key = m.key.clone();
            for (auto& before : known) {
                if (before.device == into.device) into.sessions = std::move(before.sessions);
            }
            if (const JournalMember* left = dead_ ? dead_->member(into.device) : nullptr; left != nullptr) {
                into.asked = left->asked;
                into.maybe_consumed = left->maybe_consumed;
            }
        }
        if (asks) entry.members.front().asked = true;
    });
}

Result<void> Rotation::take_key() {
    take_over_dead_key();
    if (auto begun = begin_entry(true); !begun) return begun;
    if (!key_id_.empty()) return {};
    return mint();
}

milliseconds Rotation::commit_time() const {
    return engine::commit_time(pipeline_.commit, record_.commit_time);
}

milliseconds Rotation::lead() const {
    const auto lead = lead_of(pipeline_.commit, record_.commit_time);
    // The responders commit after the initiator, not beside it.
    return onbox() && !pipeline_.commit.lead ? lead + 2 * commit_time() : lead;
}

Result<void> Rotation::check_times() {
    const auto& policy = pipeline_.commit;
    if (record_.commit_time == 0ms) return {};  // `check` looked at what is assumed
    const milliseconds confirm = policy.confirm;
    const bool confirm_fits = confirm >= commit_time() + confirm_margin;
    const milliseconds least = confirm + (onbox() ? 3 : 1) * commit_time() + policy.max_clock_skew;
    const bool lead_fits = policy.rollover != Rollover::key_chain || !policy.lead || *policy.lead >= least;
    if (confirm_fits && lead_fits) return {};
    const milliseconds measured = commit_time();
    // One slow commit must not stop a link for ever: the figure fades with every refusal.
    record_.commit_time = record_.commit_time * 3 / 4;
    if (auto r = save_record(Cancel::never); !r) return r;
    return Error{ErrorCode::config, Retry::safe,
                 "link " + link_.name + ": a commit was measured to take " + seconds_text(measured) +
                     " on these devices, for which " +
                     (confirm_fits ? "the lead of " + seconds_text(*policy.lead) + " is too short (" +
                                         seconds_text(least) + " at least)"
                                   : "a confirm of " + seconds_text(confirm) + " is too short"),
                 confirm_fits ? "give the commit stage a longer lead, or leave lead out"
                              : "give the commit stage a longer confirm"};
}

Result<void> Rotation::choose_start_time() {
    // Read again: certificates may have taken their time since the gate.
    if (auto r = crew_.read_clocks(); !r) return r;
    std::vector<ClockReading> clocks;
    for (const auto& m : crew_.members()) clocks.push_back(m.clock);
    start_ = choose_start(clocks, lead());
    return {};
}

Result<void> Rotation::mint() {
    auto& m = crew_.front();
    MintRequest request;
    request.count = 1;
    request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
    for (const auto* other : link_.responders()) {
        if (request.peer_sae.empty()) {
            request.peer_sae = other->sae;
        } else {
            request.additional_saes.push_back(other->sae);
        }
    }
    auto keys = m.caller(crew_.spec(StageKind::key_source, "mint"), m.source.name, [&](Context& context) {
        auto minted = m.source->mint(context, request);
        if (!minted && minted.error().maybe_consumed) {
            audit("lost", "kme " + m.member->kme + ": " + minted.error().what);
        }
        return minted;
    });
    if (!keys) {
        if (keys.error().code == ErrorCode::auth) conclude_certificate(m, false);
        lost_kme_ = is_kme_loss(keys.error());
        return std::move(keys).error();
    }
    if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits || keys->front().id.empty()) {
        return bad_keys(m, "mint");
    }
    conclude_certificate(m, true);
    minted_at_ = Steady::now();
    key_id_ = keys->front().id;
    m.key = std::move(keys->front().bytes);
    auto ckn = derive_ckn(link_.name, key_id_, link_.ckn_prefix);
    if (!ckn) return std::move(ckn).error();
    next_ckn_ = std::move(*ckn);
    auto kept = note([&](JournalEntry& entry) {
        entry.key_id = key_id_;
        entry.ckn = next_ckn_;
        entry.members.front().key = m.key.clone();
    });
    if (!kept) return kept;
    audit("minted", "kme " + m.member->kme);
    const std::array<Attr, 1> attributes{Attr{"key_id", std::string_view(key_id_)}};
    m.caller.event("key.minted", attributes, "mint");
    return {};
}

Error Rotation::bad_keys(const MemberRun& m, const char* call) const {
    return {ErrorCode::internal, Retry::never,
            "plugin " + m.source.name + " of kme " + m.member->kme + " answered " + call +
                " with other keys than asked for",
            "this is a defect of the plugin; run `qkd-macsec plugins test " + m.source.name + "`"};
}

bool Rotation::transport_commits() {
    const auto* info = crew_.front().transport.plugin->stage(StageKind::key_id_transport);
    return info->provides.has(Capability::commits);
}

TransportEnd Rotation::end_of(MemberRun& m) {
    return {m.member->device, m.member->interfaces, m.session.get()};
}

Result<void> Rotation::hand_over_key_id() {
    notice_.link = link_.name;
    notice_.generation = next_generation();
    notice_.key_ids = {key_id_};
    notice_.start = pipeline_.commit.rollover == Rollover::key_chain ? *start_ : UtcSeconds{};
    notice_.sequence = notice_.generation;
    notice_.sender = crew_.front().member->device;
    notice_.expires = std::chrono::floor<std::chrono::seconds>(crew_.front().clock.now) +
                      std::chrono::duration_cast<std::chrono::seconds>(lead()) + notice_life_time;
    // From here on both ends may hold a notice, whether or not the call is answered.
    for (auto& progress : progress_) progress.notice = true;
    written_ = written_ || transport_writes();

    std::vector<TransportEnd> responders;
    for (auto& m : crew_.members()) {
        if (m.member->role == Role::responder) responders.push_back(end_of(m));
    }
    auto& initiator = crew_.front();
    auto announced = initiator.caller(
        crew_.spec(StageKind::key_id_transport, "announce"), initiator.transport.name, [&](Context& context) {
            return initiator.transport->announce(context, end_of(initiator), responders, notice_);
        });
    if (!announced) return announced;

    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder) return {};
        CallSpec spec = crew_.spec(StageKind::key_id_transport, "receive");
        spec.wait_out = ErrorCode::not_found;
        spec.patience = spec.timeout;
        auto received = m.caller(spec, m.transport.name, [&](Context& context) {
            const NoticeFilter wanted{NoticeMark(notice_.generation - 1), notice_.sender,
                                      std::chrono::floor<std::chrono::seconds>(m.clock.now)};
            return m.transport->receive(context, end_of(m), link_.name, wanted);
        });
        if (!received) return std::move(received).error();
        if (*received != notice_) {
            return Error{
                ErrorCode::conflict, Retry::never,
                "device " + m.member->device + " received another key_ID notice than was sent for link " + link_.name,
                "somebody else writes notices for this link: look at the transport's place on " + m.member->device};
        }
        return {};
    });
}

bool Rotation::transport_writes() {
    const auto* info = crew_.front().transport.plugin->stage(StageKind::key_id_transport);
    return info->provides.has(Capability::writes);
}

std::uint64_t Rotation::next_generation() const {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    return std::max(record_.generation + 1, static_cast<std::uint64_t>(now.time_since_epoch().count()));
}

Result<void> Rotation::fetch() {
    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder || !m.key.empty()) return {};
        auto fetched = fetch_at(m);
        if (!fetched && is_kme_loss(fetched.error())) lost_kme_ = true;
        return fetched;
    });
}

Result<void> Rotation::fetch_at(MemberRun& m) {
    FetchRequest request;
    request.peer_sae = link_.initiator().sae;
    request.ids = {key_id_};
    request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
    bool asked_before = false;
    auto begun = note([&](JournalEntry& entry) {
        JournalMember* into = entry.member(m.member->device);
        asked_before = into->asked;
        into->asked = true;
        into->maybe_consumed = into->maybe_consumed || asked_before;
    });
    if (!begun) return begun;
    Result<std::vector<Key>> keys = std::vector<Key>{};
    if (asked_before) {
        m.caller.log(LogLevel::warning, "the dead run asked for key " + key_id_ + " and did not note an answer",
                     "fetch");
        keys = ask_again(m, request);
    } else {
        CallSpec spec = crew_.spec(StageKind::key_source, "fetch");
        // A KME may not have heard of the key yet. A lost answer is another matter: that key may be gone.
        spec.retry.attempts = 1;
        spec.wait_out = ErrorCode::not_found;
        spec.patience = pipeline_.dec_retry_window;
        keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
        if (!keys && keys.error().maybe_consumed) {
            auto noted = note([&](JournalEntry& entry) { entry.member(m.member->device)->maybe_consumed = true; });
            if (!noted) return noted;
            m.caller.log(LogLevel::warning, "the answer with key " + key_id_ + " was lost: " + keys.error().what,
                         "fetch");
            const auto wait = std::min(ask_again_pause, pipeline_.dec_retry_window);
            if (wait > milliseconds{0} && !shared_.pause(wait, shared_.interruption.token())) {
                return Error{ErrorCode::cancelled, Retry::safe, "interrupted before asking again for the key",
                             "run again when ready"};
            }
            keys = ask_again(m, request);
        }
    }
    if (!keys) return std::move(keys).error();
    if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits) return bad_keys(m, "fetch");
    conclude_certificate(m, true);
    m.key = std::move(keys->front().bytes);
    // Both ends of the interval by one clock, ours: how long the KMEs must keep a key.
    if (minted_at_) {
        const auto since = std::chrono::duration<double, std::milli>(Steady::now() - *minted_at_).count();
        const std::array<Attr, 2> attributes{Attr{"key_id", std::string_view(key_id_)}, Attr{"after_ms", since}};
        m.caller.event("key.fetched", attributes, "fetch");
    }
    return note([&](JournalEntry& entry) { entry.member(m.member->device)->key = m.key.clone(); });
}

Result<std::vector<Key>> Rotation::ask_again(MemberRun& m, const FetchRequest& request) {
    audit("maybe_consumed", "the answer to " + m.member->device + " was lost; asking once more", m.member->device);
    CallSpec spec = crew_.spec(StageKind::key_source, "fetch");
    spec.retry.attempts = 1;
    auto keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
    if (!keys && (keys.error().code == ErrorCode::not_found || keys.error().code == ErrorCode::rejected))
        key_gone_ = true;
    return keys;
}

Result<void> Rotation::compare_keys() {
    const auto& reference = crew_.front();
    for (const auto& m : crew_.members()) {
        if (m.key.same_as(reference.key)) continue;
        return Error{ErrorCode::conflict, Retry::safe,
                     "kme " + m.member->kme + " gave " + m.member->device + " another key under key_ID " + key_id_ +
                         " than kme " + reference.member->kme + " gave " + reference.member->device,
                     "the two KMEs are out of step; tell their operator the key_ID"};
    }
    fill_key();
    return {};
}

Result<void> Rotation::acknowledge() {
    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder) return {};
        return m.caller(crew_.spec(StageKind::key_id_transport, "acknowledge"), m.transport.name,
                        [&](Context& context) { return m.transport->acknowledge(context, end_of(m), notice_); });
    });
}

}  // namespace qkd::engine
