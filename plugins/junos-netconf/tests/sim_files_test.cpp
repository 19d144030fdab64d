// Files, interface descriptions, and a device behind a jump host.
#include <algorithm>

#include "sim_member.hpp"

namespace qkd::junos::test {
namespace {

SshdOptions without_sftp() {
    SshdOptions options;
    options.sftp = false;
    return options;
}

TEST(Sim, CarriesFilesAtomically) {
    Junos j;
    auto session = j.open();
    auto* files = session->files();
    ASSERT_NE(files, nullptr);
    const std::string folder = "/var/tmp/qkd";
    Junos::expect(files->make_directory(j.context, folder, 0700));
    Junos::expect(files->make_directory(j.context, folder, 0700));
    Junos::expect(files->put(j.context, folder + "/note", SecretBytes(std::string_view("one")), 0600));
    Junos::expect(files->put(j.context, folder + "/note", SecretBytes(std::string_view("two")), 0600));
    auto content = files->get(j.context, folder + "/note");
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), "two");
    auto names = files->list(j.context, folder);
    ASSERT_TRUE(names);
    EXPECT_EQ(*names, std::vector<std::string>{"note"}) << "no temporary file stays";
    Junos::expect(files->remove(j.context, folder + "/note"));
    Junos::expect(files->remove(j.context, folder + "/note"));
    auto missing = files->get(j.context, folder + "/note");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
    names = files->list(j.context, "/var/tmp/none");
    ASSERT_TRUE(names);
    EXPECT_TRUE(names->empty());
    // The NETCONF session on the same connection is still in step.
    EXPECT_FALSE(j.read(*session).pending);
}

TEST(Sim, WithoutSftpFilesGoByScpAndAreRenamedByTheDevice) {
    Junos j(without_sftp());
    auto session = j.open();
    auto* files = session->files();
    const std::string note = "/var/tmp/note";
    Junos::expect(files->put(j.context, note, SecretBytes(std::string_view("one")), 0600));
    Junos::expect(files->put(j.context, note, SecretBytes(std::string(70000, 'x')), 0600));
    auto content = files->get(j.context, note);
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), std::string(70000, 'x'));
    auto names = files->list(j.context, "/var/tmp");
    ASSERT_TRUE(names) << names.error().what;
    EXPECT_EQ(*names, std::vector<std::string>{"note"});
    Junos::expect(files->make_directory(j.context, "/var/tmp", 0700));
    auto made = files->make_directory(j.context, "/var/tmp/new", 0700);
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().hint.find("sftp-server"), std::string::npos);
    Junos::expect(files->remove(j.context, note));
    Junos::expect(files->remove(j.context, note));
    auto missing = files->get(j.context, note);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

TEST(Sim, SetsAndRestoresADescription) {
    Junos j;
    auto session = j.open();
    auto* lldp = session->lldp();
    ASSERT_NE(lldp, nullptr);
    auto text = lldp->description(j.context, "et-0/0/9");
    ASSERT_TRUE(text) << text.error().what;
    EXPECT_EQ(*text, "");
    Junos::expect(lldp->describe(j.context, "et-0/0/9", "to mx2 | 1234 \"x\""));
    EXPECT_EQ(*lldp->description(j.context, "et-0/0/9"), "to mx2 | 1234 \"x\"");
    Junos::expect(lldp->describe(j.context, "et-0/0/9", ""));
    EXPECT_EQ(*lldp->description(j.context, "et-0/0/9"), "");
    auto neighbour = lldp->neighbour(j.context, "et-0/0/9");
    ASSERT_FALSE(neighbour);
    EXPECT_EQ(neighbour.error().code, ErrorCode::not_found);
}

TEST(Sim, ADeviceBehindAJumpHostIsReachedByOpenSshWithFilesAndAll) {
    Junos j;
    const SimulatedDevice jump;
    const auto folder = jump.folder() / "ssh";
    auto values = j.device.values();
    const auto by = jump.values();
    values["proxy_command"] = "/usr/bin/ssh\n-F\n/dev/null\n-i\n" + (folder / "client_key").string() +
                              "\n-o\nBatchMode=yes\n-o\nStrictHostKeyChecking=yes\n-o\nUserKnownHostsFile=" +
                              (folder / "known_hosts").string() + "\n-p\n" + by.at("port") +
                              "\n-W\n%h:%p\n%r@127.0.0.1";
    PluginObject<Connector> connector(qkd_plugin, values);
    auto session = connector->open(j.context);
    ASSERT_TRUE(session) << session.error().what;
    EXPECT_EQ((*session)->facts().model, "mx304");
    Junos::expect((*session)->files()->put(j.context, "/var/tmp/x", SecretBytes(std::string_view("over two")), 0600));
    auto content = (*session)->files()->get(j.context, "/var/tmp/x");
    ASSERT_TRUE(content) << content.error().what;
    EXPECT_EQ(content->reveal_text(), "over two");
    j.bring_up(**session);
    Junos::expect((*session)->close(j.context));
    // The jump host is verified by ssh, the router by us: a key that is not known there is refused here.
    values["known_hosts"] = by.at("known_hosts");
    PluginObject<Connector> misled(qkd_plugin, values);
    session = misled->open(j.context);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::auth) << session.error().what;
}

}  // namespace
}  // namespace qkd::junos::test
