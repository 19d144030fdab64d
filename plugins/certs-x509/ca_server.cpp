// One SSH session per visit: visits are as rare as renewals.
#include "ca_server.hpp"

#include <array>
#include <utility>

#include "qkd/sdk/net/ssh.hpp"

namespace qkd::certs {
namespace {

constexpr std::size_t largest_file = std::size_t{1} << 20U;

Result<SecretBytes> get(Context& context, net::SshSession& ssh, const std::string& path) {
    auto content = ssh.sftp_get(context, path, largest_file);
    if (!content && content.error().code == ErrorCode::unsupported) content = ssh.scp_get(context, path, largest_file);
    return content;
}

}  // namespace

Result<void> CaServer::configure(const ConfigView& config) {
    const auto wrong = [&config](const std::string& what, const std::string& hint) {
        return Error{ErrorCode::config, Retry::never, config.name() + ": " + what, hint};
    };
    constexpr std::array keys{"ca_host",      "ca_user",     "ca_ssh_key",     "ca_password",
                              "ca_cert_file", "ca_key_file", "ca_known_hosts", "ca_host_key"};
    if (config.string("ca") != "fetch") {
        for (const char* key : keys) {
            if (config.has(key))
                return wrong(std::string(key) + " has a meaning with ca = \"fetch\" only",
                             "say ca = \"fetch\", or leave it out");
        }
        return {};
    }
    for (const char* key : {"ca_host", "ca_user", "ca_cert_file"}) {
        if (!config.has(key) || config.string(key).empty())
            return wrong(std::string("ca = \"fetch\" needs ") + key,
                         "say where the CA's files are and who may read them");
    }
    if (!config.has("ca_ssh_key") && !config.has("ca_password"))
        return wrong("ca = \"fetch\" needs ca_ssh_key or ca_password", "say ca_ssh_key = \"file:...\"");
    if (!config.has("ca_known_hosts") && !config.has("ca_host_key"))
        return wrong("ca = \"fetch\" needs ca_known_hosts or ca_host_key",
                     "say ca_known_hosts = \"...\" (from ssh-keyscan) or ca_host_key = \"SHA256:...\"");
    config_ = &config;
    host_ = config.string("ca_host");
    cert_file_ = config.string("ca_cert_file");
    if (config.has("ca_key_file")) key_file_ = config.string("ca_key_file");
    return {};
}

std::string CaServer::cert_place() const {
    return host_ + ":" + cert_file_;
}

Result<CaServer::Fetched> CaServer::fetch(Context& context, bool with_key) const {
    const auto at_server = [this](Error error) {
        error.what = "CA server " + host_ + ": " + error.what;
        return error;
    };
    net::SshTarget target;
    target.host = host_;
    target.port = static_cast<std::uint16_t>(config_->integer("ca_port"));
    if (config_->has("ca_known_hosts")) target.known_hosts = config_->path("ca_known_hosts");
    if (config_->has("ca_host_key")) target.host_key = config_->string("ca_host_key");
    auto ssh = net::SshSession::connect(context, target);
    if (!ssh) return at_server(std::move(ssh).error());
    const bool by_key = config_->has("ca_ssh_key");
    auto secret = config_->secret(by_key ? "ca_ssh_key" : "ca_password", context);
    if (!secret) return std::move(secret).error();
    const std::string user = config_->string("ca_user");
    auto entered = by_key ? (*ssh)->login_key(context, user, *secret) : (*ssh)->login_password(context, user, *secret);
    if (!entered) return at_server(std::move(entered).error());

    Fetched fetched;
    auto cert = get(context, **ssh, cert_file_);
    if (!cert) return at_server(std::move(cert).error());
    fetched.cert = std::string(cert->reveal_text());
    if (with_key) {
        auto key = get(context, **ssh, key_file_);
        if (!key) return at_server(std::move(key).error());
        fetched.key = std::move(key).value();
    }
    return fetched;
}

}  // namespace qkd::certs
