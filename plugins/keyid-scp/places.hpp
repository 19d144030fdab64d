// Where notices stand on a device, and how to get at devices that nobody lends a session of.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/config.hpp"
#include "qkd/sdk/device.hpp"
#include "qkd/sdk/net/ssh.hpp"

namespace qkd::keyid_scp {

/// "LINK.notice", the link with everything but letters, digits and '-' written as _hh: no two links share one.
std::string notice_name(const std::string& link);
/// "LINK.DEVICE.ack", likewise.
std::string acknowledgement_name(const std::string& link, const std::string& device);
/// Is this file one of the link's, by whichever device?
bool belongs_to(std::string_view file_name, const std::string& link);

/// The files of a device over an SSH session of our own, by SFTP.
class SshFiles final : public FileAccess {
  public:
    SshFiles(std::unique_ptr<net::SshSession> session, std::string device)
        : session_(std::move(session)), device_(std::move(device)) {}
    [[nodiscard]] bool alive() const noexcept { return session_->alive(); }

    Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) override;
    Result<SecretBytes> get(Context& context, const std::string& path) override;
    Result<std::vector<std::string>> list(Context& context, const std::string& directory) override;
    Result<void> remove(Context& context, const std::string& path) override;
    Result<void> make_directory(Context& context, const std::string& path, unsigned mode) override;

  private:
    template <class T>
    Result<T> named(Result<T> result) const;

    std::unique_ptr<net::SshSession> session_;
    std::string device_;
};

/// Devices by the `peers` of the key_ids table. Sessions stay open as long as this object.
class Peers {
  public:
    /// Reads peers, user, ssh_key and known_hosts. config/never when something is missing or malformed.
    Result<void> configure(const ConfigView& config);
    /// unsupported/never when the device is not among the peers; else what connecting may say.
    Result<FileAccess*> files(Context& context, const std::string& device);

  private:
    const ConfigView* config_ = nullptr;
    std::map<std::string, net::SshTarget> targets_;
    std::map<std::string, SshFiles> open_;
};

/// "HOST", "HOST:PORT" or "[IPV6]:PORT". nullopt when it is none of them.
std::optional<std::pair<std::string, std::uint16_t>> parse_address(std::string_view text);

}  // namespace qkd::keyid_scp
