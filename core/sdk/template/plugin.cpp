// kme-acme: keys from an ACME KME. Three requests over HTTPS, with client certificates.
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/net/http.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;
using Json = nlohmann::json;

class Acme final : public KeySource {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;  // nothing is opened here: a pipeline file is also configured just to be checked
        return {};
    }

    Result<void> probe(Context& context) override {
        auto answer = ask(context, {"/api/v1/logs/audit?limit=1", "", ""});
        return answer ? Result<void>() : std::move(answer).error();
    }

    Result<SourceStatus> status(Context& context, const std::string& peer_sae) override {
        auto answer = ask(context, {"/api/v1/keyids?peer=" + net::percent_encode(peer_sae), "", ""});
        return answer ? Result<SourceStatus>(SourceStatus{}) : std::move(answer).error();
    }

    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override {
        if (request.count == 0 || request.count > 16) return refused("asked for no key, or for more than 16");
        if (request.bits == 0 || request.bits % 8 != 0 || request.bits > 1024) return refused("no such key size");
        std::vector<Key> keys;
        for (unsigned i = 0; i < request.count; ++i) {
            const Json wanted{{"peer", request.peer_sae}, {"key_length", request.bits}};
            QKD_TRY(const auto answer, post(context, "request", wanted));
            const auto reply = Json::parse(answer.body.reveal_text(), nullptr, false);
            if (!reply.is_object() || !reply.contains("key_id") || !reply["key_id"].is_string()) return strange();
            const std::string id = reply["key_id"];
            for (const auto& sae : request.additional_saes) {
                QKD_TRY(post(context, "exchange", {{"key_id", id}, {"to", sae}}));
            }
            QKD_TRY(auto key, retrieve(context, id, request.bits));
            keys.push_back({id, std::move(key)});
        }
        return keys;
    }

    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override {
        std::vector<Key> keys;
        for (const std::string& id : request.ids) {
            QKD_TRY(auto key, retrieve(context, id, request.bits));
            keys.push_back({id, std::move(key)});
        }
        return keys;
    }

  private:
    static Error refused(const std::string& why) { return Error::rejected(why, "ask for others"); }
    static Error strange() { return Error::protocol("not ACME's answer", "is this an ACME KME?"); }

    Result<net::HttpResponse> post(Context& context, const std::string& what, const Json& json) {
        const auto body = json.dump(-1, ' ', false, Json::error_handler_t::replace);
        return ask(context, {"/api/v1/keys/" + what, body, "application/json"});
    }

    /// The key as it is, never as JSON: no copy of it is left in a parser.
    Result<SecretBytes> retrieve(Context& context, const std::string& id, unsigned bits) {
        if (id.empty()) return refused("a key without a key_ID");
        QKD_TRY(auto answer, ask(context, {"/api/v1/keys/" + net::percent_encode(id) + "?encoding=raw", "", ""}));
        if (answer.body.size() * 8 != bits) return strange();
        return std::move(answer.body);
    }

    Result<net::HttpResponse> ask(Context& context, const net::HttpRequest& request) {
        if (!client_) {
            net::HttpsSettings to{config_->string("url"), config_->path("ca"), config_->path("cert"), {}, "", false};
            if (config_->has("key")) {
                QKD_TRY(to.key, config_->secret("key", context));
            }
            client_.emplace(std::move(to));
        }
        auto answer = client_->send(context, request);
        if (!answer || answer->status / 100 == 2) return answer;
        auto error = Error::rejected("ACME answers " + std::to_string(answer->status), "see its log").retryable();
        if (answer->status == 401 || answer->status == 403) error.code = ErrorCode::auth;
        if (answer->status == 404) error.code = ErrorCode::not_found;
        if (answer->status == 409) error.code = ErrorCode::exhausted;
        return error;
    }

    const ConfigView* config_ = nullptr;
    std::optional<net::HttpsClient> client_;
};

constexpr std::array stages{stage<KeySource, Acme>({Capability::multicast})};
constexpr std::array fields{
    Field{Scope::kme, FieldType::url, "url", true, nullptr, "https", "Address of the KME."},
    Field{Scope::kme, FieldType::path, "ca", true, nullptr, nullptr, "PEM file of the KME's certificate authority."},
    Field{Scope::kme, FieldType::path, "cert", false, nullptr, nullptr, "PEM file of the SAE's certificate."},
    Field{Scope::kme, FieldType::secret, "key", false, nullptr, nullptr, "Private key of that certificate, PEM."}};

}  // namespace

QKD_PLUGIN("kme-acme", "0.1.0", "ACME", "Keys from an ACME KME", "experimental", stages, fields)
