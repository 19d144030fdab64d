// Members of a link: stage objects, sessions, readings.
#include "engine/members/crew.hpp"

#include <algorithm>
#include <system_error>
#include <thread>

#include "engine/members/kme_override.hpp"

namespace qkd::engine {
namespace {

/// Host and port of "https://host:port/...".
KmeInfo kme_info(const std::string& url) {
    KmeInfo info;
    std::string rest = url;
    if (const auto scheme = rest.find("://"); scheme != std::string::npos) {
        info.port = rest.compare(0, scheme, "http") == 0 ? 80 : 443;
        rest.erase(0, scheme + 3);
    }
    rest = rest.substr(0, rest.find('/'));
    const auto bracket = rest.find(']');
    const auto colon = rest.rfind(':');
    if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
        unsigned port = 0;
        for (const char c : rest.substr(colon + 1)) {
            if (c < '0' || c > '9' || port > 65535) return info;
            port = port * 10 + static_cast<unsigned>(c - '0');
        }
        if (port > 0 && port <= 65535) info.port = static_cast<std::uint16_t>(port);
        rest.erase(colon);
    }
    info.host = rest;
    return info;
}

/// After such an error the session may be stuck although its transport stands.
bool casts_doubt(const Error& error) {
    switch (error.code) {
        case ErrorCode::timeout:
        case ErrorCode::unknown_outcome:
        case ErrorCode::unreachable:
        case ErrorCode::protocol: return true;
        default: return false;
    }
}

/// It was lost, and no new one came about.
Error no_session(const MemberRun& m) {
    return {ErrorCode::unreachable, Retry::safe, "device " + m.member->device + " has no session any more",
            "see whether it can be reached, then run again"};
}

/// A session that was left open is as good as lost when it says nothing for so long.
constexpr milliseconds longest_greeting{3000};

}  // namespace

Crew::Crew(const Pipeline& pipeline, const Link& link, Observer& observer, const Interruption& interruption,
           LinkReport& report, SessionPool* pool)
    : pipeline_(pipeline),
      link_(link),
      interruption_(interruption),
      pool_(pool),
      caller_(observer, interruption, Place{link.name, {}, {}, {}}, nullptr) {
    report.members.resize(link.members.size());
    members_.reserve(link.members.size());
    for (std::size_t i = 0; i < link.members.size(); ++i) {
        const Member& member = link.members[i];
        MemberReport& into = report.members[i];
        into.device = member.device;
        into.role = member.role;
        for (const auto& stage : pipeline.stages) {
            StageReport stage_report;
            stage_report.kind = stage.kind;
            into.stages.push_back(std::move(stage_report));
        }
        auto& run = members_.emplace_back(
            member, into, Caller(observer, interruption, Place{link.name, member.device, {}, {}}, &into.stages));
        run.target.link = link.name;
        run.target.device = member.device;
        run.target.connectivity_association = link.connectivity_association;
        run.target.key_chain = link.key_chain;
        run.target.cipher = link.cipher;
        run.target.rollover = pipeline.commit.rollover;
        run.target.interfaces = member.interfaces;
        if (const auto kme = pipeline.kmes.find(member.kme); kme != pipeline.kmes.end()) {
            run.target.kme = kme_info(kme->second.url);
            const auto form = config_view(pipeline, kme->second, member.sae)->string("request_form");
            if (form == "post") run.target.kme.method = form;
        }
        run.required = member.interfaces;
    }
}

Result<void> Crew::assemble(PluginHost& host, std::initializer_list<StageKind> kinds) {
    const auto wanted = [&](StageKind kind) {
        return pipeline_.has(kind) && std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
    };
    for (auto& m : members_) {
        const Device& device = pipeline_.devices.at(m.member->device);
        const auto make = [&]<class T>(Bound<T>& into, const Noun& noun) -> Result<void> {
            if (!wanted(T::kind)) return {};
            auto bound = bind_stage<T>(host, pipeline_, noun, m.member->sae);
            if (!bound) return std::move(bound).error();
            into = std::move(*bound);
            for (auto& stage : m.report->stages) {
                if (stage.kind == T::kind) stage.plugin = noun.plugin;
            }
            return {};
        };
        auto kept = pool_ != nullptr ? pool_->take(link_.name, m.member->device) : std::nullopt;
        if (kept) {
            m.connector = std::move(kept->connector);
            m.session = std::move(kept->session);
            m.session_is_old = true;
            for (auto& stage : m.report->stages) {
                if (stage.kind == StageKind::connect) stage.plugin = device.plugin;
            }
        } else if (auto r = make(m.connector, device); !r) {
            return r;
        }
        if (auto r = make(m.certs, pipeline_.certs); !r) return r;
        if (auto r = make(m.initial, device); !r) return r;
        if (auto r = make(m.commit, device); !r) return r;
        if (wanted(StageKind::key_source)) {
            if (auto r = make(m.source, pipeline_.kmes.at(m.member->kme)); !r) return r;
        }
        if (auto r = make(m.transport, link_.key_ids); !r) return r;
        if (m.transport) {
            const StageInfo* info = m.transport.plugin->stage(StageKind::key_id_transport);
            m.target.lldp_in_clear = info->needs.has(Capability::lldp);
        }
    }
    return {};
}

Result<void> Crew::each(const std::function<Result<void>(MemberRun&)>& fn) {
    std::vector<Result<void>> results(members_.size());
    // A thread must not end in an exception: that would end the process with devices in mid-change.
    const auto step = [&](std::size_t i) {
        results[i] = guard_engine([&] { return fn(members_[i]); });
        if (!results[i]) members_[i].session_is_doubtful = casts_doubt(results[i].error());
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < members_.size(); ++i) {
            try {
                threads.emplace_back(step, i);
            } catch (const std::system_error&) {
                step(i);  // no thread to be had: one after the other is slower, nothing else
            }
        }
        step(0);
    }
    const Result<void>* cancelled = nullptr;
    for (const auto& result : results) {
        if (result) continue;
        if (result.error().code != ErrorCode::cancelled) return result;
        cancelled = &result;
    }
    return cancelled != nullptr ? *cancelled : Result<void>{};
}

CallSpec Crew::spec(StageKind stage, const char* step, Cancel cancel) const {
    CallSpec spec;
    spec.stage = stage;
    spec.step = step;
    spec.cancel = cancel;
    if (const StagePolicy* policy = pipeline_.stage(stage)) {
        spec.timeout = policy->timeout;
        spec.retry = policy->retry;
    }
    return spec;
}

Result<void> Crew::connect(Cancel cancel) {
    return each([&](MemberRun& m) { return reconnect(m, cancel); });
}

bool Crew::answers(MemberRun& m) const {
    if (!m.session->alive() || m.session->clock() == nullptr) return false;
    CallSpec look = spec(StageKind::connect, "connect");
    look.timeout = std::min(look.timeout, longest_greeting);
    look.retry.attempts = 1;
    if (!aside(m)(look, m.connector.name, [&](Context& context) { return m.session->clock()->read(context); }))
        return false;
    for (auto& stage : m.report->stages) {
        if (stage.kind == StageKind::connect) stage.result = StageResult::ok;
    }
    return true;
}

Result<void> Crew::reconnect(MemberRun& m, Cancel cancel) {
    if (m.session_is_doubtful) m.session.reset();
    m.session_is_doubtful = false;
    if (m.session != nullptr && m.session_is_old) {
        m.session_is_old = false;
        if (!answers(m)) m.session.reset();
    }
    if (m.session != nullptr && m.session->alive()) return {};
    m.session.reset();
    auto session = m.caller(spec(StageKind::connect, "connect", cancel), m.connector.name,
                            [&](Context& context) { return m.connector->open(context); });
    if (!session) return std::move(session).error();
    m.session = std::move(*session);
    return {};
}

Result<void> Crew::read_clocks(Cancel cancel) {
    return each([&](MemberRun& m) -> Result<void> {
        if (m.session == nullptr) return no_session(m);
        ClockAccess* clock = m.session->clock();
        if (clock == nullptr) {
            return Error{ErrorCode::unsupported, Retry::never,
                         "device " + m.member->device + " does not tell its clock",
                         "use a device plugin whose connect stage provides 'clock'"};
        }
        CallSpec look = spec(StageKind::connect, "clock", cancel);
        look.quiet = true;
        auto reading = m.caller(look, m.connector.name, [&](Context& context) { return clock->read(context); });
        if (!reading) return std::move(reading).error();
        m.clock = std::move(*reading);
        return {};
    });
}

Result<UtcMillis> Crew::read_clock(MemberRun& m) {
    if (m.session == nullptr || m.session->clock() == nullptr) return no_session(m);
    CallSpec look = spec(StageKind::connect, "clock", Cancel::never);
    look.quiet = true;
    auto reading =
        aside(m)(look, m.connector.name, [&](Context& context) { return m.session->clock()->read(context); });
    if (!reading) return std::move(reading).error();
    return reading->now + reading->resolution;
}

UtcMillis Crew::latest_clock() const {
    UtcMillis latest{};
    for (const auto& m : members_) latest = std::max(latest, m.clock.now + m.clock.resolution);
    return latest;
}

UtcMillis Crew::earliest_clock() const {
    UtcMillis earliest = UtcMillis::max();
    for (const auto& m : members_) earliest = std::min(earliest, m.clock.now);
    return earliest;
}

Caller Crew::aside(const MemberRun& m) const {
    return Caller(caller_.observer(), interruption_, Place{link_.name, m.member->device, {}, {}}, nullptr);
}

Result<Skew> Crew::compare_clocks() {
    ClockRounds rounds;
    rounds.devices = device_names();
    if (auto r = read_clocks(); !r) return std::move(r).error();
    for (const auto& m : members_) rounds.first.push_back(m.clock);
    if (auto r = read_clocks(); !r) return std::move(r).error();
    for (const auto& m : members_) rounds.second.push_back(m.clock);
    return measure_skew(rounds);
}

Result<void> Crew::read_states(Cancel cancel) {
    return each([&](MemberRun& m) -> Result<void> {
        if (m.session == nullptr) return no_session(m);
        CallSpec look = spec(StageKind::commit, "read", cancel);
        look.look = true;
        auto state = m.caller(look, m.commit.name,
                              [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
        if (!state) return std::move(state).error();
        m.state = std::move(*state);
        return {};
    });
}

Result<void> Crew::read_again(MemberRun& m, const char* step) {
    auto state = m.caller(spec(StageKind::commit, step, Cancel::never), m.commit.name,
                          [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
    if (!state) return std::move(state).error();
    m.state = std::move(*state);
    return {};
}

Result<void> Crew::read_mka(Cancel cancel) {
    return each([&](MemberRun& m) -> Result<void> {
        if (m.session == nullptr) return no_session(m);
        CallSpec look = spec(StageKind::commit, "read-mka", cancel);
        look.quiet = true;
        auto mka = m.caller(look, m.commit.name,
                            [&](Context& context) { return m.commit->read_mka(context, *m.session, m.target); });
        if (!mka) return std::move(mka).error();
        m.state.mka = std::move(*mka);
        return {};
    });
}

Result<void> Crew::difference() {
    return each([&](MemberRun& m) -> Result<void> {
        if (!m.initial) return {};
        auto edits = m.caller(spec(StageKind::initial_config, "initial-config"), m.initial.name,
                              [&](Context& context) { return m.initial->difference(context, *m.session, m.target); });
        if (!edits) return std::move(edits).error();
        m.edits = std::move(*edits);
        return {};
    });
}

Result<void> Crew::obey_overrides(PluginHost& host) {
    for (auto& m : members_) {
        if (!m.source || m.state.kme_overrides.empty()) continue;
        auto choice = choose_kme(m.state.kme_overrides, m.member->device, m.member->role);
        if (!choice) return std::move(choice).error();
        for (const auto& warning : choice->warnings) m.caller.log(LogLevel::warning, warning, "reconcile");
        m.check_key_id = choice->check_key_id;
        if (choice->empty()) continue;
        const Noun& noun = pipeline_.kmes.at(m.member->kme);
        auto config = overridden(config_view(pipeline_, noun, m.member->sae), *choice, *m.source.plugin->descriptor);
        if (!config) return std::move(config).error();
        auto source = bind_stage<KeySource>(host, std::move(*config), noun);
        if (!source) return std::move(source).error();
        m.source.object.reset();  // before the values that it reads
        m.source = std::move(*source);
        m.caller.log(LogLevel::info, "the device says how to reach kme " + noun.name + ": " + choice->text(),
                     "reconcile");
    }
    return {};
}

void Crew::close(bool keep) {
    (void)each([&](MemberRun& m) -> Result<void> {
        if (m.session == nullptr) return {};
        if (keep && pool_ != nullptr && m.session->alive()) {
            pool_->put(link_.name, m.member->device, {std::move(m.connector), std::move(m.session)});
            return {};
        }
        if (m.session->alive()) {
            // Taking leave is politeness: whatever comes of it changes nothing about the rotation.
            CallSpec leave;
            leave.stage = StageKind::connect;
            leave.step = "close";
            leave.timeout = milliseconds{2000};
            leave.cancel = Cancel::never;
            (void)aside(m)(leave, m.connector.name, [&](Context& context) { return m.session->close(context); });
        }
        m.session.reset();
        return {};
    });
}

std::vector<std::vector<ConfiguredKey>> Crew::copy_keys() const {
    std::vector<std::vector<ConfiguredKey>> all;
    for (const auto& m : members_) {
        auto& keys = all.emplace_back();
        for (const auto& key : m.state.keys) {
            keys.push_back({key.place, key.slot, key.ckn, key.cak.clone(), key.start});
        }
    }
    return all;
}

std::vector<MemberReading> Crew::readings() const {
    std::vector<MemberReading> list;
    for (const auto& m : members_) list.push_back({m.member->device, &m.state, m.clock.now});
    return list;
}

void Crew::report_mka() {
    for (auto& m : members_) {
        m.report->interfaces = m.state.mka;
        MkaState worst = m.state.mka.empty() ? MkaState::unknown : MkaState::secured;
        for (const auto& interface : m.state.mka) worst = std::max(worst, interface.state);
        m.report->mka = worst;
    }
}

std::vector<std::string> Crew::device_names() const {
    std::vector<std::string> names;
    for (const auto& m : members_) names.push_back(m.member->device);
    return names;
}

}  // namespace qkd::engine
