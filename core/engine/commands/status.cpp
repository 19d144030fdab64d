// status: how the links stand, found by reading only.
#include <algorithm>
#include <atomic>

#include "engine/commands/run.hpp"
#include "engine/commands/workers.hpp"
#include "engine/members/crew.hpp"
#include "engine/members/records.hpp"

namespace qkd::engine {
namespace {

Health health_of(const LinkStatus& link) {
    Health worst = Health::healthy;
    for (const auto& member : link.members) {
        if (member.error) return Health::down;
        for (const auto& interface : member.interfaces) {
            if (interface.state == MkaState::down || interface.state == MkaState::unknown) return Health::down;
            if (interface.state != MkaState::secured) worst = Health::degraded;
        }
    }
    return link.ckn.empty() ? std::max(worst, Health::degraded) : worst;
}

/// The CKN on which all interfaces of all members live; empty when they differ.
std::string common_ckn(const LinkStatus& link) {
    std::string ckn;
    for (const auto& member : link.members) {
        for (const auto& interface : member.interfaces) {
            if (interface.ckn.empty() || (!ckn.empty() && interface.ckn != ckn)) return {};
            ckn = interface.ckn;
        }
    }
    return ckn;
}

LinkStatus look(const Pipeline& pipeline, PluginHost& host, const Link& link, Observer& observer,
                const Interruption& interruption) {
    LinkStatus status;
    status.name = link.name;
    LinkReport scratch;
    Crew crew(pipeline, link, observer, interruption, scratch);
    LinkRecord record;
    status.members.resize(link.members.size());
    for (std::size_t i = 0; i < link.members.size(); ++i) {
        status.members[i].device = link.members[i].device;
        status.members[i].role = link.members[i].role;
    }
    const auto ready = [&]() -> Result<void> {
        QKD_TRY(const auto records, open_records(host, crew));
        QKD_TRY(crew.assemble(host, {StageKind::connect, StageKind::commit}));
        if (!records) return {};
        if (auto remembered = records->load(); remembered) record = std::move(*remembered);
        return {};
    }();
    // A member that does not answer must not hide how the others stand.
    (void)crew.each([&](MemberRun& m) -> Result<void> {
        auto& member = status.members[static_cast<std::size_t>(&m - crew.members().data())];
        const auto read = [&]() -> Result<void> {
            if (!ready) return ready;
            if (auto r = crew.reconnect(m, Cancel::allowed); !r) return r;
            if (m.session->clock() != nullptr) {
                auto clock = m.caller(crew.spec(StageKind::connect, "clock"), m.connector.name,
                                      [&](Context& context) { return m.session->clock()->read(context); });
                if (!clock) return std::move(clock).error();
                m.clock = std::move(*clock);
            }
            if (!m.commit) return {};
            auto state = m.caller(crew.spec(StageKind::commit, "read"), m.commit.name,
                                  [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
            if (!state) return std::move(state).error();
            m.state = std::move(*state);
            return {};
        };
        if (auto r = read(); !r) member.error = std::move(r).error();
        member.interfaces = m.state.mka;
        member.mka = m.state.mka.empty() ? MkaState::unknown : MkaState::secured;
        for (const auto& interface : m.state.mka) member.mka = std::max(member.mka, interface.state);
        return {};
    });
    crew.close();

    status.ckn = common_ckn(status);
    status.health = health_of(status);
    if (!status.ckn.empty() && record.ckn == status.ckn) status.key_id = record.key_id;
    if (!status.ckn.empty() && record.pending_ckn == status.ckn) status.key_id = record.pending_key_id;
    const MemberReading reading{link.members.front().device, &crew.front().state, crew.front().clock.now};
    const KeyView keys = view_keys(reading);
    if (keys.active != nullptr && keys.active->start && keys.active->ckn == status.ckn) {
        status.age = std::chrono::floor<std::chrono::seconds>(reading.now - *keys.active->start);
    } else if (!status.key_id.empty()) {
        status.age = std::chrono::floor<std::chrono::seconds>(reading.now - record.saved);
    }
    if (!keys.pending.empty()) status.next_start = keys.pending.front()->start;
    return status;
}

}  // namespace

const char* to_string(Health health) noexcept {
    switch (health) {
        case Health::healthy: return "healthy";
        case Health::degraded: return "degraded";
        case Health::down: return "down";
    }
    return "down";
}

std::vector<LinkStatus> status(const Pipeline& pipeline, PluginHost& host, const RunOptions& options,
                               Observer& observer, std::stop_token stop) {
    auto selected = select_links(pipeline, options);
    if (!selected) return {};
    const Interruption interruption(std::move(stop));
    std::vector<LinkStatus> all(selected->size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < all.size(); i = next++) {
            all[i] = look(pipeline, host, pipeline.links[(*selected)[i]], observer, interruption);
        }
    };
    const unsigned in_flight = options.threads != 0 ? options.threads : pipeline.parallel;
    work_together(std::min<std::size_t>(in_flight, all.size()), work);
    return all;
}

}  // namespace qkd::engine
