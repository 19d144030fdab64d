// Does the kit notice? Each test shows it a plugin with one defect and expects one law to be broken by it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "conformance/fixtures.hpp"
#include "conformance/model_device.hpp"
#include "kit/laws.hpp"
#include "kit/sample.hpp"
#include "qkd/sdk/encoding.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "support/map_config.hpp"
#include "support/plugin_object.hpp"

namespace {

using namespace qkd;
using namespace qkd::conformance;

Subject subject_of(const PluginDescriptor& plugin) {
    Subject subject;
    subject.plugin = &plugin;
    subject.config = [&plugin](StageKind kind, End) {
        return std::make_unique<support::MapConfig>(plugin, support::scope_of(kind), support::Values{});
    };
    return subject;
}

std::vector<std::string> broken(const std::vector<Outcome>& outcomes) {
    std::vector<std::string> laws;
    for (const Outcome& outcome : outcomes) {
        if (outcome.verdict == Verdict::broken) laws.push_back(outcome.law);
    }
    return laws;
}

bool breaks(const std::vector<Outcome>& outcomes, const std::string& law) {
    const auto laws = broken(outcomes);
    return std::find(laws.begin(), laws.end(), law) != laws.end();
}

std::vector<Outcome> judge_device(Lie lie) {
    reset_model();
    Subject subject = subject_of(model_device(lie));
    MemberTarget target;
    target.link = "l";
    target.device = "model";
    target.connectivity_association = "CA";
    target.key_chain = "QKD_CA";
    target.interfaces = {"et-0/0/0", "et-0/0/1"};
    subject.target = target;
    subject.advance = [](std::chrono::seconds time) {
        advance_model(time);
        return true;
    };
    return run_laws(subject);
}

TEST(Kit, AnHonestDevicePassesEveryLawThatCanBeTried) {
    const auto outcomes = judge_device(Lie::none);
    EXPECT_TRUE(kept(outcomes)) << to_text(outcomes);
    const auto tried = std::count_if(outcomes.begin(), outcomes.end(), [](const Outcome& outcome) {
        return outcome.law.starts_with("commit.") && outcome.verdict == Verdict::held;
    });
    EXPECT_EQ(tried, 10) << to_text(outcomes);
}

struct DeviceLie {
    Lie lie;
    const char* law;
};
class KitOnDevices : public ::testing::TestWithParam<DeviceLie> {};

TEST_P(KitOnDevices, NoticesTheLie) {
    const auto outcomes = judge_device(GetParam().lie);
    EXPECT_TRUE(breaks(outcomes, GetParam().law)) << to_text(outcomes);
}

INSTANTIATE_TEST_SUITE_P(
    Lies, KitOnDevices,
    rows<DeviceLie>(
        {DeviceLie{Lie::discard_keeps, "commit.discard"}, DeviceLie{Lie::lock_ignored, "commit.lock"},
         DeviceLie{Lie::pending_ignored, "commit.lock"}, DeviceLie{Lie::revert_does_nothing, "commit.revert"},
         DeviceLie{Lie::late_confirm_is_ok, "commit.expiry"}, DeviceLie{Lie::preview_shows_key, "commit.preview"},
         DeviceLie{Lie::confirm_keeps_lock, "commit.revert"}, DeviceLie{Lie::break_does_nothing, "commit.break-lock"},
         DeviceLie{Lie::breaks_any_lock, "commit.break-lock"}, DeviceLie{Lie::break_keeps_change, "commit.break-lock"},
         DeviceLie{Lie::wrong_cak, "commit.confirm"}, DeviceLie{Lie::withdraw_takes_more, "commit.withdraw"},
         DeviceLie{Lie::never_expires, "commit.expiry"}, DeviceLie{Lie::wrong_start, "commit.confirm"},
         DeviceLie{Lie::not_idempotent, "initial-config.again"}, DeviceLie{Lie::takes_any_session, "commit.session"},
         DeviceLie{Lie::claims_files, "connect.offers"}, DeviceLie{Lie::takes_any_session, "initial-config.session"},
         DeviceLie{Lie::hides_an_interface, "commit.read"}}));

// A key source with one defect, chosen before it is judged.
enum class Flaw : std::uint8_t {
    none,
    short_of_one,
    equal_keys,
    other_key,
    order,
    accepts_unknown,
    shows_key,
    wrong_size,
    throws,
    crashes,
    ends,
    hangs
};
Flaw flaw = Flaw::none;

class FlawedSource final : public KeySource {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override {
        while (flaw == Flaw::hangs) ::pause();
        return {};
    }
    Result<SourceStatus> status(Context&, const std::string&) override { return SourceStatus{}; }
    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override {
        if (flaw == Flaw::throws) throw std::runtime_error("mint");
        if (flaw == Flaw::crashes) std::abort();
        if (flaw == Flaw::ends) ::_exit(0);
        if (request.bits % 8 != 0 || request.bits == 0 || request.bits > 1024 || request.count == 0) return refused();
        std::vector<Key> keys;
        for (unsigned i = 0; i < request.count - (flaw == Flaw::short_of_one ? 1 : 0); ++i) {
            const std::string id = "key-" + std::to_string(minted_ = minted_ + 1);
            SecretBytes bytes = SecretBytes::zeros(request.bits / 8 + (flaw == Flaw::wrong_size ? 1 : 0));
            if (flaw != Flaw::equal_keys)
                std::fill(bytes.writable().begin(), bytes.writable().end(), std::uint8_t(minted_));
            if (flaw == Flaw::shows_key) context.log(LogLevel::info, hex_encode(bytes).reveal_text());
            pool()[id] = std::string(bytes.reveal_text());
            keys.push_back({id, std::move(bytes)});
        }
        return keys;
    }
    Result<std::vector<Key>> fetch(Context&, const FetchRequest& request) override {
        std::vector<Key> keys;
        for (const auto& id : request.ids) {
            const auto found = pool().find(id);
            if (found == pool().end() && flaw != Flaw::accepts_unknown) {
                return Error{ErrorCode::not_found, Retry::never, "no key of that name", "ask for another"};
            }
            std::string bytes = found == pool().end() ? std::string(32, 'x') : found->second;
            if (flaw == Flaw::other_key) bytes[0] = static_cast<char>(bytes[0] + 1);
            keys.push_back({id, SecretBytes(std::string_view(bytes))});
        }
        if (flaw == Flaw::order) std::reverse(keys.begin(), keys.end());
        return keys;
    }

  private:
    static Error refused() { return {ErrorCode::rejected, Retry::never, "cannot give such keys", "ask for others"}; }
    static std::map<std::string, std::string>& pool() {
        static std::map<std::string, std::string> keys;
        return keys;
    }
    static inline unsigned minted_ = 0;
};

constexpr std::array source_stages{stage<KeySource, FlawedSource>()};
constexpr std::array<Field, 0> no_fields{};
constexpr PluginDescriptor source_plugin{
    plugin_magic,      QKD_ABI_MAJOR, QKD_ABI_MINOR,        QKD_FINGERPRINT,      "flawed-source",  "1.0.0", "tests",
    "A flawed source", "test only",   source_stages.data(), source_stages.size(), no_fields.data(), 0};

struct SourceFlaw {
    Flaw flaw;
    const char* law;
    const char* seen = "";  ///< part of the detail
};
class KitOnSources : public ::testing::TestWithParam<SourceFlaw> {};

TEST_P(KitOnSources, NoticesTheFlaw) {
    flaw = GetParam().flaw;
    Subject subject = subject_of(source_plugin);
    subject.keys_available = true;
    if (flaw == Flaw::hangs) subject.patience = std::chrono::seconds{1};
    const auto outcomes = run_laws(subject);
    if (flaw == Flaw::none) {
        EXPECT_TRUE(kept(outcomes)) << to_text(outcomes);
        return;
    }
    const auto outcome =
        std::find_if(outcomes.begin(), outcomes.end(), [](const Outcome& one) { return one.law == GetParam().law; });
    ASSERT_NE(outcome, outcomes.end());
    EXPECT_EQ(outcome->verdict, Verdict::broken) << to_text(outcomes);
    EXPECT_NE(outcome->detail.find(GetParam().seen), std::string::npos) << to_text(outcomes);
    // What a plugin does to one law's process is nothing to the others.
    EXPECT_EQ(outcomes.back().law, "key-source.stop");
    EXPECT_EQ(outcomes.front().verdict, Verdict::held) << to_text(outcomes);
}

INSTANTIATE_TEST_SUITE_P(
    Flaws, KitOnSources,
    rows<SourceFlaw>({SourceFlaw{Flaw::none, ""}, SourceFlaw{Flaw::short_of_one, "key-source.exact"},
                      SourceFlaw{Flaw::wrong_size, "key-source.exact"},
                      SourceFlaw{Flaw::equal_keys, "key-source.distinct"},
                      SourceFlaw{Flaw::other_key, "key-source.same"}, SourceFlaw{Flaw::order, "key-source.same"},
                      SourceFlaw{Flaw::accepts_unknown, "key-source.unknown"},
                      SourceFlaw{Flaw::shows_key, "key-source.exact"},
                      SourceFlaw{Flaw::throws, "key-source.exact", "an exception: mint"},
                      SourceFlaw{Flaw::crashes, "key-source.exact", "the plugin crashed (SIGABRT)"},
                      SourceFlaw{Flaw::ends, "key-source.exact", "the plugin ended the process"},
                      SourceFlaw{Flaw::hangs, "all.probe", "the plugin did not come back"}}));

// A transport over files that all devices see at once, with one defect.
enum class Leak : std::uint8_t {
    none,
    old_again,
    links_mixed,
    loses_an_id,
    keeps_after_retract,
    silence_is_timeout,
    stubborn,
    generation_is_all,
    any_sender,
    never_expires,
    everybody_answers,
    old_answers_count,
    no_tag_needed,
    writes_again,
    cuts_long_ones,
    believes_what_is_damaged,
    needs_a_session
};
Leak leak = Leak::none;

class FlawedTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;
        return {};
    }
    Result<void> probe(Context&) override { return {}; }
    Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd> responders,
                          const KeyIdNotice& notice) override {
        KeyIdNotice kept = notice;
        if (leak == Leak::loses_an_id) kept.key_ids.pop_back();
        if (leak == Leak::cuts_long_ones && kept.key_ids.size() > 64) kept.key_ids.resize(64);
        auto text = sealed(context, kept);
        if (!text) return std::move(text).error();
        if (leak == Leak::writes_again) *text += std::string(++writes_ % 2, ' ');
        for (const TransportEnd& responder : responders) {
            auto put = write(context, responder, file(notice.link), *text);
            if (!put) return put;
        }
        return self.session == nullptr ? gone(self) : Result<void>();
    }
    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        auto text = read(context, self, file(link));
        while (!text && leak == Leak::stubborn && text.error().code != ErrorCode::not_found && patience()) {
            text = read(context, self, file(link));
        }
        if (!text) return std::move(text).error();
        while (text->ends_with(' ')) text->pop_back();
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        if (leak == Leak::no_tag_needed) text->resize(text->rfind(';') + 1);
        const SecretBytes none;
        auto notice = notice::open(*text, leak == Leak::no_tag_needed ? none : std::as_const(*secret), self.device);
        if (!notice && leak == Leak::believes_what_is_damaged) return KeyIdNotice{link, 9, {*text}, {}, 9, "r1", {}};
        if (!notice) return notice;
        NoticeFilter filter = wanted;
        if (leak == Leak::old_again) filter.after = {0, 0};
        if (leak == Leak::generation_is_all) filter.after = filter.after.generation;
        if (leak == Leak::any_sender) filter.sender.clear();
        if (leak == Leak::never_expires) filter.now = {};
        if (leak == Leak::links_mixed) notice->link = link;
        auto good = notice::judge(*notice, link, filter, self.device);
        if (!good) return std::move(good).error();
        return notice;
    }
    Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) override {
        return write(context, self, file(notice.link) + ".ack", std::to_string(notice.generation));
    }
    Result<std::vector<std::string>> acknowledgements(Context& context, const TransportEnd&,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        std::vector<std::string> devices;
        for (const TransportEnd& responder : responders) {
            const auto text = read(context, responder, file(notice.link) + ".ack");
            if (!text && text.error().code != ErrorCode::not_found) return text.error();
            const bool answered =
                text && (leak == Leak::old_answers_count || *text == std::to_string(notice.generation));
            if (answered || leak == Leak::everybody_answers) devices.push_back(responder.device);
        }
        return devices;
    }
    Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) override {
        if (leak == Leak::keeps_after_retract) return {};
        if (self.session == nullptr) return gone(self);
        for (const std::string& name : {file(link), file(link) + ".ack"}) {
            if (auto removed = self.session->files()->remove(context, name); !removed) return removed;
        }
        return {};
    }

  private:
    static std::string file(const std::string& link) {
        return "/var/tmp/" + (leak == Leak::links_mixed ? std::string("all") : link);
    }
    static Error gone(const TransportEnd& self) {
        if (leak == Leak::needs_a_session) throw std::runtime_error("no session");
        return {ErrorCode::unsupported, Retry::never, self.device + ": no session", "give it one"};
    }
    static Result<void> write(Context& context, const TransportEnd& at, const std::string& path,
                              const std::string& text) {
        if (at.session == nullptr) return gone(at);
        return at.session->files()->put(context, path, SecretBytes(std::string_view(text)), 0600);
    }
    static Result<std::string> read(Context& context, const TransportEnd& at, const std::string& path) {
        if (at.session == nullptr) return gone(at);
        const auto content = at.session->files()->get(context, path);
        if (content) return std::string(content->reveal_text());
        Error error = content.error();
        if (error.code == ErrorCode::not_found) error.retry = Retry::safe;
        if (error.code == ErrorCode::not_found && leak == Leak::silence_is_timeout) error.code = ErrorCode::timeout;
        return error;
    }
    Result<std::string> sealed(Context& context, const KeyIdNotice& notice) const {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        return notice::seal(notice, *secret);
    }
    /// Longer than the law forgives on the busiest machine.
    bool patience() {
        if (!since_) since_ = std::chrono::steady_clock::now();
        return std::chrono::steady_clock::now() < *since_ + std::chrono::milliseconds{2500};
    }

    const ConfigView* config_ = nullptr;
    std::size_t writes_ = 0;
    std::optional<std::chrono::steady_clock::time_point> since_;
};

constexpr std::array transport_stages{stage<KeyIdTransport, FlawedTransport>()};
constexpr std::array transport_fields{notice::secret_field};
constexpr PluginDescriptor transport_plugin{plugin_magic,
                                            QKD_ABI_MAJOR,
                                            QKD_ABI_MINOR,
                                            QKD_FINGERPRINT,
                                            "flawed-transport",
                                            "1.0.0",
                                            "tests",
                                            "A flawed transport",
                                            "test only",
                                            transport_stages.data(),
                                            transport_stages.size(),
                                            transport_fields.data(),
                                            transport_fields.size()};

struct TransportLeak {
    Leak leak;
    const char* law;
};
class KitOnTransports : public ::testing::TestWithParam<TransportLeak> {};

TEST_P(KitOnTransports, NoticesTheLeak) {
    leak = GetParam().leak;
    const auto outcomes = run_laws(subject_of(transport_plugin));
    if (leak == Leak::none) {
        EXPECT_TRUE(kept(outcomes)) << to_text(outcomes);
    } else {
        EXPECT_TRUE(breaks(outcomes, GetParam().law)) << to_text(outcomes);
    }
}

INSTANTIATE_TEST_SUITE_P(Leaks, KitOnTransports,
                         rows<TransportLeak>({TransportLeak{Leak::none, ""},
                                              TransportLeak{Leak::old_again, "key-id-transport.newest"},
                                              TransportLeak{Leak::links_mixed, "key-id-transport.apart"},
                                              TransportLeak{Leak::loses_an_id, "key-id-transport.same"},
                                              TransportLeak{Leak::keeps_after_retract, "key-id-transport.undo"},
                                              TransportLeak{Leak::silence_is_timeout, "key-id-transport.silence"},
                                              TransportLeak{Leak::stubborn, "key-id-transport.deadline"},
                                              TransportLeak{Leak::stubborn, "key-id-transport.stop"},
                                              TransportLeak{Leak::generation_is_all, "key-id-transport.order"},
                                              TransportLeak{Leak::any_sender, "key-id-transport.wanted"},
                                              TransportLeak{Leak::never_expires, "key-id-transport.wanted"},
                                              TransportLeak{Leak::everybody_answers, "key-id-transport.answered"},
                                              TransportLeak{Leak::old_answers_count, "key-id-transport.answered"},
                                              TransportLeak{Leak::no_tag_needed, "key-id-transport.authentic"},
                                              TransportLeak{Leak::writes_again, "key-id-transport.repeat"},
                                              TransportLeak{Leak::cuts_long_ones, "key-id-transport.whole"},
                                              TransportLeak{Leak::believes_what_is_damaged, "key-id-transport.damaged"},
                                              TransportLeak{Leak::needs_a_session, "key-id-transport.sessions"}}));

// What configure() must not do.
enum class Trace : std::uint8_t { opens_a_file, changes_umask, changes_environment, grows, fails };
Trace trace = Trace::fails;

class TracingStage final : public KeySource {
  public:
    ~TracingStage() override {
        if (fd_ >= 0) ::close(fd_);
    }
    TracingStage() = default;
    TracingStage(const TracingStage&) = delete;
    TracingStage& operator=(const TracingStage&) = delete;
    Result<void> configure(const ConfigView&) override {
        switch (trace) {
            case Trace::opens_a_file: fd_ = ::dup(0); break;
            case Trace::changes_umask: (void)::umask(0077); break;
            case Trace::changes_environment: (void)::setenv("QKD_CONFORMANCE_TRACE", "1", 1); break;
            case Trace::grows: hoard(); break;
            case Trace::fails: return Error{ErrorCode::config, Retry::never, "no", ""};
        }
        return {};
    }
    Result<void> probe(Context&) override { return {}; }
    Result<SourceStatus> status(Context&, const std::string&) override { return SourceStatus{}; }
    Result<std::vector<Key>> mint(Context&, const MintRequest&) override { return std::vector<Key>(); }
    Result<std::vector<Key>> fetch(Context&, const FetchRequest&) override { return std::vector<Key>(); }

  private:
    static void hoard() {
        static std::mutex mutex;  // objects are made in several threads
        static std::vector<std::string> all;
        const std::lock_guard lock(mutex);
        all.emplace_back(4096, 'x');
    }
    int fd_ = -1;
};

constexpr std::array tracing_stages{stage<KeySource, TracingStage>()};
constexpr std::array tracing_fields{
    Field{Scope::kme, FieldType::secret, "token", true, "env:X", nullptr, "no sentence"},
    Field{Scope::kme, FieldType::integer, "size", false, "7", "1..5", "A number."},
    Field{Scope::persist, FieldType::string, "Elsewhere", false, nullptr, nullptr, ""}};
constexpr PluginDescriptor tracing_plugin{plugin_magic,
                                          QKD_ABI_MAJOR,
                                          QKD_ABI_MINOR,
                                          QKD_FINGERPRINT,
                                          "Tracing_Plugin",
                                          "",
                                          "tests",
                                          "Leaves traces",
                                          "stable",
                                          tracing_stages.data(),
                                          tracing_stages.size(),
                                          tracing_fields.data(),
                                          tracing_fields.size()};

TEST(Kit, NoticesWhatConfigureLeavesBehind) {
    const mode_t mask = ::umask(0022);
    for (const Trace one : {Trace::opens_a_file, Trace::changes_umask, Trace::changes_environment}) {
        trace = one;
        const auto outcomes = run_laws(subject_of(tracing_plugin));
        EXPECT_TRUE(breaks(outcomes, "all.pure")) << static_cast<int>(one) << "\n" << to_text(outcomes);
        (void)::umask(mask);
        (void)::unsetenv("QKD_CONFORMANCE_TRACE");
    }
    trace = Trace::fails;
    const auto outcomes = run_laws(subject_of(tracing_plugin));
    EXPECT_TRUE(breaks(outcomes, "all.pure")) << to_text(outcomes);
}

TEST(Kit, NoticesGrowth) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the sanitizer's own allocator does not count for mallinfo2";
#endif
    trace = Trace::grows;
    EXPECT_TRUE(breaks(run_laws(subject_of(tracing_plugin)), "all.thousand"));
}

TEST(Kit, NoticesABadDescriptor) {
    trace = Trace::opens_a_file;
    const auto outcomes = run_laws(subject_of(tracing_plugin));
    EXPECT_TRUE(breaks(outcomes, "all.descriptor"));
    EXPECT_TRUE(breaks(outcomes, "all.fields"));
    const std::string text = to_text(outcomes);
    for (const char* complaint : {"token: required, and yet it has a default", "token: a secret must have no default",
                                  "token: its documentation is no sentence", "size: its default is not allowed",
                                  "Elsewhere: the key is not lower-case", "Elsewhere: not documented",
                                  "Elsewhere: stands in a table of no stage"}) {
        EXPECT_NE(text.find(complaint), std::string::npos) << complaint << " is missing in\n" << text;
    }
}

// A default that is no TOML of its type.
constexpr std::array odd_fields{Field{Scope::kme, FieldType::integer, "size", false, "a b", nullptr, "A number."}};
constexpr PluginDescriptor odd_plugin{plugin_magic,
                                      QKD_ABI_MAJOR,
                                      QKD_ABI_MINOR,
                                      QKD_FINGERPRINT,
                                      "odd-default",
                                      "1.0.0",
                                      "tests",
                                      "Has an odd default",
                                      "test only",
                                      source_stages.data(),
                                      source_stages.size(),
                                      odd_fields.data(),
                                      odd_fields.size()};

TEST(Kit, NoticesASampleThatIsNoToml) {
    flaw = Flaw::none;
    EXPECT_TRUE(breaks(run_laws(subject_of(odd_plugin)), "all.sample"));
}

[[maybe_unused]] const bool noted =
    breaks_laws({"all.descriptor", "all.fields", "all.sample", "all.pure", "all.thousand"});

TEST(Kit, TheSampleShowsEveryField) {
    EXPECT_EQ(sample(tracing_plugin, Scope::kme), "token = \"env:SECRET\"\nsize = 7\n");
    EXPECT_TRUE(check_samples(tracing_plugin).empty());
}

}  // namespace
