// kme-etsi014: keys from a KME that speaks ETSI GS QKD 014 V1.1.1 over mutually authenticated HTTPS.
// Decides by outcome: an answer counts when it is 200 and everything in it checks out (answers.cpp).
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "answers.hpp"
#include "kme-common/client.hpp"
#include "kme-common/json.hpp"
#include "kme-common/keys.hpp"
#include "kme-common/text.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"

namespace qkd::etsi014 {
namespace {

using kme::Call;
using kme::harmless;
using kme::WipedJson;
using std::chrono::milliseconds;

constexpr milliseconds patience_for_advice{2000};  // a Status must not hold up what it is only advice for
constexpr milliseconds between_looks{60000};
constexpr milliseconds pause_when_empty{5000};

enum class Form : std::uint8_t { automatic, get, post };

/// A call's context with less time.
class Brief final : public Context {
  public:
    Brief(Context& whole, milliseconds budget)
        : Context(std::min(whole.deadline(), Clock::now() + budget), whole.stop_token(), whole.cancel_fd()),
          whole_(whole) {}
    void log(LogLevel level, std::string_view message) override { whole_.log(level, message); }
    void event(std::string_view name, std::span<const Attr> attributes) override { whole_.event(name, attributes); }

  private:
    Context& whole_;
};

class Etsi014 final : public KeySource {
  public:
    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;
    Result<SourceStatus> status(Context& context, const std::string& peer_sae) override;
    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override;
    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override;

  private:
    using Extensions = std::vector<std::pair<std::string, std::string>>;
    Result<Extensions> read_extensions(const ConfigView& config, const char* key) const;
    Result<net::HttpResponse> ask(Context& context, Call call, const net::HttpRequest& request);
    [[nodiscard]] net::HttpRequest request_for(const MintRequest& request) const;
    [[nodiscard]] net::HttpRequest request_for(const std::string& peer, std::span<const std::string> ids) const;
    Result<std::vector<Key>> mint_at_once(Context& context, const MintRequest& request);
    Error explain(Context& context, Error error, const MintRequest& request);
    std::size_t most_at_once(Context& context, const std::string& peer_sae, std::size_t wanted);
    void watch_stock(Context& context, const std::string& peer_sae);
    Result<Status> ask_status(Context& context, const std::string& peer_sae);
    [[nodiscard]] static std::string path(const std::string& sae, const char* method) {
        return "/api/v1/keys/" + net::percent_encode(sae) + "/" + method;
    }
    [[nodiscard]] Error in_answer(Error error, const net::HttpRequest& request) const {
        error.what = client_.url() + request.target + ": " + error.what;
        return error;
    }

    const ConfigView* config_ = nullptr;
    kme::Client client_;
    Form form_ = Form::automatic;
    unsigned bits_per_unit_ = 1;
    std::uint64_t low_stock_ = 0;
    Extensions mandatory_;
    Extensions optional_;
    std::optional<std::size_t> most_at_once_;
    Context::Clock::time_point next_look_{};
};

Result<void> Etsi014::configure(const ConfigView& config) {
    config_ = &config;
    QKD_TRY(client_.configure(config));
    const std::string form = config.string("request_form");
    form_ = form == "get" ? Form::get : form == "post" ? Form::post : Form::automatic;
    bits_per_unit_ = config.string("size_unit") == "bytes" ? 8 : 1;
    low_stock_ = static_cast<std::uint64_t>(config.integer("low_stock"));
    for (const auto& [key, list] :
         {std::pair{"extension_mandatory", &mandatory_}, {"extension_optional", &optional_}}) {
        QKD_TRY(*list, read_extensions(config, key));
    }
    return {};
}

Result<Etsi014::Extensions> Etsi014::read_extensions(const ConfigView& config, const char* key) const {
    Extensions extensions;
    for (const std::string& item : config.list(key)) {
        const auto equals = item.find('=');
        if (equals == 0 || equals == std::string::npos || form_ == Form::get) {
            return Error::config(
                config.name() + ": " + key + " '" + harmless(item) +
                    (form_ == Form::get ? "' cannot be named in a GET request" : "' is not NAME=VALUE"),
                "write \"vendor_name=value\", with request_form = \"auto\" or \"post\"");
        }
        extensions.emplace_back(item.substr(0, equals), item.substr(equals + 1));
    }
    return extensions;
}

/// The answer when it is a 200, else an error.
Result<net::HttpResponse> Etsi014::ask(Context& context, Call call, const net::HttpRequest& request) {
    auto response = client_.send(context, call, request);
    if (!response || response->status == 200) return response;
    Error error = kme::refusal(call, client_.url() + request.target, *response,
                               kme::refusal_text(response->body, response->content_type));
    if (error.code == ErrorCode::protocol && response->status >= 400) {
        error.hint += R"(: try request_form = "get" or "post")";
    }
    return error;
}

Result<void> Etsi014::probe(Context& context) {
    // No SAE is named: which answer the KME has for this address does not matter, that it has one for us does.
    const net::HttpRequest request{"/api/v1/keys/", "", ""};
    QKD_TRY(auto response, client_.send(context, Call::status, request));
    if (response.status < 400) return {};
    Error error = kme::refusal(Call::status, client_.url() + request.target, response,
                               kme::refusal_text(response.body, response.content_type));
    if (error.code == ErrorCode::auth || error.code == ErrorCode::unreachable) return error;
    return {};
}

Result<Status> Etsi014::ask_status(Context& context, const std::string& peer_sae) {
    const net::HttpRequest request{path(peer_sae, "status"), "", ""};
    QKD_TRY(auto response, ask(context, Call::status, request));
    auto status = read_status(response.body);
    if (!status) return in_answer(std::move(status).error(), request);
    return status;
}

Result<SourceStatus> Etsi014::status(Context& context, const std::string& peer_sae) {
    if (peer_sae.empty()) {
        return Error::rejected("status of no SAE", "give the peer's SAE ID");
    }
    QKD_TRY(auto status, ask_status(context, peer_sae));
    if (!status.slave_sae.empty() && status.slave_sae != harmless(peer_sae)) {
        context.log(LogLevel::notice,
                    "asked about SAE " + peer_sae + ", the KME speaks of " + status.slave_sae + " in its Status");
    }
    return SourceStatus{std::move(status.source_kme), std::move(status.target_kme), status.stored_keys,
                        status.max_keys_per_request, status.max_additional_saes};
}

/// How many keys go into one request: all of them, unless the KME's Status names a limit below that.
std::size_t Etsi014::most_at_once(Context& context, const std::string& peer_sae, std::size_t wanted) {
    if (wanted <= 1) return 1;
    if (!most_at_once_) {
        Brief brief(context, std::min(patience_for_advice, context.remaining() / 4));
        const auto status = ask_status(brief, peer_sae);
        if (!status) return wanted;
        const std::uint64_t most = status->max_keys_per_request.value_or(0);
        most_at_once_ = most == 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(most);
    }
    return std::min(wanted, *most_at_once_);
}

/// Says when the KME runs low. A second SAE pair on the same object waits its minute too: it is advice.
void Etsi014::watch_stock(Context& context, const std::string& peer_sae) {
    if (low_stock_ == 0 || Context::Clock::now() < next_look_) return;
    next_look_ = Context::Clock::now() + between_looks;
    Brief brief(context, std::min(patience_for_advice, context.remaining() / 4));
    const auto status = ask_status(brief, peer_sae);
    if (!status || !status->stored_keys || *status->stored_keys >= low_stock_) return;
    // Some servers fill their Status with zeros.
    if (*status->stored_keys == 0 && status->max_stored_keys.value_or(0) == 0) return;
    const auto stored = static_cast<std::int64_t>(*status->stored_keys);
    context.log(LogLevel::warning, client_.url() + ": " + std::to_string(stored) + " keys are left for " +
                                       harmless(peer_sae) + ": is the QKD link up, and are keys changed too often?");
    const std::array attributes{Attr{"stored", stored}, Attr{"low_stock", static_cast<std::int64_t>(low_stock_)}};
    context.event("kme.stock_low", attributes);
}

net::HttpRequest Etsi014::request_for(const MintRequest& request) const {
    net::HttpRequest http{path(request.peer_sae, "enc_keys"), "", ""};
    const unsigned size = request.bits / bits_per_unit_;
    const bool plain = request.additional_saes.empty() && mandatory_.empty() && optional_.empty();
    if (form_ == Form::get || (form_ == Form::automatic && request.count == 1 && plain)) {
        http.target += "?number=" + std::to_string(request.count) + "&size=" + std::to_string(size);
        return http;
    }
    WipedJson body{{"number", request.count}, {"size", size}};
    for (const auto& sae : request.additional_saes) body["additional_slave_SAE_IDs"].push_back(sae.c_str());
    for (const auto& [name, value] : mandatory_) {
        body["extension_mandatory"].push_back(WipedJson{{name.c_str(), value.c_str()}});
    }
    for (const auto& [name, value] : optional_) {
        body["extension_optional"].push_back(WipedJson{{name.c_str(), value.c_str()}});
    }
    http.body = body.dump(-1, ' ', true, WipedJson::error_handler_t::replace).c_str();
    http.content_type = "application/json";
    return http;
}

Result<std::vector<Key>> Etsi014::mint_at_once(Context& context, const MintRequest& request) {
    const net::HttpRequest http = request_for(request);
    auto response = ask(context, Call::mint, http);
    if (!response) return explain(context, std::move(response).error(), request);
    auto keys = read_container(response->body, request.count, request.bits);
    if (!keys) return in_answer(std::move(keys).error(), http);
    return keys;
}

Result<std::vector<Key>> Etsi014::mint(Context& context, const MintRequest& request) {
    QKD_TRY(kme::check_request(request));
    if (!request.additional_saes.empty() && form_ == Form::get) {
        return Error::rejected(config_->name() + ": additional SAEs cannot be named in a GET request",
                               "set request_form = \"auto\" or \"post\"");
    }
    const std::size_t most = most_at_once(context, request.peer_sae, request.count);
    std::vector<Key> keys;
    while (keys.size() < request.count) {
        MintRequest part = request;
        part.count = static_cast<unsigned>(std::min(most, request.count - keys.size()));
        auto some = mint_at_once(context, part);
        if (!some) {
            some.error().maybe_consumed = some.error().maybe_consumed || !keys.empty();
            return some;
        }
        std::move(some->begin(), some->end(), std::back_inserter(keys));
    }
    QKD_TRY(kme::check_distinct(keys));
    watch_stock(context, request.peer_sae);
    return keys;
}

/// Adds to a refusal what the KME's Status says about it: a limit that could never be met, or an empty pool. Nothing is
/// refused because of a Status alone.
Error Etsi014::explain(Context& context, Error error, const MintRequest& request) {
    const bool refused =
        !error.maybe_consumed &&
        (error.code == ErrorCode::exhausted || error.code == ErrorCode::rejected || error.code == ErrorCode::protocol);
    if (!refused || error.retry_after.count() != 0) return error;
    const auto status = ask_status(context, request.peer_sae);
    if (!status) return error;
    const auto never = [&error](const std::string& limit, const char* hint) {
        return Error::rejected(error.what + " (" + limit + ")", hint);
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
    const bool sound = status->min_size <= status->max_size && status->max_size != 0;
    const std::uint64_t size = request.bits / bits_per_unit_;
    if (sound && (size < status->min_size || size > status->max_size)) {
        return never("the KME gives keys of " + std::to_string(status->min_size * bits_per_unit_) + " to " +
                         std::to_string(status->max_size * bits_per_unit_) + " bits, the cipher needs " +
                         std::to_string(request.bits),
                     "change the limits at the KME, or the link's cipher; does it count in bytes (size_unit)?");
    }
    if (error.retry == Retry::safe && status->stored_keys && *status->stored_keys < request.count) {
        error.what += " (the KME has " + std::to_string(*status->stored_keys) + " keys left)";
        error.retry_after = pause_when_empty;  // asking faster does not fill the pool
    }
    return error;
}

net::HttpRequest Etsi014::request_for(const std::string& peer, std::span<const std::string> ids) const {
    net::HttpRequest http{path(peer, "dec_keys"), "", ""};
    if (form_ != Form::post && ids.size() == 1) {
        http.target += "?key_ID=" + net::percent_encode(ids.front());
        return http;
    }
    WipedJson list = WipedJson::array();
    for (const auto& id : ids) list.push_back(WipedJson{{"key_ID", id.c_str()}});
    http.body = WipedJson{{"key_IDs", std::move(list)}}.dump(-1, ' ', true).c_str();
    http.content_type = "application/json";
    return http;
}

Result<std::vector<Key>> Etsi014::fetch(Context& context, const FetchRequest& request) {
    QKD_TRY(kme::check_request(request));
    // A GET request names one key_ID only.
    const std::size_t most = form_ == Form::get ? 1 : most_at_once(context, request.peer_sae, request.ids.size());
    std::vector<Key> keys;
    while (keys.size() < request.ids.size()) {
        const auto rest = std::span(request.ids).subspan(keys.size());
        const auto ids = rest.first(std::min(most, rest.size()));
        const net::HttpRequest http = request_for(request.peer_sae, ids);
        auto response = ask(context, Call::fetch, http);
        if (!response) return kme::after_some(std::move(response).error(), keys.size());
        auto some = read_container(response->body, ids.size(), request.bits, ids);
        if (!some) return kme::after_some(in_answer(std::move(some).error(), http), keys.size());
        std::move(some->begin(), some->end(), std::back_inserter(keys));
    }
    QKD_TRY(kme::check_distinct(keys));
    return keys;
}

constexpr std::array stages{stage<KeySource, Etsi014>({Capability::multicast})};

constexpr std::array fields{
    kme::url_field,
    kme::standby_field,
    kme::ca_field,
    kme::cert_field,
    kme::key_field,
    Field{Scope::kme, FieldType::one_of, "request_form", false, "auto", "auto|get|post",
          "How keys are asked for; auto uses GET for one key without additional SAEs or extensions, else POST."},
    Field{Scope::kme, FieldType::one_of, "size_unit", false, "bits", "bits|bytes",
          "Unit of key sizes in requests and limits; the standard's is bits, some KMEs count bytes."},
    Field{Scope::kme, FieldType::integer, "low_stock", false, "10", "0..1000000",
          "Warn when the KME says that it has fewer keys left for the pair of SAEs; 0 = do not ask."},
    Field{Scope::kme, FieldType::string_list, "extension_mandatory", false, nullptr, nullptr,
          "Extensions that the KME must honour, NAME=VALUE; many KMEs ignore them all the same."},
    Field{Scope::kme, FieldType::string_list, "extension_optional", false, nullptr, nullptr,
          "Extensions that the KME may ignore, NAME=VALUE."},
    kme::name_field,
    kme::tls_field,
};

}  // namespace
}  // namespace qkd::etsi014

using qkd::etsi014::fields;
using qkd::etsi014::stages;
QKD_PLUGIN("kme-etsi014", "1.1.0", "qkd-macsec", "Keys from a KME by ETSI GS QKD 014 V1.1.1", "stable", stages, fields)
