// What tests of the rotation share: one link in the fake world, rotated as often as a test wants.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stop_token>

#include "engine/commands/run.hpp"
#include "engine/state/audit.hpp"
#include "engine/state/journal.hpp"
#include "fake_world.hpp"

namespace qkd::test {

using engine::LinkResult;

class Silent final : public engine::Observer {
  public:
    void log(LogLevel level, const engine::Place& place, std::string_view message) override {
        if (std::getenv("QKD_TEST_LOG") == nullptr) return;
        std::fprintf(stderr, "[%d] %s %s: %.*s\n", static_cast<int>(level), place.device.c_str(), place.stage.c_str(),
                     static_cast<int>(message.size()), message.data());
    }
    void event(const engine::Place&, std::string_view, std::span<const Attr>) override {}
    void step_begins(const engine::Place&) override {}
    void step_ends(const engine::Place&, std::chrono::nanoseconds, const Error*) override {}
    void link_begins(const engine::Link&) override {}
    void link_ends(const engine::LinkReport&) override {}
};

class RotationTest : public ::testing::Test {
  protected:
    RotationTest() : host_("/nonexistent") { add_fakes(host_); }

    void SetUp() override {
        // Thousands of journals are flushed to the disk here: in memory, where there is such a place.
        const std::filesystem::path memory("/dev/shm");
        state_ = (::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path()) /
                 ("qkd-rotation-" + std::to_string(::getpid()));
        std::filesystem::remove_all(state_);
        World::get().reset({"a", "b"});
    }
    void TearDown() override { std::filesystem::remove_all(state_); }

    engine::LinkReport rotate(Rollover rollover, std::stop_token stop = {}) {
        auto pipeline = fake_pipeline(names_, rollover);
        pipeline.state = state_;
        if (adjust_) adjust_(pipeline);
        Silent observer;
        engine::RunOptions options;
        options.pause = [](std::chrono::milliseconds time, const std::stop_token& token) {
            World& world = World::get();
            const std::lock_guard lock(world.mutex);
            world.advance(time * 1000);  // devices whose time runs fast
            return !token.stop_requested();
        };
        auto report = engine::run(pipeline, host_, options, observer, std::move(stop));
        exit_result_ = report.result;
        return std::move(report.links.at(0));
    }

    /// Starts a rotation and kills it at the first call that `here` names ("a stage", "kme-b fetch done"): everything is as it
    /// was at that instant, in the world and in the state directory. False when it never came there.
    bool die(Rollover rollover, const std::function<bool(const std::string& device_and_call)>& here) {
        return die_in([&] { (void)rotate(rollover); }, here);
    }
    /// The same for another run than rotate().
    bool die_in(const std::function<void()>& run, const std::function<bool(const std::string& device_and_call)>& here) {
        World& world = World::get();
        const std::filesystem::path saved = state_.string() + ".dead";
        std::optional<World::Memory> left;
        world.on_call = [&](const std::string& device, const std::string& call) {
            if (left || !here(device + " " + call)) return;
            left = world.remember();
            std::filesystem::remove_all(saved);
            std::filesystem::copy(state_, saved, std::filesystem::copy_options::recursive);
        };
        run();
        world.on_call = nullptr;
        if (!left) return false;
        world.go_back(std::move(*left));
        world.apart = false;
        std::filesystem::remove_all(state_);
        std::filesystem::rename(saved, state_);
        return true;
    }
    bool die_at(Rollover rollover, const std::string& device_and_call) {
        return die(rollover, [&](const std::string& now) { return now == device_and_call; });
    }

    /// "event key_ID" of every line of the audit log, whose chain must hold.
    std::vector<std::string> audit_events() {
        EXPECT_TRUE(engine::verify_audit(state_ / "audit.jsonl").ok());
        std::vector<std::string> events;
        std::ifstream in(state_ / "audit.jsonl");
        for (std::string line; std::getline(in, line);) {
            const auto object = nlohmann::json::parse(line);
            events.push_back(object["event"].get<std::string>() + " " +
                             (object["key_id"].is_null() ? "-" : object["key_id"].get<std::string>()));
        }
        return events;
    }
    unsigned count_calls(const std::string& device_and_call) {
        const auto& calls = World::get().calls;
        return static_cast<unsigned>(std::count(calls.begin(), calls.end(), device_and_call));
    }
    bool journal_left() { return std::filesystem::exists(state_ / "journal" / "link.journal"); }

    /// The CKN of the first usable key of every device, which must be the same.
    std::string common_primary() {
        World& world = World::get();
        std::string ckn;
        for (const auto& [name, device] : world.devices) {
            const auto keys = usable(device, world.now);
            if (keys.empty() || (!ckn.empty() && keys.front()->ckn != ckn)) return {};
            ckn = keys.front()->ckn;
        }
        return ckn;
    }

    void let_timers_expire() {
        World& world = World::get();
        const std::lock_guard lock(world.mutex);
        world.advance(std::chrono::hours{1});
        for (auto& [name, device] : world.devices) {
            device.locked = false;  // a dead session's lock goes with the session
            device.candidate.reset();
        }
    }

    std::vector<std::string> names_{"a", "b"};
    std::function<void(engine::Pipeline&)> adjust_;
    engine::PluginHost host_;
    std::filesystem::path state_;
    engine::RunResult exit_result_ = engine::RunResult::failure;
};

}  // namespace qkd::test
