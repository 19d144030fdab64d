// Decoder of "$9$": each character is spread over "gaps" between letters of a fixed alphabet.
#include "junos_secret.hpp"

#include <array>
#include <cstring>

#include "qkd/sdk/encoding.hpp"
#include "xml.hpp"

namespace qkd::junos {
namespace {

// The alphabet in its four families; a letter's family says how many random letters follow the first one.
constexpr std::array<std::string_view, 4> families{"QzF3n6/9CAtpu0O", "B1IREhcSyrleKvMW8LXx", "7N-dVbwsY2g4oaJZGUDj",
                                                   "iHkq.mPf5T"};
constexpr int letters = 65;

struct Weights {
    int count;
    std::array<int, 4> value;
};
// Weights of the gaps, by position of the character modulo 7.
constexpr std::array<Weights, 7> weights{{{3, {1, 4, 32, 0}},
                                          {3, {1, 16, 32, 0}},
                                          {3, {1, 8, 32, 0}},
                                          {2, {1, 64, 0, 0}},
                                          {2, {1, 32, 0, 0}},
                                          {4, {1, 4, 16, 128}},
                                          {3, {1, 32, 64, 0}}}};

struct Letter {
    int position = -1;
    int family = 0;
};

Letter find(char c) {
    int before = 0;
    for (int family = 0; family < 4; ++family) {
        const auto at = families[static_cast<std::size_t>(family)].find(c);
        if (at != std::string_view::npos) return {before + static_cast<int>(at), family};
        before += static_cast<int>(families[static_cast<std::size_t>(family)].size());
    }
    return {};
}

Error malformed() {
    return Error::protocol("a $9$ string that is damaged", "");
}

}  // namespace

Result<SecretBytes> decode_secret(std::string_view text) {
    if (!text.starts_with("$9$") || text.size() < 4) return malformed();
    text.remove_prefix(3);
    Letter previous = find(text[0]);
    if (previous.position < 0) return malformed();
    const std::size_t random = 1 + static_cast<std::size_t>(3 - previous.family);
    if (text.size() < random) return malformed();
    text.remove_prefix(random);
    SecretBytes out = SecretBytes::zeros(text.size());
    std::size_t length = 0;
    while (!text.empty()) {
        const Weights& weight = weights[length % weights.size()];
        if (text.size() < static_cast<std::size_t>(weight.count)) return malformed();
        int sum = 0;
        for (int i = 0; i < weight.count; ++i) {
            const Letter letter = find(text[static_cast<std::size_t>(i)]);
            if (letter.position < 0) return malformed();
            const int gap = (letter.position - previous.position + letters) % letters - 1;
            sum += gap * weight.value[static_cast<std::size_t>(i)];
            previous = letter;
        }
        out.writable()[length++] = static_cast<std::uint8_t>(sum & 0xff);
        text.remove_prefix(static_cast<std::size_t>(weight.count));
    }
    out.resize(length);
    return out;
}

SecretBytes reveal_configured(std::string_view text) {
    text = trim(text);
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    if (text.starts_with("$9$")) {
        auto clear = decode_secret(text);
        return clear ? std::move(*clear) : SecretBytes();
    }
    if (text.starts_with("$") || text.starts_with("/*")) return {};
    return SecretBytes(text);
}

SecretBytes configured_cak(std::string_view text) {
    const SecretBytes clear = reveal_configured(text);
    auto octets = hex_decode(clear.reveal_text());
    return octets ? std::move(*octets) : SecretBytes();
}

}  // namespace qkd::junos
