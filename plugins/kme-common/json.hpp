// JSON whose texts are wiped when they go: nlohmann's parser and values, fed so that no copy of a key stays behind.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/secret.hpp"

namespace qkd::kme {

/// One octet of an answer. The parser keeps the raw text of each token in a std::vector of its input's character type;
/// a type of our own gives that vector an allocator that wipes.
enum class AnswerChar : unsigned char {};

/// Walks over octets and gives them as AnswerChar.
class AnswerIterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = AnswerChar;
    using difference_type = std::ptrdiff_t;
    using pointer = const AnswerChar*;
    using reference = AnswerChar;

    explicit AnswerIterator(const std::uint8_t* at) : at_(at) {}
    AnswerChar operator*() const { return static_cast<AnswerChar>(*at_); }
    AnswerIterator& operator++() {
        ++at_;
        return *this;
    }
    AnswerIterator operator++(int) {
        const AnswerIterator old = *this;
        ++at_;
        return old;
    }
    bool operator==(const AnswerIterator&) const = default;

  private:
    const std::uint8_t* at_;
};

}  // namespace qkd::kme

template <>
struct std::allocator<qkd::kme::AnswerChar> : qkd::WipingAllocator<qkd::kme::AnswerChar> {
    allocator() noexcept = default;
    template <class U>
    allocator(const allocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): allocators rebind
    template <class U>
    struct rebind {
        using other = std::allocator<U>;
    };
};

template <>
struct std::char_traits<qkd::kme::AnswerChar> {
    using char_type = qkd::kme::AnswerChar;
    using int_type = int;
    static constexpr int_type eof() noexcept { return -1; }
    static constexpr int_type to_int_type(char_type c) noexcept { return static_cast<int_type>(c); }
    static constexpr char_type to_char_type(int_type c) noexcept { return static_cast<char_type>(c); }
};

namespace qkd::kme {

using WipedJson = nlohmann::basic_json<std::map, std::vector, WipedString, bool, std::int64_t, std::uint64_t, double,
                                       WipingAllocator, nlohmann::adl_serializer, std::vector<std::uint8_t>>;

/// The value, or a discarded one when the octets are not JSON (RFC 8259) or nest deeper than `max_depth`.
WipedJson parse_json(std::span<const std::uint8_t> octets, int max_depth = 16);

/// A member of an object; null when `json` is no object or has no such member.
const WipedJson* member(const WipedJson& json, const char* name);
/// The same, but spelled in upper or lower case, with or without '_', when there is just one such member.
const WipedJson* member_like(const WipedJson& json, std::string_view name);
/// The text of a value; null when there is no value or it is no text.
const WipedString* text_of(const WipedJson* value);
/// A whole number that is not negative.
std::optional<std::uint64_t> number_of(const WipedJson* value);

inline std::string_view view(const WipedString& text) {
    return {text.data(), text.size()};
}

}  // namespace qkd::kme
