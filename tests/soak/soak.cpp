// Rotates the links of a lab again and again in one process and says what grows. Device time does not pass by waiting: whenever
// the engine waits for it, the lab's clock goes forward by as much.
//
//   qkd-soak LAB COUNT [--every N]
// A JSON line every N rotations and at the end: rotations, failures, seconds, resident memory, descriptors, threads, octets
// below STATE without the audit log (which grows by design), octets of journals.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/commands/run.hpp"
#include "engine/pipeline/file.hpp"

namespace {

namespace fs = std::filesystem;
using namespace qkd;
using Steady = std::chrono::steady_clock;

std::stop_source stop;

class Nobody final : public engine::Observer {
  public:
    void log(LogLevel level, const engine::Place& place, std::string_view message) override {
        if (level < LogLevel::error) return;
        std::fprintf(stderr, "%s %s: %.*s\n", place.device.c_str(), place.stage.c_str(),
                     static_cast<int>(message.size()), message.data());
    }
    void event(const engine::Place&, std::string_view, std::span<const Attr>) override {}
    void step_begins(const engine::Place&) override {}
    void step_ends(const engine::Place&, std::chrono::nanoseconds, const Error*) override {}
    void link_begins(const engine::Link&) override {}
    void link_ends(const engine::LinkReport&) override {}
};

/// What scripts/lab advance does.
void move_clock(const fs::path& lab, std::chrono::milliseconds by) {
    const int lock = ::open((lab / "lab.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    (void)::flock(lock, LOCK_EX);
    nlohmann::json content;
    std::ifstream(lab / "lab.json") >> content;
    content["advanced_ms"] = content["advanced_ms"].get<std::int64_t>() + by.count();
    const auto temporary = lab / ".lab.json.soak";
    std::ofstream(temporary) << content.dump();
    fs::rename(temporary, lab / "lab.json");
    ::close(lock);
}

std::size_t entries(const char* directory) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
    return count;
}

long resident_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) return std::strtol(line.c_str() + 6, nullptr, 10);
    }
    return 0;
}

std::uintmax_t octets_below(const fs::path& folder) {
    std::uintmax_t sum = 0;
    std::error_code ignored;
    for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
        if (entry.is_regular_file(ignored) && entry.path().filename() != "audit.jsonl") sum += entry.file_size(ignored);
    }
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: qkd-soak LAB COUNT [--every N]\n");
        return 2;
    }
    std::signal(SIGPIPE, SIG_IGN);
    const fs::path lab = fs::absolute(argv[1]);
    const long count = std::strtol(argv[2], nullptr, 10);
    const long every = argc > 4 ? std::strtol(argv[4], nullptr, 10) : std::max(1L, count / 10);
    engine::PluginHost host(engine::PluginHost::default_directory());
    auto loaded = engine::load_pipeline(lab / "pipeline.toml", host);
    if (!loaded.ok()) {
        for (const auto& finding : loaded.findings) std::fprintf(stderr, "%s\n", to_string(finding).c_str());
        return 2;
    }
    engine::SessionPool sessions;
    Nobody nobody;
    engine::RunOptions options;
    options.sessions = &sessions;
    // In large steps towards a start-time; in small ones where the device's own timer runs meanwhile.
    const bool chain = loaded.pipeline.commit.rollover == Rollover::key_chain;
    const std::chrono::milliseconds jump = chain ? std::chrono::seconds{20} : std::chrono::seconds{4};
    options.pause = [&](std::chrono::milliseconds, const std::stop_token& token) {
        move_clock(lab, jump);
        return !token.stop_requested();
    };
    const auto begun = Steady::now();
    long good = 0;
    long bad = 0;
    const auto tell = [&] {
        std::printf(
            "{\"rotations\":%ld,\"failures\":%ld,\"seconds\":%.1f,\"rss_kib\":%ld,\"descriptors\":%zu,\"threads\":%zu,"
            "\"state_octets\":%ju,\"journal_octets\":%ju}\n",
            good, bad, std::chrono::duration<double>(Steady::now() - begun).count(), resident_kib(),
            entries("/proc/self/fd"), entries("/proc/self/task"), octets_below(loaded.pipeline.state),
            octets_below(loaded.pipeline.state / "journal"));
        std::fflush(stdout);
    };
    while (good < count) {
        const auto report = engine::run(loaded.pipeline, host, options, nobody, stop.get_token());
        if (report.result == engine::RunResult::success) {
            if (++good % every == 0) tell();
            continue;
        }
        ++bad;
        // Nothing rotates: wait for what failed, not for ever.
        move_clock(lab, std::chrono::seconds{1});
        if (bad > count) return 1;
    }
    return 0;
}
