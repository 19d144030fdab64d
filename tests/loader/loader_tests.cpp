// The plugin host against files that must not be let in, and against plugins that misbehave once they are. Each
// refusal has to say in one line what is wrong and what to do about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>  // setenv
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "engine/host/plugin_host.hpp"
#include "fixtures/files.hpp"
#include "qkd/sdk/key_source.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class EmptyConfig final : public ConfigView {
  public:
    [[nodiscard]] bool has(std::string_view /*key*/) const override { return false; }
    [[nodiscard]] std::string string(std::string_view /*key*/) const override { return {}; }
    [[nodiscard]] std::int64_t integer(std::string_view /*key*/) const override { return 0; }
    [[nodiscard]] bool boolean(std::string_view /*key*/) const override { return false; }
    [[nodiscard]] std::chrono::milliseconds duration(std::string_view /*key*/) const override { return {}; }
    [[nodiscard]] fs::path path(std::string_view /*key*/) const override { return {}; }
    [[nodiscard]] std::vector<std::string> list(std::string_view /*key*/) const override { return {}; }
    [[nodiscard]] Result<SecretBytes> secret(std::string_view /*key*/, Context& /*context*/) const override {
        return SecretBytes();
    }
    [[nodiscard]] fs::path secret_path(std::string_view /*key*/) const override { return {}; }
    [[nodiscard]] std::string name() const override { return "kme.test"; }
};

class Loader : public testing::Test {
  protected:
    Loader() {
        fs::create_directory(plugins());
        fs::permissions(plugins(), fs::perms{0755});
        unsetenv("QKD_FIXTURE_RAN");
    }
    [[nodiscard]] fs::path plugins() const { return dir_.path() / "plugins"; }
    [[nodiscard]] fs::path file(const std::string& name) const { return plugins() / ("libqkd-" + name + ".so"); }
    /// Copies a fixture into the plugin folder, under another name if asked.
    void install(const std::string& fixture, const std::string& as = {}) const {
        const fs::path target = file(as.empty() ? fixture : as);
        fs::copy_file(fs::path(QKD_LOADER_FIXTURES) / ("libqkd-" + fixture + ".so"), target);
        fs::permissions(target, fs::perms{0755});
    }
    /// "reason; remedy", after checking its form.
    [[nodiscard]] std::string refusal(const std::string& name) const {
        PluginHost host(plugins());
        const auto plugin = host.load(name);
        if (plugin) return "(was accepted)";
        EXPECT_FALSE(plugin.error().what.empty());
        EXPECT_FALSE(plugin.error().hint.empty()) << plugin.error().what;
        const std::string text = plugin.error().what + "; " + plugin.error().hint;
        EXPECT_EQ(text.find('\n'), std::string::npos) << text;
        return text;
    }
    [[nodiscard]] static bool code_ran() { return std::getenv("QKD_FIXTURE_RAN") != nullptr; }

    support::TempDir dir_;
};

TEST_F(Loader, TakesASoundPlugin) {
    install("sound");
    PluginHost host(plugins());
    const auto plugin = host.load("sound");
    ASSERT_TRUE(plugin) << plugin.error().what;
    EXPECT_STREQ((*plugin)->descriptor->name, "sound");
    EXPECT_EQ((*plugin)->file, fs::canonical(file("sound")));
    EXPECT_NE((*plugin)->stage(StageKind::key_source), nullptr);
    EXPECT_EQ((*plugin)->stage(StageKind::commit), nullptr);
    EXPECT_EQ(*host.load("sound"), *plugin) << "one object per plugin";

    const EmptyConfig config;
    auto source = host.create<KeySource>(**plugin, config);
    ASSERT_TRUE(source) << source.error().what;
    support::TestContext context;
    EXPECT_EQ((*source)->status(context, "peer")->source_kme, "sound");
    const auto commit = host.create(**plugin, StageKind::commit, config);
    ASSERT_FALSE(commit);
    EXPECT_EQ(commit.error().code, ErrorCode::unsupported);
}

TEST_F(Loader, ObjectsOutliveTheHost) {
    install("sound");
    const EmptyConfig config;
    StagePtr<KeySource> source(nullptr, nullptr);
    {
        PluginHost host(plugins());
        auto made = host.create<KeySource>(**host.load("sound"), config);
        ASSERT_TRUE(made);
        source = std::move(*made);
    }
    fs::remove(file("sound"));
    support::TestContext context;
    EXPECT_EQ(source->status(context, "peer")->source_kme, "sound");
}

TEST_F(Loader, TakesARelativeDirectory) {
    install("sound");
    PluginHost host(fs::relative(plugins()));
    EXPECT_TRUE(host.load("sound"));
}

TEST_F(Loader, RefusesOtherAbis) {
    for (const char* name : {"next-major", "old-major", "next-minor"}) {
        install(name);
        EXPECT_THAT(refusal(name), HasSubstr("built for ABI ")) << name;
        EXPECT_THAT(refusal(name),
                    HasSubstr("this engine has " QKD_STRINGIZE(QKD_ABI_MAJOR) "." QKD_STRINGIZE(QKD_ABI_MINOR)));
    }
    EXPECT_THAT(refusal("old-major"), HasSubstr("rebuild the plugin"));
    EXPECT_THAT(refusal("next-minor"), HasSubstr("newer qkd-macsec"));
}

TEST_F(Loader, RefusesWhatIsNoPlugin) {
    install("no-symbol");
    EXPECT_THAT(refusal("no-symbol"), HasSubstr("no symbol qkd_plugin"));
    install("no-magic");
    EXPECT_THAT(refusal("no-magic"), HasSubstr("is no plugin descriptor"));
    install("no-factory");
    EXPECT_THAT(refusal("no-factory"), HasSubstr("cannot be created"));
    test::put_file(plugins(), "libqkd-text.so", "#!/bin/sh\necho hello\n", 0755);
    EXPECT_THAT(refusal("text"), HasSubstr("it is no shared library (not an ELF file)"));
    EXPECT_THAT(refusal("text"), HasSubstr("install the plugin again"));
    fs::create_directory(file("folder"));
    EXPECT_THAT(refusal("folder"), HasSubstr("is no regular file"));
    ASSERT_EQ(mkfifo(file("pipe").c_str(), 0600), 0);
    EXPECT_THAT(refusal("pipe"), HasSubstr("is no regular file"));
    EXPECT_THAT(refusal("absent"), HasSubstr("no file "));
}

TEST_F(Loader, NamesTheSymbolThatIsMissing) {
    install("unresolved");
    EXPECT_THAT(refusal("unresolved"), HasSubstr("nobody_defines_this"));
    EXPECT_THAT(refusal("unresolved"), HasSubstr("ldd -r "));
}

TEST_F(Loader, RefusesAnotherToolchain) {
    install("fingerprint");
    EXPECT_THAT(refusal("fingerprint"), HasSubstr("'another toolchain'"));
    EXPECT_THAT(refusal("fingerprint"), HasSubstr("rebuild the plugin"));
}

TEST_F(Loader, RefusesARightFileUnderAWrongName) {
    install("sound", "kme-other");
    EXPECT_THAT(refusal("kme-other"), HasSubstr("calls itself 'sound' but its file says 'kme-other'"));
}

TEST_F(Loader, RefusesNamesThatAreNone) {
    install("sound");
    for (const char* name : {"", "../plugins/sound", "/etc/passwd", "a/b", "sound.so", "libqkd-sound.so", "Sound",
                             "a--b", "-a", "a-", "1a", "a_b", "sound\n"}) {
        EXPECT_THAT(refusal(name), HasSubstr("is no plugin name")) << name;
    }
    EXPECT_THAT(refusal(std::string("sound\0x", 7)), HasSubstr("is no plugin name"));
    EXPECT_FALSE(code_ran());
}

TEST_F(Loader, RefusesSymbolicLinks) {
    install("sound", "real");
    fs::create_symlink(file("real"), file("sound"));
    EXPECT_THAT(refusal("sound"), HasSubstr("is a symbolic link"));
    EXPECT_FALSE(code_ran());
}

TEST_F(Loader, RefusesWhatOthersCanWriteBeforeItRuns) {
    install("sound");
    fs::permissions(file("sound"), fs::perms{0775});
    EXPECT_THAT(refusal("sound"),
                HasSubstr("is writable by its group; chmod go-w " + fs::canonical(file("sound")).string()));
    fs::permissions(file("sound"), fs::perms{0757});
    EXPECT_THAT(refusal("sound"), HasSubstr("is writable by others"));
    fs::permissions(file("sound"), fs::perms{0755});

    fs::permissions(plugins(), fs::perms{0775});
    EXPECT_THAT(refusal("sound"),
                HasSubstr("directory " + fs::canonical(plugins()).string() + " is writable by its group"));
    fs::permissions(plugins(), fs::perms{0755});

    fs::permissions(dir_.path(), fs::perms{0777});
    EXPECT_THAT(refusal("sound"), HasSubstr("chmod go-w " + fs::canonical(dir_.path()).string()))
        << "a directory above counts as well, and the message names that one";
    EXPECT_FALSE(code_ran()) << "all of this is decided before dlopen";
    fs::permissions(dir_.path(), fs::perms{0700});
    EXPECT_EQ(refusal("sound"), "(was accepted)");
    EXPECT_TRUE(code_ran());
}

TEST_F(Loader, RefusesWhatBelongsToSomebodyElse) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
    constexpr uid_t nobody = 65534;
    install("sound");
    ASSERT_EQ(chown(file("sound").c_str(), nobody, nobody), 0);
    EXPECT_THAT(refusal("sound"), HasSubstr("belongs to user 65534"));
    ASSERT_EQ(chown(file("sound").c_str(), 0, 0), 0);
    ASSERT_EQ(chown(plugins().c_str(), nobody, nobody), 0);
    EXPECT_THAT(refusal("sound"), HasSubstr("directory "));
    // A sticky directory is good only when it is root's: its owner may replace what is in it.
    fs::permissions(plugins(), fs::perms{01777});
    EXPECT_THAT(refusal("sound"), HasSubstr("belongs to user 65534"));
    ASSERT_EQ(chown(plugins().c_str(), 0, 0), 0);
    fs::permissions(plugins(), fs::perms{01777});
    EXPECT_EQ(refusal("sound"), "(was accepted)");
}

TEST_F(Loader, TurnsWhatAPluginThrowsIntoAnError) {
    const EmptyConfig config;
    PluginHost host(plugins());
    for (const char* name : {"throws-in-create", "throws-an-int", "throws-in-configure", "makes-nothing"}) {
        install(name);
        const auto plugin = host.load(name);
        ASSERT_TRUE(plugin) << name;
        const auto stage = host.create<KeySource>(**plugin, config);
        ASSERT_FALSE(stage) << name;
        EXPECT_EQ(stage.error().code, ErrorCode::internal) << name;
        EXPECT_THAT(stage.error().what, HasSubstr(name));
        EXPECT_THAT(stage.error().hint, HasSubstr("defect of the plugin"));
        EXPECT_EQ(stage.error().what.find("hunter2"), std::string::npos)
            << "the text of an exception may hold a secret";
    }
}

TEST_F(Loader, ListsEverythingWithItsReason) {
    install("sound");
    install("fingerprint");
    test::put_file(plugins(), "README", "hello\n");
    PluginHost host(plugins());
    const auto list = host.list();
    ASSERT_EQ(list.size(), 3U);
    EXPECT_EQ(list[0].name, "README");
    EXPECT_THAT(list[0].refused, HasSubstr("libqkd-NAME.so"));
    EXPECT_EQ(list[1].name, "fingerprint");
    EXPECT_EQ(list[1].descriptor, nullptr);
    EXPECT_THAT(list[1].refused, HasSubstr("; rebuild"));
    EXPECT_EQ(list[2].name, "sound");
    EXPECT_NE(list[2].descriptor, nullptr);
    EXPECT_EQ(list[2].refused, "");
}

TEST_F(Loader, NamesAreReadWithoutLoading) {
    install("sound");
    install("no-magic");
    PluginHost host(plugins());
    EXPECT_THAT(host.names(), ElementsAre("no-magic", "sound"));
    EXPECT_FALSE(code_ran());
}

TEST_F(Loader, AnAbsentDirectoryIsNamed) {
    PluginHost host(dir_.path() / "nowhere");
    EXPECT_TRUE(host.list().empty());
    const auto plugin = host.load("sound");
    ASSERT_FALSE(plugin);
    EXPECT_EQ(plugin.error().code, ErrorCode::not_found);
    EXPECT_THAT(plugin.error().what, HasSubstr("nowhere"));
    EXPECT_THAT(plugin.error().hint, HasSubstr("--plugin-dir"));
}

}  // namespace
}  // namespace qkd::engine
