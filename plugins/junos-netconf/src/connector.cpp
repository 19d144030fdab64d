// From the [device.NAME] table to an open session.
#include "connector.hpp"

#include "session.hpp"

namespace qkd::junos {
namespace {

Result<std::unique_ptr<net::SshSession>> open_ssh(const ConfigView& config, Context& context, std::uint16_t port) {
    net::SshTarget target;
    target.host = config.string("host");
    target.port = port;
    if (config.has("known_hosts")) target.known_hosts = config.path("known_hosts");
    if (config.has("host_key")) target.host_key = config.string("host_key");
    target.connect_timeout = config.duration("connect_timeout");
    auto ssh = net::SshSession::connect(context, target);
    if (!ssh) return ssh;
    const std::string user = config.string("user");
    Result<void> entered = Error{};
    if (config.has("ssh_key")) {
        auto key = config.secret("ssh_key", context);
        if (!key) return std::move(key).error();
        entered = (*ssh)->login_key(context, user, *key);
        const bool refused = !entered && entered.error().code == ErrorCode::auth;
        if (!entered && !(refused && config.has("password"))) return std::move(entered).error();
    }
    if (!entered) {
        auto password = config.secret("password", context);
        if (!password) return std::move(password).error();
        entered = (*ssh)->login_password(context, user, *password);
    }
    if (!entered) return std::move(entered).error();
    return ssh;
}

}  // namespace

Result<void> JunosConnector::configure(const ConfigView& config) {
    const auto wrong = [&](const std::string& what, const std::string& hint) {
        return Error{ErrorCode::config, Retry::never, config.name() + ": " + what, hint};
    };
    if (!config.has("ssh_key") && !config.has("password"))
        return wrong("neither ssh_key nor password is given", "say ssh_key = \"file:...\" or password = \"file:...\"");
    if (!config.has("known_hosts") && !config.has("host_key"))
        return wrong("neither known_hosts nor host_key is given",
                     "say known_hosts = \"...\" (from ssh-keyscan) or host_key = \"SHA256:...\"");
    if (config.has("host_key") && !config.string("host_key").starts_with("SHA256:"))
        return wrong("host_key is no SHA256 fingerprint",
                     "it looks like \"SHA256:\" and 43 characters: ssh-keygen -lf");
    config_ = &config;
    return {};
}

Result<void> JunosConnector::probe(Context& context) {
    auto session = open(context);
    if (!session) return std::move(session).error();
    return (*session)->close(context);
}

Result<std::unique_ptr<DeviceSession>> JunosConnector::open(Context& context) {
    if (config_ == nullptr) return Error{ErrorCode::internal, Retry::never, "configure() was not called", ""};
    const auto port = static_cast<std::uint16_t>(config_->integer("port"));
    auto ssh = open_ssh(*config_, context, port);
    if (!ssh) return std::move(ssh).error();
    auto stream = (*ssh)->subsystem(context, "netconf");
    if (!stream) return std::move(stream).error();
    auto netconf = NetconfSession::open(context, std::move(*stream), config_->string("host"));
    if (!netconf) return std::move(netconf).error();
    JunosSession::OpenSsh files;
    if (config_->has("file_port") && config_->integer("file_port") != config_->integer("port")) {
        files = [config = config_](Context& later) {
            return open_ssh(*config, later, static_cast<std::uint16_t>(config->integer("file_port")));
        };
    }
    auto session = std::make_unique<JunosSession>(std::move(*ssh), std::move(*netconf), std::move(files));
    if (auto facts = session->read_facts(context); !facts) return std::move(facts).error();
    return std::unique_ptr<DeviceSession>(std::move(session));
}

}  // namespace qkd::junos
