// Protects the audit log: it grows only, each line holds the hash of the one before, and any change is found.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "engine/state/audit.hpp"
#include "support/temp_dir.hpp"

namespace qkd::engine {
namespace {

class AuditLog : public ::testing::Test {
  protected:
    void add(const std::string& event, int count = 1) {
        auto audit = Audit::open(dir_.path(), "run-1");
        ASSERT_TRUE(audit) << audit.error().what;
        for (int i = 0; i < count; ++i) {
            ASSERT_TRUE((*audit)->append({"a--b", event, "id-" + std::to_string(i), std::string(64, 'c'), "", "why"}));
        }
    }
    [[nodiscard]] std::vector<std::string> lines() const {
        std::ifstream in(file_);
        std::vector<std::string> all;
        for (std::string line; std::getline(in, line);) all.push_back(line);
        return all;
    }
    void write(const std::vector<std::string>& all) const {
        std::ofstream out(file_, std::ios::trunc);
        for (const auto& line : all) out << line << "\n";
    }
    support::TempDir dir_;
    std::filesystem::path file_ = dir_.path() / "audit.jsonl";
};

TEST_F(AuditLog, says_who_when_which_and_what_became_of_it) {
    add("rotated");
    const auto line = nlohmann::json::parse(lines().at(0));
    EXPECT_EQ(line["event"], "rotated");
    EXPECT_EQ(line["run_id"], "run-1");
    EXPECT_EQ(line["link"], "a--b");
    EXPECT_EQ(line["key_id"], "id-0");
    EXPECT_EQ(line["ckn"], std::string(64, 'c'));
    EXPECT_TRUE(line["device"].is_null());
    EXPECT_NE(line["who"].get<std::string>().find('@'), std::string::npos);
    EXPECT_EQ(line["at"].get<std::string>().back(), 'Z');
}

TEST_F(AuditLog, the_chain_goes_on_from_one_process_to_the_next) {
    add("minted", 3);
    add("rotated", 2);
    const auto count = verify_audit(file_);
    ASSERT_TRUE(count) << count.error().what;
    EXPECT_EQ(*count, 5U);
}

TEST_F(AuditLog, a_changed_a_dropped_and_an_added_line_are_found) {
    add("minted", 6);
    const auto good = lines();
    for (std::size_t i = 0; i + 1 < good.size(); ++i) {  // the last line has no successor that would tell
        auto changed = good;
        changed[i].replace(changed[i].find("minted"), 6, "unused");
        write(changed);
        EXPECT_FALSE(verify_audit(file_)) << i;
        auto dropped = good;
        dropped.erase(dropped.begin() + static_cast<std::ptrdiff_t>(i));
        write(dropped);
        EXPECT_FALSE(verify_audit(file_)) << i;
        auto added = good;
        added.insert(added.begin() + static_cast<std::ptrdiff_t>(i) + 1, good[i]);
        write(added);
        const auto found = verify_audit(file_);
        ASSERT_FALSE(found) << i;
        EXPECT_NE(found.error().what.find("audit.jsonl:" + std::to_string(i + 2)), std::string::npos)
            << found.error().what;
    }
    write(good);
    EXPECT_TRUE(verify_audit(file_));
}

TEST_F(AuditLog, a_line_that_a_crash_tore_stays_and_the_chain_goes_on) {
    add("minted", 2);
    auto torn = lines();
    {
        std::ofstream out(file_, std::ios::trunc);
        out << torn[0] << "\n" << torn[1].substr(0, 20);
    }
    add("rotated", 2);
    EXPECT_EQ(lines().size(), 4U);
    EXPECT_TRUE(verify_audit(file_));
}

}  // namespace
}  // namespace qkd::engine
