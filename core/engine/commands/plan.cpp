// plan: what a run would change, found by reading only.
#include "engine/commands/run.hpp"
#include "engine/members/crew.hpp"
#include "engine/members/records.hpp"
#include "engine/protocol/timing.hpp"

namespace qkd::engine {
namespace {

/// Plans one link; `plans` gets one entry per member.
Result<void> plan_link(Crew& crew, PluginHost& host, const RunOptions& options, std::vector<MemberPlan>& plans) {
    const Pipeline& pipeline = crew.pipeline();
    if (auto r = crew.assemble(host, {StageKind::connect, StageKind::certs, StageKind::initial_config,
                                      StageKind::key_source, StageKind::commit, StageKind::key_id_transport});
        !r) {
        return r;
    }
    QKD_TRY(const auto records, open_records(host, crew));
    LinkRecord record;
    if (records) {
        QKD_TRY(record, records->load());
    }
    if (auto r = crew.connect(); !r) return r;

    std::optional<UtcSeconds> renew_made_before;
    if (options.renew_certificates)
        renew_made_before = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    auto certificates = crew.each([&](MemberRun& m) -> Result<void> {
        if (!m.certs) return {};
        auto note = m.caller(crew.spec(StageKind::certs, "certs"), m.certs.name, [&](Context& context) {
            return m.certs->plan(context, m.cert_subject(renew_made_before), *m.session);
        });
        if (!note) return std::move(note).error();
        if (!note->empty()) plans[static_cast<std::size_t>(&m - crew.members().data())].notes.push_back(*note);
        return {};
    });
    if (!certificates) return certificates;
    if (!pipeline.has(StageKind::commit)) return {};

    if (auto r = crew.read_clocks(); !r) return r;
    if (auto r = crew.read_states(); !r) return r;
    if (auto r = crew.difference(); !r) return r;
    const auto readings = crew.readings();
    const Reconciliation found = reconcile(readings, record.own_ckns, pipeline.commit.rollover);
    std::vector<ClockReading> clocks;
    for (const auto& m : crew.members()) clocks.push_back(m.clock);
    ChangeKeys keys;
    keys.next.start = choose_start(clocks, lead_of(timing_terms(pipeline.commit, record.commit_time, 1)));
    if (found.base != nullptr) keys.base.ckn = found.base->ckn;
    keys.base.start = *keys.next.start - std::chrono::hours{24};

    return crew.each([&](MemberRun& m) -> Result<void> {
        const auto index = static_cast<std::size_t>(&m - crew.members().data());
        MemberPlan& plan = plans[index];
        if (found.adopted != nullptr) {
            plan.notes.push_back("all members have the same scheduled key: a run waits for it and verifies it");
            return {};
        }
        for (const auto& withdrawal : found.withdrawals) {
            if (withdrawal.member == index)
                plan.notes.push_back("scheduled key " + withdrawal.ckn + " would be withdrawn first");
        }
        if (m.state.pending) {
            plan.notes.push_back("a confirmed commit of " + m.state.pending->user +
                                 " is pending; a run would wait for its end");
        }
        const auto change =
            make_change(found, readings, index, pipeline.commit.rollover, keys, record.own_ckns, m.edits.get());
        auto lines = m.caller(crew.spec(StageKind::commit, "preview"), m.commit.name, [&](Context& context) {
            return m.commit->preview(context, *m.session, m.target, change);
        });
        if (!lines) return std::move(lines).error();
        plan.lines = std::move(*lines);
        return {};
    });
}

}  // namespace

std::vector<MemberPlan> plan(const Pipeline& pipeline, PluginHost& host, const RunOptions& options, Observer& observer,
                             std::stop_token stop) {
    std::vector<MemberPlan> all;
    auto selected = select_links(pipeline, options);
    if (!selected) return all;
    const Interruption interruption(std::move(stop));
    for (const std::size_t index : *selected) {
        const Link& link = pipeline.links[index];
        LinkReport scratch;
        Crew crew(pipeline, link, observer, interruption, scratch);
        std::vector<MemberPlan> plans(link.members.size());
        for (std::size_t i = 0; i < plans.size(); ++i) {
            plans[i].link = link.name;
            plans[i].device = link.members[i].device;
        }
        auto done = plan_link(crew, host, options, plans);
        crew.close();
        if (!done) {
            // The link as a whole could not be planned; each member says why, its own reason first.
            for (std::size_t i = 0; i < plans.size(); ++i) {
                plans[i].error = done.error();
                for (const auto& stage : scratch.members[i].stages) {
                    if (stage.error) plans[i].error = stage.error;
                }
                plans[i].lines.clear();
            }
        }
        for (auto& member : plans) all.push_back(std::move(member));
    }
    return all;
}

}  // namespace qkd::engine
