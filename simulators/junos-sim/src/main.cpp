// junos-sim: a Junos device as far as NETCONF, SFTP and SCP clients can tell. Command line.
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "device.hpp"
#include "files.hpp"
#include "session.hpp"
#include "show.hpp"

namespace {

constexpr std::string_view help = R"(junos-sim --state DIR [--faults FILE]   NETCONF on stdin and stdout
junos-sim --state DIR --login           what sshd's ForceCommand runs: NETCONF, SFTP or SCP by SSH_ORIGINAL_COMMAND
junos-sim --state DIR --show            the simulator's own view, as XML on stdout
junos-sim --state DIR --reboot          boots the device: sessions, lock and candidate go, MKA starts anew
junos-sim --help | --version

DIR holds device.json and everything the device keeps. --faults FILE scripts what goes wrong (default DIR/faults.json
if it exists). --show prints

  <device name="NAME" time="DEVICE TIME">
    <configuration> the running configuration; <cak> and <secret> hold clear hex </configuration>
    <mka>
      <interface>
        <name>et-0/0/0</name>
        <state>secured|preceding|fallback|init|down</state>
        <ckn> lower-case hex of the key in use, or empty </ckn>
      </interface>
    </mka>
  </device>

secured: live on the primary key; preceding, fallback: live on that key; init: both ends share a key that is not live
yet; down: they share none. Interfaces without MACsec are not listed.
)";

int usage(const std::string& what) {
    std::cerr << "junos-sim: " << what << "\n\n" << help;
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    std::optional<std::filesystem::path> state;
    std::optional<std::filesystem::path> faults;
    bool login = false;
    bool show = false;
    bool reboot = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--help" || word == "-h") {
            std::cout << help;
            return 0;
        }
        if (word == "--version") {
            std::cout << "junos-sim " << QKD_VERSION << '\n';
            return 0;
        }
        if (word == "--login")
            login = true;
        else if (word == "--show")
            show = true;
        else if (word == "--reboot")
            reboot = true;
        else if ((word == "--state" || word == "--faults") && i + 1 < argc)
            (word == "--state" ? state : faults) = argv[++i];
        else
            return usage("unknown or incomplete option " + std::string(word));
    }
    if (!state) return usage("--state DIR is required");
    if (login + show + reboot > 1) return usage("--login, --show and --reboot exclude each other");
    try {
        if (show) {
            std::cout << qkd::junossim::device_view(*state);
            return 0;
        }
        if (reboot) {
            qkd::junossim::Device(*state).reboot();
            return 0;
        }
        if (login) return qkd::junossim::login(*state, faults);
        return qkd::junossim::Session(*state, faults, STDIN_FILENO, STDOUT_FILENO).run();
    } catch (const std::exception& e) {
        std::cerr << "junos-sim: " << e.what() << '\n';
        return 1;
    }
}
