// The certs stage: a folder of certificates on this machine, kept in order, and copies of them on the devices.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ca_server.hpp"
#include "device_copies.hpp"
#include "folder.hpp"
#include "qkd/sdk/certs.hpp"
#include "x509.hpp"

namespace qkd::certs {

class X509Certs final : public CertStage {
  public:
    using Now = std::function<std::chrono::sys_seconds()>;
    X509Certs();
    explicit X509Certs(Now now) : now_(std::move(now)) {}

    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;
    Result<Change> ensure(Context& context, const CertSubject& subject, DeviceSession& session) override;
    Result<void> conclude(Context& context, const CertSubject& subject, DeviceSession& session, bool accepted) override;
    Result<std::string> plan(Context& context, const CertSubject& subject, DeviceSession& session) override;

  private:
    enum class Source : std::uint8_t { generate, fetch, provided };

    /// What is in the folder, and what has to be done about it.
    struct Findings {
        Pair ca;
        Pair client;
        Pair before;  ///< the replaced pair of a trial
        bool before_works = false;
        bool make_ca = false;              ///< or fetch it
        bool put_back = false;             ///< what is in place is no good, but the pair before is
        Judgement state;                   ///< of `client`
        std::string renew;                 ///< why the client's certificate is made anew; empty: it is not
        std::string note;                  ///< what is left alone for now
        std::string warning;               ///< what should be done by a person
        std::vector<std::string> exposed;  ///< key files that others may read
    };

    Result<Findings> inspect(const CertSubject& subject) const;
    Result<void> decide(const CertSubject& subject, std::chrono::sys_seconds ca_expires, Findings& found) const;
    [[nodiscard]] bool waits_for_window(std::chrono::sys_seconds expires) const;
    /// Brings the folder into order. Called under the lock.
    Result<bool> make_local(Context& context, const CertSubject& subject, FileAccess* device, Findings& found) const;
    Result<void> get_ca(Context& context, Findings& found) const;
    Result<Pair> from_device(Context& context, const std::string& sae, const Findings& found, FileAccess& device) const;
    Result<Pair> sign(Context& context, const std::string& sae, Findings& found) const;
    Result<void> write_pair(const std::string& sae, const Pair& pair, const char* suffix) const;
    Result<void> forget_before(const std::string& sae) const;
    [[nodiscard]] FileAccess* device_files(DeviceSession& session) const;
    static std::vector<Copy> copies(const std::string& sae, const Findings& found, bool on_trial);
    [[nodiscard]] std::string place(const std::string& name) const { return (folder_ / name).string(); }

    Now now_;
    std::filesystem::path folder_;
    Source source_ = Source::generate;
    CaServer server_;
    Wish ca_wish_;
    Wish client_wish_;
    int min_valid_days_ = 0;
    bool in_window_only_ = false;
    std::string device_directory_;
    bool upload_ = true;
};

}  // namespace qkd::certs
