// The certs stage of all members, with the trial of what is new.
#include "engine/rotation/certificates.hpp"

namespace qkd::engine {
namespace {

/// Asks the KME for its opinion of a new certificate.
void try_certificate(const Link& link, Crew& crew, const RunShared& run, MemberRun& m) {
    const bool first = m.member->role == Role::initiator;
    const std::string& peer = first ? link.responders().back()->sae : link.initiator().sae;
    CallSpec spec = crew.spec(StageKind::key_source, "try-certificate");
    spec.look = true;
    spec.retry.attempts = 1;
    const auto status =
        m.caller(spec, m.source.name, [&](Context& context) { return m.source->status(context, peer); });
    // Whatever else a KME says of its status decides nothing: the call for a key will.
    if (status) conclude_certificate(crew, run, m, true);
    if (!status && status.error().code == ErrorCode::auth) conclude_certificate(crew, run, m, false);
}

}  // namespace

Result<void> ensure_certificates(const Attempt& attempt, Crew& crew, const RunShared& run) {
    return crew.each([&](MemberRun& m) -> Result<void> {
        if (!m.certs) return {};
        QKD_TRY(const Change change,
                m.caller(crew.spec(StageKind::certs, "certs"), m.certs.name, [&](Context& context) {
                    return m.certs->ensure(context, m.cert_subject(run.renew_made_before), *m.session);
                }));
        m.certificate_on_trial = change == Change::on_trial;
        if (m.certificate_on_trial) try_certificate(attempt.link, crew, run, m);
        return {};
    });
}

void conclude_certificate(Crew& crew, const RunShared& run, MemberRun& m, bool accepted) {
    if (!m.certificate_on_trial) return;
    m.certificate_on_trial = false;
    auto done = m.caller(crew.spec(StageKind::certs, "conclude"), m.certs.name, [&](Context& context) {
        return m.certs->conclude(context, m.cert_subject(run.renew_made_before), *m.session, accepted);
    });
    if (!done)
        m.caller.log(LogLevel::warning, "the trial of the new certificate goes on: " + done.error().what, "certs");
}

}  // namespace qkd::engine
