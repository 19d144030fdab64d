// The table of status codes.
#include "kme-common/refusal.hpp"

#include <algorithm>
#include <array>

namespace qkd::kme {
namespace {

/// Statuses by which a server says that it does not know this kind of request.
bool is_mismatch(int status) {
    constexpr std::array codes{405, 406, 411, 413, 414, 415, 422, 426, 431};
    return status < 400 || std::find(codes.begin(), codes.end(), status) != codes.end();
}

}  // namespace

Error refusal(Call call, const std::string& where, const net::HttpResponse& response, const std::string& said) {
    const int status = response.status;
    Error error;
    error.what = where + ": " + std::to_string(status) + (said.empty() ? "" : " " + said);
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
        return as(ErrorCode::protocol, Retry::never, "the KME does not take this kind of request");
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

}  // namespace qkd::kme
