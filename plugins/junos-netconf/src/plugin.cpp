// Descriptor of junos-netconf.
#include "qkd/sdk/plugin.hpp"

#include <array>

#include "commit.hpp"
#include "connector.hpp"
#include "initial_config.hpp"

namespace {

constexpr std::array stages{
    qkd::stage<qkd::Connector, qkd::junos::JunosConnector>({qkd::Capability::files, qkd::Capability::lldp,
                                                            qkd::Capability::clock, qkd::Capability::macsec,
                                                            qkd::Capability::netconf}),
    qkd::stage<qkd::InitialConfig, qkd::junos::JunosInitialConfig>({},
                                                                   {qkd::Capability::netconf, qkd::Capability::macsec}),
    qkd::stage<qkd::Commit, qkd::junos::JunosCommit>(
        {qkd::Capability::confirmed, qkd::Capability::key_chain, qkd::Capability::pre_shared_key},
        {qkd::Capability::netconf, qkd::Capability::macsec, qkd::Capability::clock}),
};

using qkd::FieldType;
using qkd::Scope;

constexpr std::array fields{
    qkd::Field{Scope::device, FieldType::one_of, "transport", false, "ssh", "ssh|local",
               "How NETCONF gets to the router: over SSH, or, on the router itself, through a local command. local "
               "needs none of "
               "the fields for SSH."},
    qkd::Field{Scope::device, FieldType::string_list, "command", false, nullptr, nullptr,
               "With transport local: program and arguments of the NETCONF server, run without a shell; without it "
               "[\"netconf\"]."},
    qkd::Field{Scope::device, FieldType::string, "files_root", false, nullptr, nullptr,
               "With transport local: absolute path where this process sees the router's file system, as in a "
               "container; without it /."},
    qkd::Field{Scope::device, FieldType::string, "host", false, nullptr, nullptr,
               "Name or address of the router; required with transport ssh."},
    qkd::Field{Scope::device, FieldType::integer, "port", false, "830", "1..65535",
               "TCP port of NETCONF over SSH (system services netconf ssh)."},
    qkd::Field{Scope::device, FieldType::string, "user", false, nullptr, nullptr,
               "Login name on the router; required with transport ssh. With local: who this process is there."},
    qkd::Field{Scope::device, FieldType::secret, "ssh_key", false, nullptr, nullptr,
               "Private SSH key, ed25519 or ecdsa, OpenSSH or PEM form, without passphrase."},
    qkd::Field{Scope::device, FieldType::secret, "password", false, nullptr, nullptr,
               "Password of the user, for routers without SSH keys; tried after ssh_key."},
    qkd::Field{
        Scope::device, FieldType::path, "known_hosts", false, nullptr, nullptr,
        "OpenSSH known_hosts file with the router's host key; entries for a port other than 22 read [host]:port."},
    qkd::Field{Scope::device, FieldType::string, "host_key", false, nullptr, nullptr,
               "Fingerprint SHA256:... of the router's host key, instead of known_hosts."},
    qkd::Field{Scope::device, FieldType::duration, "connect_timeout", false, "10s", "100ms..5m",
               "Limit for the TCP connection to each address of the host."},
    qkd::Field{Scope::device, FieldType::string_list, "proxy_command", false, nullptr, nullptr,
               "Program and arguments that connect to the router instead of TCP, as by way of a jump host; no shell; "
               "%h, %p and %r "
               "stand for host, port and user."},
    qkd::Field{Scope::device, FieldType::integer, "file_port", false, nullptr, "1..65535",
               "TCP port of SSH for files (SFTP, scp) where it is not the NETCONF port, usually 22."},
    qkd::Field{
        Scope::device, FieldType::boolean, "allow_local_commit", false, "false", nullptr,
        "With two routing engines: when the other one does not take a commit, commit on this one alone and report the "
        "link as degraded, instead of failing."},
    qkd::Field{Scope::device, FieldType::boolean, "kme_macro", false, "true", nullptr,
               "initial-config writes the KME into apply-macro qkd of each interface, for scripts on the router."},
    qkd::Field{
        Scope::device, FieldType::boolean, "host_mapping", false, "true", nullptr,
        "initial-config writes system static-host-mapping: host_mappings, and the router's own name where host is an "
        "address."},
    qkd::Field{Scope::device, FieldType::string_list, "host_mappings", false, nullptr, nullptr,
               "Names that initial-config makes known on the router, NAME=ADDRESS, such as that of its KME."},
    qkd::Field{Scope::device, FieldType::string, "event_script", false, nullptr, nullptr,
               "File in /var/db/scripts/event that event-options of the router run; without it none are written."},
    qkd::Field{Scope::device, FieldType::duration, "event_interval", false, "10m", "1m..720h",
               "How often the router runs event_script; whole seconds."},
    qkd::Field{Scope::device, FieldType::string, "event_start", false, nullptr, nullptr,
               "When the router begins to run event_script, its local time: YYYY-MM-DD.HH:MM:SS."},
    qkd::Field{Scope::device, FieldType::string, "event_user", false, nullptr, nullptr,
               "User as whom the router runs event_script; without it user."},
};

}  // namespace

QKD_PLUGIN("junos-netconf", "1.0.0", "qkd-macsec", "Juniper routers by NETCONF over SSH or on the router itself",
           "stable", stages, fields)
