// keyid-lldp: the operator's descriptions are never lost, no needless commit is made, and a chain of members hears the
// notice hop by hop.
#include <gtest/gtest.h>

#include "notice_text.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "support/fake_network.hpp"
#include "support/plugin_object.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using namespace std::chrono_literals;

KeyIdNotice example(std::uint64_t generation = 7) {
    KeyIdNotice notice;
    notice.link = "ring";
    notice.generation = generation;
    notice.key_ids = {"2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f"};
    notice.start = UtcSeconds{1795000000s};
    notice.sequence = generation;
    notice.sender = "r1";
    notice.expires = UtcSeconds{1795000600s};
    return notice;
}

std::string sealed(const KeyIdNotice& notice) {
    return notice::seal(notice, {}).value();
}

/// r1 (initiator) a - b r2 c - d r3, and r1 e - f r4: one link with a chain of two hops.
class KeyidLldp : public ::testing::Test {
  protected:
    KeyidLldp() {
        network_.wire("r1", "a", "r2", "b");
        network_.wire("r2", "c", "r3", "d");
        network_.wire("r1", "e", "r4", "f");
        network_.device("r1").descriptions = {{"a", "to r2 | rack 7"}};
        network_.device("r2").descriptions = {{"b", "to r1"}, {"c", "to r3 |{spare}"}};
        for (const char* name : {"r1", "r2", "r3", "r4"}) sessions_[name] = network_.session(name);
    }
    TransportEnd end(const std::string& device) {
        static const std::map<std::string, std::vector<std::string>> interfaces{
            {"r1", {"a", "e"}}, {"r2", {"b", "c"}}, {"r3", {"d"}}, {"r4", {"f"}}};
        return {device, interfaces.at(device), sessions_.at(device).get()};
    }
    Result<void> announce(const KeyIdNotice& notice) { return transport_->announce(context_, end("r1"), {}, notice); }
    Result<KeyIdNotice> receive(const std::string& device, std::uint64_t after = 0) {
        return transport_->receive(context_, end(device), "ring", after);
    }

    support::FakeNetwork network_;
    std::map<std::string, std::unique_ptr<DeviceSession>> sessions_;
    support::TestContext context_;
    support::PluginObject<KeyIdTransport> transport_{qkd_plugin};
};

TEST_F(KeyidLldp, TheNoticeStandsBehindTheOperatorsText) {
    ASSERT_TRUE(announce(example()));
    EXPECT_EQ(
        network_.device("r1").descriptions["a"],
        "to r2 | rack 7|QKD2;offer;ring;7;7;r1;schedule;0;1795000000;1795000600;2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f;");
    EXPECT_TRUE(network_.device("r1").descriptions["e"].starts_with("|QKD2;"));
    EXPECT_EQ(network_.count("lldp.describe"), 2U);
}

// Every describe is a commit on a production router.
TEST_F(KeyidLldp, TheSameNoticeAgainCommitsNothing) {
    ASSERT_TRUE(announce(example()));
    network_.clear_calls();
    ASSERT_TRUE(announce(example()));
    EXPECT_EQ(network_.count("lldp.describe"), 0U);
}

TEST_F(KeyidLldp, ANewNoticeReplacesTheOldOneAndNotTheOperatorsText) {
    ASSERT_TRUE(announce(example(7)));
    ASSERT_TRUE(announce(example(8)));
    const auto parts = keyid_lldp::split(network_.device("r1").descriptions["a"]);
    EXPECT_EQ(parts.own, "to r2 | rack 7");
    EXPECT_EQ(parts.sealed, sealed(example(8)));
}

TEST_F(KeyidLldp, MembersDownTheChainHearItFromTheMemberBeforeThem) {
    ASSERT_TRUE(announce(example()));
    const auto early = receive("r3");
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::not_found);
    EXPECT_EQ(early.error().retry, Retry::safe);
    EXPECT_NE(early.error().what.find("d hears r2"), std::string::npos) << early.error().what;

    network_.clear_calls();
    for (const char* device : {"r2", "r3", "r4"}) {
        const auto received = receive(device);
        ASSERT_TRUE(received) << received.error().what;
        EXPECT_EQ(*received, example()) << device;
    }
    // Only r2 has an interface behind which the notice was not known.
    EXPECT_EQ(network_.count("lldp.describe"), 1U);
    EXPECT_EQ(network_.device("r2").descriptions["b"], "to r1");
    EXPECT_TRUE(network_.device("r2").descriptions["c"].starts_with("to r3 |{spare}|QKD2;offer;"));

    network_.clear_calls();
    ASSERT_TRUE(receive("r2"));
    EXPECT_EQ(network_.count("lldp.describe"), 0U) << "asking again must not commit again";
}

TEST_F(KeyidLldp, AnOldGenerationIsNotDelivered) {
    ASSERT_TRUE(announce(example(7)));
    EXPECT_TRUE(receive("r4", 6));
    const auto old = receive("r4", 7);
    ASSERT_FALSE(old);
    EXPECT_EQ(old.error().code, ErrorCode::not_found);
}

TEST_F(KeyidLldp, RetractBringsBackEveryDescription) {
    const auto before = network_.state();
    ASSERT_TRUE(announce(example()));
    ASSERT_TRUE(receive("r2"));
    ASSERT_NE(network_.state(), before);
    for (const char* device : {"r1", "r2", "r3", "r4"}) {
        ASSERT_TRUE(transport_->retract(context_, end(device), "ring")) << device;
    }
    EXPECT_EQ(network_.state(), before);
    network_.clear_calls();
    ASSERT_TRUE(transport_->retract(context_, end("r1"), "ring"));
    EXPECT_EQ(network_.count("lldp.describe"), 0U);
}

TEST_F(KeyidLldp, RetractTriesEveryInterfaceAndReportsTheFirstFailure) {
    ASSERT_TRUE(announce(example()));
    network_.intercept = [](Context&, const support::FakeCall& call) -> std::optional<Error> {
        if (call.operation != "lldp.describe" || call.argument != "a") return std::nullopt;
        return Error{ErrorCode::busy, Retry::safe, "r1: locked by somebody", "wait"};
    };
    const auto undone = transport_->retract(context_, end("r1"), "ring");
    ASSERT_FALSE(undone);
    EXPECT_EQ(undone.error().code, ErrorCode::busy);
    EXPECT_FALSE(network_.device("r1").descriptions.contains("e")) << "the other interface must be restored";
}

// 255 is what the TLV carries; longer ones make a malformed frame at some senders. So nothing at all may be written.
TEST_F(KeyidLldp, ATextThatDoesNotFitIsRefusedBeforeAnythingIsWritten) {
    const std::size_t notice = keyid_lldp::join("", sealed(example()), "").value().size();
    network_.device("r1").descriptions["e"] = std::string(255 - notice, 'x');
    ASSERT_TRUE(announce(example()));
    EXPECT_EQ(network_.device("r1").descriptions["e"].size(), 255U);

    network_.device("r1").descriptions = {{"a", "to r2"}, {"e", std::string(255 - notice + 3, 'x')}};
    network_.clear_calls();
    const auto sent = announce(example());
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::rejected);
    EXPECT_NE(sent.error().what.find("r1 e"), std::string::npos) << sent.error().what;
    EXPECT_NE(sent.error().what.find("258"), std::string::npos) << sent.error().what;
    EXPECT_NE(sent.error().hint.find("by 3 characters"), std::string::npos) << sent.error().hint;
    EXPECT_EQ(network_.count("lldp.describe"), 0U);
}

TEST_F(KeyidLldp, NeighboursThatContradictEachOtherAreNotBelieved) {
    network_.wire("r5", "x", "r6", "y");
    network_.wire("r5", "z", "r7", "y");
    KeyIdNotice other = example();
    other.key_ids = {"11111111-2222-3333-4444-555555555555"};
    network_.device("r6").descriptions["y"] = *keyid_lldp::join("", sealed(example()), "");
    network_.device("r7").descriptions["y"] = *keyid_lldp::join("", sealed(other), "");
    const auto session = network_.session("r5");
    const auto received = transport_->receive(context_, {"r5", {"x", "z"}, session.get()}, "ring", 0);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code, ErrorCode::conflict);
    EXPECT_EQ(network_.count("lldp.describe"), 0U);

    // A leftover of an older message loses, and what it stands on is brought up to date.
    other.sequence = 1;
    network_.device("r7").descriptions["y"] = *keyid_lldp::join("", sealed(other), "");
    const auto newest = transport_->receive(context_, {"r5", {"x", "z"}, session.get()}, "ring", 0);
    ASSERT_TRUE(newest) << newest.error().what;
    EXPECT_EQ(*newest, example());
    EXPECT_EQ(keyid_lldp::split(network_.device("r5").descriptions["z"]).sealed, sealed(example()));
}

TEST_F(KeyidLldp, AFailingInterfaceDoesNotHideWhatAnotherHears) {
    ASSERT_TRUE(announce(example()));
    network_.wire("r4", "g", "r9", "h");
    network_.intercept = [](Context&, const support::FakeCall& call) -> std::optional<Error> {
        if (call.operation != "lldp.neighbour" || call.argument != "g") return std::nullopt;
        return Error{ErrorCode::protocol, Retry::never, "r4: no such interface", "check the wiring"};
    };
    const TransportEnd both{"r4", {"g", "f"}, sessions_["r4"].get()};
    EXPECT_TRUE(transport_->receive(context_, both, "ring", 0));
    const auto nothing = transport_->receive(context_, both, "ring", 7);
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().code, ErrorCode::protocol) << "the failure is the better explanation";
}

// On-box the initiator has no other way to hear of its responders than its own neighbours' descriptions.
TEST_F(KeyidLldp, AnswersStandBehindTheDescriptionThatTheInitiatorHears) {
    const support::PluginObject<KeyIdTransport> answering(
        qkd_plugin, {{"acknowledge", "true"}, {"secret", "text:0123456789abcdef"}});
    const std::array responders{end("r2"), end("r4")};
    const auto answers = [&](const KeyIdNotice& notice) {
        return answering->acknowledgements(context_, end("r1"), responders, notice);
    };
    ASSERT_TRUE(answering->announce(context_, end("r1"), responders, example()));
    EXPECT_TRUE(answers(example())->empty());
    ASSERT_TRUE(answering->receive(context_, end("r2"), "ring", 0));
    ASSERT_TRUE(answering->acknowledge(context_, end("r2"), example()));
    EXPECT_EQ(answers(example()).value(), std::vector<std::string>{"r2"});
    EXPECT_TRUE(network_.device("r2").descriptions["b"].starts_with("to r1|QKA1;ring;7;7;r2;"));
    EXPECT_TRUE(network_.device("r2").descriptions["c"].starts_with("to r3 |{spare}|QKD2;")) << "the notice travels on";
    ASSERT_TRUE(answering->acknowledge(context_, end("r4"), example()));
    EXPECT_EQ(answers(example()).value(), (std::vector<std::string>{"r2", "r4"}));
    EXPECT_TRUE(answers(example(8))->empty()) << "an answer to an earlier notice";

    network_.clear_calls();
    ASSERT_TRUE(answering->acknowledge(context_, end("r2"), example()));
    EXPECT_EQ(network_.count("lldp.describe"), 0U) << "answering again must not commit again";

    network_.device("r4").descriptions["f"].back() ^= 1;
    const auto forged = answers(example());
    ASSERT_FALSE(forged);
    EXPECT_EQ(forged.error().code, ErrorCode::auth);

    ASSERT_TRUE(answering->retract(context_, end("r2"), "ring"));
    EXPECT_EQ(network_.device("r2").descriptions["b"], "to r1");
}

TEST_F(KeyidLldp, WithoutAnswersItSaysSo) {
    ASSERT_TRUE(announce(example()));
    ASSERT_TRUE(receive("r4"));
    network_.clear_calls();
    EXPECT_TRUE(transport_->acknowledge(context_, end("r4"), example()));
    EXPECT_EQ(network_.count("lldp.describe"), 0U);
    EXPECT_EQ(transport_->acknowledgements(context_, end("r1"), {}, example()).error().code, ErrorCode::unsupported);
}

// The largest notice that real names make, with its tag, leaves the operator room.
TEST_F(KeyidLldp, ATaggedNoticeLeavesRoomForTheOperator) {
    KeyIdNotice notice = example();
    notice.link = "mx304-11--mx304-12";
    notice.sender = "mx304-11";
    notice.generation = 1795000000;
    const auto text = notice::seal(notice, SecretBytes(std::string_view("0123456789abcdef")));
    EXPECT_LE(keyid_lldp::join(std::string(80, 'x'), *text, "").value().size(), 255U);
}

TEST_F(KeyidLldp, ADeviceWithoutLldpIsToldSo) {
    network_.device("r4").offers_lldp = false;
    EXPECT_EQ(receive("r4").error().code, ErrorCode::unsupported);
    EXPECT_EQ(transport_->retract(context_, {"r8", {"a"}, nullptr}, "ring").error().code, ErrorCode::unsupported);
}

TEST(NoticeText, TextsWithoutANoticeStayWhole) {
    for (const std::string text : {"", "|", "|{", "plain", "a|b", "x|QKD2", "x|QKD1;offer;l", "x|QKD2;two words",
                                   "QKD2;x", "|QKD2;a\\n", "\xff|\xff", "x|QKD2;offer;l;|y"}) {
        const auto parts = keyid_lldp::split(text);
        EXPECT_TRUE(parts.sealed.empty()) << text;
        EXPECT_EQ(parts.own, text);
    }
}

// What is half there must not stay in the description for ever.
TEST(NoticeText, ADamagedNoticeIsKnownAsOurs) {
    const std::string whole = sealed(example());
    for (std::size_t length = 5; length <= whole.size(); ++length) {
        const auto parts = keyid_lldp::split("own | text|" + whole.substr(0, length));
        EXPECT_EQ(parts.own, "own | text");
        EXPECT_EQ(parts.sealed, whole.substr(0, length));
    }
    EXPECT_EQ(keyid_lldp::link_of(whole), "ring");
    EXPECT_EQ(keyid_lldp::link_of("QKA1;ring;7;7;r2;"), "ring");
    EXPECT_EQ(keyid_lldp::link_of("QKD2;offer;ring"), "");
}

}  // namespace
