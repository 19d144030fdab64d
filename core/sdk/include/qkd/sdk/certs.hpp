// The certs stage: the certificates with which SAEs speak to their KMEs.
#pragma once

#include <optional>
#include <string>

#include "qkd/sdk/device.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

enum class Change : std::uint8_t {
    unchanged,
    changed,
    on_trial  ///< a new certificate is in place, and the one before, which still works, waits for conclude()
};

/// The identity of one link member towards its KME.
struct CertSubject {
    std::string sae;  ///< becomes the common name and the DNS subject alternative name
    std::string device;
    bool provable = false;  ///< a KME will be asked with the certificate, and conclude() will tell how that went
    std::optional<UtcSeconds> renew_made_before{};  ///< renew a good one too, unless it was made then or later
};

/// certs: configured with its [[stage]] table. Several objects may run at the same time on the same directory.
class CertStage : public Stage {
  public:
    static constexpr StageKind kind = StageKind::certs;

    /// Makes sure that valid CA and client certificates exist where the KME tables expect them and, when `session`
    /// offers files, on the device. Idempotent: what is valid long enough is left alone. Private keys are 0600 and
    /// never logged. Where the subject is provable, what replaces a certificate that still works is on trial; a trial
    /// that an earlier run did not conclude goes on.
    virtual Result<Change> ensure(Context& context, const CertSubject& subject, DeviceSession& session) = 0;
    /// Ends the trial, if there is one: a KME accepted the new certificate and the old one goes, or a KME refused it
    /// and the old one comes back. Idempotent.
    virtual Result<void> conclude(Context& context, const CertSubject& subject, DeviceSession& session,
                                  bool accepted) = 0;
    /// What ensure() would do, in a line; touches nothing. Empty when nothing.
    virtual Result<std::string> plan(Context& context, const CertSubject& subject, DeviceSession& session) = 0;
};

}  // namespace qkd
