// kme-sim: reads its configuration, starts every KME in it, says `ready`, and ends on SIGTERM or SIGINT.
#include <sys/resource.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audit.hpp"
#include "config.hpp"
#include "faults.hpp"
#include "pool.hpp"
#include "server.hpp"
#include "service.hpp"

namespace {

constexpr const char* help =
    R"(kme-sim: key management entities that speak ETSI GS QKD 014 V1.1.1, SKIP and a REST API of its own over HTTPS

  kme-sim --config FILE [--ready-fd N]

Serves every KME of FILE, each on its own port, until SIGTERM or SIGINT. When all of them listen, it writes one line to
stdout (and to descriptor N): ready NAME=PORT NAME=PORT ...
All APIs give out the keys of one pool; a key minted by one of them can be fetched by another.
Callers must show a client certificate; its common name is the SAE ID. Exit codes: 0 ended by a signal, 2 usage,
configuration or a port that is taken.

FILE (TOML; relative paths are relative to it):
  ca = "root.crt"               who signs the client certificates
  audit = "audit.jsonl"         optional: JSON lines of each key issued, fetched, refused, WITH the keys; mode 0600.
                                After a restart the undelivered keys come from there.
  faults = "faults.json"        optional: scripted faults, read anew on every request
  [limits]                      optional; a [[kme]] may overrule each of them
  key_size = 256                bits; also min_key_size = 64, max_key_size = 1024, max_key_per_request = 128,
                                max_SAE_ID_count = 16, empty_status = 503 (or 400) for an empty pool
  [pool]                        optional; one pool per pair of SAEs
  max_key_count = 100000        also initial_key_count (default: full), refill_per_second = 100
  keys = "one-shot"             each entitled SAE gets a key once; "retained": as often as it asks, for
  ttl_seconds = 0               seconds after which a key is forgotten; 0 = never
  [[kme]]
  name = "kme-1"                host = "127.0.0.1" and port = 0 (any) by default
  cert = "kme-1.crt"
  key = "kme-1.key"
  [[sae]]
  name = "mx304-11"             common name of its certificate
  kme = "kme-1"                 any other KME answers it with 401

Faults: {"faults":[{"kme":"kme-1","call":"enc_keys","nth":2,"action":"error","status":503,"message":"no light"}]}
  kme, sae (the caller): a name or "*"; call: enc_keys, dec_keys, status (or what comes nearest in the other APIs) or
  "*"; nth (from 1, counted from the first
  request after the entry appeared) or "every":true; "id": anything, to tell equal entries apart
  action: delay (ms), drop, error (status, message), garbage, hang (ms, 0 = for ever), consume-then-drop,
          consume-then-hang (ms), empty, short-key, wrong-id, duplicate; each strike is a line in the file's FILE.log
)";

int fail(const qkd::Error& error) {
    std::fprintf(stderr, "kme-sim: %s\n  %s\n", error.what.c_str(), error.hint.c_str());
    return 2;
}

int usage(const std::string& what) {
    std::fprintf(stderr, "kme-sim: %s; see kme-sim --help\n", what.c_str());
    return 2;
}

bool say(int descriptor, const std::string& line) {
    return ::write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

int run(const std::string& config_path, int ready_fd) {
    using namespace qkd::kme_sim;

    // Before any thread exists, so that only sigwait below gets them.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    // Two descriptors per connection; the usual soft limit of 1024 is too low for a large lab.
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = std::min<rlim_t>(files.rlim_max, 16384);
        setrlimit(RLIMIT_NOFILE, &files);
    }

    auto config = load_config(config_path);
    if (!config) return fail(config.error());
    auto earlier = read_audit(config->audit);
    if (!earlier) return fail(earlier.error());
    auto audit = AuditFile::open(config->audit);
    if (!audit) return fail(audit.error());
    KeyPool pool(config->pool, **audit, now);
    pool.replay(*earlier);
    FaultScript faults(config->faults);
    Service service(*config, pool, faults);

    std::vector<std::unique_ptr<KmeServer>> servers;
    std::string ready = "ready";
    for (const KmeSettings& kme : config->kmes) {
        auto server = KmeServer::start(kme, config->ca, service);
        if (!server) return fail(server.error());
        ready += " " + kme.name + "=" + std::to_string((*server)->port());
        servers.push_back(std::move(server).value());
    }
    ready += "\n";
    say(STDOUT_FILENO, ready);
    if (ready_fd >= 0 && !say(ready_fd, ready)) return usage("--ready-fd cannot be written");
    if (ready_fd > STDERR_FILENO) ::close(ready_fd);

    int signal = 0;
    sigwait(&ends, &signal);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::string config;
    int ready_fd = -1;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--help" || word == "-h") {
            std::fputs(help, stdout);
            return 0;
        }
        if (i + 1 == argc) return usage("'" + std::string(word) + "' is unknown or lacks its value");
        const std::string_view value = argv[++i];
        if (word == "--config") {
            config = value;
        } else if (word == "--ready-fd") {
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ready_fd);
            if (error != std::errc{} || end != value.data() + value.size() || ready_fd < 0) {
                return usage("--ready-fd needs a number");
            }
        } else {
            return usage("unknown option '" + std::string(word) + "'");
        }
    }
    if (config.empty()) return usage("--config is missing");
    return run(config, ready_fd);
}
