// One NETCONF session: hello, the loop over messages, and what of the session outlives a single call.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "config_tree.hpp"
#include "device.hpp"
#include "faults.hpp"
#include "framing.hpp"

namespace qkd::junossim {

class Session {
  public:
    Session(std::filesystem::path state, std::optional<std::filesystem::path> faults, int in, int out);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    int run();  // exit code

    const std::filesystem::path& state() const { return state_; }
    long pid() const { return pid_; }
    const std::string& user() const { return user_; }
    bool rfc_compliant() const { return rfc_compliant_; }

    // A private candidate (open-configuration private): what it began from, and what it is now.
    struct Private {
        Node base;
        Node now;
    };
    std::optional<Private> private_copy;
    bool closing = false;  // set by close-session

  private:
    bool greet();
    // False when the session is over.
    bool handle(const std::string& message);
    bool act_on(const Fault& fault, pugi::xml_node reply, bool& answered);
    std::string commit_kind(const pugi::xml_node& operation) const;
    std::string hello(const DeviceInfo& info) const;
    void release();
    void linger() const;

    std::filesystem::path state_;
    Faults faults_;
    Channel channel_;
    long pid_;
    std::string user_;
    bool rfc_compliant_ = false;
    bool version_1_1_ = false;
    std::string release_;  // for the junos: namespace, "23.4R1"
    std::unique_ptr<FileLock> alive_;
};

// The user sshd let in.
std::string login_user();

}  // namespace qkd::junossim
