// Rotation: a KME failed. The link stays on its key and people are told; where the pipeline says so, a key that is too old is
// taken out of use.
#include "engine/base/text.hpp"
#include "engine/rotation/steps.hpp"

namespace qkd::engine {
namespace {

std::string age_text(std::chrono::seconds age) {
    return format_duration(std::chrono::duration_cast<milliseconds>(age));
}

}  // namespace

std::optional<std::chrono::seconds> Rotation::key_age() {
    if (reconciliation_.views.empty()) return std::nullopt;
    const UtcSeconds now = std::chrono::floor<std::chrono::seconds>(earliest_clock());
    // The router knows when a chain key began; a pre-shared key has no date there.
    if (in_force_since_) return now - *in_force_since_;
    return std::nullopt;
}

void Rotation::mind_kme_loss() {
    const auto age = key_age();
    const std::string old = age ? "its key is " + age_text(*age) + " old" : "the age of its key is not known";
    const auto& limit = pipeline_.max_key_age;
    const bool too_old = limit && age && *age > *limit;
    if (!too_old || pipeline_.on_kme_loss == KmeLoss::keep) {
        crew_.caller().log(too_old ? LogLevel::error : LogLevel::warning,
                           "the link stays on its key without its KME: " + old +
                               (too_old ? ", older than max_key_age (" + format_duration(*limit) + ")" : ""),
                           "reserve");
        audit("kept", old);
        return;
    }
    crew_.caller().log(LogLevel::error, "closing the link: " + old + ", and no KME gives a new one", "close");
    bool all = true;
    if (auto leases = take_leases(); !leases) all = false;
    auto closed = crew_.each([&](MemberRun& m) { return close_member(m); });
    all = all && closed.ok();
    if (!closed) crew_.caller().log(LogLevel::error, closed.error().what, "close");
    audit("closed", old + ", max_key_age is " + format_duration(*limit) + (all ? "" : "; not on every member"));
    report_.result = LinkResult::failed;
    report_.error->what += "; the link is closed, because " + old + " and max_key_age is " + format_duration(*limit);
    report_.error->hint = "bring the KME back and run again: that opens the link on a new key";
    (void)crew_.read_states(Cancel::never);
}

Result<void> Rotation::close_member(MemberRun& m) {
    // Keys that nobody else has: MKA finds no peer, and nothing passes in clear because MACsec stays configured.
    const std::size_t octets = cak_octets(link_.cipher);
    auto primary = random_key(octets);
    auto fallback = random_key(octets);
    if (!primary) return std::move(primary).error();
    if (!fallback) return std::move(fallback).error();
    MemberChange change;
    change.pre_shared = NamedKey{primary->ckn, &primary->cak, std::nullopt};
    change.fallback = NamedKey{fallback->ckn, &fallback->cak, std::nullopt};
    for (const auto& key : m.state.keys) {
        if (key.place == KeyPlace::chain) change.remove_from_chain.push_back(key.ckn);
    }
    const std::string comment = comment_ + " close";
    const auto call = [&](const char* step, auto&& fn) {
        CallSpec spec = busy_patient(step);
        spec.cancel = Cancel::never;
        Caller caller(shared_.observer, shared_.interruption, Place{link_.name, m.member->device, {}, {}}, nullptr);
        return caller(spec, m.commit.name, fn);
    };
    if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
    auto r = call("stage", [&](Context& context) { return m.commit->stage(context, *m.session, m.target, change); });
    if (!r) return r;
    r = call("commit-confirmed", [&](Context& context) {
        return m.commit->commit_confirmed(context, *m.session, pipeline_.commit.confirm, comment);
    });
    if (r) r = call("confirm", [&](Context& context) { return m.commit->confirm(context, *m.session, comment); });
    if (!r) {
        (void)call("revert", [&](Context& context) { return m.commit->revert(context, *m.session, comment); });
        return r;
    }
    return call("release", [&](Context& context) { return m.commit->release(context, *m.session); });
}

}  // namespace qkd::engine
