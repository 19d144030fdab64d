// A CA server: a machine on which the CA's certificate and key lie as files, read over SSH.
#pragma once

#include <filesystem>
#include <string>

#include "qkd/sdk/config.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::certs {

class CaServer {
  public:
    /// Takes the ca_... values of the stage's table. `config` must outlive this object. Errors: config.
    Result<void> configure(const ConfigView& config);

    [[nodiscard]] bool has_key() const { return !key_file_.empty(); }
    /// "ca.example:/opt/ca/root.crt", for messages.
    [[nodiscard]] std::string cert_place() const;

    struct Fetched {
        std::string cert;  ///< PEM
        SecretBytes key;   ///< PEM; empty unless it was asked for
    };
    /// By SFTP, or by scp where the server has no SFTP. The host key is verified before anything else.
    Result<Fetched> fetch(Context& context, bool with_key) const;

  private:
    const ConfigView* config_ = nullptr;
    std::string host_;
    std::string cert_file_;
    std::string key_file_;
};

}  // namespace qkd::certs
