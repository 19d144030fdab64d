// The log's other places: a file that is rotated and stays private, syslog, the journal of systemd.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/reporting/log.hpp"
#include "support/temp_dir.hpp"

namespace qkd::engine {
namespace {

using support::read_file;
using support::TempDir;

const Place place{"a--b", "mx1", "commit", "junos-netconf"};

/// A socket where syslog or the journal would listen.
class Listener {
  public:
    explicit Listener(const std::filesystem::path& path) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path.c_str());
        EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    ~Listener() { ::close(fd_); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    /// The next datagram, or "" when there is none.
    std::string next() {
        char block[100'000];
        const ssize_t got = ::recv(fd_, block, sizeof block, MSG_DONTWAIT);
        return got < 0 ? std::string() : std::string(block, static_cast<std::size_t>(got));
    }

  private:
    int fd_;
};

TEST(RotatingFile, KeepsFiveOldOnesAndLosesNoRecentLine) {
    const TempDir dir;
    const auto path = dir.path() / "qkd.log";
    {
        auto file = RotatingFile::open(path, 100);
        ASSERT_TRUE(file);
        for (int i = 100; i < 200; ++i) (*file)->write(std::to_string(i) + " 012345678901234567890123456789012345\n");
    }
    std::string all;
    for (const char* suffix : {".5", ".4", ".3", ".2", ".1", ""}) {
        const auto part = path.string() + suffix;
        ASSERT_TRUE(std::filesystem::exists(part)) << part;
        EXPECT_LE(std::filesystem::file_size(part), 100U);
        struct stat info {};
        ASSERT_EQ(::stat(part.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777U, 0600U);
        all += read_file(part);
    }
    EXPECT_FALSE(std::filesystem::exists(path.string() + ".6"));
    EXPECT_TRUE(all.starts_with("188 ")) << all;  // two lines of 40 octets fit into each of the six
    EXPECT_NE(all.find("\n199 "), std::string::npos);
    EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 12);
}

TEST(RotatingFile, GoesOnWhereItEndedAndMakesAnOldFilePrivate) {
    const TempDir dir;
    const auto path = dir.path() / "qkd.log";
    std::ofstream(path) << "before\n";
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    {
        auto file = RotatingFile::open(path);
        ASSERT_TRUE(file);
        (*file)->write("after\n");
    }
    EXPECT_EQ(read_file(path), "before\nafter\n");
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST(RotatingFile, TwoWritersDoNotRotateEachOthersFileAway) {
    const TempDir dir;
    const auto path = dir.path() / "qkd.log";
    auto one = RotatingFile::open(path, 100);
    auto two = RotatingFile::open(path, 100);
    ASSERT_TRUE(one && two);
    (*one)->write(std::string(89, 'x') + "\n");
    (*one)->write("one rotates\n");
    (*two)->write("two sees it, as its file is full\n");
    EXPECT_EQ(read_file(path), "one rotates\ntwo sees it, as its file is full\n");
    EXPECT_TRUE(std::filesystem::exists(path.string() + ".1"));
    EXPECT_FALSE(std::filesystem::exists(path.string() + ".2"));
}

TEST(RotatingFile, FollowsNoLinkAndTakesNoFolder) {
    const TempDir dir;
    std::ofstream(dir.path() / "victim") << "precious";
    std::filesystem::create_symlink(dir.path() / "victim", dir.path() / "link");
    for (const auto& path : {dir.path() / "link", dir.path(), dir.path() / "missing" / "qkd.log"}) {
        const auto file = RotatingFile::open(path);
        ASSERT_FALSE(file) << path;
        EXPECT_NE(file.error().what.find(path.string()), std::string::npos) << file.error().what;
    }
    EXPECT_EQ(read_file(dir.path() / "victim"), "precious");
}

TEST(SystemLog, WritesSyslogLinesWithTheirPriority) {
    const TempDir dir;
    Listener listener(dir.path() / "log");
    auto log = SystemLog::open(SystemLogKind::syslog, dir.path() / "log");
    ASSERT_TRUE(log) << log.error().what;
    constexpr std::pair<LogLevel, int> levels[] = {{LogLevel::error, 27},  {LogLevel::warning, 28},
                                                   {LogLevel::notice, 29}, {LogLevel::info, 30},
                                                   {LogLevel::debug, 31},  {LogLevel::trace, 31}};
    for (const auto& [level, priority] : levels) {
        (*log)->write({level, "r1", place, "hello", "r1 a--b mx1: hello"});
        EXPECT_EQ(listener.next(), "<" + std::to_string(priority) + ">qkd-macsec[" + std::to_string(::getpid()) +
                                       "]: r1 a--b mx1: hello");
    }
}

TEST(SystemLog, TheJournalGetsFields) {
    const TempDir dir;
    Listener listener(dir.path() / "socket");
    auto log = SystemLog::open(SystemLogKind::journal, dir.path() / "socket");
    ASSERT_TRUE(log) << log.error().what;
    // A value with a line end would otherwise be a second field.
    (*log)->write({LogLevel::warning, "r1", place, "a\nPRIORITY=0", "text"});
    EXPECT_EQ(listener.next(),
              "PRIORITY=4\nSYSLOG_IDENTIFIER=qkd-macsec\nSYSLOG_FACILITY=3\nQKD_RUN_ID=r1\nQKD_LINK=a--b\n"
              "QKD_DEVICE=mx1\nQKD_STAGE=commit\nQKD_PLUGIN=junos-netconf\nMESSAGE=a PRIORITY=0\n");
}

TEST(SystemLog, NobodyThereIsAnErrorAtTheBeginningAndNoneLater) {
    const TempDir dir;
    const auto absent = SystemLog::open(SystemLogKind::syslog, dir.path() / "log");
    ASSERT_FALSE(absent);
    EXPECT_NE(absent.error().hint.find("--log-to"), std::string::npos);

    auto listener = std::make_unique<Listener>(dir.path() / "log");
    auto log = SystemLog::open(SystemLogKind::syslog, dir.path() / "log");
    ASSERT_TRUE(log);
    listener.reset();
    std::filesystem::remove(dir.path() / "log");
    (*log)->write({LogLevel::info, "", place, "x", "into the void"});
    Listener again(dir.path() / "log");
    (*log)->write({LogLevel::info, "", place, "x", "the daemon is back"});
    EXPECT_NE(again.next().find("1 lines were lost"), std::string::npos);
    EXPECT_NE(again.next().find("the daemon is back"), std::string::npos);
}

TEST(SystemLog, NeverWaitsForAFullQueue) {
    const TempDir dir;
    Listener listener(dir.path() / "log");
    auto log = SystemLog::open(SystemLogKind::syslog, dir.path() / "log");
    ASSERT_TRUE(log);
    // Nobody reads; a blocking send would hang here for ever.
    for (int i = 0; i < 5000; ++i) (*log)->write({LogLevel::info, "", place, "x", std::string(1000, 'x')});
    EXPECT_FALSE(listener.next().empty());
}

/// What a log wrote to a syslog that listens in `dir`, and to a rotated file.
struct Written {
    std::vector<std::string> system;
    std::vector<std::string> file;
};
Written written(LogOptions options) {
    const TempDir dir;
    Listener listener(dir.path() / "log");
    options.system_log = SystemLogKind::syslog;
    options.system_socket = dir.path() / "log";
    options.log_file = dir.path() / "qkd.log";
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    {
        Screen screen(nowhere, false);
        auto log = Log::open(options, screen);
        EXPECT_TRUE(log) << log.error().what;
        (*log)->event({}, "run.begins", std::vector<Attr>{{"run_id", std::string_view("r7")}});
        for (const auto level :
             {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::notice, LogLevel::warning}) {
            (*log)->log(level, place, to_string(level));
        }
    }
    ::close(nowhere);
    Written out;
    for (std::string line = listener.next(); !line.empty(); line = listener.next()) out.system.push_back(line);
    std::ifstream in(dir.path() / "qkd.log");
    for (std::string line; std::getline(in, line);) out.file.push_back(line);
    return out;
}

// Nobody can ask for -v afterwards, so information is kept whatever standard error shows.
TEST(LogTargets, GetInformationAndMoreWithMoreV) {
    const auto usual = written({});
    ASSERT_EQ(usual.file.size(), 3U);
    ASSERT_EQ(usual.system.size(), 3U);
    EXPECT_NE(usual.file[0].find("Z info    r7 a--b mx1 commit junos-netconf: info"), std::string::npos)
        << usual.file[0];
    EXPECT_NE(usual.system[2].find("<28>"), std::string::npos);
    EXPECT_NE(usual.system[2].find("]: r7 a--b mx1 commit junos-netconf: warning"), std::string::npos);
    const auto more = written({.level = LogLevel::debug});
    EXPECT_EQ(more.file.size(), 5U);  // the event, too
    EXPECT_EQ(more.system.size(), 5U);
}

TEST(LogTargets, SpeakJsonWhenAskedTo) {
    const auto lines = written({.format = LogFormat::json});
    for (const auto& line : lines.file) EXPECT_EQ(nlohmann::json::parse(line)["run_id"], "r7");
    for (const auto& line : lines.system) {
        const auto json = nlohmann::json::parse(line.substr(line.find('{')), nullptr, false);
        ASSERT_TRUE(json.is_object()) << line;
        EXPECT_EQ(json["device"], "mx1");
        EXPECT_TRUE(json.contains("level"));
    }
}

}  // namespace
}  // namespace qkd::engine
