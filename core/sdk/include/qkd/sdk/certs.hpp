// The certs stage: the certificates with which SAEs speak to their KMEs.
#pragma once

#include <string>

#include "qkd/sdk/device.hpp"
#include "qkd/sdk/stage.hpp"

namespace qkd {

enum class Change : std::uint8_t { unchanged, changed };

/// The identity of one link member towards its KME.
struct CertSubject {
    std::string sae;  ///< becomes the common name and the DNS subject alternative name
    std::string device;
};

/// certs: configured with its [[stage]] table. Several objects may run at the same time on the same directory.
class CertStage : public Stage {
  public:
    /// Makes sure that valid CA and client certificates exist where the KME tables expect them and, when `session`
    /// offers files, on the device. Idempotent: what is valid long enough is left alone. Private keys are 0600 and
    /// never logged.
    virtual Result<Change> ensure(Context& context, const CertSubject& subject, DeviceSession& session) = 0;
    /// What ensure() would do, in a line; touches nothing. Empty when nothing.
    virtual Result<std::string> plan(Context& context, const CertSubject& subject, DeviceSession& session) = 0;
};

}  // namespace qkd
