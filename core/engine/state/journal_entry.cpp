// Journal entries as octets.
#include "engine/state/journal_entry.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace qkd::engine {
namespace {

constexpr std::uint8_t entry_version = 1;
constexpr std::uint32_t most_items = 4096;
constexpr std::uint64_t longest_text = 1U << 20U;

/// Numbers are big endian; texts and lists have their length in front.
class Writer {
  public:
    void number(std::uint64_t value) {
        std::array<std::uint8_t, 8> octets{};
        for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
        out_.append(std::span<const std::uint8_t>(octets));
    }
    void text(std::string_view value) {
        number(value.size());
        out_.append(value);
    }
    void secret(const SecretBytes& value) {
        number(value.size());
        out_.append(value.reveal());
    }
    void list(const std::vector<std::string>& values) {
        number(values.size());
        for (const auto& value : values) text(value);
    }
    SecretBytes take() { return std::move(out_); }

  private:
    SecretBytes out_;
};

/// Every read fails once one failed.
class Reader {
  public:
    explicit Reader(std::span<const std::uint8_t> octets) : rest_(octets) {}
    std::uint64_t number() {
        const auto octets = take(8);
        std::uint64_t value = 0;
        for (const auto octet : octets) value = value << 8U | octet;
        return value;
    }
    std::uint64_t number_to(std::uint64_t most) {
        const auto value = number();
        if (value > most) good_ = false;
        return good_ ? value : 0;
    }
    std::span<const std::uint8_t> octets() { return take(number_to(longest_text)); }
    std::string text() {
        const auto found = octets();
        return {reinterpret_cast<const char*>(found.data()), found.size()};
    }
    std::vector<std::string> list() {
        std::vector<std::string> values;
        for (auto left = number_to(most_items); left > 0 && good_; --left) values.push_back(text());
        return values;
    }
    void refuse() noexcept { good_ = false; }
    [[nodiscard]] bool good() const noexcept { return good_; }
    [[nodiscard]] bool at_end() const noexcept { return good_ && rest_.empty(); }

  private:
    std::span<const std::uint8_t> take(std::uint64_t count) {
        if (!good_ || count > rest_.size()) {
            good_ = false;
            return {};
        }
        const auto found = rest_.first(static_cast<std::size_t>(count));
        rest_ = rest_.subspan(static_cast<std::size_t>(count));
        return found;
    }
    std::span<const std::uint8_t> rest_;
    bool good_ = true;
};

}  // namespace

const JournalMember* JournalEntry::member(const std::string& device) const noexcept {
    const auto found =
        std::find_if(members.begin(), members.end(), [&](const JournalMember& m) { return m.device == device; });
    return found == members.end() ? nullptr : &*found;
}

JournalMember* JournalEntry::member(const std::string& device) noexcept {
    return const_cast<JournalMember*>(std::as_const(*this).member(device));  // the entry itself is not const
}

SecretBytes encode(const JournalEntry& entry) {
    Writer out;
    out.number(entry_version);
    out.text(entry.run_id);
    out.text(to_string(entry.step));
    out.number(entry.ended ? 1 : 0);
    out.number(entry.generation);
    out.number(entry.rollover == Rollover::key_chain ? 0 : 1);
    out.text(entry.key_id);
    out.text(entry.ckn);
    out.text(entry.comment);
    out.list(entry.own_ckns);
    out.number(entry.start ? 1 : 0);
    out.number(entry.start ? static_cast<std::uint64_t>(entry.start->time_since_epoch().count()) : 0);
    out.number(entry.members.size());
    for (const auto& member : entry.members) {
        out.text(member.device);
        out.list(member.sessions);
        out.number(member.asked ? 1 : 0);
        out.number(member.maybe_consumed ? 1 : 0);
        out.secret(member.key);
    }
    return out.take();
}

std::optional<JournalEntry> decode_entry(const SecretBytes& octets) {
    Reader in(octets.reveal());
    JournalEntry entry;
    if (in.number() != entry_version) return std::nullopt;
    entry.run_id = in.text();
    const auto step = parse_step(in.text());
    entry.ended = in.number_to(1) == 1;
    entry.generation = in.number();
    entry.rollover = in.number_to(1) == 0 ? Rollover::key_chain : Rollover::pre_shared_key;
    entry.key_id = in.text();
    entry.ckn = in.text();
    entry.comment = in.text();
    entry.own_ckns = in.list();
    const bool has_start = in.number_to(1) == 1;
    const UtcSeconds start{std::chrono::seconds{static_cast<std::int64_t>(in.number_to(253402300799ULL))}};
    if (has_start) entry.start = start;
    for (auto left = in.number_to(most_items); left > 0 && in.good(); --left) {
        JournalMember& member = entry.members.emplace_back();
        member.device = in.text();
        member.sessions = in.list();
        member.asked = in.number_to(1) == 1;
        member.maybe_consumed = in.number_to(1) == 1;
        member.key = SecretBytes(in.octets());
    }
    if (!step || !in.at_end()) return std::nullopt;
    entry.step = *step;
    return entry;
}

}  // namespace qkd::engine
