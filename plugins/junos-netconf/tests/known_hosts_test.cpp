// known_hosts in all its forms, and the diagnosis of a server's offer.
#include "known_hosts.hpp"

#include <gtest/gtest.h>

#include "kexinit.hpp"
#include "sshd.hpp"

namespace qkd::net {
namespace {

// A key of ssh-keygen's making; what matters is that its blob is well formed.
const std::string key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIiMGmvSSwE/PfvMdIt6kZ1PGFJY2VULZ3XsUZXB3BFQ";
const std::string other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

KnownHost find(const std::string& text, const std::string& host = "r1.example", std::uint16_t port = 22) {
    return find_known_host(std::string_view(text), host, port);
}

TEST(KnownHosts, Matrix) {
    struct Case {
        const char* hosts;
        const char* host;
        std::uint16_t port;
        bool found;
    };
    for (const auto& c : {Case{"r1.example", "r1.example", 22, true},
                          Case{"r1.example", "R1.Example", 22, true},
                          Case{"R1.EXAMPLE", "r1.example", 22, true},
                          Case{"r2.example", "r1.example", 22, false},
                          Case{"a,r1.example,b", "r1.example", 22, true},
                          Case{"*.example", "r1.example", 22, true},
                          Case{"r?.example", "r1.example", 22, true},
                          Case{"r?.example", "r10.example", 22, false},
                          Case{"*", "anything", 22, true},
                          Case{"*.example,!r1.example", "r1.example", 22, false},
                          Case{"!r1.example,*.example", "r1.example", 22, false},
                          Case{"*.example,!r1.example", "r2.example", 22, true},
                          Case{"!r1.example", "r2.example", 22, false},
                          Case{"r1.example", "r1.example", 830, false},
                          Case{"[r1.example]:830", "r1.example", 830, true},
                          Case{"[r1.example]:830", "r1.example", 22, false},
                          Case{"[*.example]:830", "r1.example", 830, true},
                          Case{"192.0.2.1", "192.0.2.1", 22, true},
                          Case{"2001:db8::1", "2001:db8::1", 22, true},
                          Case{"r1.example,", "", 22, false}}) {
        EXPECT_EQ(!find(std::string(c.hosts) + " " + key + " comment here\n", c.host, c.port).keys.empty(), c.found)
            << c.hosts << " " << c.host << " " << c.port;
    }
}

TEST(KnownHosts, HashedLinesAsSshKeygenMakesThem) {
    support::TempDir temp;
    const auto file = temp.path() / "known_hosts";
    support::write_file(file, "r1.example " + key + "\n[r1.example]:830 " + other + "\n");
    junos::test::run_program({"/usr/bin/ssh-keygen", "-q", "-H", "-f", file});
    const std::string text = support::read_file(file);
    ASSERT_EQ(text.find("r1.example"), std::string::npos) << "not hashed";
    auto known = find_known_host(file, "r1.example", 22);
    ASSERT_TRUE(known);
    ASSERT_EQ(known->keys.size(), 1U);
    known = find_known_host(file, "r1.example", 830);
    ASSERT_TRUE(known);
    ASSERT_EQ(known->keys.size(), 1U);
    EXPECT_TRUE(find_known_host(file, "r2.example", 22)->keys.empty());
}

TEST(KnownHosts, MarkersCommentsAndNonsense) {
    const auto known =
        find("# r1.example " + key + "\n\n   \nr1.example\nr1.example ssh-ed25519 !!!\nr1.example ssh-rsa " +
             key.substr(key.find(' ') + 1) + "\n@revoked r1.example " + other + "\n@cert-authority *.example " + key +
             "\n@nonsense r1.example " + key + "\n  r1.example\t" + key + "\r\nr1.example 2048 65537 1234567\n");
    ASSERT_EQ(known.keys.size(), 1U);
    EXPECT_EQ(known.keys[0].type, "ssh-ed25519");
    ASSERT_EQ(known.revoked.size(), 1U);
    EXPECT_TRUE(known.certificate_authority);
}

TEST(KnownHosts, FingerprintIsThatOfSshKeygen) {
    support::TempDir temp;
    const std::string file = temp.path() / "key.pub";
    support::write_file(file, key + "\n");
    const std::string said = junos::test::run_program({"/usr/bin/ssh-keygen", "-lf", file});
    const auto known = find("r1.example " + key);
    ASSERT_EQ(known.keys.size(), 1U);
    EXPECT_NE(said.find(fingerprint(known.keys[0].blob)), std::string::npos) << said;
    EXPECT_EQ(blob_type(known.keys[0].blob), "ssh-ed25519");
    EXPECT_EQ(blob_type({}), "");
    EXPECT_EQ(blob_type(std::vector<std::uint8_t>{0, 0, 0, 200, 's'}), "");
}

TEST(KexInit, EveryTruncationIsSafe) {
    std::vector<std::uint8_t> packet;
    for (const char c : std::string("junk\r\nSSH-2.0-Test\r\n")) packet.push_back(static_cast<std::uint8_t>(c));
    packet.insert(packet.end(), {0, 0, 1, 0, 5, 20});
    packet.insert(packet.end(), 16, 0);
    for (const std::string list :
         {"curve25519-sha256", "rsa-sha2-512,ssh-rsa", "aes256-ctr", "aes256-ctr", "hmac-sha2-256"}) {
        packet.insert(packet.end(), {0, 0, 0, static_cast<std::uint8_t>(list.size())});
        packet.insert(packet.end(), list.begin(), list.end());
    }
    const auto whole = read_server_offer(packet);
    EXPECT_TRUE(whole.complete);
    EXPECT_EQ(whole.banner, "SSH-2.0-Test");
    EXPECT_EQ(whole.host_keys, (std::vector<std::string>{"rsa-sha2-512", "ssh-rsa"}));
    EXPECT_EQ(whole.macs, std::vector<std::string>{"hmac-sha2-256"});
    EXPECT_TRUE(only_rsa(whole));
    EXPECT_FALSE(only_rsa(ServerOffer{}));
    for (std::size_t size = 0; size < packet.size(); ++size)
        EXPECT_FALSE(read_server_offer(std::span(packet).first(size)).complete);
}

}  // namespace
}  // namespace qkd::net
