// check --online: read-only probes of every device and KME of the selected links, once each. Mints and loads nothing.
#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "engine/commands/run.hpp"
#include "engine/commands/workers.hpp"
#include "engine/members/crew.hpp"

namespace qkd::engine {
namespace {

using Probe = std::function<std::optional<Error>()>;

/// Runs `probe` under a name and keeps the time.
struct Prober {
    std::mutex mutex;
    std::map<std::string, ProbeResult> results;  // sorted by name

    void run(const std::string& what, const Probe& probe) {
        const auto begun = std::chrono::steady_clock::now();
        ProbeResult result;
        result.what = what;
        result.error = probe();
        result.ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
        const std::lock_guard lock(mutex);
        results[what] = std::move(result);
    }
};

CallSpec spec_of(const Pipeline& pipeline, StageKind kind) {
    CallSpec spec;
    spec.stage = kind;
    spec.step = "probe";
    if (const StagePolicy* policy = pipeline.stage(kind)) spec.timeout = policy->timeout;
    return spec;
}

/// connect, then the probes of the stages that the device's plugin serves.
void probe_device(const Pipeline& pipeline, PluginHost& host, const Device& device, Caller& caller, Prober& prober) {
    const auto probe_stage = [&]<class T>(std::type_identity<T>) {
        if (!pipeline.has(T::kind)) return;
        prober.run("device " + device.name + ": " + to_string(T::kind), [&]() -> std::optional<Error> {
            auto stage = bind_stage<T>(host, pipeline, device, {});
            if (!stage) return stage.error();
            auto probed = caller(spec_of(pipeline, T::kind), device.plugin,
                                 [&](Context& context) { return (*stage)->probe(context); });
            if (!probed) return probed.error();
            return std::nullopt;
        });
    };
    probe_stage(std::type_identity<Connector>{});
    probe_stage(std::type_identity<InitialConfig>{});
    probe_stage(std::type_identity<Commit>{});
}

void probe_kme(const Pipeline& pipeline, PluginHost& host, const Kme& kme, const std::string& sae,
               const std::string& peer, Caller& caller, Prober& prober) {
    prober.run("kme " + kme.name + ": status for " + sae + " and " + peer, [&]() -> std::optional<Error> {
        auto source = bind_stage<KeySource>(host, pipeline, kme, sae);
        if (!source) return source.error();
        auto status = caller(spec_of(pipeline, StageKind::key_source), kme.plugin,
                             [&](Context& context) { return (*source)->status(context, peer); });
        if (!status) return status.error();
        return std::nullopt;
    });
}

}  // namespace

std::vector<ProbeResult> check_online(const Pipeline& pipeline, PluginHost& host, const RunOptions& options,
                                      Observer& observer, std::stop_token stop) {
    auto selected = select_links(pipeline, options);
    if (!selected) return {};
    const Interruption interruption(std::move(stop));
    Prober prober;
    std::set<std::string> devices;
    std::vector<std::function<void()>> jobs;
    for (const std::size_t index : *selected) {
        const Link& link = pipeline.links[index];
        for (const auto& member : link.members) {
            if (devices.insert(member.device).second) {
                jobs.emplace_back([&, name = member.device] {
                    Caller caller(observer, interruption, Place{{}, name, {}, {}}, nullptr);
                    probe_device(pipeline, host, pipeline.devices.at(name), caller, prober);
                });
            }
            if (!pipeline.has(StageKind::key_source)) continue;
            // Any peer of the member: a status is asked for a pair of SAEs.
            const Member& peer = member.role == Role::initiator ? *link.responders().back() : link.initiator();
            jobs.emplace_back([&, &member = member, &peer = peer] {
                Caller caller(observer, interruption, Place{{}, member.device, {}, {}}, nullptr);
                probe_kme(pipeline, host, pipeline.kmes.at(member.kme), member.sae, peer.sae, caller, prober);
            });
        }
    }
    std::atomic<std::size_t> next{0};
    work_together(std::min<std::size_t>(pipeline.parallel, jobs.size()), [&] {
        for (std::size_t job = next++; job < jobs.size(); job = next++) jobs[job]();
    });
    std::vector<ProbeResult> results;
    for (auto& [what, result] : prober.results) results.push_back(std::move(result));
    return results;
}

}  // namespace qkd::engine
