// Secret references: every form gives the secret, and nothing that is open to others, missing or literal passes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>  // setenv
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "engine/secrets/command.hpp"
#include "engine/secrets/passphrase.hpp"
#include "engine/secrets/references.hpp"
#include "engine/secrets/seal.hpp"
#include "fixtures/files.hpp"
#include "qkd/sdk/encoding.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using support::TestContext;
using test::put_file;
using testing::HasSubstr;

std::string resolve(const std::string& text, const SealKeySource& seal_key = {}) {
    TestContext context;
    auto reference = parse_secret_ref(text);
    if (!reference) return "ERROR " + reference.error().what;
    auto secret = resolve_secret(*reference, seal_key, context);
    if (!secret) return std::string("ERROR ") + to_string(secret.error().code) + " " + secret.error().what;
    return std::string(secret->reveal_text());
}

TEST(SecretRef, LiteralsAreRefusedAndNeverQuoted) {
    for (const char* literal : {"hunter2", "", "/etc/shadow", "File:/x", "password: hunter2", "file", "$9$hunter2"}) {
        const auto reference = parse_secret_ref(literal);
        ASSERT_FALSE(reference) << literal;
        EXPECT_EQ((reference.error().what + reference.error().hint).find("hunter2"), std::string::npos);
    }
    for (const char* wrong : {"file:", "env:", "env:A B", "env:1A", "sealed:", "sealed:***", "command:", "command:ls",
                              "command:[]", "command:[\"\"]", "command:[1]", "command:{}", "command:[\"a\\u0000b\"]"}) {
        EXPECT_FALSE(parse_secret_ref(wrong)) << wrong;
    }
}

TEST(SecretRef, KeepsItsText) {
    for (const char* text : {"file:/a b/c", "env:A_1", "command:[\"a\",\"b \\\"c\\\"\"]", "sealed:QUJD"}) {
        const auto reference = parse_secret_ref(text);
        ASSERT_TRUE(reference) << text;
        EXPECT_EQ(to_string(*reference), text);
    }
}

TEST(SecretFile, LosesOneLineEndUnlessItIsAKey) {
    const support::TempDir dir;
    const auto content = [&](std::string_view text) {
        return resolve("file:" + put_file(dir.path(), "s", text, 0600).string());
    };
    EXPECT_EQ(content("hunter2"), "hunter2");
    EXPECT_EQ(content("hunter2\n"), "hunter2");
    EXPECT_EQ(content("hunter2\r\n"), "hunter2");
    EXPECT_EQ(content("hunter2\n\n"), "hunter2\n");
    EXPECT_EQ(content(" hunter2 \n"), " hunter2 ");
    EXPECT_EQ(content("-----BEGIN X-----\nabc\n-----END X-----\n"), "-----BEGIN X-----\nabc\n-----END X-----\n");
}

TEST(SecretFile, MustBeOursAlone) {
    const support::TempDir dir;
    const fs::path file = put_file(dir.path(), "s", "hunter2\n", 0600);
    const auto check = [&] {
        const auto there = check_secret(*parse_secret_ref("file:" + file.string()), {});
        const std::string resolved = resolve("file:" + file.string());
        EXPECT_EQ(there.ok(), resolved.find("ERROR") == std::string::npos) << "check and run must agree";
        return there ? std::string() : there.error().what + "; " + there.error().hint;
    };
    EXPECT_EQ(check(), "");
    fs::permissions(file, fs::perms{0400});
    EXPECT_EQ(check(), "");
    for (const unsigned mode : {0640U, 0620U, 0604U, 0602U, 0644U, 0666U, 0610U}) {
        fs::permissions(file, static_cast<fs::perms>(mode));
        EXPECT_THAT(check(), HasSubstr("chmod 600 " + file.string())) << std::oct << mode;
    }
    fs::permissions(file, fs::perms{0600});
    if (geteuid() == 0) {
        ASSERT_EQ(chown(file.c_str(), 65534, 65534), 0);
        EXPECT_THAT(check(), HasSubstr("belongs to user 65534"));
        ASSERT_EQ(chown(file.c_str(), 0, 0), 0);
    }
    put_file(dir.path(), "s", "", 0600);
    EXPECT_THAT(check(), HasSubstr("is empty"));
    put_file(dir.path(), "s", std::string((1U << 20U) + 1, 'x'), 0600);
    EXPECT_THAT(check(), HasSubstr("larger than"));
    fs::remove(file);
    EXPECT_THAT(check(), HasSubstr("does not exist"));
    fs::create_directory(file);
    EXPECT_THAT(check(), HasSubstr("no regular file"));
}

TEST(SecretFile, APipeDoesNotHoldUsUp) {
    const support::TempDir dir;
    const fs::path pipe = dir.path() / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_THAT(resolve("file:" + pipe.string()), HasSubstr("no regular file"));
}

TEST(SecretEnvironment, MustBeSet) {
    setenv("QKD_TEST_A", "hunter2", 1);
    setenv("QKD_TEST_EMPTY", "", 1);
    unsetenv("QKD_TEST_B");
    EXPECT_EQ(resolve("env:QKD_TEST_A"), "hunter2");
    EXPECT_THAT(resolve("env:QKD_TEST_B"), HasSubstr("QKD_TEST_B is not set"));
    EXPECT_THAT(resolve("env:QKD_TEST_EMPTY"), HasSubstr("is not set or empty"));
}

TEST(SecretCommand, GetsItsArgumentsWithoutAShell) {
    EXPECT_EQ(resolve(R"(command:["printf","%s","$HOME; `id` \"x\""])"), "$HOME; `id` \"x\"");
    EXPECT_EQ(resolve(R"(command:["echo","hunter2"])"), "hunter2");
    EXPECT_EQ(resolve(R"(command:["/bin/sh","-c","cat; echo done"])"), "done") << "its standard input is empty";
    setenv("QKD_TEST_A", "inherited", 1);
    EXPECT_EQ(resolve(R"(command:["/bin/sh","-c","printf %s \"$QKD_TEST_A\""])"), "inherited");
}

TEST(SecretCommand, FailuresAreErrorsThatQuoteNothing) {
    const std::string failed = resolve(R"(command:["/bin/sh","-c","echo hunter2; echo hunter2 >&2; exit 3"])");
    EXPECT_THAT(failed, HasSubstr("failed with exit code 3"));
    EXPECT_EQ(failed.find("hunter2"), std::string::npos);
    EXPECT_THAT(resolve(R"(command:["/bin/sh","-c","kill -9 $$"])"), HasSubstr("signal 9"));
    EXPECT_THAT(resolve(R"(command:["true"])"), HasSubstr("printed nothing"));
    EXPECT_THAT(resolve(R"(command:["no-such-program-here"])"), HasSubstr("ERROR not_found"));
    EXPECT_THAT(resolve(R"(command:["head","-c","70000","/dev/zero"])"), HasSubstr("more than 64 KiB"));
    EXPECT_EQ(resolve(R"(command:["head","-c","65536","/dev/zero"])").size(), 65536U);
}

TEST(SecretCommand, EndsAtTheDeadlineAndIsKilledWithItsChildren) {
    const support::TempDir dir;
    const fs::path pipe = dir.path() / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    // The grandchild holds the pipe open for writing: end of file here means that it is gone.
    const std::string script = "sleep 1000 > '" + pipe.string() + "' & echo hunter2; wait";
    TestContext context(300ms);
    const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ASSERT_GE(reader, 0);
    const auto secret = run_secret_command({"/bin/sh", "-c", script}, context);
    ASSERT_FALSE(secret);
    EXPECT_EQ(secret.error().code, ErrorCode::timeout);
    fcntl(reader, F_SETFL, 0);
    char byte = 0;
    EXPECT_EQ(read(reader, &byte, 1), 0);
    close(reader);
}

TEST(SecretCommand, AChildLeftBehindIsNotWaitedFor) {
    TestContext context(60s);
    const auto begin = std::chrono::steady_clock::now();
    const auto secret = run_secret_command({"/bin/sh", "-c", "sleep 1000 & echo hunter2"}, context);
    ASSERT_TRUE(secret) << secret.error().what;
    EXPECT_EQ(secret->reveal_text(), "hunter2\n");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
}

TEST(SecretCommand, IsInterrupted) {
    TestContext context(60s);
    std::jthread interruption([&] { context.request_stop(); });
    const auto secret = run_secret_command({"sleep", "1000"}, context);
    ASSERT_FALSE(secret);
    EXPECT_EQ(secret.error().code, ErrorCode::cancelled);
}

TEST(SecretCommand, ProgramsAreLookedForBeforehand) {
    EXPECT_TRUE(check_program("sh"));
    EXPECT_TRUE(check_program("/bin/sh"));
    EXPECT_FALSE(check_program("no-such-program-here"));
    EXPECT_FALSE(check_program("./sh"));
    EXPECT_FALSE(check_program("/etc"));
    EXPECT_FALSE(check_program("/etc/passwd"));
}

TEST(SecretSealed, OpensUnderTheSealKey) {
    const support::TempDir dir;
    const fs::path file = put_file(dir.path(), "seal.key", std::string(64, 'c') + "\n", 0600);
    const SealKeySource source{"file:" + file.string(), dir.path()};
    TestContext context;
    const auto key = load_seal_key(source, false, context);
    ASSERT_TRUE(key) << key.error().what;
    const auto reference = sealed_reference(*key, SecretBytes(std::string_view("hunter2")));
    ASSERT_TRUE(reference);
    EXPECT_EQ(resolve(*reference, source), "hunter2");
    EXPECT_EQ(resolve(*reference, {"", dir.path()}), "hunter2") << "state/seal.key is the default";

    put_file(dir.path(), "seal.key", std::string(64, 'd'), 0600);
    EXPECT_THAT(resolve(*reference, source), HasSubstr("does not open"));
    fs::permissions(file, fs::perms{0644});
    EXPECT_THAT(resolve(*reference, source), HasSubstr("is open to its group or to others"));
}

TEST(SealKeyFile, IsMadeOnceAndKept) {
    const support::TempDir dir;
    const SealKeySource source{"", dir.path()};
    TestContext context;
    EXPECT_FALSE(load_seal_key(source, false, context));
    const auto made = load_seal_key(source, true, context);
    ASSERT_TRUE(made) << made.error().what;
    struct stat info {};
    ASSERT_EQ(stat((dir.path() / "seal.key").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1) << "no draft is left";
    EXPECT_TRUE(load_seal_key(source, true, context)->same_as(*made));
    EXPECT_TRUE(load_seal_key(source, false, context)->same_as(*made));
}

TEST(SealKeyFile, ThoseWhoMakeItTogetherGetTheSame) {
    const support::TempDir dir;
    const SealKeySource source{"", dir.path()};
    std::vector<SecretBytes> keys(8);
    {
        std::vector<std::jthread> threads;
        for (auto& key : keys) {
            threads.emplace_back([&] {
                TestContext context;
                auto loaded = load_seal_key(source, true, context);
                if (loaded) key = std::move(*loaded);
            });
        }
    }
    for (const auto& key : keys) {
        EXPECT_EQ(key.size(), seal_key_octets);
        EXPECT_TRUE(key.same_as(keys[0]));
    }
}

TEST(SealKeyFile, RawOctetsThatEndLikeALineAreKept) {
    const support::TempDir dir;
    const std::string raw = std::string(31, 'r') + "\n";
    const SealKeySource source{"file:" + put_file(dir.path(), "k", raw, 0600).string(), dir.path()};
    TestContext context;
    const auto key = load_seal_key(source, false, context);
    ASSERT_TRUE(key);
    EXPECT_EQ(key->reveal_text(), raw);
}

// ---------------------------------------------------------------- credentials of systemd

class Credentials : public testing::Test {
  protected:
    void SetUp() override { setenv("CREDENTIALS_DIRECTORY", dir_.path().c_str(), 1); }
    void TearDown() override { unsetenv("CREDENTIALS_DIRECTORY"); }
    const support::TempDir dir_;
};

TEST_F(Credentials, AreFilesOfTheDirectoryThatSystemdNames) {
    put_file(dir_.path(), "kme", "hunter2\n", 0400);
    EXPECT_EQ(resolve("credential:kme"), "hunter2");
    EXPECT_TRUE(check_secret(*parse_secret_ref("credential:kme"), {}));
    EXPECT_THAT(resolve("credential:other"), HasSubstr("not_found"));
    EXPECT_FALSE(check_secret(*parse_secret_ref("credential:other"), {}));
    // An access list for the unit's user shows as the group's bits; others' bits never.
    put_file(dir_.path(), "listed", "hunter2", 0440);
    EXPECT_EQ(resolve("credential:listed"), "hunter2");
    for (const int mode : {0444, 0460, 0404}) {
        fs::permissions(put_file(dir_.path(), "open", "hunter2", 0600), fs::perms{static_cast<unsigned>(mode)});
        EXPECT_THAT(resolve("credential:open"), HasSubstr("ERROR")) << mode;
        EXPECT_FALSE(check_secret(*parse_secret_ref("credential:open"), {})) << mode;
        fs::remove(dir_.path() / "open");
    }
}

TEST_F(Credentials, LeadNowhereElse) {
    put_file(dir_.path().parent_path(), "escape-" + dir_.path().filename().string(), "hunter2", 0600);
    for (const char* wrong : {"credential:", "credential:../x", "credential:a/b", "credential:..", "credential:a:b"})
        EXPECT_FALSE(parse_secret_ref(wrong)) << wrong;
    fs::remove(dir_.path().parent_path() / ("escape-" + dir_.path().filename().string()));
    setenv("CREDENTIALS_DIRECTORY", "relative", 1);
    EXPECT_THAT(resolve("credential:kme"), HasSubstr("CREDENTIALS_DIRECTORY"));
    unsetenv("CREDENTIALS_DIRECTORY");
    EXPECT_THAT(resolve("credential:kme"), HasSubstr("CREDENTIALS_DIRECTORY"));
    EXPECT_EQ(to_string(*parse_secret_ref("credential:kme")), "credential:kme");
}

TEST_F(Credentials, HoldASealKeyWithAllItsOctets) {
    std::string octets(32, 'k');
    octets.back() = '\n';
    put_file(dir_.path(), "seal", octets, 0400);
    TestContext context;
    const auto key = load_seal_key({"credential:seal", {}}, false, context);
    ASSERT_TRUE(key) << key.error().what;
    EXPECT_EQ(key->reveal_text(), octets);
    EXPECT_TRUE(check_seal_key(*parse_secret_ref("credential:seal")));
}

// ---------------------------------------------------------------- passphrases

/// The least that is taken: 16 MiB, quick.
std::string quick_scrypt(const std::string& reference, const std::string& salt = "MDEyMzQ1Njc4OWFiY2RlZg==") {
    return "scrypt:1,14,8,1," + salt + "," + reference;
}

TEST(Passphrase, MakesTheKeyThatTheStandardSays) {
    const support::TempDir dir;
    const auto file = put_file(dir.path(), "pass", "correct horse battery\n", 0600);
    TestContext context;
    const auto key = load_seal_key({quick_scrypt("file:" + file.string()), {}}, false, context);
    ASSERT_TRUE(key) << key.error().what;
    // Made with Python: hashlib.scrypt(b"correct horse battery", salt=b"0123456789abcdef", n=2**14, r=8, p=1, dklen=32).
    EXPECT_EQ(hex_encode(*key).reveal_text(), "79b9c71d302959ad283685d3602087c4b5c369e8dcbdc4d142165a0f53893421");
    const auto again = load_seal_key({quick_scrypt("file:" + file.string()), {}}, false, context);
    ASSERT_TRUE(again);
    EXPECT_TRUE(again->same_as(*key));
    const auto other =
        load_seal_key({quick_scrypt("file:" + file.string(), "MDEyMzQ1Njc4OWFiY2RlZw=="), {}}, false, context);
    ASSERT_TRUE(other);
    EXPECT_FALSE(other->same_as(*key)) << "another salt is another key";
    put_file(dir.path(), "pass", "correct horse batterY\n", 0600);
    const auto changed = load_seal_key({quick_scrypt("file:" + file.string()), {}}, false, context);
    ASSERT_TRUE(changed);
    EXPECT_FALSE(changed->same_as(*key)) << "another passphrase is another key";
}

TEST(Passphrase, OpensWhatItSealed) {
    const support::TempDir dir;
    const auto file = put_file(dir.path(), "pass", "correct horse battery", 0600);
    const SealKeySource source{quick_scrypt("file:" + file.string()), {}};
    TestContext context;
    const auto key = load_seal_key(source, false, context);
    ASSERT_TRUE(key);
    const auto sealed = sealed_reference(*key, SecretBytes(std::string_view("hunter2")));
    ASSERT_TRUE(sealed);
    EXPECT_EQ(resolve(*sealed, source), "hunter2");
}

TEST(Passphrase, KeepsItsTextAndRefusesWeakOrUnknownOnes) {
    const std::string text = quick_scrypt("command:[\"pass\",\"show\",\"a,b\"]");
    const auto reference = parse_secret_ref(text);
    ASSERT_TRUE(reference) << reference.error().what;
    EXPECT_EQ(reference->form, SecretRef::Form::command);
    EXPECT_EQ(to_string(*reference), text);
    const std::string salt = "MDEyMzQ1Njc4OWFiY2RlZg==";
    const std::vector<std::string> refused{"scrypt:",
                                           "scrypt:file:x",
                                           "scrypt:1,13,8,1," + salt + ",file:x",
                                           "scrypt:1,21,8,1," + salt + ",file:x",
                                           "scrypt:1,14,1,1," + salt + ",file:x",
                                           "scrypt:1,14,8,0," + salt + ",file:x",
                                           "scrypt:1,14,8,1,QUJD,file:x",
                                           "scrypt:1,14,8,1,***,file:x",
                                           "scrypt:1,14,8,1," + salt,
                                           "scrypt:1,14,8,1," + salt + ",hunter2",
                                           "scrypt:1,14,8,1," + salt + ",sealed:QUJD",
                                           "scrypt:1,14,8,1," + salt + "," + text};
    for (const std::string& wrong : refused) {
        const auto parsed = parse_secret_ref(wrong);
        ASSERT_FALSE(parsed) << wrong;
        EXPECT_EQ((parsed.error().what + parsed.error().hint).find("hunter2"), std::string::npos);
    }
    EXPECT_EQ(parse_secret_ref("scrypt:2,14,8,1," + salt + ",file:x").error().code, ErrorCode::unsupported);
    const support::TempDir dir;
    const auto file = put_file(dir.path(), "pass", "hunter2hunt\n", 0600);
    TestContext context;
    const auto weak = load_seal_key({quick_scrypt("file:" + file.string()), {}}, false, context);
    ASSERT_FALSE(weak);
    EXPECT_THAT(weak.error().what, HasSubstr("shorter than 12"));
    EXPECT_EQ(weak.error().what.find("hunter2"), std::string::npos);
}

TEST(Passphrase, IsForTheSealKeyOnly) {
    const support::TempDir dir;
    const auto file = put_file(dir.path(), "pass", "correct horse battery", 0600);
    const auto reference = parse_secret_ref(quick_scrypt("file:" + file.string()));
    ASSERT_TRUE(reference);
    EXPECT_TRUE(check_seal_key(*reference));
    EXPECT_FALSE(check_secret(*reference, {}));
    EXPECT_THAT(resolve(quick_scrypt("file:" + file.string())), HasSubstr("nothing else"));
    EXPECT_FALSE(check_seal_key(*parse_secret_ref("sealed:QUJD")));
    fs::remove(file);
    EXPECT_FALSE(check_seal_key(*reference));
}

TEST(Passphrase, FreshSaltsDiffer) {
    const auto one = new_scrypt();
    const auto two = new_scrypt();
    ASSERT_TRUE(one && two);
    EXPECT_NE(to_string(*one), to_string(*two));
    const auto back = parse_scrypt(to_string(*one));
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(back->salt, one->salt);
    EXPECT_EQ(back->log2_n, 17U);
}

}  // namespace
}  // namespace qkd::engine
