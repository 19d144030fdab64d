// The inventory of the Python script (targets.yaml or targets.json): what it says, and what it leaves open.
//
//   system:     maxthreads, event_options: start_time
//   secrets:    username, password
//   CA_server:  CA_cert: {fetch, generate}, c_a, ca_server_ip, ca_path, ca_cert_name, ca_key_name, ca_user, ca_pass
//   qkd_roles:  master, slave, additional_slave_SAE_IDs
//   HOSTNAME:   ip, port (ours: NETCONF elsewhere than at 22), interfaces, kme: {kme_name, kme_ip}, root_enc_pass
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/pipeline/file.hpp"
#include "import/yaml.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::inventory {

enum class CaSource : std::uint8_t { provided, generate, fetch };

struct Kme {
    std::string host;  ///< to connect to: the address where there is one, else the name
    unsigned port = 443;
    std::string path;   ///< "" or "/..."
    std::string bears;  ///< name in the KME's certificate when that is not `host`; else empty
    std::string label;  ///< what to call it
};

struct Target {
    std::string name;
    std::string host;
    unsigned port = 22;
    std::vector<std::string> interfaces;
    Kme kme;
};

/// Move-only: it holds passwords.
struct Inventory {
    std::optional<unsigned> threads;
    std::string user;
    SecretBytes password;  ///< empty: none
    CaSource ca = CaSource::provided;
    std::string association;
    std::string ca_host;
    std::string ca_cert_file;
    std::string ca_key_file;
    std::string ca_user;
    SecretBytes ca_password;      ///< empty: none
    std::vector<Target> members;  ///< the master first, then the slaves
};

struct Reading {
    Inventory inventory;                    ///< only to be used when ok()
    std::vector<engine::Finding> findings;  ///< errors, and as warnings what is not carried over
    [[nodiscard]] bool ok() const noexcept;
};

/// Takes the tree of the file `shown` apart. Never fails half: all there is to find is found. No finding quotes a secret.
Reading read_inventory(const Node& root, const std::filesystem::path& shown);
/// The file itself: at most 1 MiB of YAML or JSON.
Reading read_inventory(const std::filesystem::path& file);

}  // namespace qkd::inventory
