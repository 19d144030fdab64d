// Laws for persist: what is saved comes back, whole or not at all, and stays in its place.
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <thread>

#include "kit/support/temp_dir.hpp"
#include "kit/trial.hpp"
#include "qkd/sdk/persist.hpp"

namespace qkd::conformance {
namespace {

constexpr StageKind kind = StageKind::persist;

LinkRecord record(const std::string& link, std::uint64_t generation) {
    LinkRecord record;
    record.link = link;
    record.generation = generation;
    record.key_id = "2d8a7c2e-0b5e-4a0c-9f0e-1a2b3c4d5e6f";
    record.previous_key_id = generation % 2 == 0 ? "" : "11111111-2222-3333-4444-555555555555";
    record.ckn = std::string(64, generation % 2 == 0 ? 'a' : 'b');
    record.rollover = "key-chain";
    record.own_ckns = {record.ckn, std::string(64, 'd')};
    record.pending_key_id = "22222222-3333-4444-5555-666666666666";
    record.pending_ckn = std::string(64, 'e');
    record.fallback_ckn = std::string(64, 'd');
    record.commit_time = std::chrono::milliseconds{1700};
    record.start = UtcSeconds{std::chrono::seconds{1795000000 + generation}};
    record.saved = UtcSeconds{std::chrono::seconds{1794999000}};
    return record;
}

void comes_back(Trial& trial) {
    auto persist = trial.make<Persist>();
    trial.expect(!trial.must(persist->load(trial.context(), "law-back"), "load of nothing").has_value(),
                 "remembers a link that was never saved");
    for (const std::uint64_t generation : {1U, 2U}) {
        trial.must(persist->save(trial.context(), record("law-back", generation)), "save");
        auto other = trial.make<Persist>();
        const auto loaded = trial.must(other->load(trial.context(), "law-back"), "load");
        trial.expect(loaded == record("law-back", generation), "another record comes back than was saved");
    }
    LinkRecord bare;
    bare.link = "law-bare";
    trial.must(persist->save(trial.context(), bare), "save of an almost empty record");
    trial.expect(trial.must(persist->load(trial.context(), "law-bare"), "load") == bare,
                 "an empty record is filled up");
}

void links_apart(Trial& trial) {
    auto persist = trial.make<Persist>();
    const std::array links{std::string("law-a"),    std::string("law_a"), std::string("law/a"),
                           std::string("../law-a"), std::string("LAW-A"), std::string("law-a.json"),
                           std::string("law a")};
    std::vector<std::string> saved;
    std::uint64_t generation = 0;
    for (const std::string& link : links) {
        const auto done = persist->save(trial.context(), record(link, ++generation));
        trial.either(done, "save of a link with a strange name");
        saved.push_back(done ? link : "");
    }
    Trial::require(!saved.front().empty(), "a plain link name is refused");
    for (std::size_t i = 0; i < saved.size(); ++i) {
        if (saved[i].empty()) continue;
        const auto loaded = trial.must(persist->load(trial.context(), saved[i]), "load of " + saved[i]);
        trial.expect(loaded == record(saved[i], i + 1), "links " + saved[i] + " and another one mix");
    }
}

void stays_in_place(Trial& trial) {
    const auto& scratch = trial.subject().scratch;
    const auto around = support::files_below(scratch.parent_path());
    auto persist = trial.make<Persist>();
    for (const std::string& link :
         {std::string("../../../law-out"), std::string("/tmp/law-out"), std::string(".."), std::string(),
          std::string(5000, 'x'), std::string("a\0b", 3), std::string("\n"), std::string("\xff")}) {
        trial.either(persist->save(trial.context(), record(link, 1)), "save of a link with a hostile name");
        trial.either(persist->load(trial.context(), link), "load of a link with a hostile name");
    }
    for (const auto& [name, content] : support::files_below(scratch.parent_path())) {
        const bool inside = name.starts_with(scratch.filename().string() + "/");
        trial.expect(inside || around.contains(name), "writes outside its directory: " + name);
    }
}

void private_files(Trial& trial) {
    auto persist = trial.make<Persist>();
    trial.must(persist->save(trial.context(), record("law-private", 1)), "save");
    for (const auto& [name, content] : support::files_below(trial.subject().scratch)) {
        struct stat status {};
        const std::string path = (trial.subject().scratch / name).string();
        trial.expect(::stat(path.c_str(), &status) == 0 && (status.st_mode & 0077U) == 0,
                     name + " can be read or written by others");
    }
}

void damaged(Trial& trial) {
    auto persist = trial.make<Persist>();
    const LinkRecord good = record("law-damaged", 3);
    const auto before = support::files_below(trial.subject().scratch);
    trial.must(persist->save(trial.context(), good), "save");
    bool tried = false;
    for (const auto& [name, content] : support::files_below(trial.subject().scratch)) {
        if (before.contains(name)) continue;
        tried = true;
        const auto file = trial.subject().scratch / name;
        for (std::size_t size = 0; size < content.size(); ++size) {
            support::write_file(file, content.substr(0, size));
            const auto loaded = persist->load(trial.context(), "law-damaged");
            if (loaded) {
                trial.expect(*loaded == good, "a record cut to " + std::to_string(size) + " octets is believed");
                continue;
            }
            (void)trial.must_fail(loaded, "load of a damaged record", {});
            trial.expect(loaded.error().what.find(name) != std::string::npos, "the error does not name " + name);
        }
        support::write_file(file, content);
    }
    Trial::needs(tried, "leaves no file in the scratch directory");
    trial.must(persist->save(trial.context(), record("law-damaged", 4)), "save over a damaged record");
}

void atomic(Trial& trial) {
    const std::array versions{record("law-atomic", 1), record("law-atomic", 2)};
    auto writer = trial.make<Persist>();
    trial.must(writer->save(trial.context(), versions[0]), "save");
    std::atomic<bool> done{false};
    std::string complaint;
    auto reader = trial.make<Persist>();
    std::thread reading([&] {
        support::TestContext context;
        while (!done) {
            const auto loaded = reader->load(context, "law-atomic");
            if (!loaded) {
                complaint = "a reader met an error: " + loaded.error().what;
            } else if (*loaded != versions[0] && *loaded != versions[1]) {
                complaint = "a reader met neither the old nor the new record";
            }
        }
    });
    support::TestContext context;
    bool saved = true;
    for (std::size_t i = 0; i < 200; ++i) saved = writer->save(context, versions[i % 2]).ok() && saved;
    done = true;
    reading.join();
    trial.expect(saved, "a save failed while another object was reading");
    trial.expect(complaint.empty(), complaint);
}

}  // namespace

const std::vector<Law>& persist_laws() {
    static const std::vector<Law> laws{
        {"persist.back", "what was saved comes back in another object; nothing is remembered of an unknown link",
         comes_back},
        {"persist.apart", "records of different links do not mix, whatever their names", links_apart},
        {"persist.place", "no link name leads out of the directory", stays_in_place},
        {"persist.private", "files are readable by their owner only", private_files},
        {"persist.damaged", "a damaged record is an error that names the file, and does not stop the next save",
         damaged},
        {"persist.atomic", "a reader sees the old or the new record, never something between", atomic}};
    return laws;
}

}  // namespace qkd::conformance
