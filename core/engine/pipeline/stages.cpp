// [[stage]]: which stages run, with their policies, and whether they can work together.
#include <algorithm>
#include <array>

#include "engine/base/text.hpp"
#include "engine/pipeline/draft.hpp"

namespace qkd::engine {
namespace {

using Type = TomlValue::Type;
using std::chrono::milliseconds;

constexpr StageKind all_kinds[] = {
    StageKind::connect,          StageKind::certs,  StageKind::initial_config, StageKind::key_source,
    StageKind::key_id_transport, StageKind::commit, StageKind::persist};

constexpr std::array common_fields = {
    Field{core_scope, FieldType::string, "kind", true, nullptr, nullptr, "Which of the seven stages this is."},
    Field{core_scope, FieldType::duration, "timeout", false, "30s", "100ms..1h", "Longest time for one call."},
};
constexpr std::array retry_fields = {
    Field{core_scope, FieldType::integer, "attempts", false, "1", "1..100", "Calls in all, where repeating is safe."},
    Field{core_scope, FieldType::duration, "backoff", false, "1s", "0s..10m",
          "Pause before the second attempt; doubles up to a minute."},
};
constexpr std::array key_source_fields = {
    Field{core_scope, FieldType::duration, "dec_retry_window", false, "10s", "0s..10m",
          "How long a responder's KME may need until it knows the key."},
    Field{core_scope, FieldType::one_of, "on_kme_loss", false, "keep", "keep|fail-closed",
          "keep: a link without a KME stays on its key; fail-closed: not longer than max_key_age."},
    Field{core_scope, FieldType::duration, "max_key_age", false, nullptr, "1m..365d",
          "Age of a key after which a run that gets no new one raises an error, or closes the link."},
};
constexpr std::array key_id_transport_fields = {
    Field{core_scope, FieldType::duration, "wait", false, "2m", "1s..30m",
          "On-box: how long a responder waits for a new key_ID, and the initiator for the answers."},
};
constexpr std::array commit_fields = {
    Field{core_scope, FieldType::one_of, "rollover", false, "key-chain", "key-chain|pre-shared-key",
          "How the device changes key."},
    Field{core_scope, FieldType::duration, "lead", false, nullptr, "1s..7d",
          "From staging to the start-time of the key; key-chain only."},
    Field{core_scope, FieldType::duration, "confirm", false, "1m", "1m..1h",
          "Whole minutes after which the device takes an unconfirmed commit back."},
    Field{core_scope, FieldType::duration, "max_clock_skew", false, "2s", "1ms..10m",
          "Largest difference between the members' clocks."},
    Field{core_scope, FieldType::duration, "assumed_commit", false, "10s", "100ms..30m",
          "How long a commit may take, as long as nothing was measured."},
    Field{core_scope, FieldType::one_of, "verify", false, "wait", "wait|next-run",
          "wait: stay until the new key is live; next-run: report it as pending and verify in the next run."},
};
constexpr std::array persist_fields = {
    Field{core_scope, FieldType::boolean, "sealed", false, "false", nullptr,
          "key_IDs and CKNs rest sealed under seal_key in what is remembered."},
};
/// The engine confirms this long before the device's timer ends, so that a slow answer is not a lost key.
constexpr milliseconds confirm_margin{10000};

std::optional<StageKind> kind_of(std::string_view word) {
    for (const StageKind kind : all_kinds) {
        if (word == to_string(kind)) return kind;
    }
    return std::nullopt;
}

std::vector<std::string> kind_words() {
    std::vector<std::string> words;
    for (const StageKind kind : all_kinds) words.emplace_back(to_string(kind));
    return words;
}

Retries read_retry(Draft& draft, const TomlValue* retry, const std::string& label) {
    if (retry == nullptr) return {};
    if (retry->type != Type::table) {
        wrong_type(*retry, label, "a table", draft.findings);
        return {};
    }
    TableSpec spec{"retry of " + label, retry->key_place, "", {}, {}};
    for (const auto& field : retry_fields) spec.fields.push_back(&field);
    const auto values = check_table(spec, entries_of(*retry, spec.label), draft.files, draft.findings);
    return {static_cast<unsigned>(std::max<std::int64_t>(1, values.number("attempts"))), values.duration("backoff")};
}

void read_key_source(Draft& draft, const CheckedTable& values) {
    Pipeline& pipeline = draft.pipeline;
    pipeline.dec_retry_window = values.duration("dec_retry_window");
    pipeline.on_kme_loss = values.text("on_kme_loss") == "fail-closed" ? KmeLoss::fail_closed : KmeLoss::keep;
    if (const CheckedValue* age = values.find("max_key_age"); age != nullptr)
        pipeline.max_key_age = milliseconds{age->number};
    if (!values.sound || pipeline.on_kme_loss == KmeLoss::keep || pipeline.max_key_age) return;
    draft.findings.error(values.place_of("on_kme_loss"), "on_kme_loss = \"fail-closed\" needs max_key_age",
                         "say how old a key may become before its link is closed, such as max_key_age = \"24h\"");
}

void read_commit(Draft& draft, const CheckedTable& values) {
    CommitPolicy& commit = draft.pipeline.commit;
    Findings& findings = draft.findings;
    const bool chain = values.text("rollover") != "pre-shared-key";
    commit.rollover = chain ? Rollover::key_chain : Rollover::pre_shared_key;
    commit.verify = values.text("verify") == "next-run" ? Verify::next_run : Verify::wait;
    const auto confirm = values.duration("confirm");
    commit.confirm = std::chrono::duration_cast<std::chrono::minutes>(confirm);
    commit.max_clock_skew = values.duration("max_clock_skew");
    commit.assumed_commit = values.duration("assumed_commit");
    const CheckedValue* lead = values.find("lead");
    if (lead != nullptr) commit.lead = milliseconds{lead->number};
    if (!values.sound) return;

    if (confirm % std::chrono::minutes{1} != milliseconds{0}) {
        findings.error(values.place_of("confirm"), "'confirm' must be whole minutes, not " + format_duration(confirm),
                       "NETCONF devices count this timer in minutes: \"1m\", \"2m\", ...");
    } else if (confirm < commit.assumed_commit + confirm_margin) {
        findings.error(values.place_of("confirm"),
                       "'confirm' (" + format_duration(confirm) + ") is too short: assumed_commit (" +
                           format_duration(commit.assumed_commit) + ") and " + format_duration(confirm_margin) +
                           " to spare must fit into it",
                       "a longer confirm, or a smaller assumed_commit");
    }
    if (!chain && lead != nullptr) {
        // Not an error: the rollover of a pipeline is switched by one word.
        findings.warning(lead->place, "'lead' has no meaning with rollover = \"pre-shared-key\"",
                         "leave it out, or use rollover = \"key-chain\"");
    }
    if (!chain && commit.verify == Verify::next_run) {
        findings.error(
            values.place_of("verify"),
            "verify = \"next-run\" cannot be with rollover = \"pre-shared-key\": the new key is verified before "
            "it is confirmed",
            "allowed: wait");
    }
    const bool onbox = draft.pipeline.mode == Mode::onbox;
    if (onbox && commit.verify == Verify::next_run) {
        findings.error(values.place_of("verify"),
                       "verify = \"next-run\" cannot be with mode = \"onbox\": a member that does not look after the "
                       "start-time would keep a key that the others withdrew",
                       "allowed: wait");
    }
    // On-box the responders commit after the initiator.
    const auto least = confirm + (onbox ? 3 : 1) * commit.assumed_commit + commit.max_clock_skew;
    if (chain && lead != nullptr && *commit.lead < least) {
        findings.error(lead->place,
                       "'lead' (" + format_duration(*commit.lead) + ") is shorter than confirm + " +
                           (onbox ? "3 x " : "") + "assumed_commit + max_clock_skew (" + format_duration(least) +
                           "): the key would start before it is confirmed everywhere",
                       "at least " + format_duration(least) + ", or leave lead out");
    }
}

/// The table of a certs or persist stage, whose plugin it names itself.
void read_plugin_stage(Draft& draft, StageKind kind, const TomlValue& table, TableSpec spec, StagePolicy& policy) {
    const bool certs = kind == StageKind::certs;
    const Scope scope = certs ? Scope::certs : Scope::persist;
    const auto entries = entries_of(table, spec.label);
    const TomlValue* name = table.find("plugin");
    if (name == nullptr) {
        draft.findings.error(spec.place, "missing key 'plugin' in " + spec.label,
                             "name the plugin that does this stage");
        return;
    }
    const Plugin* plugin = bind_plugin(draft, *name, kind, spec.label);
    if (plugin == nullptr) return;
    policy.plugin = plugin->descriptor->name;
    spec.owner = policy.plugin;
    if (!certs) {
        for (const auto& field : persist_fields) spec.fields.push_back(&field);
    }
    for (const Field* field : fields_of(fields_of_plugin(*plugin), scope)) spec.fields.push_back(field);
    spec.also.insert(spec.also.begin(), "plugin");

    Noun& noun = certs ? draft.pipeline.certs : draft.pipeline.persist;
    bool sound = false;
    noun.name = to_string(kind);
    noun.plugin = policy.plugin;
    noun.table = keep_table(draft, spec, entries, std::string("stage.") + to_string(kind), sound);
    (certs ? draft.certs : draft.persist) = plugin;
    (certs ? draft.certs_place : draft.persist_place) = name->place;
    (certs ? draft.certs_sound : draft.persist_sound) = sound;
    const auto& values = draft.tables->tables.back().values;
    policy.timeout = values.find("timeout") != nullptr ? values.duration("timeout") : StagePolicy{}.timeout;
    if (!certs) draft.pipeline.seal_records = values.number("sealed") != 0;
}

/// False when it is not even known which stage this is.
bool read_stage(Draft& draft, const TomlValue& table) {
    if (table.type != Type::table) {
        draft.findings.error(table.place, std::string("a stage must be a table, not ") + type_name(table.type),
                             "write [[stage]]");
        return false;
    }
    const TomlValue* word = table.find("kind");
    if (word == nullptr) {
        draft.findings.error(table.place, "missing key 'kind' in [[stage]]", "allowed: " + join(kind_words(), ", "));
        return false;
    }
    if (word->type != Type::string) {
        wrong_type(*word, "[[stage]]", "a string", draft.findings);
        return false;
    }
    const auto kind = kind_of(word->text);
    if (!kind) {
        draft.findings.error(word->place, "there is no stage '" + printable(word->text) + "'",
                             "allowed: " + join(kind_words(), ", "), nearest(word->text, kind_words()));
        return false;
    }
    if (const auto [first, fresh] = draft.stage_places.emplace(*kind, table.place); !fresh) {
        draft.findings.error(table.place, "stage " + word->text + " stands here for the second time",
                             "each stage at most once; the first is in line " + std::to_string(first->second.line));
        return true;
    }

    StagePolicy policy;
    policy.kind = *kind;
    TableSpec spec{"[[stage]] " + word->text, table.place, "", {}, {"retry"}};
    policy.retry = read_retry(draft, table.find("retry"), spec.label);
    for (const auto& field : common_fields) spec.fields.push_back(&field);
    if (*kind == StageKind::certs || *kind == StageKind::persist) {
        read_plugin_stage(draft, *kind, table, std::move(spec), policy);
    } else {
        if (*kind == StageKind::key_source) {
            for (const auto& field : key_source_fields) spec.fields.push_back(&field);
        }
        if (*kind == StageKind::key_id_transport) {
            for (const auto& field : key_id_transport_fields) spec.fields.push_back(&field);
        }
        if (*kind == StageKind::commit) {
            for (const auto& field : commit_fields) spec.fields.push_back(&field);
        }
        if (const TomlValue* plugin = table.find("plugin")) {
            const bool transport = *kind == StageKind::key_id_transport;
            const bool key_source = *kind == StageKind::key_source;
            draft.findings.error(plugin->key_place, "'plugin' cannot stand in " + spec.label,
                                 std::string("this stage's plugin is named by ") +
                                     (transport    ? "key_ids = { plugin = ... } of each [[link]]"
                                      : key_source ? "each [kme.NAME]"
                                                   : "each [device.NAME]"));
            spec.also.emplace_back("plugin");
        }
        const auto values = check_table(spec, entries_of(table, spec.label), draft.files, draft.findings);
        policy.timeout = values.find("timeout") != nullptr ? values.duration("timeout") : policy.timeout;
        if (*kind == StageKind::key_source && values.find("dec_retry_window") != nullptr) {
            read_key_source(draft, values);
        }
        if (*kind == StageKind::key_id_transport && values.find("wait") != nullptr)
            draft.pipeline.peer_wait = values.duration("wait");
        if (*kind == StageKind::commit) read_commit(draft, values);
    }
    draft.pipeline.stages.push_back(std::move(policy));
    return true;
}

struct Rule {
    StageKind stage;
    StageKind other;
    const char* why;
};

/// `stage` needs `other`, wherever it stands.
constexpr Rule needed[] = {
    {StageKind::certs, StageKind::connect, "certificates are put on the devices"},
    {StageKind::initial_config, StageKind::connect, "it reads the device"},
    {StageKind::initial_config, StageKind::commit, "its changes take effect with the commit of the keys"},
    {StageKind::key_source, StageKind::key_id_transport, "the responders fetch their keys by ID"},
    {StageKind::key_source, StageKind::commit, "a key that is not committed is lost"},
    {StageKind::key_id_transport, StageKind::key_source, "there would be no key_ID to carry"},
    {StageKind::commit, StageKind::connect, "it changes the device"},
    {StageKind::commit, StageKind::key_source, "there would be no key to commit"},
    {StageKind::persist, StageKind::commit, "there would be nothing to remember"},
};

/// `stage` comes before `other`.
constexpr Rule ordered[] = {
    {StageKind::connect, StageKind::certs, "certificates are put on the devices"},
    {StageKind::connect, StageKind::initial_config, "it reads the device"},
    {StageKind::connect, StageKind::key_source, "no key is minted for a device that cannot be reached"},
    {StageKind::connect, StageKind::key_id_transport, "the device may carry the key_ID"},
    {StageKind::connect, StageKind::commit, "it changes the device"},
    {StageKind::certs, StageKind::key_source, "the KME asks for the certificate"},
    {StageKind::initial_config, StageKind::commit, "its changes take effect with the commit of the keys"},
    {StageKind::key_source, StageKind::key_id_transport, "there is no key_ID before"},
    {StageKind::key_source, StageKind::commit, "there is no key before"},
    {StageKind::key_id_transport, StageKind::commit, "the responders have no key before"},
    {StageKind::commit, StageKind::persist, "there is nothing to remember before"},
};

void check_combination(Draft& draft) {
    const auto& places = draft.stage_places;
    for (const Rule& rule : needed) {
        if (!places.contains(rule.stage) || places.contains(rule.other)) continue;
        draft.findings.error(places.at(rule.stage),
                             std::string("stage ") + to_string(rule.stage) + " cannot work without stage " +
                                 to_string(rule.other) + ": " + rule.why,
                             std::string("add [[stage]] kind = \"") + to_string(rule.other) + "\"");
    }
    for (const Rule& rule : ordered) {
        const auto stage = places.find(rule.stage);
        const auto other = places.find(rule.other);
        if (stage == places.end() || other == places.end() || stage->second < other->second) continue;
        draft.findings.error(other->second,
                             std::string("stage ") + to_string(rule.other) + " stands before stage " +
                                 to_string(rule.stage) + ": " + rule.why,
                             std::string("move it behind ") + to_string(rule.stage));
    }
    if (places.size() == 1 && places.contains(StageKind::connect)) {
        draft.findings.error(places.begin()->second, "stage connect alone changes nothing",
                             "add certs, or key-source, key-id-transport and commit");
    }
}

}  // namespace

void read_stages(Draft& draft) {
    const TomlValue* stages = draft.roots[0].find("stage");
    if (stages == nullptr) {
        return draft.findings.error({0, 1, 1}, "no [[stage]]",
                                    "a pipeline declares the stages it wants: " + join(kind_words(), ", "));
    }
    if (stages->type != Type::array) return;  // already reported
    bool all_known = true;
    for (const auto& table : stages->children) all_known = read_stage(draft, table) && all_known;
    if (all_known) check_combination(draft);
}

}  // namespace qkd::engine
