// kme-rest: keys from a KME whose REST API is described in the pipeline file: requests, where keys and errors stand in
// replies, and how keys are written. A new vendor without code.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "kme-common/client.hpp"
#include "kme-common/json.hpp"
#include "kme-common/keys.hpp"
#include "kme-common/text.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"
#include "settings.hpp"

namespace qkd::rest {
namespace {

using kme::Call;
using kme::harmless;
using kme::WipedJson;

bool among(const std::vector<std::string>& words, const std::string& word) {
    return !word.empty() && std::find(words.begin(), words.end(), word) != words.end();
}

class Rest final : public KeySource {
  public:
    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;
    Result<SourceStatus> status(Context& context, const std::string& peer_sae) override;
    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override;
    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override;

  private:
    struct Answer {
        net::HttpResponse response;
        WipedJson json;     ///< discarded when the body is no JSON
        std::string where;  ///< URL, for messages
    };
    Result<std::vector<net::HttpHeader>> make_headers(Context& context) const;
    Result<Answer> send(Context& context, Call call, const Line& line, const Values& values);
    Result<Answer> ask(Context& context, Call call, const Line& line, const Values& values);
    [[nodiscard]] std::string code_of(const Answer& answer) const;
    [[nodiscard]] Error refused(Call call, const Answer& answer, const std::string& code) const;
    Result<void> mint_some(Context& context, const MintRequest& request, unsigned count, std::vector<Found>& found);
    Result<void> complete(Context& context, const MintRequest& request, std::vector<Found>& found);
    Result<void> check_ready(Context& context, const FetchRequest& request, const std::string& id);
    Result<SecretBytes> fetch_one(Context& context, Values values, const std::string& id, unsigned bits);
    void give_back(Context& context, const MintRequest& request, const std::vector<Found>& found);
    [[nodiscard]] Values values(const std::string& peer, unsigned bits) const {
        return {{Slot::local_sae, settings_.local_sae},
                {Slot::peer_sae, peer},
                {Slot::bits, std::to_string(bits)},
                {Slot::octets, std::to_string(bits / 8)}};
    }
    static Error at(const std::string& where, Error error) {
        error.what = where + ": " + error.what;
        return error;
    }

    const ConfigView* config_ = nullptr;
    kme::Client client_;
    Settings settings_;
};

Result<void> Rest::configure(const ConfigView& config) {
    config_ = &config;
    QKD_TRY(client_.configure(config));
    QKD_TRY(settings_, Settings::read(config));
    return {};
}

Result<std::vector<net::HttpHeader>> Rest::make_headers(Context& context) const {
    std::vector<net::HttpHeader> headers;
    SecretBytes token;
    if (config_->has("token")) {
        QKD_TRY(token, config_->secret("token", context));
        const auto text = token.reveal_text();
        const auto end = text.find_last_not_of("\r\n");  // files end in a line end
        token.resize(end == std::string_view::npos ? 0 : end + 1);
        if (token.empty()) {
            return Error::config(config_->name() + ": the token is empty", "look at its source");
        }
    }
    for (const HeaderLine& line : settings_.headers) {
        net::HttpHeader header{line.name, {}};
        for (const auto& part : line.value.parts()) {
            if (part.is_slot && part.slot == Slot::token) {
                header.value.append(token.reveal());
            } else {
                header.value.append(std::string_view(part.is_slot ? settings_.local_sae : part.text));
            }
        }
        headers.push_back(std::move(header));
    }
    if (settings_.fetched.encoding == Encoding::raw) {
        const auto is_accept = [](const net::HttpHeader& header) {
            return kme::same_ignoring_case(header.name, "Accept");
        };
        if (std::none_of(headers.begin(), headers.end(), is_accept)) {
            headers.push_back({"Accept", SecretBytes(std::string_view("*/*"))});
        }
    }
    return headers;
}

/// Any answer.
Result<Rest::Answer> Rest::send(Context& context, Call call, const Line& line, const Values& values) {
    QKD_TRY(auto headers, make_headers(context));
    net::HttpRequest request{line.target.fill(values, Escape::url), "", ""};
    request.method = line.method;
    request.headers = headers;
    if (!line.body.empty()) {
        request.body = line.body.fill(values, settings_.form ? Escape::url : Escape::json);
        request.content_type = settings_.form ? "application/x-www-form-urlencoded" : "application/json";
    }
    QKD_TRY(auto response, client_.send(context, call, request));

    Answer answer{std::move(response), WipedJson::value_t::discarded, client_.url() + request.target};
    const bool good = answer.response.status >= 200 && answer.response.status < 300;
    const bool raw = good && &line == &settings_.fetch && settings_.fetched.encoding == Encoding::raw;
    if (!raw) answer.json = kme::parse_json(answer.response.body.reveal());
    return answer;
}

std::string Rest::code_of(const Answer& answer) const {
    if (!settings_.error_code || answer.json.is_discarded()) return {};
    return word_at(answer.json, *settings_.error_code).value_or("");
}

/// A good answer: a 2xx that names no error. Whether a key is in it is not looked at.
Result<Rest::Answer> Rest::ask(Context& context, Call call, const Line& line, const Values& values) {
    auto answer = send(context, call, line, values);
    if (!answer) return answer;
    const int status = answer->response.status;
    const std::string code = code_of(*answer);
    const bool named = !code.empty() && code != "0" && !among(settings_.success, code);
    if (status >= 200 && status < 300 && status != 202 && !named) return answer;
    return refused(call, *answer, code);
}

Error Rest::refused(Call call, const Answer& answer, const std::string& code) const {
    const net::HttpResponse& response = answer.response;
    std::string said;
    if (settings_.error_message && !answer.json.is_discarded()) {
        said = harmless(word_at(answer.json, *settings_.error_message).value_or(""));
    }
    if (said.empty() && response.status >= 300) said = kme::refusal_text(response.body, response.content_type);
    if (!code.empty()) said = harmless(code) + (said.empty() ? "" : ": ") + said;

    Error error = kme::refusal(call, answer.where, response, said);
    const auto as = [&error](ErrorCode meaning, Retry retry, const char* hint) {
        error.code = meaning;
        error.retry = retry;
        error.hint = hint;
        error.maybe_consumed = false;
        return error;
    };
    const auto listed = [&](const std::vector<std::string>& words) {
        return among(words, code) || among(words, std::to_string(response.status));
    };
    if (listed(settings_.auth)) {
        return as(ErrorCode::auth, Retry::never,
                  "the KME does not accept this SAE: check certificate, token and SAE IDs");
    }
    if (call == Call::mint && listed(settings_.exhausted)) {
        return as(ErrorCode::exhausted, Retry::safe, "the key pool is empty: is the QKD link up?");
    }
    if (call == Call::fetch && listed(settings_.not_found)) {
        return as(ErrorCode::not_found, Retry::safe,
                  "the KME does not have this key for this SAE: not yet, or no more");
    }
    if (response.status < 300) {
        if (response.status == 202 || !code.empty()) {
            return as(call == Call::fetch ? ErrorCode::not_found : ErrorCode::rejected, Retry::safe,
                      "see what the KME says; exhausted_codes and not_found_codes tell this plugin what it means");
        }
    }
    return error;
}

Result<void> Rest::probe(Context& context) {
    if (settings_.probe) {
        auto answer = ask(context, Call::status, *settings_.probe, {{Slot::local_sae, settings_.local_sae}});
        return answer ? Result<void>() : std::move(answer).error();
    }
    // That there is an answer for us at all is what counts.
    static const Line root{"GET", *Template::parse("/", {}), {}};
    QKD_TRY(const auto answer, send(context, Call::status, root, {}));
    if (answer.response.status < 400) return {};
    Error error = refused(Call::status, answer, code_of(answer));
    if (error.code == ErrorCode::auth || error.code == ErrorCode::unreachable) return error;
    return {};
}

Result<SourceStatus> Rest::status(Context& context, const std::string& peer_sae) {
    if (peer_sae.empty()) {
        return Error::rejected("status of no SAE", "give the peer's SAE ID");
    }
    SourceStatus status;
    if (!settings_.status) {
        QKD_TRY(probe(context));
        return status;
    }
    const auto answer = ask(context, Call::status, *settings_.status, values(peer_sae, 0));
    QKD_TRY(answer);
    const auto number = [&answer](const std::optional<Pointer>& place) {
        return place && !answer->json.is_discarded() ? kme::number_of(place->find(answer->json)) : std::nullopt;
    };
    const auto text = [&answer](const std::optional<Pointer>& place) {
        return place && !answer->json.is_discarded() ? harmless(word_at(answer->json, *place).value_or("")) : "";
    };
    status.source_kme = text(settings_.status_source);
    status.target_kme = text(settings_.status_target);
    status.stored_keys = number(settings_.status_stored);
    status.max_keys_per_request = number(settings_.status_max_keys);
    status.max_additional_saes = number(settings_.status_max_additional);
    return status;
}

/// One request for new keys: exactly `count` of them, perhaps IDs only.
Result<void> Rest::mint_some(Context& context, const MintRequest& request, unsigned count, std::vector<Found>& found) {
    Values given = values(request.peer_sae, request.bits);
    given[Slot::count] = std::to_string(count);
    given[Slot::additional_saes] = json_array(request.additional_saes);
    auto answer = ask(context, Call::mint, settings_.mint, given);
    QKD_TRY(answer);
    const auto broken = [&answer](std::string what) { return at(answer->where, kme::broken(std::move(what))); };
    if (answer->json.is_discarded()) return broken("the answer is no JSON");
    const auto take = [&](const WipedJson& json) -> Result<void> {
        auto one = read_key(json, settings_.minted, request.bits);
        if (!one) return at(answer->where, std::move(one).error());
        found.push_back(std::move(one).value());
        return {};
    };
    if (!settings_.mint_list) return take(answer->json);
    const WipedJson* list = settings_.mint_list->find(answer->json);
    if (list == nullptr || list->is_null() || (list->is_array() && list->empty())) {
        return Error::exhausted(answer->where + ": the KME answered without any key", "is the QKD link up?")
            .retryable();
    }
    if (!list->is_array()) return broken("there is no array at '" + settings_.mint_list->text() + "'");
    if (list->size() > count) return broken("the KME answered with more keys than it was asked for");
    for (const WipedJson& item : *list) {
        QKD_TRY(take(item));
    }
    if (list->size() < count) {
        return Error::exhausted(answer->where + ": the KME had fewer keys than asked for", "wait for the pool to fill")
            .retryable()
            .maybe_consuming();
    }
    return {};
}

/// Shares new keys with the additional SAEs, and fetches those of which only the ID came.
Result<void> Rest::complete(Context& context, const MintRequest& request, std::vector<Found>& found) {
    for (Found& one : found) {
        Values given = values(request.peer_sae, request.bits);
        given[Slot::key_id] = one.id;
        for (const std::string& sae : settings_.share ? request.additional_saes : std::vector<std::string>()) {
            given[Slot::additional_sae] = sae;
            QKD_TRY(ask(context, Call::mint, *settings_.share, given));
        }
        if (one.key) continue;
        auto key = fetch_one(context, std::move(given), one.id, request.bits);
        if (!key) {
            Error error = std::move(key).error();
            // This is a mint that failed: the next one brings another key.
            if (error.code == ErrorCode::not_found) error.code = ErrorCode::rejected;
            if (error.code != ErrorCode::protocol && error.code != ErrorCode::auth) error.retry = Retry::safe;
            return error;
        }
        one.key = std::move(key).value();
    }
    return {};
}

Result<std::vector<Key>> Rest::mint(Context& context, const MintRequest& request) {
    QKD_TRY(kme::check_request(request));
    if (!request.additional_saes.empty() && !settings_.share && !settings_.mint.uses(Slot::additional_saes)) {
        return Error::rejected(
            config_->name() + ": this description of the KME's API says nothing of additional SAEs",
            "add share, or {additional_saes} to mint; else split the link into links of two members");
    }
    std::vector<Found> found;
    Result<void> done;
    while (done && found.size() < request.count) {
        done = mint_some(context, request, settings_.mint_list ? request.count : 1, found);
    }
    if (done) done = complete(context, request, found);
    std::vector<Key> keys;
    if (done) {
        for (Found& one : found) keys.push_back({one.id, std::move(*one.key)});
        done = kme::check_distinct(keys);
    }
    if (!done) {
        give_back(context, request, found);
        done.error().maybe_consumed = done.error().maybe_consumed || !found.empty();
        return std::move(done).error();
    }
    return keys;
}

/// Deletes keys that nobody will use, as far as the KME can do that and there is time.
void Rest::give_back(Context& context, const MintRequest& request, const std::vector<Found>& found) {
    if (!settings_.remove) return;
    for (const Found& one : found) {
        if (context.remaining().count() == 0 || context.stop_requested()) return;
        Values given = values(request.peer_sae, request.bits);
        given[Slot::key_id] = one.id;
        const auto gone = ask(context, Call::status, *settings_.remove, given);
        context.log(LogLevel::notice, gone ? "key " + harmless(one.id) + " was not needed and is deleted"
                                           : "key " + harmless(one.id) + " is left over: " + gone.error().what);
    }
}

Result<void> Rest::check_ready(Context& context, const FetchRequest& request, const std::string& id) {
    Values given = values(request.peer_sae, request.bits);
    given[Slot::key_id] = id;
    auto answer = ask(context, Call::fetch, *settings_.check, given);
    if (!answer) {
        // Looking takes nothing, even when the answer is lost.
        if (answer.error().maybe_consumed) answer.error().retry = Retry::safe;
        answer.error().maybe_consumed = false;
        return std::move(answer).error();
    }
    const auto state = answer->json.is_discarded() ? std::nullopt : word_at(answer->json, *settings_.check_state);
    if (state && among(settings_.check_ready, *state)) return {};
    return Error::not_found(
               answer->where + ": the key is " + (state ? "'" + harmless(*state) + "'" : "in no state at all"),
               "it can be fetched when it is " + settings_.check_ready.front())
        .retryable();
}

Result<SecretBytes> Rest::fetch_one(Context& context, Values given, const std::string& id, unsigned bits) {
    given[Slot::key_id] = id;
    QKD_TRY(auto answer, ask(context, Call::fetch, settings_.fetch, given));
    if (settings_.fetched.encoding == Encoding::raw) {
        auto key = kme::checked_key(std::move(answer.response.body), bits, id);
        return key ? std::move(key) : Result<SecretBytes>(at(answer.where, std::move(key).error()));
    }
    if (answer.json.is_discarded()) return at(answer.where, kme::broken("the answer is no JSON"));
    auto found = read_key(answer.json, settings_.fetched, bits, id);
    if (!found) return at(answer.where, std::move(found).error());
    return std::move(*found->key);
}

Result<std::vector<Key>> Rest::fetch(Context& context, const FetchRequest& request) {
    QKD_TRY(kme::check_request(request));
    for (const std::string& id : request.ids) {
        if (!settings_.check) break;
        QKD_TRY(check_ready(context, request, id));
    }
    std::vector<Key> keys;
    for (const std::string& id : request.ids) {
        auto key = fetch_one(context, values(request.peer_sae, request.bits), id, request.bits);
        if (!key) return kme::after_some(std::move(key).error(), keys.size());
        keys.push_back({id, std::move(key).value()});
    }
    QKD_TRY(kme::check_distinct(keys));
    return keys;
}

constexpr Field cert_field{Scope::kme,
                           FieldType::path,
                           "cert",
                           false,
                           nullptr,
                           nullptr,
                           "PEM file of the SAE's client certificate; needed unless the KME is content with a token."};
constexpr Field key_field{Scope::kme,
                          FieldType::secret,
                          "key",
                          false,
                          nullptr,
                          nullptr,
                          "Private key of the client certificate, PEM, unencrypted."};

constexpr Field text(const char* key, const char* doc) {
    return {Scope::kme, FieldType::string, key, false, nullptr, nullptr, doc};
}
constexpr Field list(const char* key, const char* doc) {
    return {Scope::kme, FieldType::string_list, key, false, nullptr, nullptr, doc};
}

constexpr std::array stages{stage<KeySource, Rest>({Capability::multicast})};

constexpr std::array fields{
    kme::url_field,
    kme::standby_field,
    kme::ca_field,
    cert_field,
    key_field,
    list("headers",
         "Header lines of every request, NAME: VALUE; {token} stands for the secret, {local_sae} for our SAE ID."),
    Field{Scope::kme, FieldType::secret, "token", false, nullptr, nullptr, "The secret that headers name as {token}."},
    Field{Scope::kme, FieldType::string, "sae", false, "{sae}", nullptr, "What {local_sae} stands for."},
    Field{Scope::kme, FieldType::one_of, "body_type", false, "json", "json|form",
          "Bodies are JSON or web forms (application/x-www-form-urlencoded)."},
    Field{Scope::kme, FieldType::one_of, "encoding", false, "base64", "base64|base64url|hex|raw",
          "How keys are written; raw: the body of the reply to fetch is the key."},
    Field{Scope::kme, FieldType::string, "mint", true, nullptr, nullptr,
          "Asks for new keys: METHOD PATH with {local_sae}, {peer_sae}, {bits}, {octets}, {count}."},
    text("mint_body", "Body of mint, with the same placeholders and {additional_saes}, a JSON array."),
    text("mint_list",
         "JSON pointer to the array of keys when mint has {count}; the next two are then within its items."),
    text("mint_key_id", "JSON pointer to a new key's ID; required."),
    text("mint_key", "JSON pointer to a new key; without it the key is fetched by its ID."),
    Field{Scope::kme, FieldType::string, "fetch", true, nullptr, nullptr,
          "Asks for one key by its ID: METHOD PATH with {local_sae}, {peer_sae}, {key_id}, {bits}, {octets}."},
    text("fetch_body", "Body of fetch, with the same placeholders."),
    text("fetch_key", "JSON pointer to the key; required unless keys are raw."),
    text("fetch_key_id", "JSON pointer to the key's ID in the reply, which must then be the one asked for."),
    text("share",
         "Lets one more SAE fetch a new key: METHOD PATH with {key_id}, {additional_sae}, {peer_sae}, {local_sae}."),
    text("share_body", "Body of share, with the same placeholders."),
    text("check", "Asks for a key's state before it is fetched: METHOD PATH with {key_id}, {peer_sae}, {local_sae}."),
    text("check_body", "Body of check, with the same placeholders."),
    text("check_state", "JSON pointer to the key's state."),
    list("check_ready", "States in which a key can be fetched; in any other it is not there yet."),
    text("delete", "Deletes a new key that could not be used: METHOD PATH with {key_id}, {peer_sae}, {local_sae}."),
    text("delete_body", "Body of delete, with the same placeholders."),
    text("status", "Asks how the KME is doing: METHOD PATH with {peer_sae}, {local_sae}."),
    text("status_body", "Body of status, with the same placeholders."),
    text("status_stored", "JSON pointer to the number of keys left."),
    text("status_max_keys", "JSON pointer to the most keys in one request."),
    text("status_max_additional", "JSON pointer to the most additional SAEs of a key."),
    text("status_source", "JSON pointer to the KME's own name."),
    text("status_target", "JSON pointer to the name of the peer's KME."),
    text("probe", "A request that changes nothing, for check --online: METHOD PATH with {local_sae}."),
    text("probe_body", "Body of probe, with the same placeholder."),
    text("error_message", "JSON pointer to the text of an error."),
    text("error_code",
         "JSON pointer to the code of an error; in a 2xx reply only an absent or empty one, 0 or one of "
         "success_codes is no error."),
    list("success_codes", "Codes at error_code that are no errors."),
    list("exhausted_codes", "Codes at error_code or HTTP statuses by which mint says that the key pool is empty."),
    list("not_found_codes", "Codes at error_code or HTTP statuses by which fetch says that the key is not there."),
    list("auth_codes", "Codes at error_code or HTTP statuses that mean that we are not accepted."),
    kme::name_field,
    kme::tls_field,
};

}  // namespace
}  // namespace qkd::rest

using qkd::rest::fields;
using qkd::rest::stages;
QKD_PLUGIN("kme-rest", "1.0.0", "qkd-macsec",
           "Keys from a KME with a REST API of its own, described in the pipeline file", "experimental", stages, fields)
