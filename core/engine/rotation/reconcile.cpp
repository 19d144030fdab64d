// Rotation: clocks, reconciliation with what the members have, certificates.
#include <algorithm>
#include <utility>

#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

constexpr unsigned withdraw_attempts = 3;

}  // namespace

Result<void> Rotation::load_record() {
    auto record = memory_.load(crew_.front().caller, crew_.spec(StageKind::persist, "load"), link_.name);
    if (!record) return std::move(record).error();
    record_ = std::move(*record);
    return {};
}

Result<void> Rotation::gate_clocks() {
    auto skew = crew_.compare_clocks();
    if (!skew) return std::move(skew).error();
    report_.clock_skew_ms = static_cast<double>(skew->estimate.count());
    const auto bound = pipeline_.commit.max_clock_skew;
    if (skew->proven > bound) {
        return Error{ErrorCode::conflict, Retry::safe,
                     "link " + link_.name + ": the clock of " + skew->ahead + " is at least " +
                         seconds_text(skew->proven) + " ahead of that of " + skew->behind + " (max_clock_skew is " +
                         seconds_text(bound) + ")",
                     "let both devices follow the same NTP server, see `show ntp status` on them, then run again"};
    }
    return {};
}

Result<void> Rotation::reconcile_members() {
    if (auto r = crew_.connect(); !r) return r;  // after groundwork a session may be gone
    if (auto r = break_dead_locks(); !r) return r;
    if (auto r = crew_.read_states(); !r) return r;
    if (auto r = undo_own_pending_commit(); !r) return r;
    look_at_members();
    for (const auto& note : reconciliation_.notes) crew_.caller().log(LogLevel::warning, note, "reconcile");
    if (!reconciliation_.withdrawals.empty()) {
        if (auto r = withdraw_leftovers(); !r) return r;
        if (auto r = crew_.read_states(); !r) return r;
        look_at_members();
    }
    if (auto r = crew_.obey_overrides(shared_.host); !r) return r;
    compare_with_memory();
    choose_required_interfaces();
    return {};
}

void Rotation::compare_with_memory() {
    const KeyView& view = reconciliation_.views.front();
    const ConfiguredKey* active = view.active != nullptr ? view.active : view.pre_shared;
    const std::string in_force = active != nullptr ? active->ckn : std::string{};
    if (!record_.pending_ckn.empty() && in_force == record_.pending_ckn) {
        record_.previous_key_id = record_.key_id;
        record_.key_id = record_.pending_key_id;
        record_.ckn = record_.pending_ckn;
        record_.start = active->start;
    }
    // What is remembered is a cache: the key in force may be another one.
    report_.previous_key_id.reset();
    if (!record_.key_id.empty() && in_force == record_.ckn) report_.previous_key_id = record_.key_id;
    if (view.active != nullptr) {
        in_force_since_ = view.active->start;
    } else if (!in_force.empty() && in_force == record_.ckn) {
        in_force_since_ = record_.saved;
    }
}

void Rotation::look_at_members() {
    readings_ = crew_.readings();
    reconciliation_ = reconcile(readings_, record_.own_ckns, pipeline_.commit.rollover);
    if (onbox()) judge_own_key();
}

Result<void> Rotation::withdraw_leftovers() {
    if (auto r = take_leases(); !r) return r;
    if (auto r = note_repair(); !r) return r;
    auto withdrawn = crew_.each([&](MemberRun& m) -> Result<void> {
        const auto index = index_of(m);
        for (const auto& withdrawal : reconciliation_.withdrawals) {
            if (withdrawal.member != index) continue;
            // Withdrawn at one member and left at another is worse than not at all: nothing interrupts it, and a lost call
            // is made again.
            CallSpec spec = busy_patient("withdraw");
            spec.cancel = Cancel::never;
            Result<void> done;
            for (unsigned attempt = 1; attempt <= withdraw_attempts; ++attempt) {
                done = crew_.reconnect(m, Cancel::never);
                if (!done) continue;
                done = m.caller(spec, m.commit.name, [&](Context& context) {
                    return m.commit->withdraw(context, *m.session, m.target, withdrawal.ckn, comment_ + " withdraw");
                });
                if (done || done.error().code == ErrorCode::conflict) break;
                m.session_is_doubtful = true;
            }
            if (!done) return done;
        }
        return {};
    });
    leases_.release();
    return withdrawn;
}

void Rotation::choose_required_interfaces() {
    std::vector<std::vector<std::string>> secured;
    for (const auto& m : crew_.members()) {
        auto& list = secured.emplace_back();
        for (const auto& interface : m.state.mka) {
            if (interface.state != MkaState::down && interface.state != MkaState::unknown)
                list.push_back(interface.name);
        }
        if (list.empty()) return;
    }
    for (std::size_t i = 0; i < secured.size(); ++i) {
        auto& m = crew_.members()[i];
        for (const auto& interface : m.member->interfaces) {
            if (std::find(secured[i].begin(), secured[i].end(), interface) == secured[i].end()) {
                m.caller.log(LogLevel::warning,
                             "interface " + interface + " is down; it is not required in this rotation", "reconcile");
            }
        }
        m.required = std::move(secured[i]);
    }
}

bool Rotation::can_resume() {
    // What waits for its confirm may go again by itself.
    const bool unsettled = std::any_of(crew_.members().begin(), crew_.members().end(),
                                       [](const MemberRun& m) { return m.state.pending.has_value(); });
    if (unsettled) return false;
    if (dead_key_in_force()) return true;
    const ConfiguredKey* key = reconciliation_.adopted;
    if (key == nullptr || pipeline_.commit.rollover != Rollover::key_chain) return false;
    // Near a change of daylight time a start-time lies further ahead than the lead.
    std::vector<ClockReading> clocks;
    for (const auto& m : crew_.members()) clocks.push_back(m.clock);
    return *key->start <= choose_start(clocks, lead()) + std::chrono::hours{1};
}

void Rotation::adopt() {
    adopted_ = true;
    dead_taken_ = true;
    if (const ConfiguredKey* key = reconciliation_.adopted; key != nullptr) {
        next_ckn_ = key->ckn;
        start_ = key->start;
    } else {
        next_ckn_ = dead_->ckn;
        if (const ConfiguredKey* active = reconciliation_.views.front().active; active != nullptr)
            start_ = active->start;
    }
    if (dead_ && next_ckn_ != dead_->ckn && !dead_->key_id.empty()) {
        key_id_ = dead_->key_id;
        const std::string adopted = std::exchange(next_ckn_, dead_->ckn);
        audit("unused", "not used any more: all members have another new key");
        next_ckn_ = adopted;
        key_id_.clear();
    }
    if (dead_ && next_ckn_ == dead_->ckn) {
        key_id_ = dead_->key_id;
    } else if (next_ckn_ == record_.pending_ckn) {
        key_id_ = record_.pending_key_id;
    } else if (next_ckn_ == record_.ckn) {
        key_id_ = record_.key_id;
    }
    if (next_ckn_ == record_.ckn) {
        report_.previous_key_id.reset();
        if (!record_.previous_key_id.empty()) report_.previous_key_id = record_.previous_key_id;
    }
    commit_clocks_.clear();
    for (const auto& m : crew_.members()) commit_clocks_.push_back(m.clock.now);
    crew_.caller().log(LogLevel::notice, "all members have the same new key already; going on with it", "reconcile");
    fill_key();
}

Rotation::Ended Rotation::reconcile_step() {
    if (auto r = reconcile_members(); !r) return std::move(r).error();
    if (!can_resume()) return Outcome::done;
    adopt();
    return Outcome::adopted;
}

Rotation::Ended Rotation::prepare() {
    if (auto r = check_times(); !r) return std::move(r).error();
    if (auto r = ensure_certificates(); !r) return std::move(r).error();
    if (auto r = crew_.difference(); !r) return std::move(r).error();
    if (auto r = check_prepared(); !r) return std::move(r).error();
    if (groundwork_ && !onbox() && reconciliation_.needs_groundwork) {
        return Error{ErrorCode::conflict, Retry::safe,
                     "link " + link_.name + ": the common fallback that was just laid is not there any more",
                     "somebody else changes the members; see `show system commit` there, then run again"};
    }
    if (onbox()) return Outcome::done;  // what this round does is settled with the peers
    groundwork_ = reconciliation_.needs_groundwork && pipeline_.commit.rollover == Rollover::key_chain;
    if (!groundwork_) return Outcome::done;
    crew_.caller().log(LogLevel::notice, "the members have no fallback in common; laying one before the new key",
                       "prepare");
    return Outcome::groundwork;
}

Result<void> Rotation::ensure_certificates() {
    return crew_.each([&](MemberRun& m) -> Result<void> {
        if (!m.certs) return {};
        auto change = m.caller(crew_.spec(StageKind::certs, "certs"), m.certs.name, [&](Context& context) {
            return m.certs->ensure(context, m.cert_subject(shared_.renew_made_before), *m.session);
        });
        if (!change) return std::move(change).error();
        m.certificate_on_trial = *change == Change::on_trial;
        if (m.certificate_on_trial) try_certificate(m);
        return {};
    });
}

void Rotation::try_certificate(MemberRun& m) {
    const bool first = m.member->role == Role::initiator;
    const std::string& peer = first ? link_.responders().back()->sae : link_.initiator().sae;
    CallSpec spec = crew_.spec(StageKind::key_source, "try-certificate");
    spec.look = true;
    spec.retry.attempts = 1;
    const auto status =
        m.caller(spec, m.source.name, [&](Context& context) { return m.source->status(context, peer); });
    // Whatever else a KME says of its status decides nothing: the call for a key will.
    if (status) conclude_certificate(m, true);
    if (!status && status.error().code == ErrorCode::auth) conclude_certificate(m, false);
}

void Rotation::conclude_certificate(MemberRun& m, bool accepted) {
    if (!m.certificate_on_trial) return;
    m.certificate_on_trial = false;
    auto done = m.caller(crew_.spec(StageKind::certs, "conclude"), m.certs.name, [&](Context& context) {
        return m.certs->conclude(context, m.cert_subject(shared_.renew_made_before), *m.session, accepted);
    });
    if (!done)
        m.caller.log(LogLevel::warning, "the trial of the new certificate goes on: " + done.error().what, "certs");
}

Result<void> Rotation::check_prepared() {
    for (std::size_t i = 0; i < reconciliation_.views.size(); ++i) {
        const KeyView& view = reconciliation_.views[i];
        for (const auto* key : {view.active, view.pre_shared, view.fallback}) {
            if (key == nullptr || !key->cak.empty()) continue;
            return Error{
                ErrorCode::auth, Retry::never,
                "device " + readings_[i].device + " does not show the CAK of key " + key->ckn.substr(0, 12) + "...",
                "the login needs the permission to read secrets, or the key is not hexadecimal: without it no key in "
                "common can be kept through the change"};
        }
    }
    for (const auto& m : crew_.members()) {
        if (m.initial || m.state.association_exists) continue;
        return Error{
            ErrorCode::config, Retry::never,
            "device " + m.member->device + " has no connectivity association " + link_.connectivity_association,
            "add [[stage]] kind = \"initial-config\" to the pipeline, or configure it on the device"};
    }
    return {};
}

}  // namespace qkd::engine
