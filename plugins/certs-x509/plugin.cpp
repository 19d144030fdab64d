// Descriptor of certs-x509.
#include "qkd/sdk/plugin.hpp"

#include <array>

#include "certs_x509.hpp"

namespace {

using qkd::Field;
using qkd::FieldType;
using qkd::Scope;

constexpr std::array stages{qkd::stage<qkd::CertStage, qkd::certs::X509Certs>()};
constexpr std::array fields{
    Field{Scope::certs, FieldType::path, "directory", true, nullptr, nullptr,
          "Directory on this machine for root.crt, root.key, SAE.crt and SAE.key; made when absent."},
    Field{Scope::certs, FieldType::one_of, "ca", false, "generate", "generate|fetch|provided",
          "generate makes a CA when the directory has none, fetch gets it from a CA server; provided insists that "
          "root.crt is there."},
    Field{Scope::certs, FieldType::string, "ca_name", false, "qkd-macsec CA", nullptr,
          "Common name of a generated CA, 1 to 64 characters."},
    Field{Scope::certs, FieldType::integer, "ca_valid_days", false, "1825", "2..36500",
          "Days for which a generated CA is valid."},
    Field{Scope::certs, FieldType::integer, "valid_days", false, "365", "1..3650",
          "Days for which a new client certificate is valid; never longer than its CA."},
    Field{Scope::certs, FieldType::integer, "min_valid_days", false, "10", "0..3649",
          "A certificate that expires within so many days is renewed."},
    Field{Scope::certs, FieldType::one_of, "key_type", false, "ec-p256", "ec-p256|rsa-2048|rsa-3072",
          "Kind of new keys, of the CA and of SAEs."},
    Field{Scope::certs, FieldType::one_of, "when", false, "always", "always|window",
          "window renews what still works only from 00:00 to 01:00, local time, on days 1, 6, 11, 16, 21, 26 and 31."},
    Field{
        Scope::certs, FieldType::string, "device_directory", false, "certs", nullptr,
        "Directory on the devices for the copies; made 0700 when absent. A relative path counts from the login user's "
        "home directory."},
    Field{Scope::certs, FieldType::boolean, "upload", false, "true", nullptr,
          "Keep copies of root.crt, SAE.crt and SAE.key on the device, for what runs there."},
    Field{Scope::certs, FieldType::string, "ca_host", false, nullptr, nullptr,
          "Name or address of the CA server (ca = fetch)."},
    Field{Scope::certs, FieldType::integer, "ca_port", false, "22", "1..65535", "SSH port of the CA server."},
    Field{Scope::certs, FieldType::string, "ca_user", false, nullptr, nullptr, "Login name on the CA server."},
    Field{Scope::certs, FieldType::secret, "ca_ssh_key", false, nullptr, nullptr,
          "Private SSH key for the CA server, ed25519 or ecdsa, without passphrase."},
    Field{Scope::certs, FieldType::secret, "ca_password", false, nullptr, nullptr,
          "Password on the CA server, where there is no SSH key."},
    Field{Scope::certs, FieldType::path, "ca_known_hosts", false, nullptr, nullptr,
          "OpenSSH known_hosts file with the CA server's host key."},
    Field{Scope::certs, FieldType::string, "ca_host_key", false, nullptr, nullptr,
          "Fingerprint SHA256:... of the CA server's host key, instead of ca_known_hosts."},
    Field{Scope::certs, FieldType::string, "ca_cert_file", false, nullptr, nullptr,
          "Path of the CA's certificate on the CA server, PEM."},
    Field{Scope::certs, FieldType::string, "ca_key_file", false, nullptr, nullptr,
          "Path of the CA's private key on the CA server, PEM; read to sign and never written down here."},
};

}  // namespace

QKD_PLUGIN("certs-x509", "1.1.0", "qkd-macsec", "Client certificates for SAEs from a CA in a directory", "stable",
           stages, fields)
