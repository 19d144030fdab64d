// How a run hands out its links: at a thread limit, with a jitter.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "engine/commands/workers.hpp"
#include "rotation_test.hpp"

namespace {
/// How many more threads this process gets; below zero there is no limit.
std::atomic<int> threads_left{-1};
}  // namespace

// The system's answer at a limit (RLIMIT_NPROC, a cgroup's pids.max), which root does not reach in a test.
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*start)(void*), void* argument) {
    if (threads_left == 0) return EAGAIN;
    if (threads_left > 0) --threads_left;
    using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static const auto create = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
    return create(thread, attributes, start, argument);
}

namespace qkd::test {
namespace {

using namespace std::chrono_literals;

struct ThreadLimit {
    explicit ThreadLimit(int count) { threads_left = count; }
    ~ThreadLimit() { threads_left = -1; }
    ThreadLimit(const ThreadLimit&) = delete;
    ThreadLimit& operator=(const ThreadLimit&) = delete;
};

TEST(Workers, AllTheWorkIsDoneByAsManyThreadsAsThereAre) {
    for (const int limit : {0, 1, 100}) {
        std::atomic<int> pieces{20};
        std::atomic<int> hands{0};
        {
            const ThreadLimit few(limit);
            engine::work_together(4, [&] {
                ++hands;
                while (--pieces >= 0) {
                }
            });
        }
        EXPECT_LT(pieces, 0);
        EXPECT_EQ(hands, std::min(limit + 1, 4));
    }
}

TEST_F(RotationTest, without_a_thread_to_spare_a_run_is_slower_and_nothing_else) {
    for (const int limit : {0, 1}) {
        const ThreadLimit few(limit);
        EXPECT_EQ(rotate(Rollover::key_chain).result, LinkResult::rotated);
    }
}

/// A selection that matches nothing comes about when the pipeline file was read anew: "zero links, success" hides it.
TEST_F(RotationTest, a_selection_that_matches_nothing_is_a_failure_that_names_it) {
    auto pipeline = fake_pipeline(names_, Rollover::key_chain);
    pipeline.state = state_;
    engine::RunOptions options;
    options.links = {"gone"};
    Silent observer;
    for (const auto door : {&engine::run, &engine::withdraw}) {
        const auto report = door(pipeline, host_, options, observer, {});
        EXPECT_EQ(report.result, engine::RunResult::failure);
        EXPECT_TRUE(report.links.empty());
        ASSERT_TRUE(report.error);
        EXPECT_EQ(report.error->code, ErrorCode::config);
        EXPECT_NE(report.error->what.find("--link gone"), std::string::npos) << report.error->what;
        const auto json = nlohmann::json::parse(engine::to_json(report));
        EXPECT_EQ(json["result"], "failure");
        EXPECT_EQ(json["error"]["code"], "config");
    }
    EXPECT_FALSE(std::filesystem::exists(state_)) << "nothing was begun";
}

/// Remembers when each link began.
class Moments final : public engine::Observer {
  public:
    void log(LogLevel, const engine::Place&, std::string_view) override {}
    void event(const engine::Place&, std::string_view, std::span<const Attr>) override {}
    void step_begins(const engine::Place&) override {}
    void step_ends(const engine::Place&, std::chrono::nanoseconds, const Error*) override {}
    void link_begins(const engine::Link& link) override {
        const std::lock_guard lock(mutex);
        began.push_back(link.name);
    }
    void link_ends(const engine::LinkReport&) override {}
    std::mutex mutex;
    std::vector<std::string> began;
};

/// Many links that fail at once: what counts is when they are tried.
class ManyLinks : public RotationTest {
  protected:
    static constexpr std::size_t count = 60;

    engine::RunReport run(std::chrono::milliseconds jitter, std::stop_token stop, Moments& moments) {
        auto pipeline = fake_pipeline(names_, Rollover::key_chain);
        pipeline.state = state_;
        const engine::Link one = pipeline.links.front();
        pipeline.links.clear();
        for (std::size_t i = 0; i < count; ++i) {
            pipeline.links.push_back(one);
            pipeline.links.back().name = "link-" + std::to_string(i);
        }
        World::get().faults.push_back({"a", "open", false, {ErrorCode::auth, Retry::never, "no", ""}, 1000});
        World::get().faults.push_back({"b", "open", false, {ErrorCode::auth, Retry::never, "no", ""}, 1000});
        engine::RunOptions options;
        options.threads = 1;
        options.jitter = jitter;
        return engine::run(pipeline, host_, options, moments, std::move(stop));
    }
};

TEST_F(ManyLinks, moments_overlap_whatever_the_number_of_workers) {
    // One after the other, each with its own random wait, would take half a minute on average.
    Moments moments;
    const auto begin = std::chrono::steady_clock::now();
    const auto report = run(1s, {}, moments);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
    std::vector<std::string> in_file_order;
    for (const auto& link : report.links) in_file_order.push_back(link.name);
    EXPECT_NE(moments.began, in_file_order) << "each draws its own moment";
    std::sort(moments.began.begin(), moments.began.end());
    std::sort(in_file_order.begin(), in_file_order.end());
    EXPECT_EQ(moments.began, in_file_order);
}

TEST_F(ManyLinks, an_interruption_ends_the_wait_for_the_moments) {
    std::stop_source stop;
    Moments moments;
    const std::jthread interruption([&] { stop.request_stop(); });
    const auto report = run(std::chrono::hours{24 * 365}, stop.get_token(), moments);
    EXPECT_TRUE(moments.began.empty());
    EXPECT_EQ(report.result, engine::RunResult::interrupted);
    EXPECT_EQ(report.links.size(), count);
    EXPECT_EQ(report.links.back().error->code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace qkd::test
