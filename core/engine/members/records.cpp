// Calls of the persist plugin, with the names in a record sealed and opened on the way.
#include "engine/members/records.hpp"

#include "engine/secrets/references.hpp"
#include "engine/state/sealed_record.hpp"
#include "qkd/sdk/persist.hpp"

namespace qkd::engine {
namespace {

class PluginRecords final : public LinkRecords {
  public:
    PluginRecords(Crew& crew, Bound<Persist> persist)
        : crew_(crew), persist_(std::move(persist)), seal_key_{crew.pipeline().seal_key, crew.pipeline().state} {}

    Result<LinkRecord> load() override {
        CallSpec look = crew_.spec(StageKind::persist, "load");
        look.look = true;
        auto record = crew_.front().caller(look, persist_.name, [&](Context& context) { return load_in(context); });
        if (!record) return std::move(record).error();
        LinkRecord empty;
        empty.link = crew_.link().name;
        return record->value_or(std::move(empty));
    }

    Result<void> save(const LinkRecord& record, Saving how) override {
        const auto cancel = how == Saving::may_be_interrupted ? Cancel::allowed : Cancel::never;
        const CallSpec spec = crew_.spec(StageKind::persist, "save", cancel);
        const auto call = [&](Context& context) { return save_in(context, record); };
        if (how == Saving::on_the_way_back) return crew_.aside(crew_.front())(spec, persist_.name, call);
        auto saved = crew_.front().caller(spec, persist_.name, call);
        // One call for the link: every member's report has it.
        for (auto& m : crew_.members()) copy_stage(*crew_.front().report, *m.report);
        return saved;
    }

  private:
    Result<std::optional<LinkRecord>> load_in(Context& context) {
        auto kept = persist_->load(context, crew_.link().name);
        if (!kept || !*kept || !is_sealed(**kept)) return kept;
        const auto key = load_seal_key(seal_key_, false, context);
        if (!key) return key.error();
        auto opened = open_record(*key, std::move(**kept));
        if (!opened) return std::move(opened).error();
        return std::optional(std::move(*opened));
    }

    Result<void> save_in(Context& context, const LinkRecord& record) {
        if (!crew_.pipeline().seal_records) return persist_->save(context, record);
        const auto key = load_seal_key(seal_key_, false, context);
        if (!key) return key.error();
        const auto sealed = seal_record(*key, record);
        if (!sealed) return sealed.error();
        return persist_->save(context, *sealed);
    }

    static void copy_stage(const MemberReport& from, MemberReport& to) {
        if (&from == &to) return;
        for (const auto& source : from.stages) {
            for (auto& target : to.stages) {
                if (source.kind == StageKind::persist && target.kind == StageKind::persist) target = source;
            }
        }
    }

    Crew& crew_;
    Bound<Persist> persist_;
    SealKeySource seal_key_;
};

}  // namespace

Result<std::unique_ptr<LinkRecords>> open_records(PluginHost& host, Crew& crew) {
    const Pipeline& pipeline = crew.pipeline();
    if (!pipeline.has(StageKind::persist)) return std::unique_ptr<LinkRecords>();
    auto bound = bind_stage<Persist>(host, pipeline, pipeline.persist, {});
    if (!bound) return std::move(bound).error();
    return std::unique_ptr<LinkRecords>(std::make_unique<PluginRecords>(crew, std::move(*bound)));
}

}  // namespace qkd::engine
