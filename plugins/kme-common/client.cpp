// Fail-over, and certificates that are renewed while the object lives.
#include "kme-common/client.hpp"

#include <algorithm>

#include "kme-common/text.hpp"

namespace qkd::kme {

Result<void> Client::configure(const ConfigView& config) {
    config_ = &config;
    std::vector<std::string> urls = config.list("standby_urls");
    urls.insert(urls.begin(), config.string("url"));
    addresses_.clear();
    for (std::string& url : urls) {
        while (url.ends_with('/')) url.pop_back();
        const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '?' || c == '#' || c == '@'; };
        if (!url.starts_with("https://") || url.size() < 9 || std::any_of(url.begin(), url.end(), bad)) {
            return Error::config(
                config.name() + ": url '" + harmless(url) + "' cannot be used",
                "give https://HOST:PORT, with a path prefix if the KME has one, without user, query or fragment");
        }
        const auto same = [&](const Address& other) { return same_ignoring_case(other.url, url); };
        if (std::any_of(addresses_.begin(), addresses_.end(), same)) {
            return Error::config(config.name() + ": url '" + harmless(url) + "' is there twice",
                                 "name each address of the KME once, in url or in standby_urls");
        }
        addresses_.push_back({std::move(url), std::nullopt});
    }
    return {};
}

Result<net::HttpResponse> Client::send(Context& context, Call call, const net::HttpRequest& request) {
    auto response = try_all(context, request);
    if (!response) {
        Error& error = response.error();
        if (call == Call::status) error.maybe_consumed = false;
        if (call == Call::fetch && error.maybe_consumed) {
            error.retry = Retry::never;
            error.hint += "; the KME may have given the key away: use a new key";
        }
        return response;
    }
    const std::string method = !request.method.empty() ? request.method : request.content_type.empty() ? "GET" : "POST";
    context.log(LogLevel::debug, method + " " + url() + request.target + ": " + std::to_string(response->status) +
                                     ", " + std::to_string(response->body.size()) + " octets" +
                                     (response->reused ? ", kept connection" : ""));
    return response;
}

Result<net::HttpResponse> Client::try_all(Context& context, const net::HttpRequest& request) {
    Error before;
    current_ = preferred_;
    for (std::size_t left = addresses_.size();; --left) {
        net::HttpRequest attempt = request;
        if (left > 1) {
            const auto share = context.remaining() / static_cast<std::chrono::milliseconds::rep>(left);
            attempt.connect_within = std::max(share, std::chrono::milliseconds{1});
        }
        auto response = try_one(context, addresses_[current_], attempt);
        if (response) {
            // A gateway without a KME behind it: this answer counts, but another address may do better next time.
            const bool in_trouble = response->status >= 502 && response->status <= 504;
            preferred_ = in_trouble ? next(current_) : current_;
            return response;
        }
        Error& error = response.error();
        if (!before.what.empty()) {
            error.what = before.what + "; " + error.what;
            if (before.retry == Retry::safe && !error.maybe_consumed) error.retry = Retry::safe;
        }
        const bool ours =
            error.code == ErrorCode::config || error.code == ErrorCode::internal || error.code == ErrorCode::cancelled;
        if (ours) return response;
        preferred_ = next(current_);
        if (error.maybe_consumed || left == 1 || context.remaining().count() == 0 || context.stop_requested()) {
            return response;
        }
        before = std::move(error);
        current_ = preferred_;
        context.log(LogLevel::notice, before.what + "; trying " + url());
    }
}

/// One exchange on the kept connection; makes the client when there is none.
Result<net::HttpResponse> Client::try_one(Context& context, Address& address, const net::HttpRequest& request) {
    const bool kept = address.client.has_value();
    if (!kept) {
        net::HttpsSettings settings;
        settings.base_url = address.url;
        settings.ca = config_->path("ca");
        if (config_->has("cert")) {
            QKD_TRY(auto key, config_->secret("key", context));
            settings.cert = config_->path("cert");
            settings.key = std::move(key);
        }
        settings.expected_name = config_->string("expected_kme_name");
        settings.tls13_only = config_->string("tls_min") == "1.3";
        address.client.emplace(std::move(settings));
    }
    auto response = address.client->send(context, request);
    if (!response && response.error().code == ErrorCode::config) {
        address.client.reset();
        // The certificate may have been renewed since the key was read; nothing has been sent.
        if (kept) return try_one(context, address, request);
    }
    return response;
}

}  // namespace qkd::kme
