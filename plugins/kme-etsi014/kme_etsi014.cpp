// kme-etsi014: keys from a KME that speaks ETSI GS QKD 014 V1.1.1 over mutually authenticated HTTPS.
// Decides by outcome: an answer counts when it is 200 and everything in it checks out (answers.cpp); status codes of
// refusals differ so much between KMEs that they only choose between "later", "not there" and "never".
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "answers.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/net/http.hpp"
#include "qkd/sdk/plugin.hpp"
#include "wiped_json.hpp"

namespace qkd::etsi014 {
namespace {

enum class Call : std::uint8_t { status, mint, fetch };
enum class Form : std::uint8_t { automatic, get, post };

Error misuse(std::string what, std::string hint) {
    return {ErrorCode::rejected, Retry::never, std::move(what), std::move(hint)};
}

/// Statuses by which a server says that it does not know this kind of request.
bool is_mismatch(int status) {
    constexpr std::array codes{405, 406, 411, 413, 414, 415, 422, 426, 431};
    return status < 400 || std::find(codes.begin(), codes.end(), status) != codes.end();
}

class Etsi014 final : public KeySource {
  public:
    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;
    Result<SourceStatus> status(Context& context, const std::string& peer_sae) override;
    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override;
    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override;

  private:
    Result<net::HttpResponse> exchange(Context& context, const net::HttpRequest& request);
    Result<net::HttpResponse> ask(Context& context, Call call, const net::HttpRequest& request);
    [[nodiscard]] Error refusal(Call call, const net::HttpRequest& request, const net::HttpResponse& response) const;
    Error explain(Context& context, Error error, const MintRequest& request);
    Result<Status> ask_status(Context& context, const std::string& peer_sae);
    [[nodiscard]] static std::string path(const std::string& sae, const char* method) {
        return "/api/v1/keys/" + net::percent_encode(sae) + "/" + method;
    }
    [[nodiscard]] Error in_answer(Error error, const net::HttpRequest& request) const {
        error.what = url_ + request.target + ": " + error.what;
        return error;
    }

    const ConfigView* config_ = nullptr;
    std::string url_;
    Form form_ = Form::automatic;
    std::optional<net::HttpsClient> client_;
};

Result<void> Etsi014::configure(const ConfigView& config) {
    config_ = &config;
    url_ = config.string("url");
    while (url_.ends_with('/')) url_.pop_back();
    const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '?' || c == '#' || c == '@'; };
    if (!url_.starts_with("https://") || std::any_of(url_.begin(), url_.end(), bad)) {
        return Error{ErrorCode::config, Retry::never, config.name() + ": url '" + harmless(url_) + "' cannot be used",
                     "give https://HOST:PORT, with a path prefix if the KME has one, without user, query or fragment"};
    }
    const std::string form = config.string("request_form");
    form_ = form == "get" ? Form::get : form == "post" ? Form::post : Form::automatic;
    return {};
}

/// One exchange on the kept connection; makes the client when there is none.
Result<net::HttpResponse> Etsi014::exchange(Context& context, const net::HttpRequest& request) {
    const bool kept = client_.has_value();
    if (!kept) {
        auto key = config_->secret("key", context);
        if (!key) return std::move(key).error();
        net::HttpsSettings settings;
        settings.base_url = url_;
        settings.ca = config_->path("ca");
        settings.cert = config_->path("cert");
        settings.key = std::move(key).value();
        settings.expected_name = config_->string("expected_kme_name");
        settings.tls13_only = config_->string("tls_min") == "1.3";
        client_.emplace(std::move(settings));
    }
    auto response = client_->send(context, request);
    if (!response && response.error().code == ErrorCode::config) {
        client_.reset();
        // The certificate may have been renewed since the key was read; nothing has been sent.
        if (kept) return exchange(context, request);
    }
    return response;
}

/// The answer when it is a 200, else an error.
Result<net::HttpResponse> Etsi014::ask(Context& context, Call call, const net::HttpRequest& request) {
    auto response = exchange(context, request);
    if (!response) {
        Error error = std::move(response).error();
        if (call == Call::status) error.maybe_consumed = false;
        if (call == Call::fetch && error.maybe_consumed) {
            error.retry = Retry::never;
            error.hint += "; the KME may have given the key away: use a new key";
        }
        return error;
    }
    context.log(LogLevel::debug, (request.body.empty() ? "GET " : "POST ") + url_ + request.target + ": " +
                                     std::to_string(response->status) + ", " + std::to_string(response->body.size()) +
                                     " octets" + (response->reused ? ", kept connection" : ""));
    if (response->status == 200) return response;
    return refusal(call, request, *response);
}

Error Etsi014::refusal(Call call, const net::HttpRequest& request, const net::HttpResponse& response) const {
    const int status = response.status;
    const std::string text = refusal_text(response.body, response.content_type);
    Error error;
    error.what = url_ + request.target + ": " + std::to_string(status) + (text.empty() ? "" : " " + text);
    error.retry_after = response.retry_after;
    const auto as = [&error](ErrorCode code, Retry retry, const char* hint) {
        error.code = code;
        error.retry = retry;
        error.hint = hint;
        return error;
    };

    // A proxy that asks for a client certificate but lets TLS finish without a good one says so in its own page.
    const bool about_certificate =
        status == 400 && response.body.reveal_text().find("SSL certificate") != std::string_view::npos;
    if (about_certificate || ((status == 401 || status == 403) && call != Call::fetch)) {
        return as(ErrorCode::auth, Retry::never,
                  "the KME does not accept this SAE: check the client certificate, that the KME knows its CA and SAE "
                  "ID, and the peer's SAE ID");
    }
    if (status < 400) {
        return as(ErrorCode::protocol, Retry::never, "redirects are not followed: give the KME's own address as url");
    }
    if (is_mismatch(status)) {
        return as(ErrorCode::protocol, Retry::never,
                  "the KME does not take this kind of request: try request_form = \"get\" or \"post\"");
    }
    if (call == Call::fetch) {
        if (status == 429 || status > 500) return as(ErrorCode::unreachable, Retry::safe, "the KME has trouble");
        error.maybe_consumed = status == 500;
        return as(ErrorCode::not_found, Retry::safe,
                  "the KME does not have this key for this SAE: not yet, no more, or it was never meant for it");
    }
    if (call == Call::mint && (status == 400 || status == 429 || status == 503)) {
        return as(ErrorCode::exhausted, Retry::safe,
                  "most often the key pool is empty: is the QKD link up? Else see what the KME says");
    }
    if (status >= 500) {
        error.maybe_consumed = call == Call::mint;
        return as(ErrorCode::unreachable, Retry::safe, "the KME, or one behind it, has trouble");
    }
    return as(ErrorCode::rejected, call == Call::mint ? Retry::safe : Retry::never,
              "does the KME know the peer's SAE ID, and is the url right?");
}

Result<void> Etsi014::probe(Context& context) {
    // No SAE is named: which answer the KME has for this address does not matter, that it has one for us does.
    const net::HttpRequest request{"/api/v1/keys/", "", ""};
    auto response = exchange(context, request);
    if (!response) {
        response.error().maybe_consumed = false;
        return std::move(response).error();
    }
    if (response->status < 400) return {};
    Error error = refusal(Call::status, request, *response);
    if (error.code == ErrorCode::auth || error.code == ErrorCode::unreachable) return error;
    return {};
}

Result<Status> Etsi014::ask_status(Context& context, const std::string& peer_sae) {
    const net::HttpRequest request{path(peer_sae, "status"), "", ""};
    auto response = ask(context, Call::status, request);
    if (!response) return std::move(response).error();
    auto status = read_status(response->body);
    if (!status) return in_answer(std::move(status).error(), request);
    return status;
}

Result<SourceStatus> Etsi014::status(Context& context, const std::string& peer_sae) {
    if (peer_sae.empty()) return misuse("status of no SAE", "give the peer's SAE ID");
    auto status = ask_status(context, peer_sae);
    if (!status) return std::move(status).error();
    if (!status->slave_sae.empty() && status->slave_sae != harmless(peer_sae)) {
        context.log(LogLevel::notice,
                    "asked about SAE " + peer_sae + ", the KME speaks of " + status->slave_sae + " in its Status");
    }
    return SourceStatus{std::move(status->source_kme), std::move(status->target_kme), status->stored_keys,
                        status->max_keys_per_request, status->max_additional_saes};
}

Result<std::vector<Key>> Etsi014::mint(Context& context, const MintRequest& request) {
    if (request.peer_sae.empty() || request.count == 0 || request.bits == 0 || request.bits % 8 != 0) {
        return misuse("a request for " + std::to_string(request.count) + " keys of " + std::to_string(request.bits) +
                          " bits for SAE '" + harmless(request.peer_sae) + "'",
                      "ask for at least one key of whole octets, for a named SAE");
    }
    const bool additional = !request.additional_saes.empty();
    if (additional && form_ == Form::get) {
        return misuse(config_->name() + ": additional SAEs cannot be named in a GET request",
                      "set request_form = \"auto\" or \"post\"");
    }
    net::HttpRequest http;
    http.target = path(request.peer_sae, "enc_keys");
    if (form_ == Form::get || (form_ == Form::automatic && request.count == 1 && !additional)) {
        http.target += "?number=" + std::to_string(request.count) + "&size=" + std::to_string(request.bits);
    } else {
        WipedJson body{{"number", request.count}, {"size", request.bits}};
        for (const auto& sae : request.additional_saes) body["additional_slave_SAE_IDs"].push_back(sae.c_str());
        http.body = body.dump(-1, ' ', true, WipedJson::error_handler_t::replace).c_str();
        http.content_type = "application/json";
    }
    auto response = ask(context, Call::mint, http);
    if (!response) return explain(context, std::move(response).error(), request);
    auto keys = read_container(response->body, request.count, request.bits);
    if (!keys) return in_answer(std::move(keys).error(), http);
    return keys;
}

/// Turns a refusal into one with a remedy when the KME's Status shows that the request could never be met.
Error Etsi014::explain(Context& context, Error error, const MintRequest& request) {
    const bool refused =
        !error.maybe_consumed &&
        (error.code == ErrorCode::exhausted || error.code == ErrorCode::rejected || error.code == ErrorCode::protocol);
    if (!refused || error.retry_after.count() != 0) return error;
    const auto status = ask_status(context, request.peer_sae);
    if (!status) return error;
    const auto never = [&error](const std::string& limit, const char* hint) {
        return Error{ErrorCode::rejected, Retry::never, error.what + " (" + limit + ")", hint};
    };
    const std::size_t additional = request.additional_saes.size();
    if (status->max_additional_saes && *status->max_additional_saes < additional) {
        return never("the KME allows " + std::to_string(*status->max_additional_saes) +
                         " additional SAEs, this link has " + std::to_string(additional),
                     "raise max_SAE_ID_count at the KME, or split the link into links of fewer members");
    }
    if (const auto most = status->max_keys_per_request.value_or(0); most != 0 && most < request.count) {
        return never("the KME gives " + std::to_string(most) + " keys per request at most",
                     "raise max_key_per_request at the KME");
    }
    const bool sound = status->min_bits <= status->max_bits && status->max_bits != 0;
    if (sound && (request.bits < status->min_bits || request.bits > status->max_bits)) {
        return never("the KME gives keys of " + std::to_string(status->min_bits) + " to " +
                         std::to_string(status->max_bits) + " bits, the cipher needs " + std::to_string(request.bits),
                     "change the limits at the KME, or the link's cipher");
    }
    return error;
}

Result<std::vector<Key>> Etsi014::fetch(Context& context, const FetchRequest& request) {
    const auto bad_id = [](const std::string& id) {
        return id.empty() || id.size() > 256 ||
               std::any_of(id.begin(), id.end(), [](char c) { return c <= ' ' || c > '~'; });
    };
    auto sorted = request.ids;
    std::sort(sorted.begin(), sorted.end());
    if (request.peer_sae.empty() || request.bits == 0 || request.bits % 8 != 0 || request.ids.empty() ||
        std::any_of(request.ids.begin(), request.ids.end(), bad_id) ||
        std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        return misuse("a request for keys that cannot be: no SAE, no or unusable or repeated key_IDs, or odd bits",
                      "ask for distinct key_IDs of 1 to 256 printable characters and for whole octets");
    }
    if (form_ == Form::get && request.ids.size() > 1) {
        return misuse(config_->name() + ": a GET request names one key_ID only",
                      "set request_form = \"auto\" or \"post\"");
    }
    net::HttpRequest http;
    http.target = path(request.peer_sae, "dec_keys");
    if (form_ != Form::post && request.ids.size() == 1) {
        http.target += "?key_ID=" + net::percent_encode(request.ids.front());
    } else {
        WipedJson ids = WipedJson::array();
        for (const auto& id : request.ids) ids.push_back(WipedJson{{"key_ID", id.c_str()}});
        http.body = WipedJson{{"key_IDs", std::move(ids)}}.dump(-1, ' ', true).c_str();
        http.content_type = "application/json";
    }
    auto response = ask(context, Call::fetch, http);
    if (!response) return std::move(response).error();
    auto keys = read_container(response->body, request.ids.size(), request.bits, request.ids);
    if (!keys) return in_answer(std::move(keys).error(), http);
    return keys;
}

constexpr std::array stages{StageInfo{StageKind::key_source, "multicast", "", &create_stage<Etsi014>, &destroy_stage}};

constexpr std::array fields{
    Field{Scope::kme, FieldType::url, "url", true, nullptr, "https",
          "Address of the KME, with the path before /api/v1/keys if there is any."},
    Field{Scope::kme, FieldType::path, "ca", true, nullptr, nullptr,
          "PEM file of the only certificate authorities that the KME's certificate may come from."},
    Field{Scope::kme, FieldType::path, "cert", true, nullptr, nullptr,
          "PEM file of the SAE's client certificate, with intermediate certificates if there are any."},
    Field{Scope::kme, FieldType::secret, "key", true, nullptr, nullptr,
          "Private key of the client certificate, PEM, unencrypted."},
    Field{Scope::kme, FieldType::one_of, "request_form", false, "auto", "auto|get|post",
          "How keys are asked for; auto uses GET for one key without additional SAEs, else POST."},
    Field{
        Scope::kme, FieldType::string, "expected_kme_name", false, nullptr, nullptr,
        "Name that the KME's certificate must bear when it is not the host of url: a DNS subject alternative name or, "
        "without such, the common name."},
    Field{Scope::kme, FieldType::one_of, "tls_min", false, "1.2", "1.2|1.3", "Oldest version of TLS that is accepted."},
};

}  // namespace
}  // namespace qkd::etsi014

using qkd::etsi014::fields;
using qkd::etsi014::stages;
QKD_PLUGIN("kme-etsi014", "1.0.0", "qkd-macsec", "Keys from a KME by ETSI GS QKD 014 V1.1.1", "stable", stages, fields)
