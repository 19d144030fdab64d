// What the tests share: a lab in a temporary folder whose clock moves only when told, and a NETCONF client that talks
// to the real binary over pipes.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <pugixml.hpp>
#include <string>
#include <vector>

#include "framing.hpp"
#include "util.hpp"

namespace qkd::junossim::test {

class TempFolder {
  public:
    TempFolder();
    ~TempFolder();
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

class TestLab {
  public:
    // Devices "a", "b", ..; wires are [device, interface, device, interface]. The clock stands still.
    explicit TestLab(const std::vector<std::string>& devices, const std::vector<std::vector<std::string>>& wires = {});

    std::filesystem::path device(const std::string& name) const { return folder_.path() / "devices" / name; }
    const std::filesystem::path& root() const { return folder_.path(); }
    // Sets a key of device.json; `value` is JSON text.
    void configure(const std::string& name, const std::string& key, const std::string& value) const;
    void advance(Millis ms);
    // From here on the lab skips waits; how far it went, `now` does not know (see read_lab).
    void skip_waits();
    Millis now() const;
    // What --show prints.
    pugi::xml_document show(const std::string& name) const;
    // "secured 0a0b.." of one interface, from --show; "absent" when not listed.
    std::string mka(const std::string& name, const std::string& interface) const;

  private:
    void write() const;
    TempFolder folder_;
    std::vector<std::string> devices_;
    std::vector<std::vector<std::string>> wires_;
    Millis advanced_ = 0;
    bool skip_waits_ = false;
};

// A child process with its standard streams on pipes; killed and reaped at the end.
class Process {
  public:
    Process(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void write(std::string_view bytes) const;
    void close_input();
    // More output, or empty at its end. Fails the test after 20 s.
    std::string read() const;
    std::string read_all() const;
    int wait();  // exit code, or 128 + signal
    pid_t pid() const { return pid_; }

  private:
    pid_t pid_ = -1;
    int in_ = -1;
    int out_ = -1;
};
// Runs to its end; returns output and exit code.
std::pair<std::string, int> run(const std::vector<std::string>& argv, const std::string& input = {},
                                const std::map<std::string, std::string>& environment = {});

class Client {
  public:
    explicit Client(const std::filesystem::path& state, const std::vector<std::string>& options = {},
                    bool offer_chunks = false, const std::string& user = "lab");

    // Sends the call and returns the whole reply; empty when the session ended instead.
    std::string raw(const std::string& operation);
    pugi::xml_document call(const std::string& operation);
    // True when the reply holds no error of severity error.
    bool ok(const std::string& operation);
    // The first error-message of the reply, trimmed; empty when there is none.
    std::string error(const std::string& operation);

    bool load_set(const std::string& lines);
    bool commit(const std::string& inside = {}) {
        return ok("<commit-configuration>" + inside + "</commit-configuration>");
    }
    // Set-form lines of the committed configuration.
    std::string committed();
    std::string compare(int rollback = 0);

    const std::string& hello() const { return hello_; }
    // Every byte the device sent until it closed.
    std::string everything() { return received_ + process_.read_all(); }
    Process& process() { return process_; }
    std::string receive();

  private:
    Process process_;
    Deframer deframer_;
    bool chunked_ = false;
    std::string received_;
    std::string hello_;
    int id_ = 0;
};

std::string message_of(const pugi::xml_document& reply);
std::string fixture(const std::string& name);

}  // namespace qkd::junossim::test
