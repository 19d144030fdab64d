// keyid-scp: which files it leaves on which device, and what it believes of what it finds there.
#include <gtest/gtest.h>

#include "places.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "support/fake_network.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using namespace std::chrono_literals;

class KeyidScp : public ::testing::Test {
  protected:
    KeyidScp() {
        notice_.link = "a--b";
        notice_.generation = 3;
        notice_.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f"};
        notice_.start = UtcSeconds{1795000000s};
        notice_.sequence = 9;
        notice_.sender = "r1";
        notice_.expires = UtcSeconds{1795000600s};
        for (const char* name : {"r1", "r2", "r3"}) sessions_.push_back(network_.session(name));
    }
    TransportEnd end(std::size_t i) { return {"r" + std::to_string(i + 1), {"et-0/0/0"}, sessions_[i].get()}; }
    Result<void> announce() {
        const std::array responders{end(1), end(2)};
        return transport_->announce(context_, end(0), responders, notice_);
    }
    std::vector<std::string> names(const std::string& device) {
        std::vector<std::string> found;
        for (const auto& [path, file] : network_.device(device).files)
            found.push_back(path.substr(path.rfind('/') + 1));
        return found;
    }

    Result<KeyIdNotice> receive(const NoticeFilter& wanted = {}) {
        return transport_->receive(context_, end(1), "a--b", wanted);
    }

    const std::string file_ = "/var/tmp/qkd-macsec/a--b.notice";
    support::FakeNetwork network_;
    std::vector<std::unique_ptr<DeviceSession>> sessions_;
    support::TestContext context_;
    support::PluginObject<KeyIdTransport> transport_{qkd_plugin};
    KeyIdNotice notice_;
};

// The notice must not depend on anything but the responders' own devices.
TEST_F(KeyidScp, PutsThePrivateFileOnEveryResponderAndNowhereElse) {
    ASSERT_TRUE(announce());
    EXPECT_TRUE(network_.device("r1").files.empty());
    for (const char* device : {"r2", "r3"}) {
        ASSERT_EQ(network_.device(device).files.size(), 1U) << device;
        EXPECT_EQ(network_.device(device).files.begin()->first, file_);
        EXPECT_EQ(network_.device(device).files.begin()->second.mode, 0600U);
        EXPECT_TRUE(network_.device(device).directories.contains("/var/tmp/qkd-macsec"));
    }
}

// A higher generation left by a lost state would otherwise be taken for the newest for ever.
TEST_F(KeyidScp, AnnounceReplacesWhateverStoodThere) {
    network_.device("r2").directories.insert("/var/tmp/qkd-macsec");
    KeyIdNotice newer = notice_;
    newer.generation = 99;
    network_.device("r2").files[file_] = {*notice::seal(newer, {}), 0644};
    ASSERT_TRUE(announce());
    EXPECT_EQ(network_.device("r2").files[file_].mode, 0600U);
    const auto received = receive(2);
    ASSERT_TRUE(received) << received.error().what;
    EXPECT_EQ(*received, notice_);
}

TEST_F(KeyidScp, AnswersStandBesideTheNoticeAndAreReadThere) {
    const std::array responders{end(1), end(2)};
    const auto answers = [&] { return transport_->acknowledgements(context_, end(0), responders, notice_); };
    ASSERT_TRUE(announce());
    EXPECT_TRUE(answers()->empty());
    ASSERT_TRUE(transport_->acknowledge(context_, end(2), notice_));
    EXPECT_EQ(names("r3"), (std::vector<std::string>{"a--b.notice", "a--b.r3.ack"}));
    EXPECT_EQ(answers().value(), std::vector<std::string>{"r3"});
    ASSERT_TRUE(transport_->acknowledge(context_, end(1), notice_));
    EXPECT_EQ(answers().value(), (std::vector<std::string>{"r2", "r3"}));
    ++notice_.sequence;
    EXPECT_TRUE(answers()->empty()) << "answers to an earlier notice";
    --notice_.sequence;

    auto& files = network_.device("r2").files;
    const std::string place = "/var/tmp/qkd-macsec/a--b.r2.ack";
    files[place].content = *notice::seal(notice::Acknowledgement{"a--b", notice_.mark(), "r3"}, {});
    EXPECT_EQ(answers().error().code, ErrorCode::rejected) << "another device's answer";
    files[place].content = "rubbish";
    EXPECT_EQ(answers().error().code, ErrorCode::protocol);
}

TEST_F(KeyidScp, RetractLeavesNothingOfTheLink) {
    ASSERT_TRUE(announce());
    ASSERT_TRUE(transport_->acknowledge(context_, end(1), notice_));
    ASSERT_TRUE(transport_->retract(context_, end(1), "a--b"));
    EXPECT_TRUE(names("r2").empty());
    EXPECT_TRUE(transport_->retract(context_, end(1), "a--b"));
}

// Another process may take the file away between the listing and the reading.
TEST_F(KeyidScp, AFileThatVanishesIsNoNoticeYet) {
    ASSERT_TRUE(announce());
    network_.intercept = [&](Context&, const support::FakeCall& call) -> std::optional<Error> {
        if (call.operation == "files.get") network_.device("r2").files.clear();
        return std::nullopt;
    };
    const auto received = transport_->receive(context_, end(1), "a--b", 0);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code, ErrorCode::not_found);
    EXPECT_EQ(received.error().retry, Retry::safe);
}

TEST_F(KeyidScp, ADeviceWithoutFilesIsRefusedBeforeAnythingIsSent) {
    network_.device("r3").offers_files = false;
    const auto sent = announce();
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::unsupported);
    EXPECT_TRUE(network_.device("r2").files.empty());
}

TEST_F(KeyidScp, RefusesADirectoryThatCannotBe) {
    for (const char* directory : {"", "/tmp/\nx"}) {
        EXPECT_THROW(support::PluginObject<KeyIdTransport>(qkd_plugin, {{"directory", directory}}), std::runtime_error);
    }
}

TEST_F(KeyidScp, TrailingSlashesOfTheDirectoryMakeNoOtherName) {
    const support::PluginObject<KeyIdTransport> other(qkd_plugin, {{"directory", "/var/tmp/qkd-macsec//"}});
    const std::array responders{end(1)};
    ASSERT_TRUE(other->announce(context_, end(0), responders, notice_));
    EXPECT_TRUE(network_.device("r2").files.contains(file_));
}

// Nothing that others may have put there is believed, and each reason has its own error.
TEST_F(KeyidScp, RefusesWhatIsForgedForeignOldOrExpired) {
    const support::Values values{{"secret", "text:0123456789abcdef0123456789abcdef"}};
    const support::PluginObject<KeyIdTransport> with_secret(qkd_plugin, values);
    const std::array responders{end(1)};
    ASSERT_TRUE(with_secret->announce(context_, end(0), responders, notice_));
    const auto code = [&](const NoticeFilter& wanted = {}) {
        const auto received = with_secret->receive(context_, end(1), "a--b", wanted);
        return received ? "ok" : to_string(received.error().code);
    };
    EXPECT_STREQ(code({{0, 0}, "r1", UtcSeconds{1795000599s}}), "ok");
    EXPECT_STREQ(code({{0, 0}, "r9", {}}), "rejected");
    EXPECT_STREQ(code({{0, 0}, "r1", UtcSeconds{1795000600s}}), "not_found");
    EXPECT_STREQ(code(3), "not_found");
    std::string& text = network_.device("r2").files[file_].content;
    const std::string good = text;
    text.replace(text.find("2d8a7c2e"), 8, "2d8a7c2f");
    EXPECT_STREQ(code(), "auth");
    text = *notice::seal(notice_, {});
    EXPECT_STREQ(code(), "auth");
    text = good.substr(0, 20);
    EXPECT_STREQ(code(), "auth");
    text = std::string(20000, ' ') + good;
    EXPECT_STREQ(code(), "protocol");
    text = good;
    EXPECT_STREQ(code(), "ok");
    notice_.link = "c--d";
    text = *notice::seal(notice_, SecretBytes(std::string_view("0123456789abcdef0123456789abcdef")));
    EXPECT_STREQ(code(), "rejected");

    const support::PluginObject<KeyIdTransport> weak(qkd_plugin, {{"secret", "text:too short"}});
    EXPECT_EQ(weak->announce(context_, end(0), responders, notice_).error().code, ErrorCode::config);
}

TEST_F(KeyidScp, WithoutASessionItNeedsAPeer) {
    const std::array responders{TransportEnd{"r9", {"a"}, nullptr}};
    const auto sent = transport_->announce(context_, end(0), responders, notice_);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::unsupported);
    EXPECT_NE(sent.error().hint.find("peers"), std::string::npos);
    for (const support::Values& values :
         {support::Values{{"peers", "r9"}}, support::Values{{"peers", "=h"}}, support::Values{{"peers", "r9=h:0"}},
          support::Values{{"peers", "r9=h"}},
          support::Values{{"peers", "r9=h\nr9=i"}, {"user", "u"}, {"ssh_key", "x"}, {"known_hosts", "k"}}}) {
        EXPECT_THROW(support::PluginObject<KeyIdTransport>(qkd_plugin, values), std::runtime_error);
    }
}

TEST(Places, AddressesAreRead) {
    using Address = std::pair<std::string, std::uint16_t>;
    EXPECT_EQ(keyid_scp::parse_address("mx1"), Address("mx1", 22));
    EXPECT_EQ(keyid_scp::parse_address("192.0.2.1:2222"), Address("192.0.2.1", 2222));
    EXPECT_EQ(keyid_scp::parse_address("2001:db8::1"), Address("2001:db8::1", 22));
    EXPECT_EQ(keyid_scp::parse_address("[2001:db8::1]:830"), Address("2001:db8::1", 830));
    for (const char* text : {"", ":22", "a:", "a:x", "a:70000", "[::1", "[::1]22", "a b"}) {
        EXPECT_FALSE(keyid_scp::parse_address(text)) << text;
    }
}

TEST(Places, NamesAreSafeAndNoTwoLinksShareOne) {
    EXPECT_EQ(keyid_scp::notice_name("mx1--mx2"), "mx1--mx2.notice");
    EXPECT_EQ(keyid_scp::notice_name("../x y_z"), "_2e_2e_2fx_20y_5fz.notice");
    EXPECT_NE(keyid_scp::notice_name("a_b"), keyid_scp::notice_name("a_5fb"));
    EXPECT_EQ(keyid_scp::acknowledgement_name("a.b", "r.2"), "a_2eb.r_2e2.ack");
    EXPECT_TRUE(keyid_scp::belongs_to("a.notice", "a"));
    EXPECT_TRUE(keyid_scp::belongs_to("a.r2.ack", "a"));
    for (const char* name : {"a.r2.x.ack", "b.notice", "ab.notice", "a.notice.tmp", "a.ack", "", "a.", ".notice"}) {
        EXPECT_FALSE(keyid_scp::belongs_to(name, "a")) << name;
    }
}

}  // namespace
