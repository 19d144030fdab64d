// Hosts that one can log in to: real OpenSSH daemons on loopback, each with a folder of its own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>

#include "support/map_config.hpp"
#include "support/temp_dir.hpp"

namespace qkd::support {

class SftpHosts {
  public:
    /// Empty when sshd is here, else why not.
    static std::string impossible();
    SftpHosts();
    ~SftpHosts();
    SftpHosts(const SftpHosts&) = delete;
    SftpHosts& operator=(const SftpHosts&) = delete;

    /// Starts one and waits until it answers; throws when it does not.
    void add(const std::string& name);
    [[nodiscard]] std::filesystem::path home(const std::string& name) const { return temp_.path() / name; }
    [[nodiscard]] int port(const std::string& name) const { return hosts_.at(name).port; }
    [[nodiscard]] std::filesystem::path folder() const { return temp_.path(); }
    [[nodiscard]] static std::string user();
    /// What the key_ids table of keyid-scp would say.
    [[nodiscard]] Values values() const;

  private:
    struct Host {
        pid_t pid = -1;
        int port = 0;
    };
    TempDir temp_;
    std::map<std::string, Host> hosts_;
};

}  // namespace qkd::support
