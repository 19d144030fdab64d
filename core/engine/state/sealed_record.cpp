// Field by field, so that any persist plugin can keep it.
#include "engine/state/sealed_record.hpp"

#include <algorithm>

#include "engine/secrets/seal.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

constexpr std::string_view form = "sealed:";

/// Part of the stored format: never change these words.
std::string purpose(const LinkRecord& record, const std::string& field) {
    return "qkd-macsec record " + record.link + " " + field;
}

/// Calls `change(text, field)` for every name of the record until one fails.
template <class Change>
Result<LinkRecord> each(LinkRecord record, Change change) {
    const std::pair<std::string*, const char*> fields[] = {{&record.key_id, "key_id"},
                                                           {&record.previous_key_id, "previous_key_id"},
                                                           {&record.ckn, "ckn"},
                                                           {&record.pending_key_id, "pending_key_id"},
                                                           {&record.pending_ckn, "pending_ckn"}};
    for (const auto& [text, field] : fields) {
        if (text->empty()) continue;
        if (Result<void> done = change(*text, purpose(record, field)); !done) return std::move(done).error();
    }
    for (auto& ckn : record.own_ckns) {
        if (Result<void> done = change(ckn, purpose(record, "own_ckns")); !done) return std::move(done).error();
    }
    return record;
}

}  // namespace

Result<LinkRecord> seal_record(const SecretBytes& key, LinkRecord record) {
    return each(std::move(record), [&](std::string& text, const std::string& what_for) -> Result<void> {
        const auto sealed = seal(key, SecretBytes(std::string_view(text)), what_for);
        if (!sealed) return sealed.error();
        text = form;
        text += base64_encode(SecretBytes(std::span<const std::uint8_t>(*sealed))).reveal_text();
        return {};
    });
}

bool is_sealed(const LinkRecord& record) {
    const auto sealed = [](const std::string& text) { return text.starts_with(form); };
    return sealed(record.key_id) || sealed(record.previous_key_id) || sealed(record.ckn) ||
           sealed(record.pending_key_id) || sealed(record.pending_ckn) ||
           std::any_of(record.own_ckns.begin(), record.own_ckns.end(), sealed);
}

Result<LinkRecord> open_record(const SecretBytes& key, LinkRecord record) {
    const std::string link = record.link;
    return each(std::move(record), [&](std::string& text, const std::string& what_for) -> Result<void> {
        if (!text.starts_with(form)) return {};
        const auto octets = base64_decode(std::string_view(text).substr(form.size()));
        if (octets) {
            if (const auto plain = unseal(key, octets->reveal(), what_for); plain) {
                text = plain->reveal_text();
                return {};
            }
        }
        return Error{ErrorCode::config, Retry::never,
                     "the record of link " + link + " does not open: another seal_key, or it was changed",
                     "give the seal_key back that was in use before, or move the record away: the next run reads the "
                     "devices and remembers anew"};
    });
}

}  // namespace qkd::engine
