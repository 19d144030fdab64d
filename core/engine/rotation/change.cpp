// From what the members have to what each of them gets.
#include "engine/rotation/change.hpp"

#include <algorithm>

#include "engine/rotation/member_calls.hpp"
#include "engine/rotation/rotation.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
/// First keys start this long before the moment they are written.
constexpr auto first_key_age = 24h;
constexpr std::size_t remembered_ckns = 16;

void add_name(std::vector<std::string>& names, const std::string& ckn, bool in_front) {
    if (ckn.empty() || std::find(names.begin(), names.end(), ckn) != names.end()) return;
    names.insert(in_front ? names.begin() : names.end(), ckn);
}

/// The names of all keys that the members' changes write.
std::vector<std::string> written_names(const Crew& crew) {
    std::vector<std::string> names;
    for (const auto& m : crew.members()) {
        for (const auto& key : m.change.add_to_chain) add_name(names, key.ckn, false);
        if (m.change.fallback) add_name(names, m.change.fallback->ckn, false);
    }
    return names;
}

/// The oldest go first, but never one that still stands on a device: it could not be told from somebody else's any more.
void drop_oldest_names(std::vector<std::string>& own, const std::vector<MemberReading>& readings) {
    const auto on_a_device = [&](const std::string& ckn) {
        return std::any_of(readings.begin(), readings.end(), [&](const MemberReading& reading) {
            return std::any_of(reading.state->keys.begin(), reading.state->keys.end(),
                               [&](const ConfiguredKey& key) { return key.ckn == ckn; });
        });
    };
    for (auto at = own.size(); at-- > 1 && own.size() > remembered_ckns;) {
        if (!on_a_device(own[at])) own.erase(own.begin() + static_cast<std::ptrdiff_t>(at));
    }
}

/// The fallback that the members get where they have none in common.
Result<NamedSecret> choose_fallback(const Attempt& attempt, const Crew& crew, const Peers& peers) {
    const Reconciliation& keys = attempt.found.keys;
    if (keys.fallback != nullptr) return NamedSecret{keys.fallback->ckn, keys.fallback->cak.clone()};
    if (!peers.traits().may_invent_keys) {
        // Random keys would not be the others'.
        if (!attempt.is_groundwork()) return NamedSecret{};
        return NamedSecret{attempt.key.ckn, crew.members().front().key.clone()};
    }
    if (!keys.needs_groundwork && keys.fallback_is_common) return NamedSecret{};
    return random_key(cak_octets(attempt.link.cipher));
}

}  // namespace

Result<void> make_changes(Attempt& attempt, Crew& crew, const LinkState& state, const Peers& peers) {
    const Reconciliation& found = attempt.found.keys;
    ChangeMaterial& material = attempt.material;
    if (found.base == nullptr && peers.traits().may_invent_keys) {
        QKD_TRY(material.first, random_key(cak_octets(attempt.link.cipher)));
    }
    material.fallback_is_fresh = found.fallback == nullptr;
    QKD_TRY(material.fallback, choose_fallback(attempt, crew, peers));
    // The base key lives in a member's state, which is read anew before the change is over: hence the copy.
    material.base =
        found.base != nullptr ? NamedSecret{found.base->ckn, found.base->cak.clone()} : material.first.clone();

    ChangeKeys keys;
    if (!attempt.is_groundwork()) keys.next = {attempt.key.ckn, &crew.front().key, attempt.key.start};
    keys.base = {material.base.name, &material.base.secret, *attempt.key.start - first_key_age};
    keys.fallback = {material.fallback.name, &material.fallback.secret, std::nullopt};
    if (attempt.is_immediate() || attempt.is_groundwork()) attempt.key.start.reset();
    for (auto& m : crew.members()) {
        m.change = make_change(found, attempt.found.readings, crew.index_of(m), attempt.pipeline.commit.rollover, keys,
                               state.record.own_ckns, m.edits.get());
        if (peers.traits().may_invent_keys) continue;
        std::erase_if(m.change.add_to_chain, [](const qkd::NamedKey& key) { return key.ckn.empty(); });
        if (m.change.fallback && m.change.fallback->ckn.empty()) m.change.fallback.reset();
    }
    return {};
}

Result<void> remember_intent(const Attempt& attempt, Crew& crew, LinkState& state, const RunShared& run) {
    const auto names = written_names(crew);
    LinkRecord& record = state.record;
    for (const auto& ckn : names) add_name(record.own_ckns, ckn, true);
    add_name(record.own_ckns, attempt.key.ckn, true);
    drop_oldest_names(record.own_ckns, attempt.found.readings);
    record.generation = std::max(record.generation, attempt.notice.generation);
    if (!attempt.is_groundwork()) {
        record.pending_key_id = attempt.key.id;
        record.pending_ckn = attempt.key.ckn;
    }
    QKD_TRY(state.note([&](JournalEntry& entry) {
        entry.run_id = run.run_id;
        entry.generation = attempt.notice.generation;
        entry.comment = attempt.comment;
        for (const auto& m : crew.members()) {
            if (entry.member(m.member->device) == nullptr) entry.members.emplace_back().device = m.member->device;
        }
        entry.start = attempt.key.start;
        entry.own_ckns = names;
        note_sessions(entry, crew);
    }));
    return state.save_record(Saving::may_be_interrupted);
}

void forget_intent(Crew& crew, LinkState& state) {
    if (state.record.pending_ckn.empty()) return;
    state.record.pending_key_id.clear();
    state.record.pending_ckn.clear();
    if (auto saved = state.save_record(Saving::on_the_way_back); !saved)
        crew.caller().log(LogLevel::warning, saved.error().what, "undo");
}

}  // namespace qkd::engine
