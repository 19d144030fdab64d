// persist-file: the record survives crashes and nonsense, and nothing is written beside its directory.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "record_file.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin;

namespace {

using namespace qkd;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

LinkRecord example() {
    LinkRecord record;
    record.link = "a--b";
    record.generation = 5;
    record.key_id = "2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f";
    record.ckn = std::string(64, 'c');
    record.rollover = "key-chain";
    record.own_ckns = {record.ckn, std::string(64, 'd')};
    record.pending_key_id = "7f1d3c58-6b7a-4a52-9d0b-2f3c4d5e6a7b";
    record.pending_ckn = std::string(64, 'e');
    record.fallback_ckn = std::string(64, 'd');
    record.commit_time = std::chrono::milliseconds{2300};
    record.start = UtcSeconds{1795000000s};
    record.saved = UtcSeconds{1794999000s};
    return record;
}

mode_t mode_of(const fs::path& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
}

class PersistFile : public ::testing::Test {
  protected:
    support::TempDir temp_;
    support::TestContext context_;
    support::PluginObject<Persist> persist_{qkd_plugin, {}, (temp_.path() / "state").string()};
    const fs::path file_ = temp_.path() / "state/ids/a--b.json";
};

TEST_F(PersistFile, FilesAndFoldersArePrivate) {
    ASSERT_TRUE(persist_->save(context_, example()));
    EXPECT_EQ(mode_of(file_), 0600U);
    EXPECT_EQ(mode_of(file_.parent_path()), 0700U);
    EXPECT_EQ(mode_of(temp_.path() / "state"), 0700U);
    EXPECT_EQ(support::files_below(temp_.path()).size(), 1U) << "no temporary file may be left";
}

TEST_F(PersistFile, EveryMemberComesBack) {
    LinkRecord record = example();
    record.previous_key_id = "id before";
    ASSERT_TRUE(persist_->save(context_, record));
    EXPECT_EQ(persist_->load(context_, "a--b").value(), record);
    record.start.reset();
    record.own_ckns.clear();
    record.generation = ~0ULL;
    ASSERT_TRUE(persist_->save(context_, record));
    EXPECT_EQ(persist_->load(context_, "a--b").value(), record);
}

TEST_F(PersistFile, ADamagedRecordNamesTheFileAndTheRemedy) {
    ASSERT_TRUE(persist_->save(context_, example()));
    const std::string good = support::read_file(file_);
    const auto altered = [&](std::string_view from, std::string_view to) {
        std::string text = good;
        return text.replace(text.find(from), from.size(), to);
    };
    for (const std::string& text :
         {std::string(), good.substr(0, 40), std::string("null"), std::string("\xff"), altered("a--b", "c--d"),
          altered("\"schema\": 1", "\"schema\": 2"), altered("\"generation\": 5", "\"generation\": -5"),
          altered("\"generation\": 5", "\"generation\": \"5\""), altered("\"start\": 1795000000", "\"start\": true"),
          altered("\"own_ckns\": [", "\"own_ckns\": [1,"), altered("\"own_ckns\"", "\"cak\""),
          std::string(70000, ' ') + good}) {
        support::write_file(file_, text);
        const auto loaded = persist_->load(context_, "a--b");
        ASSERT_FALSE(loaded) << text.substr(0, 200);
        EXPECT_EQ(loaded.error().code, ErrorCode::config);
        EXPECT_NE(loaded.error().what.find(file_.string()), std::string::npos) << loaded.error().what;
        EXPECT_FALSE(loaded.error().hint.empty());
    }
    ASSERT_TRUE(persist_->save(context_, example())) << "a damaged file must not stop the next save";
    EXPECT_EQ(persist_->load(context_, "a--b").value(), example());
}

// Somebody who may write the directory could otherwise make us read, or wait for, something else.
TEST_F(PersistFile, OnlyARegularFileIsRead) {
    fs::create_directories(file_.parent_path());
    const fs::path target = temp_.path() / "elsewhere";
    support::write_file(target, *persist_file::encode(example()));
    fs::create_symlink(target, file_);
    EXPECT_FALSE(persist_->load(context_, "a--b"));
    fs::remove(file_);
    ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
    EXPECT_FALSE(persist_->load(context_, "a--b"));
    fs::remove(file_);
    fs::create_directory(file_);
    EXPECT_FALSE(persist_->load(context_, "a--b"));
    const auto saved = persist_->save(context_, example());
    ASSERT_FALSE(saved);
    EXPECT_EQ(support::files_below(temp_.path()).size(), 1U) << "a failed save must leave nothing behind";
}

TEST_F(PersistFile, NoLinkNameLeavesTheDirectory) {
    LinkRecord record = example();
    for (const char* link : {"../../x", "/etc/x", ".", "..", "a b", "a_b"}) {
        record.link = link;
        ASSERT_TRUE(persist_->save(context_, record)) << link;
        EXPECT_EQ(persist_->load(context_, link).value(), record);
    }
    for (const auto& [name, content] : support::files_below(temp_.path())) {
        EXPECT_EQ(fs::path(name).parent_path(), "state/ids") << name;
    }
    record.link = std::string(300, 'x');
    EXPECT_FALSE(persist_->save(context_, record));
    record.link = "";
    EXPECT_FALSE(persist_->save(context_, record));
}

TEST_F(PersistFile, WhatJsonCannotHoldIsRefused) {
    LinkRecord record = example();
    record.key_id = "\xff";
    EXPECT_EQ(persist_->save(context_, record).error().code, ErrorCode::rejected);
    record = example();
    record.own_ckns.assign(129, "aa");
    EXPECT_FALSE(persist_->save(context_, record));
    EXPECT_FALSE(fs::exists(file_));
}

TEST_F(PersistFile, ProbeWritesNothing) {
    EXPECT_TRUE(persist_->probe(context_));
    EXPECT_FALSE(fs::exists(temp_.path() / "state"));
}

TEST_F(PersistFile, ARelativeDirectoryIsRefused) {
    EXPECT_THROW(support::PluginObject<Persist>(qkd_plugin, {{"directory", "ids"}}), std::runtime_error);
}

}  // namespace
