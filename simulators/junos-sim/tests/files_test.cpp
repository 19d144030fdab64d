// File areas: OpenSSH's own clients put and get files, each device sees only its own, and nothing else of the machine.
#include "files.hpp"

#include <gtest/gtest.h>

#include "support.hpp"
#include "xml_out.hpp"

using namespace qkd::junossim;
using namespace qkd::junossim::test;

namespace fs = std::filesystem;

namespace {

struct Devices {
    TestLab lab{{"a", "b"}};
    TempFolder local;

    std::map<std::string, std::string> environment(const std::string& command) const {
        return {{"SSH_ORIGINAL_COMMAND", command}, {"LOGNAME", "lab"}, {"USER", "lab"}};
    }
    std::pair<std::string, int> login(const std::string& device, const std::string& command,
                                      const std::string& input = {}) const {
        return run({JUNOS_SIM, "--state", lab.device(device).string(), "--login"}, input, environment(command));
    }
    // sftp with its server run directly, no sshd between.
    std::pair<std::string, int> sftp(const std::string& device, const std::string& batch) const {
        const auto script = local.path() / ("server-" + device);
        write_file(script, "#!/bin/sh\nexec '" JUNOS_SIM "' --state '" + lab.device(device).string() + "' --login\n");
        fs::permissions(script, fs::perms::owner_all);
        return run({"sftp", "-q", "-b", "-", "-D", script.string()}, batch,
                   environment("/usr/lib/openssh/sftp-server"));
    }
    fs::path file(const std::string& device, const std::string& path) const { return lab.device(device) / "fs" / path; }
};

}  // namespace

TEST(Files, SftpReadsAndWritesTheDevicesOwnArea) {
    Devices d;
    write_file(d.local.path() / "in", "hello");
    const std::string in = (d.local.path() / "in").string();
    const std::string out = (d.local.path() / "out").string();
    auto [text, code] = d.sftp("a", "put " + in + " /var/tmp/note\nput " + in +
                                        " home-note\nmkdir /var/tmp/dir\n"
                                        "rename /var/tmp/note /var/tmp/dir/note\nget /var/tmp/dir/note " +
                                        out + "\npwd\n");
    EXPECT_EQ(code, 0) << text;
    EXPECT_NE(text.find("/var/home/lab"), std::string::npos) << text;
    EXPECT_EQ(read_file(out), "hello");
    EXPECT_EQ(read_file(d.file("a", "var/tmp/dir/note")), "hello");
    EXPECT_EQ(read_file(d.file("a", "var/home/lab/home-note")), "hello");
    EXPECT_NE(d.sftp("b", "get /var/tmp/dir/note " + out + "2\n").second, 0) << "the other device has no such file";
    EXPECT_FALSE(fs::exists(out + "2"));
}

TEST(Files, SftpCannotLeaveTheArea) {
    Devices d;
    write_file(d.local.path() / "secret", "of the machine");
    const std::string real = (d.local.path() / "secret").string();
    for (const std::string& path : {real, "/../../../../../../../.." + real, "../../../../../../../../../.." + real}) {
        EXPECT_NE(d.sftp("a", "get " + path + " " + real + ".stolen\n").second, 0) << path;
        EXPECT_FALSE(fs::exists(real + ".stolen")) << path;
    }
}

TEST(Files, ScpSinkAndSource) {
    Devices d;
    auto [text, code] = d.login("a", "scp -t -- '/var/tmp/with space'", "C0644 5 x\nhello" + std::string(1, '\0'));
    EXPECT_EQ(code, 0);
    EXPECT_EQ(read_file(d.file("a", "var/tmp/with space")), "hello");
    std::tie(text, code) = d.login("a", "scp -f /var/tmp/with\\ space", std::string(3, '\0'));
    EXPECT_EQ(text, "C0644 5 with space\nhello" + std::string(1, '\0')) << text;
    std::tie(text, code) = d.login("b", "scp -f '/var/tmp/with space'", std::string(3, '\0'));
    EXPECT_NE(code, 0);
}

TEST(Files, EverythingElseIsRefused) {
    Devices d;
    for (const std::string command :
         {"", "ls /", "scp", "scp /etc/passwd /tmp/x", "sh -c 'scp -t x'", "rm -rf /", "'unclosed"}) {
        EXPECT_EQ(d.login("a", command).second, 1) << command;
    }
}

TEST(Files, NetconfSubsystemCommandGetsNetconf) {
    Devices d;
    for (const std::string command : {"netconf", "/usr/local/bin/junos-sim --state elsewhere"}) {
        const auto [text, code] = d.login("a", command, "<rpc><close-session/></rpc>]]>]]>");
        EXPECT_EQ(code, 0);
        EXPECT_NE(text.find("<session-id>"), std::string::npos) << command;
    }
}

TEST(Files, NetconfFileCallsStayInside) {
    Devices d;
    Client client(d.lab.device("a"));
    EXPECT_TRUE(client.ok("<file-list><path>/var/tmp</path></file-list>"));
    write_file(d.file("a", "var/tmp/n.json"), "{\"id\": \"<1>\"}");
    EXPECT_EQ(text_of(client.call("<file-show><filename>/var/tmp/n.json</filename></file-show>")
                          .select_node("//file-content")
                          .node()),
              "{\"id\": \"<1>\"}");
    EXPECT_EQ(text_of(client.call("<file-list><path>/var/tmp</path></file-list>").select_node("//file-name").node()),
              "n.json");
    EXPECT_TRUE(client.ok(
        "<file-rename><source>/var/tmp/n.json</source><destination>/var/tmp/m.json</destination></file-rename>"));
    EXPECT_NE(client.error("<file-show><filename>/var/tmp/n.json</filename></file-show>"), "");
    EXPECT_NE(client.error("<file-show><filename>/../../device.json</filename></file-show>"), "");
    EXPECT_NE(client.error("<file-show><filename>../../../../device.json</filename></file-show>"), "");
    fs::create_symlink(d.lab.device("a") / "device.json", d.file("a", "var/tmp/link"));
    EXPECT_NE(client.error("<file-show><filename>/var/tmp/link</filename></file-show>"), "")
        << "a link may not lead out";
    EXPECT_TRUE(client.ok("<file-delete><path>/var/tmp/m.json</path></file-delete>"));
    EXPECT_NE(client.error("<file-delete><path>/var/tmp/m.json</path></file-delete>"), "");
}

TEST(Files, FaultsReachTransfersToo) {
    Devices d;
    write_file(d.lab.device("a") / "faults.json",
               R"({"faults":[{"rpc":"scp","nth":1,"action":"error","message":"no space left"}]})");
    EXPECT_EQ(d.login("a", "scp -t /var/tmp/x", "C0644 1 x\nh" + std::string(1, '\0')).second, 255);
    EXPECT_EQ(d.login("a", "scp -t /var/tmp/x", "C0644 1 x\nh" + std::string(1, '\0')).second, 0);
}
