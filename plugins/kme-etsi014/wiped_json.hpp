// JSON whose texts are wiped when they go: nlohmann's parser and values, fed so that no copy of a key stays behind.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "qkd/sdk/secret.hpp"

namespace qkd::etsi014 {

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

}  // namespace qkd::etsi014

template <>
struct std::allocator<qkd::etsi014::AnswerChar> : qkd::WipingAllocator<qkd::etsi014::AnswerChar> {
    allocator() noexcept = default;
    template <class U>
    allocator(const allocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): allocators rebind
    template <class U>
    struct rebind {
        using other = std::allocator<U>;
    };
};

template <>
struct std::char_traits<qkd::etsi014::AnswerChar> {
    using char_type = qkd::etsi014::AnswerChar;
    using int_type = int;
    static constexpr int_type eof() noexcept { return -1; }
    static constexpr int_type to_int_type(char_type c) noexcept { return static_cast<int_type>(c); }
    static constexpr char_type to_char_type(int_type c) noexcept { return static_cast<char_type>(c); }
};

namespace qkd::etsi014 {

using WipedJson = nlohmann::basic_json<std::map, std::vector, WipedString, bool, std::int64_t, std::uint64_t, double,
                                       WipingAllocator, nlohmann::adl_serializer, std::vector<std::uint8_t>>;

/// The value, or a discarded one when the octets are not JSON (RFC 8259) or nest deeper than `max_depth`.
WipedJson parse_json(std::span<const std::uint8_t> octets, int max_depth = 16);

}  // namespace qkd::etsi014
