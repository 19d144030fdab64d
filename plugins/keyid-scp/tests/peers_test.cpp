// keyid-scp on-box: no session is lent, so files go over SSH connections of its own, to real OpenSSH daemons.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>

#include "keyid-scp/tests/sftp_host.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using Transport = support::PluginObject<KeyIdTransport>;

const TransportEnd r1{"r1", {"a"}, nullptr};
const TransportEnd r2{"r2", {"b"}, nullptr};
const std::array responders{r2};

KeyIdNotice notice(std::uint64_t generation) {
    return {"a--b", generation, {"id-" + std::to_string(generation)}, {}, 1, "r1", {}, NoticeKind::offer};
}

mode_t mode_of(const std::filesystem::path& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

class Peers : public ::testing::TestWithParam<const char*> {};

TEST_P(Peers, TwoProcessesMeetThroughFilesOnly) {
    if (const std::string reason = support::SftpHosts::impossible(); !reason.empty()) GTEST_SKIP() << reason;
    support::SftpHosts hosts;
    hosts.add("r1");
    hosts.add("r2");
    support::Values values = hosts.values();
    values["direction"] = GetParam();
    const bool pull = values["direction"] == "pull";
    const Transport initiator(qkd_plugin, values);
    const Transport responder(qkd_plugin, values);
    support::TestContext context;

    const auto early = responder->receive(context, r2, "a--b", {{0, 0}, "r1", {}});
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::not_found) << early.error().what;
    const auto holder = hosts.home(pull ? "r1" : "r2") / "inbox";
    for (std::uint64_t generation = 1; generation <= 2; ++generation) {
        const auto sent = initiator->announce(context, r1, responders, notice(generation));
        ASSERT_TRUE(sent) << sent.error().what;
        // A host whose clock went back: what the file's time says is nothing to go by.
        std::filesystem::last_write_time(holder / "a--b.notice", std::filesystem::file_time_type::clock::now() -
                                                                     generation * std::chrono::hours{8760});
        const auto received = responder->receive(context, r2, "a--b", {NoticeMark(generation - 1), "r1", {}});
        ASSERT_TRUE(received) << received.error().what;
        EXPECT_EQ(*received, notice(generation));
        EXPECT_TRUE(initiator->acknowledgements(context, r1, responders, notice(generation)).value().empty());
        ASSERT_TRUE(responder->acknowledge(context, r2, *received));
        EXPECT_EQ(initiator->acknowledgements(context, r1, responders, notice(generation)).value(),
                  std::vector<std::string>{"r2"});
    }
    // One file each, private, in a private directory; with pull each end has written at home only.
    EXPECT_EQ(mode_of(holder), 0700U);
    EXPECT_EQ(mode_of(holder / "a--b.notice"), 0600U);
    EXPECT_EQ(mode_of(hosts.home("r2") / "inbox" / "a--b.r2.ack"), 0600U);
    EXPECT_EQ(support::files_below(hosts.home("r1")).size() + support::files_below(hosts.home("r2")).size(), 2U);
    EXPECT_EQ(support::files_below(hosts.home("r1")).size(), pull ? 1U : 0U);

    ASSERT_TRUE(initiator->retract(context, r1, "a--b"));
    ASSERT_TRUE(responder->retract(context, r2, "a--b"));
    EXPECT_TRUE(support::files_below(hosts.home("r1")).empty());
    EXPECT_TRUE(support::files_below(hosts.home("r2")).empty());
}

INSTANTIATE_TEST_SUITE_P(Directions, Peers, ::testing::Values("push", "pull"));

TEST(PeersTrust, AnInboxOfEverybodyIsRefused) {
    if (const std::string reason = support::SftpHosts::impossible(); !reason.empty()) GTEST_SKIP() << reason;
    support::SftpHosts hosts;
    hosts.add("r2");
    const auto inbox = hosts.home("r2") / "inbox";
    std::filesystem::create_directory(inbox);
    std::filesystem::permissions(inbox, std::filesystem::perms::all);
    const Transport initiator(qkd_plugin, hosts.values());
    support::TestContext context;
    const auto sent = initiator->announce(context, r1, responders, notice(1));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::auth) << sent.error().what;
    EXPECT_TRUE(std::filesystem::is_empty(inbox));
}

TEST(PeersTrust, AnUnknownHostKeyIsRefused) {
    if (const std::string reason = support::SftpHosts::impossible(); !reason.empty()) GTEST_SKIP() << reason;
    support::SftpHosts hosts;
    hosts.add("r2");
    support::write_file(hosts.folder() / "known_hosts", "");
    const Transport initiator(qkd_plugin, hosts.values());
    support::TestContext context;
    const auto sent = initiator->announce(context, r1, responders, notice(1));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::auth);
    EXPECT_TRUE(support::files_below(hosts.home("r2")).empty());
}

}  // namespace
