// Golden tests: what load_pipeline() says about each file in cases/. They protect the texts that users live in, the
// places they point to, and that everything wrong is said in one go.
#include <gtest/gtest.h>
#include <stdlib.h>  // setenv

#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/pipeline/file.hpp"
#include "fixtures/fake_plugins.hpp"
#include "fixtures/files.hpp"
#include "support/temp_dir.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;
using test::put_file;

const fs::path cases = QKD_SCHEMA_CASES;

std::vector<std::string> case_names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(cases)) {
        if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// A folder with the case and everything that the cases refer to.
void furnish(const fs::path& dir, const std::string& name) {
    put_file(dir, name + ".toml", support::read_file(cases / (name + ".toml")));
    for (const auto& [file, content] : support::files_below(cases / "inventories")) put_file(dir, file, content);
    put_file(dir, "seal.key", std::string(64, 'a') + "\n", 0600);
    put_file(dir, "ssh.key", "-----BEGIN TEST KEY-----\n", 0600);
    put_file(dir, "open.key", "-----BEGIN TEST KEY-----\n", 0644);
    put_file(dir, "empty.key", "", 0600);
    put_file(dir, "known_hosts", "#\n");
    for (const char* pem : {"root", "sae1", "sae2", "sae3"}) put_file(dir, std::string("certs/") + pem + ".crt", "#\n");
    for (const char* key : {"sae1", "sae2", "sae3"}) put_file(dir, std::string("certs/") + key + ".key", "#\n", 0600);
    put_file(dir, "plugins/libqkd-writable.so", "#\n", 0664);
    fs::create_directories(dir / "state-writable");
    fs::permissions(dir / "state-writable", fs::perms::all);
}

/// The findings, a line each, with the folder's name taken out.
std::string findings_of(const std::string& name) {
    const support::TempDir dir;
    furnish(dir.path(), name);
    PluginHost host(dir.path() / "plugins");
    test::add_fake_plugins(host);
    std::string text;
    for (const auto& finding : load_pipeline(dir.path() / (name + ".toml"), host).findings) {
        text += to_string(finding) + "\n";
    }
    const std::string path = dir.path().string();
    for (auto at = text.find(path); at != std::string::npos; at = text.find(path, at))
        text.replace(at, path.size(), "DIR");
    return text;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SaysExactlyThis) {
    const fs::path expected = cases / (GetParam() + ".txt");
    ASSERT_TRUE(fs::exists(expected)) << "run qkd-schema-tests --regenerate and read what it wrote";
    EXPECT_EQ(findings_of(GetParam()), support::read_file(expected));
}

INSTANTIATE_TEST_SUITE_P(Case, Golden, testing::ValuesIn(case_names()), [](const auto& test) {
    std::string name = test.param;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '-'; }, '_');
    return name;
});

TEST(Cases, NoSecretOfAFileIsQuoted) {
    for (const auto& name : case_names()) {
        EXPECT_EQ(findings_of(name).find("hunter2"), std::string::npos) << name;
    }
}

TEST(Cases, NothingIsLeftBehind) {
    const support::TempDir dir;
    furnish(dir.path(), "good");
    const auto before = support::files_below(dir.path());
    PluginHost host(dir.path() / "plugins");
    test::add_fake_plugins(host);
    ASSERT_TRUE(load_pipeline(dir.path() / "good.toml", host).ok());
    EXPECT_EQ(support::files_below(dir.path()), before);
    EXPECT_FALSE(fs::exists(dir.path() / "state"));
}

void regenerate() {
    for (const auto& name : case_names()) {
        support::write_file(cases / (name + ".txt"), findings_of(name));
        std::cout << "== " << name << "\n" << findings_of(name);
    }
}

}  // namespace
}  // namespace qkd::engine

int main(int argc, char** argv) {
    setenv("QKD_TEST_SECRET", "hunter2", 1);
    unsetenv("QKD_TEST_UNSET");
    setenv("PATH", "/usr/bin:/bin", 1);
    testing::InitGoogleTest(&argc, argv);
    if (argc == 2 && std::string_view(argv[1]) == "--regenerate") {
        qkd::engine::regenerate();
        return 0;
    }
    return RUN_ALL_TESTS();
}
