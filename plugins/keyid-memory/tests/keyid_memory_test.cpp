// keyid-memory: what all members' objects of one process share.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "qkd/sdk/key_id_transport.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using Transport = support::PluginObject<KeyIdTransport>;

KeyIdNotice notice(const std::string& link, std::uint64_t generation) {
    return {link, generation, {"id-" + std::to_string(generation)}, {}, generation, "r1", {}, NoticeKind::offer};
}

TEST(KeyidMemory, AnotherObjectHearsTheNewestNoticeOnly) {
    const Transport initiator(qkd_plugin);
    const Transport responder(qkd_plugin);
    support::TestContext context;
    ASSERT_TRUE(initiator->announce(context, {"r1", {}, nullptr}, {}, notice("newest", 7)));
    ASSERT_TRUE(initiator->announce(context, {"r1", {}, nullptr}, {}, notice("newest", 8)));
    const auto received = responder->receive(context, {"r2", {}, nullptr}, "newest", 6);
    ASSERT_TRUE(received);
    EXPECT_EQ(*received, notice("newest", 8));
    EXPECT_EQ(responder->receive(context, {"r2", {}, nullptr}, "newest", 8).error().code, ErrorCode::not_found);
}

// Links rotate at the same time in threads of their own: no notice may get lost or mixed up.
TEST(KeyidMemory, LinksDoNotDisturbEachOtherAcrossThreads) {
    std::vector<std::thread> threads;
    std::vector<int> wrong(4, 0);
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        threads.emplace_back([&wrong, i] {
            const Transport transport(qkd_plugin);
            support::TestContext context;
            const std::string link = "thread-" + std::to_string(i);
            for (std::uint64_t generation = 1; generation <= 200; ++generation) {
                const auto sent = transport->announce(context, {"r1", {}, nullptr}, {}, notice(link, generation));
                const auto got = transport->receive(context, {"r2", {}, nullptr}, link, generation - 1);
                if (!sent || !got || *got != notice(link, generation)) ++wrong[i];
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
