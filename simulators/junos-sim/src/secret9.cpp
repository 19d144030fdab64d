// Junos' reversible obfuscation of secrets, the strings that start with $9$.
//
// Each character of the secret is a number written in a mixed radix that depends on its position; each digit is the
// distance from the previous output character to the next in a fixed alphabet of 65. The first character is a salt
// whose family says how many filler characters follow it. (The scheme is publicly known; it hides, it does not protect.)
#include "secret9.hpp"

#include <array>
#include <random>
#include <span>

namespace qkd::junossim {

namespace {

constexpr std::array<std::string_view, 4> families = {"QzF3n6/9CAtpu0O", "B1IREhcSyrleKvMW8LXx", "7N-dVbwsY2g4oaJZGUDj",
                                                      "iHkq.mPf5T"};
constexpr std::string_view alphabet = "QzF3n6/9CAtpu0OB1IREhcSyrleKvMW8LXx7N-dVbwsY2g4oaJZGUDjiHkq.mPf5T";
constexpr std::array<std::array<int, 4>, 7> weights = {
    {{1, 4, 32, 0}, {1, 16, 32, 0}, {1, 8, 32, 0}, {1, 64, 0, 0}, {1, 32, 0, 0}, {1, 4, 16, 128}, {1, 32, 64, 0}}};

std::span<const int> weights_at(std::size_t position) {
    const auto& row = weights[position % weights.size()];
    std::size_t n = row.size();
    while (row[n - 1] == 0) --n;
    return {row.data(), n};
}

std::size_t filler_after(char salt) {
    for (std::size_t i = 0; i < families.size(); ++i) {
        if (families[i].find(salt) != std::string_view::npos) return 3 - i;
    }
    return 0;
}

}  // namespace

std::string encode9(std::string_view clear) {
    std::random_device random;
    const auto pick = [&random] { return alphabet[random() % alphabet.size()]; };
    const char salt = pick();
    std::string out = std::string("$9$") + salt;
    for (std::size_t i = 0; i < filler_after(salt); ++i) out += pick();
    std::size_t previous = alphabet.find(salt);
    for (std::size_t position = 0; position < clear.size(); ++position) {
        const auto row = weights_at(position);
        std::array<int, 4> digits{};
        int rest = static_cast<unsigned char>(clear[position]);
        for (std::size_t i = row.size(); i-- > 0;) {
            digits[i] = rest / row[i];
            rest %= row[i];
        }
        for (std::size_t i = 0; i < row.size(); ++i) {
            previous = (previous + static_cast<std::size_t>(digits[i]) + 1) % alphabet.size();
            out += alphabet[previous];
        }
    }
    return out;
}

std::optional<std::string> decode9(std::string_view crypted) {
    if (!crypted.starts_with("$9$") || crypted.size() < 4) return std::nullopt;
    crypted.remove_prefix(3);
    if (crypted.find_first_not_of(alphabet) != std::string_view::npos) return std::nullopt;
    std::size_t previous = alphabet.find(crypted[0]);
    const std::size_t skip = 1 + filler_after(crypted[0]);
    if (crypted.size() < skip) return std::nullopt;
    crypted.remove_prefix(skip);
    std::string clear;
    while (!crypted.empty()) {
        const auto row = weights_at(clear.size());
        if (crypted.size() < row.size()) return std::nullopt;
        int value = 0;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::size_t at = alphabet.find(crypted[i]);
            const auto gap = static_cast<int>((at + alphabet.size() - previous) % alphabet.size());
            value += (gap - 1) * row[i];
            previous = at;
        }
        clear += static_cast<char>(static_cast<unsigned char>(((value % 256) + 256) % 256));
        crypted.remove_prefix(row.size());
    }
    return clear;
}

}  // namespace qkd::junossim
