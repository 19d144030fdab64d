// Rotation: mint a key, carry its ID across, fetch it at the other ends. No device's MACsec is touched.
#include <algorithm>
#include <array>

#include "engine/rotation_steps.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
constexpr auto notice_life_time = 10min;

}  // namespace

Result<void> Rotation::reserve() {
    // Devices before SAE pairs, everywhere: nobody waits the other way round.
    if (transport_commits()) {
        if (auto r = take_leases(); !r) return r;
    }
    std::vector<std::string> pairs;
    const auto& initiator = *crew_.initiator().member;
    for (const auto& m : crew_.members()) {
        if (m.member->role == Role::responder) pairs.push_back(initiator.sae + " > " + m.member->sae);
    }
    auto pair_lease = shared_.sae_pairs.take(pairs, link_.name, pair_patience(), shared_.interruption.token());
    if (!pair_lease) return std::move(pair_lease).error();

    if (auto r = crew_.connect(); !r) return r;
    if (auto r = choose_start_time(); !r) return r;
    if (auto r = mint(); !r) return r;
    if (auto r = hand_over_key_id(); !r) return r;
    if (auto r = fetch(); !r) return r;
    if (auto r = compare_keys(); !r) return r;
    return acknowledge();
}

milliseconds Rotation::lead() const {
    const auto& policy = pipeline_.commit;
    return policy.lead.value_or(policy.confirm + 2 * policy.assumed_commit + policy.max_clock_skew + 30s);
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
    auto& m = crew_.initiator();
    MintRequest request;
    request.count = 1;
    request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
    for (const auto& other : crew_.members()) {
        if (other.member->role != Role::responder) continue;
        if (request.peer_sae.empty()) {
            request.peer_sae = other.member->sae;
        } else {
            request.additional_saes.push_back(other.member->sae);
        }
    }
    auto keys = m.caller(crew_.spec(StageKind::key_source, "mint"), m.source.name,
                         [&](Context& context) { return m.source->mint(context, request); });
    if (!keys) return std::move(keys).error();
    if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits || keys->front().id.empty()) {
        return bad_keys(m, "mint");
    }
    key_id_ = keys->front().id;
    m.key = std::move(keys->front().bytes);
    auto ckn = derive_ckn(link_.name, key_id_, link_.ckn_prefix);
    if (!ckn) return std::move(ckn).error();
    next_ckn_ = std::move(*ckn);
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
    const auto* info = crew_.initiator().transport.plugin->stage(StageKind::key_id_transport);
    return std::string_view(info->provides).find("commits") != std::string_view::npos;
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
    notice_.sender = crew_.initiator().member->device;
    notice_.expires = std::chrono::floor<std::chrono::seconds>(crew_.initiator().clock.now) +
                      std::chrono::duration_cast<std::chrono::seconds>(lead()) + notice_life_time;
    // From here on both ends may hold a notice, whether or not the call is answered.
    for (auto& progress : progress_) progress.notice = true;
    written_ = written_ || transport_writes();

    std::vector<TransportEnd> responders;
    for (auto& m : crew_.members()) {
        if (m.member->role == Role::responder) responders.push_back(end_of(m));
    }
    auto& initiator = crew_.initiator();
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
            return m.transport->receive(context, end_of(m), link_.name, notice_.generation - 1);
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
    const auto* info = crew_.initiator().transport.plugin->stage(StageKind::key_id_transport);
    return *info->needs != '\0';
}

std::uint64_t Rotation::next_generation() const {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    return std::max(record_.generation + 1, static_cast<std::uint64_t>(now.time_since_epoch().count()));
}

Result<void> Rotation::fetch() {
    const std::string initiator_sae = crew_.initiator().member->sae;
    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (m.member->role != Role::responder) return {};
        FetchRequest request;
        request.peer_sae = initiator_sae;
        request.ids = {key_id_};
        request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
        CallSpec spec = crew_.spec(StageKind::key_source, "fetch");
        // A KME may not have heard of the key yet. A lost answer is another matter: that key may be gone.
        spec.retry.attempts = 1;
        spec.wait_out = ErrorCode::not_found;
        spec.patience = pipeline_.dec_retry_window;
        auto keys = m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
        if (!keys) {
            Error error = std::move(keys).error();
            if (error.maybe_consumed) {
                m.caller.log(LogLevel::warning, "key " + key_id_ + " may have been used up by a lost answer", "fetch");
            }
            return error;
        }
        if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits) return bad_keys(m, "fetch");
        m.key = std::move(keys->front().bytes);
        return {};
    });
}

Result<void> Rotation::compare_keys() {
    const auto& reference = crew_.initiator();
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
