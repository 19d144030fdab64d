// Broken by design: stages with one defect each, and the law that catches it. With kit_test.cpp, one for every law.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "conformance/fixtures.hpp"
#include "kit/laws.hpp"
#include "kit/support/fake_network.hpp"
#include "kit/support/map_config.hpp"
#include "kit/support/plugin_object.hpp"
#include "kit/support/temp_dir.hpp"
#include "kit/support/test_context.hpp"
#include "kit/trial.hpp"
#include "qkd/sdk/certs.hpp"
#include "qkd/sdk/encoding.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/persist.hpp"

namespace {

using namespace qkd;
using namespace qkd::conformance;

enum class Defect : std::uint8_t {
    none,
    // any stage
    one_thread,
    slow_probe,
    // connect
    alive_after_close,
    leaves_files,
    clock_runs_back,
    wrong_end,
    // certs
    never_content,
    always_concludes,
    plan_writes,
    open_key,
    slow_ensure,
    // key-source
    longer_keys,
    gives_twice,
    invents_keys,
    no_status,
    // persist
    forgets,
    mixes_cases,
    trusts_names,
    open_files,
    believes,
    tears
};
Defect defect = Defect::none;

Error fault(ErrorCode code, const std::string& what) {
    return {code, Retry::never, what, "this is a fixture"};
}

/// Longer than any law forgives on a machine that is not at a standstill.
void dawdle() {
    (void)::poll(nullptr, 0, 3000);
}

/// What all stages here have in common.
template <class Kind>
class Fixture : public Kind {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;
        const bool elsewhere = std::this_thread::get_id() != first_thread;
        if (defect == Defect::one_thread && elsewhere) return fault(ErrorCode::internal, "another thread");
        return {};
    }
    Result<void> probe(Context&) override {
        if (defect == Defect::slow_probe) dawdle();
        return {};
    }

  protected:
    static inline const std::thread::id first_thread = std::this_thread::get_id();

    /// Calls the peer of the configuration, if it has one, and waits for the answer that never comes.
    std::optional<Error> call(Context& context) const {
        if (!config_->has("port")) return std::nullopt;
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(config_->integer("port")));
        (void)::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
        Error error = support::TestContext::wait_for_the_end(context, "call");
        ::close(fd);
        if (defect == Defect::wrong_end) error.code = ErrorCode::unreachable;
        return error;
    }

    const ConfigView* config_ = nullptr;
};

// --- connect ---------------------------------------------------------------------------------------------------------

class Session final : public DeviceSession, private ClockAccess, private FileAccess {
  public:
    explicit Session(support::FakeNetwork& network) : inner_(network.session("r1")) {}
    const DeviceFacts& facts() const override { return inner_->facts(); }
    [[nodiscard]] std::string id() const override { return {}; }
    FileAccess* files() noexcept override { return this; }
    LldpAccess* lldp() noexcept override { return inner_->lldp(); }
    ClockAccess* clock() noexcept override { return this; }
    Result<void> close(Context& context) override { return inner_->close(context); }
    [[nodiscard]] bool alive() const noexcept override {
        return inner_->alive() || defect == Defect::alive_after_close;
    }

  private:
    Result<ClockReading> read(Context& context) override {
        auto reading = inner_->clock()->read(context);
        if (reading && defect == Defect::clock_runs_back) reading->now -= std::chrono::hours{++readings_};
        return reading;
    }
    Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) override {
        if (defect == Defect::leaves_files) (void)inner_->files()->put(context, path + ".tmp", content, mode);
        return inner_->files()->put(context, path, content, mode);
    }
    Result<SecretBytes> get(Context& context, const std::string& path) override {
        return inner_->files()->get(context, path);
    }
    Result<std::vector<std::string>> list(Context& context, const std::string& directory) override {
        return inner_->files()->list(context, directory);
    }
    Result<void> remove(Context& context, const std::string& path) override {
        return inner_->files()->remove(context, path);
    }
    Result<void> make_directory(Context& context, const std::string& path, unsigned mode) override {
        return inner_->files()->make_directory(context, path, mode);
    }

    std::unique_ptr<DeviceSession> inner_;
    int readings_ = 0;
};

class Connects final : public Fixture<Connector> {
  public:
    Result<std::unique_ptr<DeviceSession>> open(Context& context) override {
        if (auto error = call(context)) return *std::move(error);
        return std::unique_ptr<DeviceSession>(std::make_unique<Session>(network()));
    }

  private:
    static support::FakeNetwork& network() {
        static support::FakeNetwork only;
        only.device("r1").clock->resolution = std::chrono::seconds{1};
        return only;
    }
};

// --- certs -----------------------------------------------------------------------------------------------------------

class Certifies final : public Fixture<CertStage> {
  public:
    Result<Change> ensure(Context&, const CertSubject& subject, DeviceSession&) override {
        if (defect == Defect::slow_ensure) dawdle();
        const auto file = key_of(subject);
        if (std::filesystem::exists(file) && defect != Defect::never_content) return Change::unchanged;
        support::write_file(file, "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n");
        (void)::chmod(file.c_str(), defect == Defect::open_key ? 0644 : 0600);
        return Change::changed;
    }
    Result<void> conclude(Context&, const CertSubject& subject, DeviceSession&, bool) override {
        if (defect == Defect::always_concludes) std::filesystem::remove(key_of(subject));
        return {};
    }
    Result<std::string> plan(Context&, const CertSubject& subject, DeviceSession&) override {
        if (std::filesystem::exists(key_of(subject))) return std::string();
        if (defect == Defect::plan_writes) support::write_file(key_of(subject), "planned");
        return std::string("a new key");
    }

  private:
    [[nodiscard]] std::filesystem::path key_of(const CertSubject& subject) const {
        return config_->path("directory") / (subject.sae + ".key");
    }
};

// --- key-source ------------------------------------------------------------------------------------------------------

class Sources final : public Fixture<KeySource> {
  public:
    Result<SourceStatus> status(Context&, const std::string&) override {
        if (defect == Defect::no_status) return fault(ErrorCode::unsupported, "no status");
        return SourceStatus{};
    }
    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override {
        if (auto error = call(context)) return *std::move(error);
        const unsigned count = defect == Defect::invents_keys ? std::max(request.count, 1U) : request.count;
        if (count == 0 || request.bits == 0 || request.bits % 8 != 0 || request.bits > 1024 ||
            request.peer_sae.empty()) {
            return fault(ErrorCode::rejected, "no such keys");
        }
        std::vector<Key> keys;
        for (unsigned i = 0; i < count; ++i) {
            const std::string id = "key-" + std::to_string(++minted_);
            const unsigned octets = defect == Defect::longer_keys ? 32 : request.bits / 8;
            std::string bytes(octets, static_cast<char>(minted_));
            bytes.replace(0, std::min<std::size_t>(8, octets), "QKD-KEY-");
            pool()[id] = bytes;
            keys.push_back({id, SecretBytes(std::string_view(bytes))});
        }
        return keys;
    }
    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override {
        if (auto error = call(context)) return *std::move(error);
        std::vector<Key> keys;
        for (const auto& id : request.ids) {
            const auto found = pool().find(id);
            if (found == pool().end()) return fault(ErrorCode::not_found, "no such key");
            keys.push_back({id, SecretBytes(std::string_view(found->second))});
        }
        for (const auto& id : request.ids) {
            if (defect != Defect::gives_twice) pool().erase(id);
        }
        return keys;
    }

  private:
    static std::map<std::string, std::string>& pool() {
        static std::map<std::string, std::string> keys;
        return keys;
    }
    static inline unsigned minted_ = 0;
};

// --- persist ---------------------------------------------------------------------------------------------------------

/// A file per link holds the number of a record in memory, and a word at its end by which it is known to be whole.
class Remembers final : public Fixture<Persist> {
  public:
    Result<std::optional<LinkRecord>> load(Context&, const std::string& link) override {
        const auto file = place(link);
        if (!file) return std::move(file).error();
        Result<std::optional<LinkRecord>> loaded = std::optional<LinkRecord>();
        if (std::filesystem::exists(*file)) {
            const std::string text = support::read_file(*file);
            const std::lock_guard lock(mutex);
            if (text.ends_with(" end")) {
                loaded = std::optional(records().at(std::stoul(text)));
            } else if (defect == Defect::believes) {
                loaded = std::optional(LinkRecord());
            } else {
                loaded = fault(ErrorCode::conflict, file->string() + " is damaged");
            }
        }
        ++loads;
        return loaded;
    }
    Result<void> save(Context&, const LinkRecord& record) override {
        const auto file = place(record.link);
        if (!file) return file.error();
        std::string text;
        {
            const std::lock_guard lock(mutex);
            text = std::to_string(records().size()) + " end";
            records().push_back(record);
            if (defect == Defect::forgets) records().back().generation = 0;
        }
        if (defect == Defect::tears && record.link == "law-atomic") {
            support::write_file(*file, text.substr(0, 1));
            // Until the one who reads at the same time has seen it, or nobody is there.
            const unsigned seen = loads;
            for (int waits = 0; waits < 20 && loads < seen + 2; ++waits) (void)::poll(nullptr, 0, 1);
        }
        const std::string beside = file->string() + ".new";
        support::write_file(beside, text);
        (void)::chmod(beside.c_str(), defect == Defect::open_files ? 0644 : 0600);
        std::filesystem::rename(beside, *file);
        return {};
    }

  private:
    static inline std::mutex mutex;
    static inline std::atomic<unsigned> loads{0};

    static std::vector<LinkRecord>& records() {
        static std::vector<LinkRecord> all;
        return all;
    }
    [[nodiscard]] Result<std::filesystem::path> place(const std::string& link) const {
        if (link.empty() || link.size() > 60) return fault(ErrorCode::rejected, "no such name");
        std::string name(hex_encode(SecretBytes(std::string_view(link))).reveal_text());
        if (defect == Defect::mixes_cases) {
            std::string folded = link;
            for (char& c : folded) c = static_cast<char>(c | 0x20);
            name = hex_encode(SecretBytes(std::string_view(folded))).reveal_text();
        }
        if (defect == Defect::trusts_names && link.starts_with("../")) name = "../" + name;
        return config_->path("directory") / name;
    }
};

// --- the plugins -----------------------------------------------------------------------------------------------------

constexpr std::array<Field, 0> no_fields{};

constexpr PluginDescriptor plugin_of(const StageInfo& stage) {
    return {plugin_magic,
            QKD_ABI_MAJOR,
            QKD_ABI_MINOR,
            QKD_FINGERPRINT,
            "broken-stage",
            "1.0.0",
            "tests",
            "A fixture",
            "test only",
            &stage,
            1,
            no_fields.data(),
            0};
}
constexpr StageInfo connects = stage<Connector, Connects>({Capability::files, Capability::lldp, Capability::clock});
constexpr StageInfo certifies = stage<CertStage, Certifies>();
constexpr StageInfo sources = stage<KeySource, Sources>({Capability::once});
constexpr StageInfo remembers = stage<Persist, Remembers>();
constexpr PluginDescriptor connect_plugin = plugin_of(connects);
constexpr PluginDescriptor certs_plugin = plugin_of(certifies);
constexpr PluginDescriptor source_plugin = plugin_of(sources);
constexpr PluginDescriptor persist_plugin = plugin_of(remembers);

std::vector<Outcome> judge(const PluginDescriptor& plugin, Defect one) {
    defect = one;
    const support::TempDir temp;
    Subject subject;
    subject.plugin = &plugin;
    subject.scratch = temp.path() / "state";
    std::filesystem::create_directory(subject.scratch);
    subject.keys_available = true;
    subject.target = MemberTarget{};
    subject.config = [&](StageKind kind, End) {
        const support::Values values{{"directory", subject.scratch.string()}};
        return std::make_unique<support::MapConfig>(plugin, support::scope_of(kind), values);
    };
    subject.config_at_port = [&](StageKind kind, std::uint16_t port) {
        const support::Values values{{"port", std::to_string(port)}};
        return std::make_unique<support::MapConfig>(plugin, support::scope_of(kind), values);
    };
    return run_laws(subject);
}

struct Row {
    const PluginDescriptor* plugin;
    Defect defect;
    const char* law;
};
class BrokenStages : public ::testing::TestWithParam<Row> {};

TEST_P(BrokenStages, AreCaught) {
    const auto outcomes = judge(*GetParam().plugin, GetParam().defect);
    const auto found = std::find_if(outcomes.begin(), outcomes.end(),
                                    [](const Outcome& outcome) { return outcome.law == GetParam().law; });
    ASSERT_NE(found, outcomes.end()) << GetParam().law;
    EXPECT_EQ(found->verdict, Verdict::broken) << to_text(outcomes);
}

INSTANTIATE_TEST_SUITE_P(Defects, BrokenStages,
                         rows<Row>({{&certs_plugin, Defect::one_thread, "all.threads"},
                                    {&certs_plugin, Defect::slow_probe, "all.probe"},
                                    {&connect_plugin, Defect::alive_after_close, "connect.open"},
                                    {&connect_plugin, Defect::leaves_files, "connect.files"},
                                    {&connect_plugin, Defect::clock_runs_back, "connect.clock"},
                                    {&connect_plugin, Defect::wrong_end, "connect.deadline"},
                                    {&connect_plugin, Defect::wrong_end, "connect.stop"},
                                    {&certs_plugin, Defect::never_content, "certs.idempotent"},
                                    {&certs_plugin, Defect::always_concludes, "certs.trial"},
                                    {&certs_plugin, Defect::plan_writes, "certs.plan"},
                                    {&certs_plugin, Defect::open_key, "certs.private"},
                                    {&certs_plugin, Defect::slow_ensure, "certs.deadline"},
                                    {&source_plugin, Defect::longer_keys, "key-source.sizes"},
                                    {&source_plugin, Defect::gives_twice, "key-source.once"},
                                    {&source_plugin, Defect::invents_keys, "key-source.nonsense"},
                                    {&source_plugin, Defect::no_status, "key-source.status"},
                                    {&source_plugin, Defect::wrong_end, "key-source.deadline"},
                                    {&source_plugin, Defect::wrong_end, "key-source.stop"},
                                    {&persist_plugin, Defect::forgets, "persist.back"},
                                    {&persist_plugin, Defect::mixes_cases, "persist.apart"},
                                    {&persist_plugin, Defect::trusts_names, "persist.place"},
                                    {&persist_plugin, Defect::open_files, "persist.private"},
                                    {&persist_plugin, Defect::believes, "persist.damaged"},
                                    {&persist_plugin, Defect::tears, "persist.atomic"}}),
                         [](const auto& row) {
                             std::string name = row.param.law;
                             std::replace_if(
                                 name.begin(), name.end(), [](char c) { return c == '.' || c == '-'; }, '_');
                             return name;
                         });

TEST(BrokenStages, KeepEveryLawWithoutTheirDefect) {
    for (const auto* plugin : {&connect_plugin, &certs_plugin, &source_plugin, &persist_plugin}) {
        const auto outcomes = judge(*plugin, Defect::none);
        EXPECT_TRUE(kept(outcomes)) << to_text(outcomes);
        for (const auto& outcome : outcomes) EXPECT_EQ(outcome.verdict, Verdict::held) << outcome.law << outcome.detail;
    }
}

TEST(Kit, EveryLawHasAFixtureThatBreaksIt) {
    const auto kinds = {common_laws(),     connect_laws(),   certs_laws(),  initial_config_laws(),
                        key_source_laws(), transport_laws(), commit_laws(), persist_laws()};
    for (const auto& laws : kinds) {
        for (const Law& law : laws) EXPECT_TRUE(laws_with_a_fixture().contains(law.name)) << law.name;
    }
}

}  // namespace
