// Texts with {placeholders}, checked once and filled for every request.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::rest {

/// What a placeholder stands for.
enum class Slot : std::uint8_t {
    local_sae,
    peer_sae,
    key_id,
    bits,
    octets,
    count,
    additional_sae,
    additional_saes,  ///< a JSON array of strings
    token
};
const char* to_string(Slot slot) noexcept;

/// How what is filled in is made harmless for the text around it.
enum class Escape : std::uint8_t {
    url,  ///< percent-encoded: paths, queries, forms
    json  ///< as the inside of a JSON text; numbers and arrays as they are
};

/// Values are not escaped; additional_saes is ready-made JSON.
using Values = std::map<Slot, std::string>;

class Template {
  public:
    Template() = default;
    /// `{word}` is a placeholder when it consists of lower-case letters and '_'; any other brace stands for itself.
    /// Errors: config, when a placeholder is unknown or not among `known`.
    static Result<Template> parse(std::string_view text, const std::vector<Slot>& known);

    [[nodiscard]] bool empty() const noexcept { return parts_.empty(); }
    [[nodiscard]] bool uses(Slot slot) const noexcept;
    [[nodiscard]] std::string fill(const Values& values, Escape escape) const;

    struct Part {
        std::string text;  ///< literal, when it is no slot
        bool is_slot = false;
        Slot slot = Slot::bits;
    };
    [[nodiscard]] const std::vector<Part>& parts() const noexcept { return parts_; }

  private:
    std::vector<Part> parts_;
};

/// The inside of a JSON text (RFC 8259 section 7), without its quotes. What is not UTF-8 is replaced.
std::string json_escaped(std::string_view text);
/// ["a", "b"]
std::string json_array(const std::vector<std::string>& texts);

}  // namespace qkd::rest
