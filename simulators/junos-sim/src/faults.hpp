// Scripted faults: what a test wants to go wrong, and when.
//
// {"faults":[{"rpc":"commit-configuration","nth":2,"action":"drop","phase":"after"}, ...]}
//   rpc      local name of the call, or "*" (any), "connect" (before the hello), "hello", "sftp", "scp"
//   nth      only the nth matching call, counted over all processes; or "every": true (the default without nth)
//   when     {"commit_kind":"check|confirmed|confirm|plain"}: only commits of that kind;
//            {"synchronize":true}: only commits for both routing engines
//   action   delay (ms of real time), drop (close without a reply), error (rpc-error with message), garbage (malformed
//            bytes), hang (never answer, until the peer closes), crash (exit at once), crash-after (the same with phase
//            after), lock-held (answer as if another user held the configuration), reboot (the device does, as by
//            junos-sim --reboot: every NETCONF session of it dies, this one too)
//   phase    before (default): the call has no effect; after: it took effect, only its reply is affected
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qkd::junossim {

struct Fault {
    std::string action;
    bool after = false;
    long ms = 0;
    std::string message;
};

class Faults {
  public:
    // `file`: --faults; without it the device's faults.json, if any. Read anew for each call.
    Faults(std::filesystem::path state, std::optional<std::filesystem::path> file);

    // The faults for this call, in the order of the file; counts it. Opens the device: hold none.
    // Throws SimError when the file is not as described above.
    std::vector<Fault> match(const std::string& rpc, const std::string& commit_kind = {},
                             bool synchronize = false) const;

  private:
    std::filesystem::path state_;
    std::filesystem::path file_;
    bool required_;
};

}  // namespace qkd::junossim
