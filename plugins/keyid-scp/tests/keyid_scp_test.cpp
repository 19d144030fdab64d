// keyid-scp: which files it leaves on which device, and what it believes of what it finds there.
#include <gtest/gtest.h>

#include "notice_file.hpp"
#include "support/fake_network.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin_v1;

namespace {

using namespace qkd;
using namespace std::chrono_literals;

const std::string good_text =
    R"({"schema":1,"link":"a--b","generation":3,"sequence":9,"sender":"r1",)"
    R"("key_ids":["2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f"],"start":1795000000,"expires":1795000600})";

std::string altered(std::string_view from, std::string_view to) {
    std::string text = good_text;
    text.replace(text.find(from), from.size(), to);
    return text;
}

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

    const std::string file_ = "/var/tmp/qkd-macsec/a--b.00000000000000000003.json";
    support::FakeNetwork network_;
    std::vector<std::unique_ptr<DeviceSession>> sessions_;
    support::TestContext context_;
    support::PluginObject<KeyIdTransport> transport_{qkd_plugin_v1, StageKind::key_id_transport};
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
TEST_F(KeyidScp, AnnounceReplacesOlderAndNewerLeftoversOfThisLinkOnly) {
    auto& device = network_.device("r2");
    device.directories.insert("/var/tmp/qkd-macsec");
    for (const char* name :
         {"a--b.00000000000000000002.json", "a--b.00000000000000000002.json.ack", "a--b.00000000000000000099.json",
          "a--b2.00000000000000000001.json", "README", "a--b.json"}) {
        device.files[std::string("/var/tmp/qkd-macsec/") + name] = {"x", 0600};
    }
    ASSERT_TRUE(announce());
    EXPECT_EQ(names("r2"), (std::vector<std::string>{"README", "a--b.00000000000000000003.json", "a--b.json",
                                                     "a--b2.00000000000000000001.json"}));
    const auto received = transport_->receive(context_, end(1), "a--b", 2);
    ASSERT_TRUE(received) << received.error().what;
    EXPECT_EQ(*received, notice_);
}

TEST_F(KeyidScp, AcknowledgementStandsBesideTheNoticeAndOlderFilesGo) {
    ASSERT_TRUE(announce());
    network_.device("r2").files["/var/tmp/qkd-macsec/a--b.00000000000000000001.json"] = {"x", 0600};
    ASSERT_TRUE(transport_->acknowledge(context_, end(1), notice_));
    EXPECT_EQ(names("r2"),
              (std::vector<std::string>{"a--b.00000000000000000003.json", "a--b.00000000000000000003.json.ack"}));
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
        EXPECT_THROW(support::PluginObject<KeyIdTransport>(qkd_plugin_v1, StageKind::key_id_transport,
                                                           {{"directory", directory}}),
                     std::runtime_error);
    }
}

TEST_F(KeyidScp, TrailingSlashesOfTheDirectoryMakeNoOtherName) {
    const support::PluginObject<KeyIdTransport> other(qkd_plugin_v1, StageKind::key_id_transport,
                                                      {{"directory", "/var/tmp/qkd-macsec//"}});
    const std::array responders{end(1)};
    ASSERT_TRUE(other->announce(context_, end(0), responders, notice_));
    EXPECT_TRUE(network_.device("r2").files.contains(file_));
}

TEST(NoticeFile, EncodeAndDecodeAgree) {
    const auto notice = keyid_scp::decode(good_text, "a--b", 3, "f");
    ASSERT_TRUE(notice) << notice.error().what;
    const auto text = keyid_scp::encode(*notice);
    ASSERT_TRUE(text);
    const auto again = keyid_scp::decode(*text, "a--b", 3, "f");
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *notice);
}

TEST(NoticeFile, NothingDamagedOrForeignIsBelieved) {
    const std::string texts[] = {"",
                                 "{",
                                 "[]",
                                 "null",
                                 "\xff\xfe",
                                 good_text + "x",
                                 good_text.substr(0, good_text.size() / 2),
                                 altered("\"schema\":1", "\"schema\":2"),
                                 altered("\"schema\":1", "\"schema\":\"1\""),
                                 altered("\"link\":\"a--b\"", "\"link\":\"c--d\""),
                                 altered("\"generation\":3", "\"generation\":4"),
                                 altered("\"generation\":3", "\"generation\":-3"),
                                 altered("\"generation\":3", "\"generation\":3.0"),
                                 altered("\"sender\":\"r1\"", "\"sender\":\"\""),
                                 altered("\"sender\":\"r1\"", "\"sender\":null"),
                                 altered("\"key_ids\":[", "\"key_ids\":[7,"),
                                 altered("\"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f\"", ""),
                                 altered("2d8a7c2e", "2d8a 7c2e"),
                                 altered("2d8a7c2e", std::string(200, 'a')),
                                 altered("2d8a7c2e", "\\u0000"),
                                 altered("1795000600", "99999999999999"),
                                 altered("1795000000", "-1"),
                                 altered("\"schema\":1", "\"schema\":1,\"more\":1"),
                                 altered("\"sequence\":9,", ""),
                                 altered("\"sequence\":9", "\"sequence\":18446744073709551616"),
                                 std::string(20000, ' ') + good_text};
    for (const std::string& text : texts) {
        const auto notice = keyid_scp::decode(text, "a--b", 3, "r2:/f");
        ASSERT_FALSE(notice) << text.substr(0, 300);
        EXPECT_EQ(notice.error().code, ErrorCode::protocol);
        EXPECT_TRUE(notice.error().what.starts_with("r2:/f ")) << notice.error().what;
        EXPECT_FALSE(notice.error().hint.empty());
    }
}

TEST(NoticeFile, NamesAreSafeAndNoTwoLinksShareOne) {
    EXPECT_EQ(keyid_scp::file_name("mx1--mx2", 12), "mx1--mx2.00000000000000000012.json");
    EXPECT_EQ(keyid_scp::file_name("../x y_z", 1), "_2e_2e_2fx_20y_5fz.00000000000000000001.json");
    EXPECT_EQ(keyid_scp::file_name("a", ~0ULL), "a.18446744073709551615.json");
    EXPECT_NE(keyid_scp::file_name("a_b", 1), keyid_scp::file_name("a_5fb", 1));
}

TEST(NoticeFile, OnlyItsOwnNamesAreRead) {
    const auto parsed = keyid_scp::parse_file_name("a_5fb.00000000000000000012.json", "a_b");
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->generation, 12U);
    EXPECT_FALSE(parsed->acknowledgement);
    EXPECT_TRUE(keyid_scp::parse_file_name("a.00000000000000000001.json.ack", "a")->acknowledgement);
    for (const char* name :
         {"a.1.json", "a.0000000000000000001x.json", "a.00000000000000000001.json.tmp", ".json", "a.json",
          "ab.00000000000000000001.json", "a.99999999999999999999.json", "a.-0000000000000000001.json", ""}) {
        EXPECT_FALSE(keyid_scp::parse_file_name(name, "a")) << name;
    }
}

TEST(NoticeFile, WhatMayNotTravelIsNotWritten) {
    KeyIdNotice notice = *keyid_scp::decode(good_text, "a--b", 3, "f");
    const KeyIdNotice good = notice;
    const auto refused = [&] {
        const bool was_refused = !keyid_scp::encode(notice);
        notice = good;
        return was_refused;
    };
    notice.key_ids.clear();
    EXPECT_TRUE(refused());
    notice.key_ids = {"two words"};
    EXPECT_TRUE(refused());
    notice.key_ids.assign(65, "id");
    EXPECT_TRUE(refused());
    notice.generation = 0;
    EXPECT_TRUE(refused());
    notice.link = std::string(70, '/');  // 210 characters as a file name
    EXPECT_TRUE(refused());
    notice.sender = "\xc3\xbc";
    EXPECT_TRUE(refused());
    notice.expires = UtcSeconds{-1s};
    EXPECT_TRUE(refused());
    EXPECT_FALSE(refused());
}

}  // namespace
