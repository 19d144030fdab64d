// From the [device.NAME] table to an open session.
#include "connector.hpp"

#include "local_files.hpp"
#include "local_user.hpp"
#include "qkd/sdk/net/program.hpp"
#include "session.hpp"
#include "ssh_files.hpp"

namespace qkd::junos {
namespace {

/// What Junos calls its NETCONF server on the router itself.
constexpr const char* junos_command = "netconf";
/// Where Junos keeps the home directories of its users.
constexpr const char* junos_homes = "/var/home";

net::SshTarget target_of(const ConfigView& config, std::uint16_t port) {
    net::SshTarget target;
    target.host = config.string("host");
    target.port = port;
    target.user = config.string("user");
    target.proxy_command = config.list("proxy_command");
    if (config.has("known_hosts")) target.known_hosts = config.path("known_hosts");
    if (config.has("host_key")) target.host_key = config.string("host_key");
    target.connect_timeout = config.duration("connect_timeout");
    return target;
}

Result<std::unique_ptr<net::SshSession>> open_ssh(const ConfigView& config, Context& context, std::uint16_t port) {
    auto ssh = net::SshSession::connect(context, target_of(config, port));
    if (!ssh) return ssh;
    const std::string user = config.string("user");
    Result<void> entered = Error{};
    if (config.has("ssh_key")) {
        QKD_TRY(auto key, config.secret("ssh_key", context));
        entered = (*ssh)->login_key(context, user, key);
        const bool refused = !entered && entered.error().code == ErrorCode::auth;
        if (!entered && !(refused && config.has("password"))) return std::move(entered).error();
    }
    if (!entered) {
        QKD_TRY(auto password, config.secret("password", context));
        entered = (*ssh)->login_password(context, user, password);
    }
    QKD_TRY(entered);
    return ssh;
}

Result<std::unique_ptr<DeviceSession>> with_facts(Context& context, std::unique_ptr<JunosSession> session) {
    QKD_TRY(session->read_facts(context));
    return std::unique_ptr<DeviceSession>(std::move(session));
}

Result<std::unique_ptr<DeviceSession>> open_by_ssh(Context& context, const ConfigView& config) {
    const auto port = static_cast<std::uint16_t>(config.integer("port"));
    QKD_TRY(auto ssh, open_ssh(config, context, port));
    QKD_TRY(auto stream, ssh->subsystem(context, "netconf"));
    QKD_TRY(auto netconf, NetconfSession::open(context, std::move(stream), config.string("host")));
    SshFiles::OpenSsh elsewhere;
    if (config.has("file_port") && config.integer("file_port") != config.integer("port")) {
        elsewhere = [config = &config](Context& later) {
            return open_ssh(*config, later, static_cast<std::uint16_t>(config->integer("file_port")));
        };
    }
    auto files = std::make_unique<SshFiles>(std::move(ssh), *netconf, std::move(elsewhere));
    return with_facts(context, std::make_unique<JunosSession>(std::move(netconf), std::move(files)));
}

Result<std::unique_ptr<DeviceSession>> open_here(Context& context, const ConfigView& config) {
    auto command = config.list("command");
    if (command.empty()) command = {junos_command};
    const std::string table = config.name();
    auto program = net::Program::start(command);
    if (!program) {
        program.error().what.insert(0, table + ": ");
        return std::move(program).error();
    }
    QKD_TRY(auto netconf, NetconfSession::open(context, std::move(*program), table.substr(table.find('.') + 1)));
    const LocalUser user = local_user();
    // Another file system than ours has its own home directories.
    auto files = config.has("files_root") ? std::make_unique<LocalFiles>(config.string("files_root"),
                                                                         std::filesystem::path(junos_homes) / user.name)
                                          : std::make_unique<LocalFiles>("/", user.home);
    return with_facts(context, std::make_unique<JunosSession>(std::move(netconf), std::move(files)));
}

}  // namespace

Result<void> JunosConnector::configure(const ConfigView& config) {
    const auto wrong = [&](const std::string& what, const std::string& hint) {
        return Error::config(config.name() + ": " + what, hint);
    };
    config_ = &config;
    if (config.string("transport") == "local") {
        if (config.has("command") && (config.list("command").empty() || config.list("command").front().empty()))
            return wrong("command is empty", "say command = [\"PROGRAM\", \"ARGUMENT\", ...], or leave it out");
        if (config.has("files_root") && !config.string("files_root").starts_with('/'))
            return wrong("files_root is no absolute path", "say files_root = \"/...\", or leave it out");
        return {};
    }
    for (const char* needed : {"host", "user"}) {
        if (!config.has(needed))
            return wrong(std::string(needed) + " is missing",
                         std::string("say ") + needed +
                             " = \"...\", or transport = \"local\" where this program runs on the router itself");
    }
    for (const char* local : {"command", "files_root"}) {
        if (config.has(local))
            return wrong(std::string(local) + " has no meaning with transport = \"ssh\"",
                         "say transport = \"local\", or leave it out");
    }
    if (config.has("proxy_command")) {
        const auto expanded =
            net::expand_proxy_command(target_of(config, static_cast<std::uint16_t>(config.integer("port"))));
        if (!expanded) return wrong(expanded.error().what, expanded.error().hint);
    }
    if (!config.has("ssh_key") && !config.has("password"))
        return wrong("neither ssh_key nor password is given", "say ssh_key = \"file:...\" or password = \"file:...\"");
    if (!config.has("known_hosts") && !config.has("host_key"))
        return wrong("neither known_hosts nor host_key is given",
                     "say known_hosts = \"...\" (from ssh-keyscan) or host_key = \"SHA256:...\"");
    if (config.has("host_key") && !config.string("host_key").starts_with("SHA256:"))
        return wrong("host_key is no SHA256 fingerprint",
                     "it looks like \"SHA256:\" and 43 characters: ssh-keygen -lf");
    return {};
}

Result<void> JunosConnector::probe(Context& context) {
    QKD_TRY(auto session, open(context));
    return session->close(context);
}

Result<std::unique_ptr<DeviceSession>> JunosConnector::open(Context& context) {
    if (config_ == nullptr) return Error::internal("configure() was not called", "");
    return config_->string("transport") == "local" ? open_here(context, *config_) : open_by_ssh(context, *config_);
}

}  // namespace qkd::junos
