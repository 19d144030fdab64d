// The log: levels, fields on every line, JSON that parses, and a trace file nobody else can read or redirect.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "engine/base/output_file.hpp"
#include "engine/reporting/log.hpp"
#include "support/temp_dir.hpp"

namespace qkd::engine {
namespace {

using Json = nlohmann::json;

using support::read_file;

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

/// A log whose "standard error" is a file.
class LogTest : public testing::Test {
  protected:
    /// What the screen got from `use`.
    template <class Use>
    std::string written(const LogOptions& options, Use use) {
        const auto file = dir_.path() / "stderr";
        const int fd = ::open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
        {
            Screen screen(fd, false);
            auto log = Log::open(options, screen);
            EXPECT_TRUE(log) << log.error().what;
            if (log) use(**log);
        }
        ::close(fd);
        return read_file(file);
    }

    support::TempDir dir_;
    const Place place_{"a--b", "mx1", "commit", "junos-netconf"};
};

TEST_F(LogTest, ShowsItsLevelAndWhatIsWorse) {
    constexpr LogLevel all[] = {LogLevel::trace,  LogLevel::debug,   LogLevel::info,
                                LogLevel::notice, LogLevel::warning, LogLevel::error};
    for (std::size_t lowest = 0; lowest < std::size(all); ++lowest) {
        const auto text = written({.level = all[lowest]}, [&](Log& log) {
            for (const auto level : all) log.log(level, place_, to_string(level));
        });
        const auto lines = lines_of(text);
        ASSERT_EQ(lines.size(), std::size(all) - lowest) << text;
        for (std::size_t i = 0; i < lines.size(); ++i) {
            EXPECT_NE(lines[i].find(std::string("Z ") + to_string(all[lowest + i])), std::string::npos) << lines[i];
        }
    }
}

TEST_F(LogTest, TextHasEveryFieldInItsPlace) {
    const auto text = written({}, [&](Log& log) {
        log.log(LogLevel::warning, {"a--b", "", "", ""}, "before");
        log.event(place_, "run.begins", std::vector<Attr>{{"run_id", std::string_view("r42")}});
        log.log(LogLevel::error, place_, "after");
    });
    const auto lines = lines_of(text);
    ASSERT_EQ(lines.size(), 2U) << text;
    EXPECT_EQ(lines[0].substr(lines[0].find(' ')), " warning - a--b - - -: before");
    EXPECT_EQ(lines[1].substr(lines[1].find(' ')), " error   r42 a--b mx1 commit junos-netconf: after");
}

TEST_F(LogTest, JsonHasEveryFieldOnEveryLine) {
    const auto text = written({.level = LogLevel::trace, .format = LogFormat::json, .colour = true}, [&](Log& log) {
        log.event({}, "run.begins", std::vector<Attr>{{"run_id", std::string_view("r1")}});
        log.log(LogLevel::notice, place_, "quote \" newline \n escape \x1b not utf-8 \xff");
        log.step_begins(place_);
        const Error error{ErrorCode::timeout, Retry::safe, "late", "wait"};
        log.step_ends(place_, std::chrono::milliseconds{5}, &error);
        Link link;
        link.name = "a--b";
        log.link_begins(link);
        LinkReport report;
        report.name = "a--b";
        log.link_ends(report);
        log.event(place_, "key.minted",
                  std::vector<Attr>{{"count", std::int64_t{2}}, {"cached", true}, {"name", std::string_view("x")}});
    });
    const auto lines = lines_of(text);
    ASSERT_EQ(lines.size(), 7U) << text;
    for (const auto& line : lines) {
        const Json json = Json::parse(line, nullptr, false);
        ASSERT_TRUE(json.is_object()) << line;
        for (const char* key : {"time", "level", "run_id", "link", "device", "stage", "plugin", "message"}) {
            EXPECT_TRUE(json.contains(key) && json[key].is_string()) << key << " in " << line;
        }
        EXPECT_EQ(json["run_id"], "r1");
    }
    EXPECT_EQ(Json::parse(lines[1])["level"], "notice");
    EXPECT_EQ(Json::parse(lines[1])["message"], "quote \" newline \n escape \x1b not utf-8 \ufffd");
    EXPECT_EQ(Json::parse(lines[3])["level"], "warning");
    EXPECT_EQ(Json::parse(lines[6])["event"], "key.minted");
    EXPECT_EQ(Json::parse(lines[6])["attributes"], (Json{{"count", 2}, {"cached", true}, {"name", "x"}}));
}

// What a device says must not look like a line of ours, nor steer the terminal.
TEST_F(LogTest, AMessageCannotForgeALine) {
    const auto text = written(
        {}, [&](Log& log) { log.log(LogLevel::warning, place_, "bad\n2026-01-01T00:00:00.000Z error forged\x1b[2J"); });
    EXPECT_EQ(lines_of(text).size(), 1U);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST_F(LogTest, ColoursOnlyWhereWanted) {
    const auto use = [&](Log& log) { log.log(LogLevel::error, place_, "x"); };
    EXPECT_EQ(written({}, use).find('\x1b'), std::string::npos);
    EXPECT_NE(written({.colour = true}, use).find("\x1b[31merror"), std::string::npos);
}

TEST_F(LogTest, WhatWasInterruptedIsNoError) {
    const auto text = written({}, [&](Log& log) {
        const Error cancelled{ErrorCode::cancelled, Retry::safe, "interrupted", ""};
        log.step_ends(place_, {}, &cancelled);
        const Error failed{ErrorCode::rejected, Retry::never, "no", ""};
        log.step_ends(place_, {}, &failed);
    });
    ASSERT_EQ(lines_of(text).size(), 1U) << text;
    EXPECT_NE(text.find("no (rejected)"), std::string::npos);
}

TEST_F(LogTest, TheTraceFileHoldsEverythingAndIsPrivate) {
    const auto trace = dir_.path() / "trace.log";
    const auto text = written({.trace_file = trace}, [&](Log& log) {
        log.log(LogLevel::trace, place_, "tiny");
        log.log(LogLevel::error, place_, "big");
    });
    EXPECT_EQ(text.find("tiny"), std::string::npos);
    const auto traced = read_file(trace);
    EXPECT_NE(traced.find("tiny"), std::string::npos);
    EXPECT_NE(traced.find("big"), std::string::npos);
    struct stat info {};
    ASSERT_EQ(::stat(trace.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST_F(LogTest, TheTraceFileReplacesAnOldOne) {
    const auto trace = dir_.path() / "trace.log";
    std::ofstream(trace) << "old and readable by all";
    ASSERT_EQ(::chmod(trace.c_str(), 0644), 0);
    std::ifstream reader(trace);  // somebody has it open
    written({.trace_file = trace}, [&](Log& log) { log.log(LogLevel::trace, place_, "new"); });
    EXPECT_EQ(read_file(trace).find("old"), std::string::npos);
    std::ostringstream seen;
    seen << reader.rdbuf();
    EXPECT_EQ(seen.str(), "old and readable by all");
    struct stat info {};
    ASSERT_EQ(::stat(trace.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST_F(LogTest, TheTraceFileFollowsNoLink) {
    const auto victim = dir_.path() / "victim";
    std::ofstream(victim) << "precious";
    const auto trace = dir_.path() / "trace.log";
    std::filesystem::create_symlink(victim, trace);
    Screen screen(STDERR_FILENO, false);
    const auto log = Log::open({.trace_file = trace}, screen);
    ASSERT_FALSE(log);
    EXPECT_NE(log.error().what.find("trace.log"), std::string::npos);
    EXPECT_EQ(read_file(victim), "precious");
    EXPECT_TRUE(std::filesystem::is_symlink(trace));
}

TEST_F(LogTest, LinesFromManyThreadsStayWhole) {
    constexpr int threads = 4;
    constexpr int each = 500;
    const auto text = written({.level = LogLevel::info, .format = LogFormat::json}, [&](Log& log) {
        std::vector<std::jthread> workers;
        for (int t = 0; t < threads; ++t) {
            workers.emplace_back([&] {
                for (int i = 0; i < each; ++i) log.log(LogLevel::info, place_, std::string(200, 'x'));
            });
        }
    });
    const auto lines = lines_of(text);
    EXPECT_EQ(lines.size(), static_cast<std::size_t>(threads * each));
    for (const auto& line : lines) EXPECT_TRUE(Json::accept(line)) << line;
}

class OutputFileTest : public testing::Test {
  protected:
    support::TempDir dir_;
};

TEST_F(OutputFileTest, ReplacesInOneStepWithTheRightMode) {
    const auto file = dir_.path() / "report.json";
    ASSERT_TRUE(check_output(file));
    const ::mode_t before = ::umask(077);
    const bool written = write_output(file, "one").ok() && write_output(file, "two").ok();
    ::umask(before);
    ASSERT_TRUE(written);
    EXPECT_EQ(read_file(file), "two");
    struct stat info {};
    ASSERT_EQ(::stat(file.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0644U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 1) << "a temporary file stayed";
}

TEST_F(OutputFileTest, WhatCannotBeWrittenIsFoundBefore) {
    EXPECT_FALSE(check_output(dir_.path() / "missing" / "report.json"));
    EXPECT_FALSE(check_output(dir_.path()));
    EXPECT_FALSE(check_output(""));
    std::ofstream(dir_.path() / "file") << "x";
    EXPECT_FALSE(check_output(dir_.path() / "file" / "report.json"));
    EXPECT_TRUE(check_output("/dev/null"));
    EXPECT_FALSE(write_output(dir_.path() / "missing" / "report.json", "x"));
}

TEST_F(OutputFileTest, ASymbolicLinkStaysAndADeviceIsNotReplaced) {
    const auto link = dir_.path() / "link";
    std::filesystem::create_symlink(dir_.path() / "target", link);  // leads nowhere yet
    ASSERT_TRUE(write_output(link, "text"));
    EXPECT_TRUE(std::filesystem::is_symlink(link));
    EXPECT_EQ(read_file(dir_.path() / "target"), "text");
    ASSERT_TRUE(write_output("/dev/null", "text"));
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

}  // namespace
}  // namespace qkd::engine
