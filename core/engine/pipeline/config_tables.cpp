// ConfigView over a checked table.
#include "engine/pipeline/config_tables.hpp"

#include <memory>

#include "engine/base/text.hpp"
#include "engine/pipeline/model.hpp"

namespace qkd::engine {
namespace {

void replace_all(std::string& text, std::string_view word, std::string_view by) {
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + by.size())) {
        text.replace(at, word.size(), by);
    }
}

class View final : public ConfigView {
  public:
    View(std::shared_ptr<const Tables> tables, std::size_t index, std::string sae)
        : tables_(std::move(tables)), table_(tables_->tables.at(index)), sae_(std::move(sae)) {}

    [[nodiscard]] bool has(std::string_view key) const override { return table_.values.find(key) != nullptr; }
    [[nodiscard]] std::string string(std::string_view key) const override {
        const auto* value = find(key, {FieldType::string, FieldType::one_of, FieldType::url});
        return value == nullptr ? std::string() : expanded(*value);
    }
    [[nodiscard]] std::int64_t integer(std::string_view key) const override {
        const auto* value = find(key, {FieldType::integer});
        return value == nullptr ? 0 : value->number;
    }
    [[nodiscard]] bool boolean(std::string_view key) const override {
        const auto* value = find(key, {FieldType::boolean});
        return value != nullptr && value->number != 0;
    }
    [[nodiscard]] std::chrono::milliseconds duration(std::string_view key) const override {
        const auto* value = find(key, {FieldType::duration});
        return std::chrono::milliseconds{value == nullptr ? 0 : value->number};
    }
    [[nodiscard]] std::filesystem::path path(std::string_view key) const override {
        const auto* value = find(key, {FieldType::path});
        return value == nullptr ? std::filesystem::path() : std::filesystem::path(expanded(*value)).lexically_normal();
    }
    [[nodiscard]] std::vector<std::string> list(std::string_view key) const override {
        const auto* value = find(key, {FieldType::string_list});
        return value == nullptr ? std::vector<std::string>() : value->list;
    }
    [[nodiscard]] Result<SecretBytes> secret(std::string_view key, Context& context) const override {
        const auto* value = find(key, {FieldType::secret});
        if (value == nullptr) {
            return Error{ErrorCode::config, Retry::never, table_.name + " has no secret '" + printable(key) + "'",
                         "give it in the pipeline file"};
        }
        auto reference = parse_secret_ref(value->text);
        if (!reference) return std::move(reference).error();
        if (reference->form == SecretRef::Form::file) reference->text = tables_->expand(reference->text, sae_);
        return resolve_secret(*reference, tables_->seal_source(), context);
    }
    [[nodiscard]] std::filesystem::path secret_path(std::string_view key) const override {
        const auto* value = find(key, {FieldType::secret});
        if (value == nullptr) return {};
        const auto reference = parse_secret_ref(value->text);
        if (!reference || reference->form != SecretRef::Form::file) return {};
        return std::filesystem::path(tables_->expand(reference->text, sae_)).lexically_normal();
    }
    [[nodiscard]] std::string name() const override { return table_.name; }

  private:
    [[nodiscard]] const CheckedValue* find(std::string_view key, std::initializer_list<FieldType> types) const {
        const auto* value = table_.values.find(key);
        if (value == nullptr) return nullptr;
        for (const FieldType type : types) {
            if (value->field->type == type) return value;
        }
        return nullptr;
    }
    [[nodiscard]] std::string expanded(const CheckedValue& value) const { return tables_->expand(value.text, sae_); }

    std::shared_ptr<const Tables> tables_;
    const Tables::Table& table_;
    std::string sae_;
};

}  // namespace

std::string Tables::expand(std::string_view text, std::string_view sae) const {
    std::string expanded(text);
    replace_all(expanded, "{state}", state.string());
    if (!sae.empty()) replace_all(expanded, "{sae}", sae);
    return expanded;
}

std::unique_ptr<ConfigView> config_view(const Pipeline& pipeline, const Noun& noun, const std::string& sae) {
    if (pipeline.tables == nullptr) {  // a pipeline made by hand, whose plugins have no fields
        auto empty = std::make_shared<Tables>();
        empty->tables.push_back({noun.name, {}});
        return std::make_unique<View>(std::move(empty), 0, sae);
    }
    return std::make_unique<View>(pipeline.tables, noun.table, sae);
}

}  // namespace qkd::engine
