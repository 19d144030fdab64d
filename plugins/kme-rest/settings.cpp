// Reads the description of an API and refuses what could never work, before any request.
#include "settings.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "kme-common/text.hpp"

namespace qkd::rest {
namespace {

using kme::harmless;
using kme::same_ignoring_case;

/// Throws Error: the one way out of many small steps; caught in Settings::read().
class Reader {
  public:
    explicit Reader(const ConfigView& config) : config_(config) {}

    [[noreturn]] void fail(const std::string& key, const std::string& what, const std::string& hint) const {
        throw Error::config(config_.name() + ": " + key + ": " + what, hint);
    }
    template <class T>
    T good(const std::string& key, Result<T> result) const {
        if (!result) fail(key, result.error().what, result.error().hint);
        return std::move(result).value();
    }

    std::optional<Pointer> pointer(const std::string& key) const {
        if (!config_.has(key)) return std::nullopt;
        return good(key, Pointer::parse(config_.string(key)));
    }

    /// `key` as "METHOD PATH" and `key`_body.
    std::optional<Line> line(const std::string& key, const std::vector<Slot>& known, bool form) const {
        const std::string body_key = key + "_body";
        const bool has_body = config_.has(body_key);
        if (!config_.has(key)) {
            if (has_body) fail(body_key, "there is a body but no request", "give " + key + " as well");
            return std::nullopt;
        }
        const std::string text = config_.string(key);
        const auto space = text.find(' ');
        constexpr std::array methods{"GET", "POST", "PUT", "PATCH", "DELETE"};
        Line line;
        line.method = text.substr(0, space);
        const bool method = std::find(methods.begin(), methods.end(), line.method) != methods.end();
        if (space == std::string::npos || !method || text[space + 1] != '/') {
            fail(key, "'" + harmless(text) + "' is no request",
                 "write METHOD PATH, such as \"POST /api/v1/keys\"; methods: GET, POST, PUT, PATCH, DELETE");
        }
        line.target = good(key, Template::parse(std::string_view(text).substr(space + 1), known));
        no_array(key, line.target);
        escaped(key, line.target);
        if (!has_body) return line;
        if (line.method == "GET") fail(body_key, "a GET request has no body", "put it into the path, or use POST");
        line.body = good(body_key, Template::parse(config_.string(body_key), known));
        if (form) {
            no_array(body_key, line.body);
            escaped(body_key, line.body);
        } else {
            json(body_key, line.body);
        }
        return line;
    }

    std::vector<HeaderLine> headers() const {
        std::vector<HeaderLine> lines;
        for (const std::string& item : config_.list("headers")) {
            const auto colon = item.find(": ");
            HeaderLine line;
            line.name = item.substr(0, colon);
            constexpr std::string_view marks = "!#$%&'*+-.^_`|~";  // RFC 9110 section 5.6.2
            const auto in_name = [&](char c) {
                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       marks.find(c) != std::string_view::npos;
            };
            // The value may be a secret that should not stand there: it is not shown.
            if (colon == std::string::npos || colon == 0 || !std::all_of(line.name.begin(), line.name.end(), in_name)) {
                fail("headers", "an item is not \"NAME: VALUE\"", "such as \"Authorization: Bearer {token}\"");
            }
            constexpr std::array ours{"Host",    "Content-Length", "Transfer-Encoding", "Connection",
                                      "Expect",  "Content-Type",   "Upgrade",           "TE",
                                      "Trailer", "Keep-Alive"};
            if (std::any_of(ours.begin(), ours.end(),
                            [&](const char* own) { return same_ignoring_case(own, line.name); })) {
                fail("headers", line.name + " is set by this program",
                     "leave it out; body_type chooses the type of bodies");
            }
            const auto twice = [&](const HeaderLine& other) { return same_ignoring_case(other.name, line.name); };
            if (std::any_of(lines.begin(), lines.end(), twice)) {
                fail("headers", line.name + " is there twice", "give each header once");
            }
            const std::string value = item.substr(colon + 2);
            const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
            if (!std::all_of(value.begin(), value.end(), printable)) {
                fail("headers", line.name + " has a value that is not ASCII", "use printable ASCII");
            }
            line.value = good("headers", Template::parse(value, {Slot::token, Slot::local_sae}));
            if (for_secrets(line.name) && !line.value.uses(Slot::token)) {
                fail("headers", line.name + " holds a secret, and secrets do not stand in a pipeline file",
                     "write \"" + line.name +
                         ": {token}\" and name the secret in token (file:, env:, command:, sealed:)");
            }
            lines.push_back(std::move(line));
        }
        const auto uses_token = [](const HeaderLine& line) { return line.value.uses(Slot::token); };
        const bool used = std::any_of(lines.begin(), lines.end(), uses_token);
        if (used && !config_.has("token"))
            fail("headers", "{token} is used, but there is no token", "name it in token");
        if (!used && config_.has("token")) {
            fail("token", "no header uses it", "add a header such as \"Authorization: Bearer {token}\"");
        }
        return lines;
    }

  private:
    /// Headers whose literal value would be a secret in the file.
    static bool for_secrets(std::string_view name) {
        std::string lower(name);
        for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        constexpr std::array words{"auth", "cookie", "token", "secret", "password", "api-key", "apikey", "access-key"};
        return std::any_of(words.begin(), words.end(),
                           [&](const char* word) { return lower.find(word) != std::string::npos; });
    }

    void no_array(const std::string& key, const Template& text) const {
        if (text.uses(Slot::additional_saes)) {
            fail(key, "{additional_saes} is a JSON array and fits into a JSON body only",
                 "use it in a body, or add the SAEs one by one with share");
        }
    }

    /// Literals of paths, queries and forms: what RFC 3986 lets stand there.
    void escaped(const std::string& key, const Template& text) const {
        constexpr std::string_view marks = "-._~/?&=:@!$'()*+,;%";
        for (const auto& part : text.parts()) {
            for (std::size_t i = 0; i < part.text.size(); ++i) {
                const char c = part.text[i];
                const auto hex = [&](std::size_t at) {
                    return at < part.text.size() &&
                           std::string_view("0123456789abcdefABCDEF").find(part.text[at]) != std::string_view::npos;
                };
                const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                   marks.find(c) != std::string_view::npos;
                if (!plain || (c == '%' && !(hex(i + 1) && hex(i + 2)))) {
                    fail(key, "'" + harmless(std::string_view(part.text).substr(i, 20)) + "' cannot stand in a URL",
                         "write special characters as %XX, without '#'; placeholders are escaped by themselves");
                }
            }
        }
    }

    /// JSON whatever is filled in: awkward texts come out right only between quotes.
    void json(const std::string& key, const Template& text) const {
        const std::string awkward = "\"\\\n{";
        const Values sample{{Slot::local_sae, awkward},
                            {Slot::peer_sae, awkward},
                            {Slot::key_id, awkward},
                            {Slot::bits, "256"},
                            {Slot::octets, "32"},
                            {Slot::count, "1"},
                            {Slot::additional_sae, awkward},
                            {Slot::additional_saes, R"(["a"])"}};
        if (!nlohmann::json::accept(text.fill(sample, Escape::json))) {
            fail(key, "this is no JSON",
                 "put placeholders for names between quotes, {bits}, {octets}, {count} and {additional_saes} without; "
                 "forms need body_type = \"form\"");
        }
    }

    const ConfigView& config_;
};

Encoding encoding_of(const std::string& word) {
    if (word == "hex") return Encoding::hex;
    if (word == "raw") return Encoding::raw;
    return word == "base64url" ? Encoding::base64url : Encoding::base64;
}

Settings read_all(const ConfigView& config) {
    const Reader read(config);
    Settings all;
    all.form = config.string("body_type") == "form";
    all.local_sae = config.string("sae");

    const std::vector<Slot> pair{Slot::local_sae, Slot::peer_sae};
    const auto and_also = [&pair](std::vector<Slot> more) {
        more.insert(more.begin(), pair.begin(), pair.end());
        return more;
    };
    // `mint` and `fetch` are required, so the engine has seen to it that they are there; other callers may not have.
    auto mint = read.line("mint", and_also({Slot::bits, Slot::octets, Slot::count, Slot::additional_saes}), all.form);
    auto fetch = read.line("fetch", and_also({Slot::key_id, Slot::bits, Slot::octets}), all.form);
    if (!mint) read.fail("mint", "is missing", "write METHOD PATH");
    if (!fetch) read.fail("fetch", "is missing", "write METHOD PATH");
    all.mint = std::move(*mint);
    all.fetch = std::move(*fetch);
    all.share = read.line("share", and_also({Slot::key_id, Slot::additional_sae}), all.form);
    all.check = read.line("check", and_also({Slot::key_id}), all.form);
    all.remove = read.line("delete", and_also({Slot::key_id}), all.form);
    all.status = read.line("status", pair, all.form);
    all.probe = read.line("probe", {Slot::local_sae}, all.form);
    all.headers = read.headers();

    for (const auto& [key, line] : {std::pair{"fetch", &all.fetch},
                                    {"share", all.share ? &*all.share : nullptr},
                                    {"check", all.check ? &*all.check : nullptr},
                                    {"delete", all.remove ? &*all.remove : nullptr}}) {
        if (line != nullptr && !line->uses(Slot::key_id)) {
            read.fail(key, "does not say which key", "put {key_id} into the path or the body");
        }
    }
    if (all.share && !all.share->uses(Slot::additional_sae)) {
        read.fail("share", "does not say with whom", "put {additional_sae} into the path or the body");
    }
    for (const auto& [key, line] : {std::pair{"status", all.status ? &*all.status : nullptr},
                                    {"probe", all.probe ? &*all.probe : nullptr},
                                    {"check", all.check ? &*all.check : nullptr}}) {
        if (line != nullptr && line->method != "GET" && line->method != "POST") {
            read.fail(key, "a request that only looks is GET or POST, not " + line->method, "see the vendor's API");
        }
    }

    all.mint_list = read.pointer("mint_list");
    all.minted.id = read.pointer("mint_key_id");
    all.minted.key = read.pointer("mint_key");
    all.fetched.id = read.pointer("fetch_key_id");
    all.fetched.key = read.pointer("fetch_key");
    all.minted.encoding = all.fetched.encoding = encoding_of(config.string("encoding"));
    if (!all.minted.id)
        read.fail("mint_key_id", "is missing", "give the JSON pointer of the key's ID, such as \"/key_id\"");
    if (all.fetched.encoding == Encoding::raw) {
        for (const char* key : {"mint_key", "fetch_key", "fetch_key_id"}) {
            if (config.has(key)) {
                read.fail(key, "with encoding = \"raw\" the body of the reply to fetch is the key",
                          "leave it out; after mint the key is fetched by its ID");
            }
        }
    } else if (!all.fetched.key) {
        read.fail("fetch_key", "is missing",
                  "give the JSON pointer of the key, such as \"/key\", or encoding = \"raw\"");
    }
    if (all.mint.uses(Slot::count) != all.mint_list.has_value()) {
        read.fail("mint_list", all.mint_list ? "mint does not say how many keys" : "{count} needs a list of keys",
                  "{count} in mint and the JSON pointer mint_list belong together");
    }
    if (all.share && all.mint.uses(Slot::additional_saes)) {
        read.fail("share", "mint names the additional SAEs already", "leave out one of them");
    }

    all.check_state = read.pointer("check_state");
    all.check_ready = config.list("check_ready");
    if (all.check_state.has_value() != all.check.has_value() || all.check_ready.empty() == all.check.has_value()) {
        read.fail("check", "check, check_state and check_ready belong together",
                  "say where the key's state stands, and which words mean that it can be fetched");
    }
    all.status_stored = read.pointer("status_stored");
    all.status_max_keys = read.pointer("status_max_keys");
    all.status_max_additional = read.pointer("status_max_additional");
    all.status_source = read.pointer("status_source");
    all.status_target = read.pointer("status_target");
    all.error_message = read.pointer("error_message");
    all.error_code = read.pointer("error_code");
    all.success = config.list("success_codes");
    all.exhausted = config.list("exhausted_codes");
    all.not_found = config.list("not_found_codes");
    all.auth = config.list("auth_codes");
    if (!all.success.empty() && !all.error_code) {
        read.fail("success_codes", "there is no error_code to compare them with", "give the JSON pointer error_code");
    }
    if (config.has("cert") != config.has("key")) {
        read.fail(config.has("cert") ? "key" : "cert", "a client certificate and its private key belong together",
                  "give both or none");
    }
    return all;
}

}  // namespace

Result<Settings> Settings::read(const ConfigView& config) {
    try {
        return read_all(config);
    } catch (Error& error) {
        return std::move(error);
    }
}

}  // namespace qkd::rest
