// Certificates for tests: a CA and what it signs, as PEM files in a folder.
#pragma once

#include <filesystem>
#include <string>

namespace qkd::support {

struct Identity {
    std::filesystem::path cert;
    std::filesystem::path key;
};

/// A CA on P-256, made anew. Throws std::runtime_error when OpenSSL refuses.
class Pki {
  public:
    /// `directory` exists; files are named after `name`.
    explicit Pki(std::filesystem::path directory, const std::string& name = "ca");
    ~Pki();
    Pki(const Pki&) = delete;
    Pki& operator=(const Pki&) = delete;

    [[nodiscard]] const std::filesystem::path& ca() const noexcept { return ca_; }
    /// `names`: subject alternative names as OpenSSL writes them ("DNS:a,IP:127.0.0.1"); empty: none.
    /// `passphrase` not empty: the key file is encrypted with it.
    Identity issue(const std::string& common_name, const std::string& names = "", long valid_days = 1,
                   const std::string& passphrase = "") const;

  private:
    struct Keys;
    std::filesystem::path directory_;
    std::filesystem::path ca_;
    Keys* keys_;
};

}  // namespace qkd::support
