// kme-skip: keys from a key provider that speaks SKIP, the Secure Key Integration Protocol (draft-cisco-skip-02), over
// mutually authenticated HTTPS.
#include <array>
#include <map>
#include <string>
#include <utility>

#include "answers.hpp"
#include "kme-common/client.hpp"
#include "kme-common/keys.hpp"
#include "kme-common/text.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"

namespace qkd::skip {
namespace {

using kme::Call;
using kme::harmless;

constexpr unsigned probed_entropy = 128;  // bits

class Skip final : public KeySource {
  public:
    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;
    Result<SourceStatus> status(Context& context, const std::string& peer_sae) override;
    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override;
    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override;

  private:
    [[nodiscard]] const std::string& system_of(const std::string& sae) const;
    Result<net::HttpResponse> ask(Context& context, Call call, const net::HttpRequest& request);
    Result<Capabilities> ask_capabilities(Context& context);
    Result<Key> ask_key(Context& context, Call call, const std::string& peer_sae, unsigned bits, const std::string& id);
    Error in_answer(Error error, const net::HttpRequest& request) const {
        error.what = client_.url() + request.target + ": " + error.what;
        return error;
    }

    kme::Client client_;
    std::map<std::string, std::string> systems_;  ///< by SAE ID; "*" is every other
};

Result<void> Skip::configure(const ConfigView& config) {
    QKD_TRY(client_.configure(config));
    for (const std::string& item : config.list("remote_systems")) {
        const auto equals = item.find('=');
        const bool bad = equals == 0 || equals == std::string::npos || equals + 1 == item.size();
        if (bad || !systems_.emplace(item.substr(0, equals), item.substr(equals + 1)).second) {
            return Error::config(config.name() + ": remote_systems '" + harmless(item) +
                                     (bad ? "' is not SAE=SYSTEM" : "' names an SAE again"),
                                 "write \"SAE=SYSTEM\" for each peer once, or \"*=SYSTEM\" for all others");
        }
    }
    return {};
}

/// SKIP names key providers, the pipeline names SAEs.
const std::string& Skip::system_of(const std::string& sae) const {
    auto found = systems_.find(sae);
    if (found == systems_.end()) found = systems_.find("*");
    return found == systems_.end() ? sae : found->second;
}

/// The answer when it is a 200, else an error. SKIP has no error bodies, so the codes say a little more than elsewhere.
Result<net::HttpResponse> Skip::ask(Context& context, Call call, const net::HttpRequest& request) {
    auto response = client_.send(context, call, request);
    if (!response || response->status == 200) return response;
    const int status = response->status;
    Error error = kme::refusal(call, client_.url() + request.target, *response,
                               kme::refusal_text(response->body, response->content_type));
    if (status == 400 && call == Call::mint && error.code == ErrorCode::exhausted) {
        error.code = ErrorCode::rejected;
        error.hint =
            "does the key provider know this remoteSystemID (remote_systems), and does it make keys of this size?";
    } else if (status == 500 && call == Call::mint) {
        error.hint = "the key provider could not read, make or wipe a key; is its pool empty?";
    }
    return error;
}

Result<Capabilities> Skip::ask_capabilities(Context& context) {
    const net::HttpRequest request{"/capabilities", "", ""};
    QKD_TRY(auto response, ask(context, Call::status, request));
    auto told = read_capabilities(response.body);
    if (!told) return in_answer(std::move(told).error(), request);
    return told;
}

/// Asks for what costs no key: what the provider can do, and random bits when it has them.
Result<void> Skip::probe(Context& context) {
    QKD_TRY(const auto told, ask_capabilities(context));
    if (!told.key) {
        return Error::unsupported(client_.url() + ": this key provider gives no keys",
                                  "it says so in its capabilities (\"key\": false); is it the right one?");
    }
    if (!told.entropy) return {};
    const net::HttpRequest request{"/entropy?minentropy=" + std::to_string(probed_entropy), "", ""};
    auto response = ask(context, Call::status, request);
    if (!response) {
        // 503 is how a provider says that it has no random bits just now; keys are another matter.
        return response.error().code == ErrorCode::unreachable ? Result<void>() : std::move(response).error();
    }
    if (auto good = check_entropy(response->body, probed_entropy); !good) return in_answer(good.error(), request);
    return {};
}

Result<SourceStatus> Skip::status(Context& context, const std::string& peer_sae) {
    if (peer_sae.empty()) {
        return Error::rejected("status of no SAE", "give the peer's SAE ID");
    }
    QKD_TRY(auto told, ask_capabilities(context));
    const std::string& system = system_of(peer_sae);
    if (!told.key) {
        context.log(LogLevel::warning, client_.url() + ": the key provider says that it gives no keys");
    } else if (!is_listed(told.remote_systems, system)) {
        context.log(LogLevel::warning,
                    client_.url() + ": the key provider does not list the remote system " + harmless(system));
    }
    SourceStatus status;
    status.source_kme = std::move(told.local_system);
    status.target_kme = system;
    status.max_keys_per_request = 1;
    status.max_additional_saes = 0;
    return status;
}

Result<Key> Skip::ask_key(Context& context, Call call, const std::string& peer_sae, unsigned bits,
                          const std::string& id) {
    net::HttpRequest request{"/key", "", ""};
    if (!id.empty()) request.target += "/" + net::percent_encode(id);
    request.target += "?remoteSystemID=" + net::percent_encode(system_of(peer_sae));
    if (id.empty()) request.target += "&size=" + std::to_string(bits);
    QKD_TRY(auto response, ask(context, call, request));
    auto key = read_key(response.body, bits, id);
    if (!key) return in_answer(std::move(key).error(), request);
    return key;
}

Result<std::vector<Key>> Skip::mint(Context& context, const MintRequest& request) {
    QKD_TRY(kme::check_request(request));
    if (!request.additional_saes.empty()) {
        return Error::rejected(
            "SKIP gives each key to two ends, this link has " + std::to_string(2 + request.additional_saes.size()),
            "split the link into links of two members, or use a KME that serves more");
    }
    std::vector<Key> keys;
    while (keys.size() < request.count) {
        auto key = ask_key(context, Call::mint, request.peer_sae, request.bits, "");
        if (!key) {
            key.error().maybe_consumed = key.error().maybe_consumed || !keys.empty();
            return std::move(key).error();
        }
        keys.push_back(std::move(key).value());
    }
    QKD_TRY(kme::check_distinct(keys));
    return keys;
}

Result<std::vector<Key>> Skip::fetch(Context& context, const FetchRequest& request) {
    QKD_TRY(kme::check_request(request));
    std::vector<Key> keys;
    for (const std::string& id : request.ids) {
        auto key = ask_key(context, Call::fetch, request.peer_sae, request.bits, id);
        if (!key) return kme::after_some(std::move(key).error(), keys.size());
        keys.push_back(std::move(key).value());
    }
    QKD_TRY(kme::check_distinct(keys));
    return keys;
}

constexpr std::array stages{stage<KeySource, Skip>()};

constexpr std::array fields{
    kme::url_field,
    kme::standby_field,
    kme::ca_field,
    kme::cert_field,
    kme::key_field,
    Field{Scope::kme, FieldType::string_list, "remote_systems", false, nullptr, nullptr,
          "System IDs of the peers' key providers, SAE=SYSTEM; * is every other SAE. Without it a provider bears its "
          "SAE's ID."},
    kme::name_field,
    kme::tls_field,
};

}  // namespace
}  // namespace qkd::skip

using qkd::skip::fields;
using qkd::skip::stages;
QKD_PLUGIN("kme-skip", "1.0.0", "qkd-macsec", "Keys from a key provider by Cisco's SKIP (draft-cisco-skip-02)",
           "experimental", stages, fields)
