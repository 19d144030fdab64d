// The rotation protocol: its steps in order.
#include <algorithm>
#include <cmath>

#include "engine/rotation_steps.hpp"

namespace qkd::engine {

Rotation::Rotation(RunShared& shared, const Link& link)
    : shared_(shared),
      pipeline_(shared.pipeline),
      link_(link),
      crew_(shared.pipeline, link, shared.observer, shared.interruption, report_),
      progress_(link.members.size()) {
    report_.name = link.name;
    report_.rollover = pipeline_.commit.rollover;
    comment_ = "qkd-macsec " + link.name + " " + shared.run_id;
}

LinkReport Rotation::run() {
    // An exception of our own must not skip the undo.
    if (auto outcome = guard("engine", [&] { return advance(); }); !outcome) {
        fail(std::move(outcome).error());
    } else {
        clear_recovered();
    }
    leases_.release();
    if (pipeline_.has(StageKind::commit)) crew_.report_mka();
    crew_.close();
    return std::move(report_);
}

void Rotation::enter(Step step) {
    step_ = step;
    crew_.caller().log(LogLevel::info, std::string("step ") + to_string(step), to_string(step));
}

void Rotation::clear_recovered() {
    for (auto& m : crew_.members()) {
        for (auto& stage : m.report->stages) {
            if (!stage.error) continue;
            stage.result = StageResult::ok;
            stage.error.reset();
        }
    }
}

void Rotation::fill_key() {
    report_.key_id = key_id_;
    report_.ckn = next_ckn_;
    report_.start_time = pipeline_.commit.rollover == Rollover::key_chain ? start_ : std::nullopt;
}

Result<void> Rotation::interrupted(const char* when) {
    if (!shared_.interruption.requested()) return {};
    return Error{ErrorCode::cancelled, Retry::safe, std::string("interrupted ") + when, "run again when ready"};
}

CallSpec Rotation::busy_patient(const char* step) const {
    CallSpec spec = crew_.spec(StageKind::commit, step);
    spec.wait_out = ErrorCode::busy;
    spec.patience = spec.timeout;
    return spec;
}

milliseconds Rotation::lease_patience() const {
    const StagePolicy* policy = pipeline_.stage(StageKind::commit);
    const auto turn = (policy != nullptr ? policy->timeout : milliseconds{30000}) * 5;
    return turn * static_cast<int>(std::min<std::size_t>(pipeline_.links.size(), 100));
}

milliseconds Rotation::pair_patience() const {
    const StagePolicy* policy = pipeline_.stage(StageKind::key_source);
    return (policy != nullptr ? policy->timeout : milliseconds{30000}) * 4 + pipeline_.dec_retry_window;
}

Result<void> Rotation::take_leases() {
    if (leases_.held()) return {};
    auto leases =
        shared_.devices.take(crew_.device_names(), link_.name, lease_patience(), shared_.interruption.token());
    if (!leases) return std::move(leases).error();
    leases_ = std::move(*leases);
    return {};
}

std::size_t Rotation::index_of(const MemberRun& m) {
    return static_cast<std::size_t>(&m - crew_.members().data());
}

Rotation::Progress& Rotation::progress_of(const MemberRun& m) {
    return progress_[index_of(m)];
}

std::string seconds_text(milliseconds time) {
    const auto tenths = (time.count() + 50) / 100;
    return std::to_string(tenths / 10) + "." + std::to_string(std::abs(tenths % 10)) + " s";
}

Result<void> Rotation::advance() {
    enter(Step::connect);
    if (auto r = crew_.assemble(shared_.host, {StageKind::connect, StageKind::certs, StageKind::initial_config,
                                               StageKind::key_source, StageKind::key_id_transport, StageKind::commit});
        !r) {
        return r;
    }
    if (auto r = memory_.open(shared_.host, pipeline_); !r) return r;
    if (auto r = load_record(); !r) return r;
    if (auto r = crew_.connect(); !r) return r;
    if (!pipeline_.has(StageKind::commit)) {
        if (auto r = ensure_certificates(); !r) return r;
        report_.result = LinkResult::unchanged;
        return {};
    }
    if (auto r = gate_clocks(); !r) return r;

    enter(Step::reconcile);
    if (auto r = reconcile_members(); !r) return r;
    if (can_resume()) return resume();

    enter(Step::prepare);
    if (auto r = ensure_certificates(); !r) return r;
    if (auto r = crew_.difference(); !r) return r;
    if (auto r = check_prepared(); !r) return r;

    enter(Step::reserve);
    if (auto r = reserve(); !r) return r;

    enter(Step::stage);
    if (auto r = stage(); !r) return r;

    enter(Step::commit);
    if (auto r = commit(); !r) return r;

    enter(Step::confirm);
    if (auto r = confirm(); !r) return r;
    leases_.release();

    enter(Step::verify);
    if (auto r = verify(); !r) return r;
    enter(Step::persist);
    return persist();
}

const char* to_string(Step step) noexcept {
    switch (step) {
        case Step::connect: return "connect";
        case Step::reconcile: return "reconcile";
        case Step::prepare: return "prepare";
        case Step::reserve: return "reserve";
        case Step::stage: return "stage";
        case Step::commit: return "commit";
        case Step::confirm: return "confirm";
        case Step::verify: return "verify";
        case Step::persist: return "persist";
        case Step::done: return "done";
    }
    return "?";
}

LinkReport rotate(RunShared& shared, const Link& link) {
    const Caller none(shared.observer, shared.interruption, {}, nullptr);
    auto report = guard("engine", [&]() -> Result<LinkReport> { return Rotation(shared, link).run(); });
    if (report) return std::move(*report);
    LinkReport failed;
    failed.name = link.name;
    failed.rollover = shared.pipeline.commit.rollover;
    failed.error =
        Error{ErrorCode::internal, Retry::never, "link " + link.name + ": the rotation broke off with an exception",
              "this is a defect of qkd-macsec; run again with --trace and report it"};
    return failed;
}

}  // namespace qkd::engine
