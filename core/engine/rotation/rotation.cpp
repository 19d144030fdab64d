// The rotation protocol: its steps in order.
#include <algorithm>
#include <cmath>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {

Rotation::Rotation(RunShared& shared, const Link& link)
    : shared_(shared),
      pipeline_(shared.pipeline),
      link_(link),
      crew_(shared.pipeline, link, shared.observer, shared.interruption, report_, shared.sessions),
      journal_(shared.pipeline.state, link.name, shared.seal_key),
      progress_(link.members.size()) {
    report_.name = link.name;
    report_.rollover = pipeline_.commit.rollover;
    comment_ = "qkd-macsec " + link.name + " " + shared.run_id;
}

LinkReport Rotation::run() {
    walk();
    if (failure_) {
        conclude_failure();
        if (lost_kme_) mind_kme_loss();
    } else {
        clear_recovered();
        mind_shortcomings();
    }
    close_journal();
    leases_.release();
    if (pipeline_.has(StageKind::commit)) crew_.report_mka();
    crew_.close(/*keep=*/!failure_);
    return std::move(report_);
}

void Rotation::walk() {
    for (Step step = Step::connect; step != Step::end;) {
        enter(step);
        // An exception of our own must not skip the undo.
        auto ended = guard_engine([&] { return perform(step); });
        if (!ended) {
            crew_.caller().log(LogLevel::error, ended.error().what, to_string(step));
            if (!failure_) failure_ = std::move(ended).error();
            // The key stands on all members by then; nothing of it is taken back.
            if (step == Step::verify || step == Step::persist) forward_only_ = true;
        }
        if (journalling_) note_if_possible([](JournalEntry& entry) { entry.ended = true; });
        step = next_step(step, ended ? *ended : Outcome::failed);
    }
}

Rotation::Ended Rotation::perform(Step step) {
    const auto done = [](Result<void> result) -> Ended {
        if (!result) return std::move(result).error();
        return Outcome::done;
    };
    switch (step) {
        case Step::connect: return connect();
        case Step::reconcile: return reconcile_step();
        case Step::prepare: return prepare();
        case Step::reserve: return reserve();
        case Step::stage: return done(stage());
        case Step::commit: return done(commit());
        case Step::confirm: return confirm();
        case Step::verify: return verify();
        case Step::persist: return done(persist());
        case Step::undo: return done(undo());
        case Step::retract: return done(retract());
        case Step::end: break;
    }
    return Outcome::done;
}

void Rotation::enter(Step step) {
    step_ = step;
    crew_.caller().log(LogLevel::info, std::string("step ") + to_string(step), to_string(step));
    if (!journalling_) return;
    note_if_possible([&](JournalEntry& entry) {
        entry.step = step;
        entry.ended = false;
        note_sessions(entry);
    });
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

void Rotation::mind_shortcomings() {
    for (const auto& m : crew_.members()) {
        if (m.state.shortcoming.empty()) continue;
        report_.result = LinkResult::degraded;
        report_.error = Error{ErrorCode::conflict, Retry::safe, m.member->device + ": " + m.state.shortcoming,
                              "the link works; mend the device, and the next rotation makes it whole"};
        return;
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

Rotation::Ended Rotation::connect() {
    if (auto r = crew_.assemble(shared_.host, {StageKind::connect, StageKind::certs, StageKind::initial_config,
                                               StageKind::key_source, StageKind::key_id_transport, StageKind::commit});
        !r) {
        return std::move(r).error();
    }
    if (auto r = memory_.open(shared_.host, pipeline_); !r) return std::move(r).error();
    if (auto r = load_record(); !r) return std::move(r).error();
    if (auto r = load_journal(); !r) return std::move(r).error();
    if (auto r = crew_.connect(); !r) return std::move(r).error();
    if (!pipeline_.has(StageKind::commit)) {
        if (auto r = ensure_certificates(); !r) return std::move(r).error();
        report_.result = LinkResult::unchanged;
        return Outcome::no_keys;
    }
    if (auto r = gate_clocks(); !r) return std::move(r).error();
    return Outcome::done;
}

namespace {

LinkReport work(RunShared& shared, const Link& link, LinkReport (Rotation::*what)()) {
    auto report = guard_engine([&]() -> Result<LinkReport> {
        Rotation rotation(shared, link);
        return (rotation.*what)();
    });
    if (report) return std::move(*report);
    LinkReport failed;
    failed.name = link.name;
    failed.rollover = shared.pipeline.commit.rollover;
    failed.error =
        Error{ErrorCode::internal, Retry::never, "link " + link.name + ": the rotation broke off with an exception",
              "this is a defect of qkd-macsec; run again with --trace and report it"};
    return failed;
}

}  // namespace

LinkReport rotate(RunShared& shared, const Link& link) {
    return work(shared, link, &Rotation::run);
}

LinkReport withdraw(RunShared& shared, const Link& link) {
    return work(shared, link, &Rotation::withdraw);
}

}  // namespace qkd::engine
