// Mint, fetch, compare: a request is noted before it is made, and its answer before anything else.
#include "engine/rotation/key.hpp"

#include <algorithm>
#include <array>

#include "engine/rotation/certificates.hpp"
#include "engine/rotation/dead_run.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

constexpr milliseconds ask_again_pause{500};

/// A defect of ours or of a plugin, or an interruption, says nothing about the KME.
bool is_kme_loss(const Error& error) {
    return error.code != ErrorCode::cancelled && error.code != ErrorCode::internal && error.code != ErrorCode::config;
}

unsigned bits_of(const Link& link) {
    return static_cast<unsigned>(cak_octets(link.cipher) * 8);
}

MintRequest mint_request(const Link& link) {
    MintRequest request;
    request.count = 1;
    request.bits = bits_of(link);
    for (const auto* other : link.responders()) {
        if (request.peer_sae.empty()) {
            request.peer_sae = other->sae;
        } else {
            request.additional_saes.push_back(other->sae);
        }
    }
    return request;
}

FetchRequest fetch_request(const Attempt& attempt) {
    FetchRequest request;
    request.peer_sae = attempt.link.initiator().sae;
    request.ids = {attempt.key.id};
    request.bits = bits_of(attempt.link);
    return request;
}

Error bad_keys(const MemberRun& m, const char* call) {
    return Error::internal("plugin " + m.source.name + " of kme " + m.member->kme + " answered " + call +
                               " with other keys than asked for",
                           "this is a defect of the plugin; run `qkd-macsec plugins test " + m.source.name + "`");
}

Result<void> mint(Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run) {
    auto& m = crew.front();
    const MintRequest request = mint_request(attempt.link);
    auto keys = m.caller(crew.spec(StageKind::key_source, "mint"), m.source.name, [&](Context& context) {
        auto minted = m.source->mint(context, request);
        if (!minted && minted.error().maybe_consumed)
            state.audit("lost", {}, "kme " + m.member->kme + ": " + minted.error().what);
        return minted;
    });
    if (!keys) {
        if (keys.error().code == ErrorCode::auth) conclude_certificate(crew, run, m, false);
        m.lost_kme = is_kme_loss(keys.error());
        return std::move(keys).error();
    }
    if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits || keys->front().id.empty())
        return bad_keys(m, "mint");
    conclude_certificate(crew, run, m, true);
    attempt.key.minted_at = Steady::now();
    attempt.key.id = keys->front().id;
    m.key = std::move(keys->front().bytes);
    QKD_TRY(attempt.key.ckn, derive_ckn(attempt.link.name, attempt.key.id, attempt.link.ckn_prefix));
    QKD_TRY(state.note([&](JournalEntry& entry) {
        entry.key_id = attempt.key.id;
        entry.ckn = attempt.key.ckn;
        entry.members.front().key = m.key.clone();
    }));
    state.audit("minted", attempt.key.name(), "kme " + m.member->kme);
    const std::array<Attr, 1> attributes{Attr{"key_id", std::string_view(attempt.key.id)}};
    m.caller.event("key.minted", attributes, "mint");
    return {};
}

/// The answer to a request for the key was lost. Asks once more.
Result<std::vector<Key>> ask_again(const Attempt& attempt, Crew& crew, LinkState& state, MemberRun& m,
                                   const FetchRequest& request) {
    state.audit("maybe_consumed", attempt.key.name(),
                "the answer to " + m.member->device + " was lost; asking once more", m.member->device);
    CallSpec spec = crew.spec(StageKind::key_source, "fetch");
    spec.retry.attempts = 1;
    auto keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
    if (!keys && (keys.error().code == ErrorCode::not_found || keys.error().code == ErrorCode::rejected))
        m.key_is_gone = true;
    return keys;
}

/// Asks for the first time; once more, after a pause, when the answer is lost.
Result<std::vector<Key>> ask(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run, MemberRun& m,
                             const FetchRequest& request) {
    const milliseconds window = attempt.pipeline.dec_retry_window;
    CallSpec spec = crew.spec(StageKind::key_source, "fetch");
    // A KME may not have heard of the key yet. A lost answer is another matter: that key may be gone.
    spec.retry.attempts = 1;
    spec.wait_out = ErrorCode::not_found;
    spec.patience = window;
    auto keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
    if (keys || !keys.error().maybe_consumed) return keys;
    QKD_TRY(state.note([&](JournalEntry& entry) { entry.member(m.member->device)->maybe_consumed = true; }));
    m.caller.log(LogLevel::warning, "the answer with key " + attempt.key.id + " was lost: " + keys.error().what,
                 "fetch");
    const auto wait = std::min(ask_again_pause, window);
    if (wait > milliseconds{0} && !run.pause(wait, run.interruption.token()))
        return Error::cancelled("interrupted before asking again for the key", "run again when ready").retryable();
    return ask_again(attempt, crew, state, m, request);
}

Result<void> fetch_at(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run, MemberRun& m) {
    const FetchRequest request = fetch_request(attempt);
    bool asked_before = false;
    QKD_TRY(state.note([&](JournalEntry& entry) {
        JournalMember* into = entry.member(m.member->device);
        asked_before = into->asked;
        into->asked = true;
        into->maybe_consumed = into->maybe_consumed || asked_before;
    }));
    if (asked_before) {
        m.caller.log(LogLevel::warning, "the dead run asked for key " + attempt.key.id + " and did not note an answer",
                     "fetch");
    }
    QKD_TRY(auto keys,
            asked_before ? ask_again(attempt, crew, state, m, request) : ask(attempt, crew, state, run, m, request));
    if (keys.size() != 1 || keys.front().bytes.size() * 8 != request.bits) return bad_keys(m, "fetch");
    conclude_certificate(crew, run, m, true);
    m.key = std::move(keys.front().bytes);
    // Both ends of the interval by one clock, ours: how long the KMEs must keep a key.
    if (attempt.key.minted_at) {
        const auto since = std::chrono::duration<double, std::milli>(Steady::now() - *attempt.key.minted_at).count();
        const std::array<Attr, 2> attributes{Attr{"key_id", std::string_view(attempt.key.id)}, Attr{"after_ms", since}};
        m.caller.event("key.fetched", attributes, "fetch");
    }
    return state.note([&](JournalEntry& entry) { entry.member(m.member->device)->key = m.key.clone(); });
}

}  // namespace

Result<void> begin_entry(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run, bool asks) {
    return state.note([&](JournalEntry& entry) {
        std::vector<JournalMember> known = std::move(entry.members);
        entry = JournalEntry{};
        entry.run_id = run.run_id;
        entry.step = Step::reserve;
        entry.rollover = attempt.pipeline.commit.rollover;
        entry.key_id = attempt.key.id;
        entry.ckn = attempt.key.ckn;
        for (const auto& m : crew.members()) {
            JournalMember& into = entry.members.emplace_back();
            into.device = m.member->device;
            into.key = m.key.clone();
            for (auto& before : known) {
                if (before.device == into.device) into.sessions = std::move(before.sessions);
            }
            if (const JournalMember* left = state.dead ? state.dead->member(into.device) : nullptr; left != nullptr) {
                into.asked = left->asked;
                into.maybe_consumed = left->maybe_consumed;
            }
        }
        if (asks) entry.members.front().asked = true;
    });
}

Result<void> take_key(Attempt& attempt, Crew& crew, LinkState& state, const Peers& peers, const RunShared& run) {
    take_over_dead_key(attempt, crew, state, peers);
    QKD_TRY(begin_entry(attempt, crew, state, run, true));
    if (!attempt.key.empty()) return {};
    return mint(attempt, crew, state, run);
}

Result<void> fetch_key(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run) {
    return crew.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder || !m.key.empty()) return {};
        auto fetched = fetch_at(attempt, crew, state, run, m);
        if (!fetched && is_kme_loss(fetched.error())) m.lost_kme = true;
        return fetched;
    });
}

Result<void> compare_keys(const Attempt& attempt, Crew& crew) {
    const auto& reference = crew.front();
    for (const auto& m : crew.members()) {
        if (m.key.same_as(reference.key)) continue;
        return Error::conflict("kme " + m.member->kme + " gave " + m.member->device + " another key under key_ID " +
                                   attempt.key.id + " than kme " + reference.member->kme + " gave " +
                                   reference.member->device,
                               "the two KMEs are out of step; tell their operator the key_ID")
            .retryable();
    }
    return {};
}

Result<void> compare_with_kme(const Attempt& attempt, Crew& crew, const ConfiguredKey& active) {
    auto& m = crew.front();
    const FetchRequest request = fetch_request(attempt);
    CallSpec spec = crew.spec(StageKind::key_source, "fetch");
    spec.retry.attempts = 1;
    auto keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
    if (!keys) {
        // Most KMEs hand a key out once.
        m.caller.log(LogLevel::info, "the KME does not show key " + attempt.key.id + " again: " + keys.error().what,
                     "fetch");
        for (auto& stage : m.report->stages) {
            if (stage.kind == StageKind::key_source) stage.error.reset();
        }
        return {};
    }
    if (keys->size() != 1) return bad_keys(m, "fetch");
    if (active.cak.empty() || keys->front().bytes.same_as(active.cak)) return {};
    return Error::conflict("kme " + m.member->kme + " has another key under key_ID " + attempt.key.id +
                               " than device " + m.member->device + " runs on",
                           "tell the KME's operator the key_ID; the next rotation brings both to a new key")
        .retryable();
}

void forget_key(Attempt& attempt, Crew& crew) {
    attempt.key.forget();
    for (auto& m : crew.members()) {
        m.key.clear();
        m.key_is_gone = m.lost_kme = false;
    }
}

bool lost_kme(const Crew& crew) {
    const auto& members = crew.members();
    return std::any_of(members.begin(), members.end(), [](const MemberRun& m) { return m.lost_kme; });
}

}  // namespace qkd::engine
