// Notice <-> text. The text comes from places that others may write to, so nothing is believed that was not checked.
#include "qkd/sdk/net/notice.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace qkd::notice {
namespace {

constexpr std::uint64_t last_second = 253402300799;  // 9999-12-31T23:59:59Z
constexpr std::string_view notice_version = "QKD2";
constexpr std::string_view acknowledgement_version = "QKA1";
constexpr std::string_view base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t tag_digits = 43;

bool good_word(std::string_view word) {
    return !word.empty() && word.size() <= longest_word && std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               std::string_view("-_.:+/=@~").find(c) != std::string_view::npos;
    });
}

bool good_time(UtcSeconds time) {
    const auto seconds = time.time_since_epoch().count();
    return seconds >= 0 && static_cast<std::uint64_t>(seconds) <= last_second;
}

constexpr const char* word_rule = "is not 1 to 128 of A-Z a-z 0-9 - _ . : + / = @ ~";

/// Empty when the notice may travel, else what is wrong with it.
std::string flaw(const KeyIdNotice& notice) {
    if (!good_word(notice.link)) return std::string("the link's name ") + word_rule;
    if (!good_word(notice.sender)) return std::string("the sender's name ") + word_rule;
    if (notice.generation == 0) return "the generation is 0";
    if (notice.key_ids.empty() || notice.key_ids.size() > most_key_ids) return "there must be 1 to 64 key_IDs";
    if (!std::all_of(notice.key_ids.begin(), notice.key_ids.end(), good_word)) {
        return std::string("a key_ID ") + word_rule;
    }
    if (!good_time(notice.issued) || !good_time(notice.start) || !good_time(notice.expires))
        return "a time is out of range";
    return {};
}

std::optional<NoticeKind> kind_of(std::string_view word) {
    using enum NoticeKind;
    for (const NoticeKind kind : {offer, armed, withdrawn, live, in_use}) {
        if (word == to_string(kind)) return kind;
    }
    return std::nullopt;
}

std::optional<KeyRound> round_of(std::string_view word) {
    for (const KeyRound round : {KeyRound::schedule, KeyRound::fallback, KeyRound::first}) {
        if (word == to_string(round)) return round;
    }
    return std::nullopt;
}

/// The one spelling of a number: digits, none of them needless.
std::optional<std::uint64_t> number_of(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (text.size() > 1 && text.front() == '0') return std::nullopt;
    return number;
}

std::optional<UtcSeconds> time_of(std::string_view text) {
    const auto seconds = number_of(text);
    if (!seconds || *seconds > last_second) return std::nullopt;
    return UtcSeconds{std::chrono::seconds{static_cast<std::int64_t>(*seconds)}};
}

/// The parts between the separators, at most `most`; more end up in the last one, which then has a separator.
std::vector<std::string_view> split(std::string_view text, char separator, std::size_t most) {
    std::vector<std::string_view> parts;
    while (parts.size() + 1 < most) {
        const auto end = text.find(separator);
        if (end == std::string_view::npos) break;
        parts.push_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    parts.push_back(text);
    return parts;
}

std::span<const std::uint8_t> octets(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The tag as text; empty without a secret.
std::string tag_of(std::string_view text, const SecretBytes& secret) {
    if (secret.empty()) return {};
    std::array<std::uint8_t, tag_octets + 1> tag{};  // one more zero octet: whole groups of three
    hmac(secret, octets(text), std::span<std::uint8_t, tag_octets>(tag.data(), tag_octets));
    std::string digits;
    for (std::size_t i = 0; i < tag.size(); i += 3) {
        const unsigned group =
            static_cast<unsigned>(tag[i]) << 16U | static_cast<unsigned>(tag[i + 1]) << 8U | tag[i + 2];
        for (const unsigned shift : {18U, 12U, 6U, 0U}) digits += base64url[group >> shift & 63U];
    }
    digits.resize(tag_digits);
    return digits;
}

/// The text without its tag, once that is found to be right.
Result<std::string_view> verified(std::string_view text, const SecretBytes& secret, const std::string& place) {
    const auto border = text.rfind(';');
    if (border == std::string_view::npos) {
        return Error{ErrorCode::protocol, Retry::never, place + " holds no notice: it has no tag",
                     "remove it; only members of the link may write there"};
    }
    const std::string_view body = text.substr(0, border);
    const std::string_view tag = text.substr(border + 1);
    const char* members =
        "all members of the link must have the same secret in their key_ids table; if they have, somebody "
        "else writes there";
    if (secret.empty()) {
        if (tag.empty()) return body;
        return Error{ErrorCode::auth, Retry::never, place + " has a tag, and this end has no secret to verify it",
                     members};
    }
    if (tag.empty()) return Error{ErrorCode::auth, Retry::never, place + " has no tag", members};
    const std::string right = tag_of(body, secret);
    if (tag.size() == right.size() && CRYPTO_memcmp(tag.data(), right.data(), right.size()) == 0) return body;
    return Error{ErrorCode::auth, Retry::never, place + " has a wrong tag", members};
}

Error malformed(const std::string& place, const std::string& what) {
    return {ErrorCode::protocol, Retry::never, place + " holds no notice of this version: " + what,
            "remove it; only members of the link may write there, and all of them must run the same release"};
}

}  // namespace

Result<SecretBytes> link_secret(const ConfigView& config, Context& context) {
    if (!config.has("secret")) return SecretBytes();
    auto secret = config.secret("secret", context);
    if (secret && secret->size() < shortest_secret) {
        return Error{
            ErrorCode::config, Retry::never,
            config.name() + ": the secret has " + std::to_string(secret->size()) + " octets, at least 16 are needed",
            "make one, the same for all members: openssl rand -hex 32"};
    }
    return secret;
}

void hmac(const SecretBytes& secret, std::span<const std::uint8_t> message, std::span<std::uint8_t, tag_octets> tag) {
    const auto key = secret.reveal();
    unsigned size = tag_octets;
    if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), message.data(), message.size(), tag.data(),
             &size) == nullptr) {
        OPENSSL_die("HMAC-SHA256 is not available", __FILE__, __LINE__);  // a tag that is no tag must not leave here
    }
}

bool hmac_matches(const SecretBytes& secret, std::span<const std::uint8_t> message, std::span<const std::uint8_t> tag) {
    std::array<std::uint8_t, tag_octets> right{};
    hmac(secret, message, right);
    return tag.size() == right.size() && CRYPTO_memcmp(tag.data(), right.data(), right.size()) == 0;
}

Result<std::string> seal(const KeyIdNotice& notice, const SecretBytes& secret) {
    if (const std::string wrong = flaw(notice); !wrong.empty()) {
        return Error{ErrorCode::rejected, Retry::never, "notice of link " + notice.link + " cannot be sent: " + wrong,
                     "if a key_ID is at fault, ask the KME's vendor"};
    }
    const auto seconds = [](UtcSeconds time) { return std::to_string(time.time_since_epoch().count()); };
    std::string text(notice_version);
    text.append(";").append(to_string(notice.kind)).append(";").append(notice.link);
    text += ";" + std::to_string(notice.generation) + ";" + std::to_string(notice.sequence) + ";" + notice.sender;
    text.append(";").append(to_string(notice.round));
    text += ";" + seconds(notice.issued) + ";" + seconds(notice.start) + ";" + seconds(notice.expires);
    char separator = ';';
    for (const std::string& id : notice.key_ids) {
        text += separator + id;
        separator = ',';
    }
    if (text.size() + 1 + tag_digits > longest_text) {
        return Error{ErrorCode::rejected, Retry::never,
                     "notice of link " + notice.link + " cannot be sent: its " + std::to_string(notice.key_ids.size()) +
                         " key_IDs make it longer than " + std::to_string(longest_text) + " octets",
                     "mint fewer keys at once"};
    }
    return text + ";" + tag_of(text, secret);
}

Result<KeyIdNotice> open(std::string_view text, const SecretBytes& secret, const std::string& place) {
    if (text.size() > longest_text) return malformed(place, "it has " + std::to_string(text.size()) + " octets");
    if (!text.starts_with(std::string(notice_version) + ";")) return malformed(place, "it does not begin with QKD2");
    auto body = verified(text, secret, place);
    if (!body) return std::move(body).error();
    const auto parts = split(*body, ';', 12);
    if (parts.size() != 11) return malformed(place, "it does not have 12 parts");
    const auto kind = kind_of(parts[1]);
    if (!kind) return malformed(place, "its kind is unknown");
    const auto generation = number_of(parts[3]);
    const auto sequence = number_of(parts[4]);
    if (!generation || !sequence) return malformed(place, "its generation or sequence is not a number");
    const auto round = round_of(parts[6]);
    if (!round) return malformed(place, "its round is unknown");
    const auto issued = time_of(parts[7]);
    const auto start = time_of(parts[8]);
    const auto expires = time_of(parts[9]);
    if (!issued || !start || !expires)
        return malformed(place, "a time is not a number of seconds before the year 10000");
    KeyIdNotice notice;
    notice.kind = *kind;
    notice.link = parts[2];
    notice.generation = *generation;
    notice.sequence = *sequence;
    notice.sender = parts[5];
    notice.round = *round;
    notice.issued = *issued;
    notice.start = *start;
    notice.expires = *expires;
    for (const auto id : split(parts[10], ',', most_key_ids + 1)) notice.key_ids.emplace_back(id);
    if (const std::string wrong = flaw(notice); !wrong.empty()) return malformed(place, wrong);
    return notice;
}

Result<void> judge(const KeyIdNotice& notice, const std::string& link, const NoticeFilter& wanted,
                   const std::string& place) {
    if (notice.link != link) {
        return Error{ErrorCode::rejected, Retry::never, place + " is about link " + notice.link + ", not " + link,
                     "somebody moved it there; remove it"};
    }
    if (!wanted.sender.empty() && notice.sender != wanted.sender) {
        return Error{
            ErrorCode::rejected, Retry::never,
            place + " is from " + notice.sender + ", and the initiator of link " + link + " is " + wanted.sender,
            "all members must run the same pipeline file; a former initiator must be stopped"};
    }
    if (notice.mark() <= wanted.after) {
        return Error{ErrorCode::not_found, Retry::safe,
                     place + " is old: generation " + std::to_string(notice.generation) + ", sequence " +
                         std::to_string(notice.sequence) + " of link " + link + " is known already",
                     "the initiator has not sent a newer one yet"};
    }
    const bool expires = notice.expires != UtcSeconds{} && wanted.now != UtcSeconds{};
    if (expires && notice.expires <= wanted.now) {
        const auto by = std::chrono::duration_cast<std::chrono::seconds>(wanted.now - notice.expires);
        return Error{ErrorCode::not_found, Retry::safe,
                     place + " has expired " + std::to_string(by.count()) + " s ago: generation " +
                         std::to_string(notice.generation) + " of link " + link,
                     "the initiator has gone or was too slow; compare the devices' clocks if it was not"};
    }
    return {};
}

Result<std::string> seal(const Acknowledgement& acknowledgement, const SecretBytes& secret) {
    if (!good_word(acknowledgement.link) || !good_word(acknowledgement.device)) {
        return Error{ErrorCode::rejected, Retry::never,
                     "acknowledgement by " + acknowledgement.device + " of link " + acknowledgement.link +
                         " cannot be sent: a name " + word_rule,
                     "rename the device or the link"};
    }
    const std::string text = std::string(acknowledgement_version) + ";" + acknowledgement.link + ";" +
                             std::to_string(acknowledgement.mark.generation) + ";" +
                             std::to_string(acknowledgement.mark.sequence) + ";" + acknowledgement.device;
    return text + ";" + tag_of(text, secret);
}

Result<Acknowledgement> open_acknowledgement(std::string_view text, const SecretBytes& secret,
                                             const std::string& place) {
    if (text.size() > longest_text) return malformed(place, "it has " + std::to_string(text.size()) + " octets");
    if (!text.starts_with(std::string(acknowledgement_version) + ";")) {
        return malformed(place, "it does not begin with QKA1");
    }
    auto body = verified(text, secret, place);
    if (!body) return std::move(body).error();
    const auto parts = split(*body, ';', 6);
    if (parts.size() != 5) return malformed(place, "it has not 6 parts");
    const auto generation = number_of(parts[2]);
    const auto sequence = number_of(parts[3]);
    if (!generation || !sequence) return malformed(place, "its generation or sequence is no number");
    if (!good_word(parts[1]) || !good_word(parts[4])) return malformed(place, std::string("a name ") + word_rule);
    return Acknowledgement{std::string(parts[1]), {*generation, *sequence}, std::string(parts[4])};
}

}  // namespace qkd::notice
