// Protects the journal: it survives being cut off at any octet, opens under its key only, binds its records to link and place,
// shows no key on the disk, and is gone when it is erased.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/state/journal.hpp"
#include "support/temp_dir.hpp"

namespace qkd::engine {
namespace {

const std::string key_text = "0123456789abcdef0123456789abcdef";
const std::string cak_text = "a key that nobody may ever see!!";

JournalEntry entry(std::uint64_t generation) {
    JournalEntry e;
    e.run_id = "0011223344556677";
    e.step = Step::commit;
    e.ended = generation % 2 == 0;
    e.generation = generation;
    e.rollover = generation % 2 == 0 ? Rollover::key_chain : Rollover::pre_shared_key;
    e.key_id = "2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f";
    e.ckn = std::string(64, 'a');
    e.comment = "qkd-macsec a--b 0011223344556677";
    e.own_ckns = {std::string(64, 'a'), std::string(64, 'b')};
    if (generation % 2 == 0) e.start = UtcSeconds{std::chrono::seconds{1795000000}};
    e.members.push_back({"a", {"101", "102"}, true, false, SecretBytes(cak_text)});
    e.members.push_back({"b", {}, true, true, {}});
    return e;
}

void expect_same(const JournalEntry& a, const JournalEntry& b) {
    EXPECT_TRUE(encode(a).same_as(encode(b)));
}

class JournalFile : public ::testing::Test {
  protected:
    std::string content() const {
        std::ifstream in(Journal(dir_.path(), link_, key_).file(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void put(const std::string& octets) const {
        std::ofstream(Journal(dir_.path(), link_, key_).file(), std::ios::binary | std::ios::trunc) << octets;
    }
    support::TempDir dir_;
    SecretBytes key_{key_text};
    std::string link_ = "a--b";
};

TEST_F(JournalFile, the_last_record_comes_back_whole) {
    {
        Journal journal(dir_.path(), link_, key_);
        ASSERT_FALSE((*journal.load()).has_value());
        for (std::uint64_t g = 1; g <= 5; ++g) ASSERT_TRUE(journal.write(entry(g)));
    }
    Journal journal(dir_.path(), link_, key_);
    auto loaded = journal.load();
    ASSERT_TRUE(loaded) << loaded.error().what;
    ASSERT_TRUE(*loaded);
    expect_same(**loaded, entry(5));
    // Going on behind it.
    ASSERT_TRUE(journal.write(entry(6)));
    Journal third(dir_.path(), link_, key_);
    expect_same(**third.load(), entry(6));
    EXPECT_EQ(journalled_links(dir_.path()), std::vector<std::string>{"a--b"});
}

TEST_F(JournalFile, survives_truncation_at_any_octet_and_can_be_written_on) {
    std::vector<std::size_t> ends{0};
    {
        Journal journal(dir_.path(), link_, key_);
        for (std::uint64_t g = 1; g <= 3; ++g) {
            ASSERT_TRUE(journal.write(entry(g)));
            ends.push_back(content().size());
        }
    }
    const std::string whole = content();
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        SCOPED_TRACE(size);
        put(whole.substr(0, size));
        const auto complete = static_cast<std::uint64_t>(
            std::count_if(ends.begin() + 1, ends.end(), [&](std::size_t end) { return end <= size; }));
        Journal journal(dir_.path(), link_, key_);
        auto loaded = journal.load();
        ASSERT_TRUE(loaded) << loaded.error().what;
        ASSERT_EQ(loaded->has_value(), complete > 0);
        if (complete > 0) expect_same(**loaded, entry(complete));
        ASSERT_TRUE(journal.write(entry(9)));
        Journal again(dir_.path(), link_, key_);
        auto last = again.load();
        ASSERT_TRUE(last && *last);
        expect_same(**last, entry(9));
    }
}

TEST_F(JournalFile, a_torn_last_record_whose_length_got_to_the_disk_first_is_left_out) {
    std::string before;
    {
        Journal journal(dir_.path(), link_, key_);
        ASSERT_TRUE(journal.write(entry(1)));
        before = content();
        ASSERT_TRUE(journal.write(entry(2)));
    }
    std::string torn = content();
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(before.size()) + 4, torn.end(), '\0');
    put(torn);
    Journal journal(dir_.path(), link_, key_);
    auto loaded = journal.load();
    ASSERT_TRUE(loaded && *loaded);
    expect_same(**loaded, entry(1));
}

TEST_F(JournalFile, another_seal_key_is_a_clear_error_and_loses_nothing) {
    ASSERT_TRUE(Journal(dir_.path(), link_, key_).write(entry(1)));
    const std::string before = content();
    const SecretBytes other(std::string(32, 'x'));
    Journal journal(dir_.path(), link_, other);
    const auto loaded = journal.load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, ErrorCode::config);
    EXPECT_NE(loaded.error().what.find("seal_key"), std::string::npos);
    EXPECT_NE(loaded.error().what.find("a--b.journal"), std::string::npos);
    EXPECT_EQ(content(), before);
    expect_same(**Journal(dir_.path(), link_, key_).load(), entry(1));
}

TEST_F(JournalFile, a_record_of_another_link_or_place_does_not_open) {
    std::size_t first = 0;
    {
        Journal journal(dir_.path(), link_, key_);
        ASSERT_TRUE(journal.write(entry(1)));
        first = content().size();
        ASSERT_TRUE(journal.write(entry(2)));
    }
    const std::string whole = content();
    // The second record in the place of the first.
    put(whole.substr(0, 5) + whole.substr(first));
    EXPECT_FALSE(Journal(dir_.path(), link_, key_).load());
    Journal other(dir_.path(), "c--d", key_);
    put(whole);
    std::filesystem::copy_file(Journal(dir_.path(), link_, key_).file(), other.file());
    EXPECT_FALSE(other.load());
}

TEST_F(JournalFile, what_is_no_journal_is_refused_and_left_alone) {
    std::filesystem::create_directory(dir_.path() / "journal");
    for (const std::string text : {"something else entirely", "QKDJ\2....", "x"}) {
        put(text);
        EXPECT_FALSE(Journal(dir_.path(), link_, key_).load()) << text;
        EXPECT_EQ(content(), text);
    }
}

TEST_F(JournalFile, shows_nothing_on_the_disk_and_is_private) {
    ASSERT_TRUE(Journal(dir_.path(), link_, key_).write(entry(1)));
    const std::string octets = content();
    for (const auto& text : {cak_text, std::string("2d8a7c2e"), std::string(64, 'a'), std::string("commit")}) {
        EXPECT_EQ(octets.find(text), std::string::npos) << text;
    }
    const auto file = Journal(dir_.path(), link_, key_).file();
    struct stat info {};
    ASSERT_EQ(::stat(file.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
    ASSERT_EQ(::stat(file.parent_path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

TEST_F(JournalFile, erasing_overwrites_and_removes) {
    Journal journal(dir_.path(), link_, key_);
    ASSERT_TRUE(journal.erase());  // nothing there: nothing to do
    ASSERT_TRUE(journal.write(entry(1)));
    // Another name of the same file shows what was in it at the end.
    const auto witness = dir_.path() / "witness";
    std::filesystem::create_hard_link(journal.file(), witness);
    ASSERT_TRUE(journal.erase());
    EXPECT_FALSE(std::filesystem::exists(journal.file()));
    std::ifstream in(witness, std::ios::binary);
    const std::string octets{std::istreambuf_iterator<char>(in), {}};
    EXPECT_GT(octets.size(), 100U);
    EXPECT_TRUE(std::all_of(octets.begin(), octets.end(), [](char c) { return c == '\0'; }));
    EXPECT_FALSE((*Journal(dir_.path(), link_, key_).load()).has_value());
    ASSERT_TRUE(journal.write(entry(2)));
    expect_same(**Journal(dir_.path(), link_, key_).load(), entry(2));
}

TEST(JournalEntries, only_what_encode_writes_is_read) {
    const SecretBytes good = encode(entry(4));
    ASSERT_TRUE(decode_entry(good));
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_entry(SecretBytes(good.reveal().first(size)))) << size;
    }
    SecretBytes longer = good.clone();
    longer.append(std::string_view("x"));
    EXPECT_FALSE(decode_entry(longer));
    for (std::size_t i = 0; i < good.size(); ++i) {
        SecretBytes changed = good.clone();
        changed.writable()[i] = 0xff;
        (void)decode_entry(changed);  // must neither crash nor take much memory
    }
}

TEST(JournalEntries, the_names_of_links_make_names_of_files) {
    EXPECT_EQ(file_stem("mx1--mx2"), "mx1--mx2");
    EXPECT_EQ(file_stem("../a b"), "_2e_2e_2fa_20b");
}

}  // namespace
}  // namespace qkd::engine
