// The live view: right lines for what runs, fits any screen, and on a pseudo-terminal log lines do not tear it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "engine/base/display.hpp"
#include "engine/reporting/live_view.hpp"

namespace qkd::engine {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Both ends of a pipe; what was written so far can be read without waiting for the end.
struct Pipe {
    Pipe() { EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0); }
    ~Pipe() {
        ::close(fds[0]);
        if (fds[1] >= 0) ::close(fds[1]);
    }
    std::string rest() {
        ::close(fds[1]);
        fds[1] = -1;
        std::string text;
        char buffer[4096];
        for (ssize_t got = 0; (got = ::read(fds[0], buffer, sizeof buffer)) > 0;) {
            text.append(buffer, static_cast<std::size_t>(got));
        }
        return text;
    }
    int fds[2] = {-1, -1};
};

/// A terminal, and the screen's side of it.
struct Terminal {
    Terminal(unsigned short columns, unsigned short rows) {
        winsize size{rows, columns, 0, 0};
        EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    }
    ~Terminal() {
        ::close(master);
        ::close(slave);
    }
    /// Reads until `end` was seen; gives up after a generous time.
    std::string until(const std::string& end) {
        std::string text;
        const auto deadline = Clock::now() + 20s;
        while (text.find(end) == std::string::npos && Clock::now() < deadline) {
            pollfd ready{master, POLLIN, 0};
            if (::poll(&ready, 1, 100) <= 0) continue;
            char buffer[4096];
            const auto got = ::read(master, buffer, sizeof buffer);
            if (got <= 0) break;
            text.append(buffer, static_cast<std::size_t>(got));
        }
        return text;
    }
    int master = -1;
    int slave = -1;
};

Link link_named(const std::string& name) {
    Link link;
    link.name = name;
    return link;
}

LinkReport report_of(const std::string& name, LinkResult result) {
    LinkReport report;
    report.name = name;
    report.result = result;
    return report;
}

TEST(LiveView, OneLinePerDeviceAndStepUnderItsLink) {
    Pipe pipe;
    Screen screen(pipe.fds[1], false);
    LiveView view(screen, {.plain_lines = false});
    view.link_begins(link_named("a--b"));
    view.step_begins({"a--b", "mx1", "connect", "p"});
    view.step_ends({"a--b", "mx1", "connect", "p"}, 1200ms, nullptr);
    view.step_begins({"a--b", "mx1", "commit", "p"});
    view.step_begins({"a--b", "mx2", "connect", "p"});
    const Error error{ErrorCode::timeout, Retry::safe, "late", ""};
    view.step_ends({"a--b", "mx2", "connect", "p"}, 300ms, &error);
    const auto lines = view.block({80, 24}, Clock::now() + 90s);
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_TRUE(lines[0].starts_with("a--b  90."));
    EXPECT_EQ(lines[1], "  mx1              connect            ok      1.2 s");
    EXPECT_TRUE(lines[2].starts_with("  mx1              commit             running 90.")) << lines[2];
    EXPECT_EQ(lines[3], "  mx2              connect            failed  0.3 s");
    view.link_ends(report_of("a--b", LinkResult::rotated));
    EXPECT_TRUE(view.block({80, 24}, Clock::now()).empty());
}

TEST(LiveView, FitsEveryScreenAndSaysWhatIsNotShown) {
    Pipe pipe;
    Screen screen(pipe.fds[1], false);
    LiveView view(screen, {.plain_lines = false});
    for (int i = 0; i < 40; ++i) {
        const std::string link = "link-with-a-rather-long-name-" + std::to_string(i);
        view.link_begins(link_named(link));
        for (const char* device : {"東京-1", "mx2"}) {
            view.step_begins({link, device, "connect", "p"});
            view.step_ends({link, device, "connect", "p"}, 1ms, nullptr);
            view.step_begins({link, device, "commit-confirmed", "p"});
        }
    }
    for (const std::size_t columns : {1U, 7U, 40U, 200U}) {
        for (const std::size_t rows : {1U, 2U, 3U, 22U}) {
            const auto lines = view.block({columns, rows}, Clock::now());
            EXPECT_LE(lines.size(), rows);
            EXPECT_FALSE(lines.empty());
            for (const auto& line : lines) EXPECT_LE(display_width(line), columns) << line;
        }
    }
    const auto lines = view.block({100, 10}, Clock::now());
    EXPECT_EQ(lines.back(), "  .. and 74 more steps running");
}

TEST(LiveView, PlainLinesWhereTheScreenIsNoTerminal) {
    Pipe pipe;
    {
        Screen screen(pipe.fds[1], false);
        LiveView view(screen, {});
        view.link_begins(link_named("a--b"));
        view.step_begins({"a--b", "mx1", "connect", "p"});
        view.step_ends({"a--b", "mx1", "connect", "p"}, 1200ms, nullptr);
        const Error error{ErrorCode::timeout, Retry::safe, "late", ""};
        view.step_ends({"a--b", "", "mint\nforged", "p"}, 1s, &error);
        view.link_ends(report_of("a--b", LinkResult::reverted));
        screen.close();
    }
    const auto text = pipe.rest();
    EXPECT_TRUE(
        text.starts_with("a--b mx1 connect ok (1.2 s)\n"
                         "a--b - mint\\x0aforged failed (1.0 s)\n"
                         "a--b reverted ("))
        << text;
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(LiveView, RedrawsInPlaceAndKeepsLogLinesWhole) {
    Terminal terminal(60, 10);
    Screen screen(terminal.slave, true);
    LiveView view(screen, {});
    view.link_begins(link_named("a--b"));
    view.step_begins({"a--b", "mx1", "commit", "p"});
    EXPECT_NE(terminal.until("running").find("mx1"), std::string::npos);
    screen.write("a log line\n");
    const auto text = terminal.until("running");
    // Up over the two lines of the block, clear, the log line, the block again: nothing in between.
    const auto up = text.find("\x1b[2A\r\x1b[J");
    ASSERT_NE(up, std::string::npos) << text;
    const auto log = text.find("a log line");
    ASSERT_NE(log, std::string::npos);
    EXPECT_EQ(text[log - 1], 'J');
    EXPECT_LT(log, text.find("mx1", log));
    view.link_ends(report_of("a--b", LinkResult::rotated));
    EXPECT_NE(terminal.until("rotated").find("\x1b[2A\r\x1b[J"), std::string::npos);
    screen.close();
}

TEST(LiveView, TakesTheWrappedLinesAwayWhenTheTerminalGetsNarrower) {
    Terminal terminal(80, 20);
    Screen screen(terminal.slave, true);
    LiveView view(screen, {});
    view.link_begins(link_named("a--b"));
    view.step_begins({"a--b", "mx1", "commit", "p"});
    terminal.until("running");
    winsize size{20, 20, 0, 0};
    ASSERT_EQ(::ioctl(terminal.master, TIOCSWINSZ, &size), 0);
    // The step's line took more than 40 columns: three rows of the narrow terminal; the link's line takes one.
    EXPECT_NE(terminal.until("\x1b[4A").find("\x1b[4A"), std::string::npos);
    screen.close();
}

// Whoever logs must never wait for the reader: a stopped terminal would hold up a commit under its timer.
TEST(Screen, AReaderThatDoesNotReadHoldsNobodyUp) {
    Pipe pipe;
    Screen screen(pipe.fds[1], false);
    const std::string line(1000, 'x');
    for (int i = 0; i < 10000; ++i) screen.write(line + "\n");  // far more than a pipe and the queue take
    screen.close(1ms);
    const auto text = pipe.rest();
    EXPECT_LT(text.size(), 10000U * 1001U);
    EXPECT_TRUE(text.starts_with(line));
}

TEST(Screen, EverythingQueuedIsWrittenBeforeItCloses) {
    Pipe pipe;
    {
        Screen screen(pipe.fds[1], false);
        for (int i = 0; i < 1000; ++i) screen.write("line " + std::to_string(i) + "\n");
        screen.close();
        screen.write("too late\n");
    }
    const auto text = pipe.rest();
    EXPECT_TRUE(text.ends_with("line 999\n"));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1000);
}

TEST(Screen, SaysHowManyLinesGotLost) {
    Pipe pipe;
    Screen screen(pipe.fds[1], false);
    const std::string line(64 * 1024, 'x');
    for (int i = 0; i < 200; ++i) screen.write(line + "\n");
    std::string text;
    std::jthread reader([&] {
        char buffer[65536];
        for (ssize_t got = 0; (got = ::read(pipe.fds[0], buffer, sizeof buffer)) > 0;) {
            text.append(buffer, static_cast<std::size_t>(got));
        }
    });
    screen.close(20s);
    ::close(pipe.fds[1]);
    pipe.fds[1] = -1;
    reader.join();
    EXPECT_NE(text.find(" lines lost"), std::string::npos);
}

}  // namespace
}  // namespace qkd::engine
