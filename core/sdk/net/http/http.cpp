// The HTTPS helper: a libcurl multi handle with one easy handle, driven by poll until answer, deadline or interruption.
#include "qkd/sdk/net/http.hpp"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

namespace qkd::net {
namespace {

constexpr long max_idle_seconds = 4;  // servers end idle connections after 5 s (uvicorn) or more
constexpr int poll_slice_ms = 100;    // a stop without a descriptor is seen this late
constexpr curl_off_t longest_retry_after_s = 86400;

struct CurlList {
    curl_slist* head = nullptr;
    CurlList() = default;
    CurlList(const CurlList&) = delete;
    CurlList& operator=(const CurlList&) = delete;
    ~CurlList() {
        for (auto* line = head; line != nullptr; line = line->next) wipe(line->data, std::strlen(line->data));
        curl_slist_free_all(head);
    }
    void add(const char* line) { head = curl_slist_append(head, line); }
};

/// What the callbacks of one transfer share.
struct Transfer {
    CURL* easy = nullptr;
    SecretBytes body;
    std::size_t max_body = 0;
    bool too_large = false;
};

/// Everything but what would end or bend a header line.
bool fit_for_header(const HttpHeader& header) {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";  // RFC 9110 section 5.6.2
    const auto in_name = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               marks.find(c) != std::string_view::npos;
    };
    const auto in_value = [](char c) { return c >= ' ' && c <= '~'; };
    const auto value = header.value.reveal_text();
    return !header.name.empty() && std::all_of(header.name.begin(), header.name.end(), in_name) &&
           std::all_of(value.begin(), value.end(), in_value);
}

bool same_name(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

bool request_left(CURL* easy) {
    long octets = 0;
    return curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &octets) == CURLE_OK && octets > 0;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const std::size_t octets = size * count;
    if (octets > transfer.max_body - transfer.body.size()) {
        transfer.too_large = true;
        return 0;
    }
    transfer.body.append(std::string_view(data, octets));
    wipe(data, octets);  // libcurl gives its receive buffer back as it is
    return octets;
}

/// libcurl repeats a request on a fresh connection when a kept one breaks before the answer. A request that takes a
/// key out of a KME must not be repeated behind our back, so nothing is dialled once the request has left.
curl_socket_t on_open_socket(void* user, curlsocktype, curl_sockaddr* address) {
    if (request_left(static_cast<Transfer*>(user)->easy)) return CURL_SOCKET_BAD;
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/// What the TLS callbacks need; lives as long as the client.
struct TlsWatch {
    const std::string* expected_name = nullptr;
    int fatal_alert = -1;  ///< RFC 8446 section 6: what the server refused the connection with
};

int watch_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

void on_tls_event(const SSL* tls, int where, int value) {
    constexpr int fatal = 2;
    if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT || value >> 8 != fatal) return;
    static_cast<TlsWatch*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), watch_index()))->fatal_alert = value & 0xff;
}

CURLcode on_tls_context(CURL*, void* context, void* user) {
    auto* tls = static_cast<SSL_CTX*>(context);
    auto* watch = static_cast<TlsWatch*>(user);
    SSL_CTX_set_options(tls, SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_ex_data(tls, watch_index(), watch);
    SSL_CTX_set_info_callback(tls, &on_tls_event);
    const std::string& name = *watch->expected_name;
    if (!name.empty() && X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(tls), name.c_str(), name.size()) != 1) {
        return CURLE_SSL_CONNECT_ERROR;
    }
    return CURLE_OK;
}

/// Alerts by which a server says that it does not accept us, and not that something broke.
bool is_refusal(int alert) {
    return alert >= 0 && alert != SSL3_AD_UNEXPECTED_MESSAGE && alert != SSL3_AD_BAD_RECORD_MAC &&
           alert != TLS1_AD_RECORD_OVERFLOW && alert != TLS1_AD_DECODE_ERROR && alert != TLS1_AD_INTERNAL_ERROR;
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [text](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

bool readable(const std::filesystem::path& file) {
    return std::ifstream(file, std::ios::binary).good();
}

}  // namespace

class HttpsClient::Impl {
  public:
    explicit Impl(HttpsSettings settings) : settings_(std::move(settings)) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        // The multi handle owns the connection, which still refers to the easy handle's settings.
        if (multi_ != nullptr) curl_multi_cleanup(multi_);
        if (easy_ != nullptr) curl_easy_cleanup(easy_);
    }

    Result<HttpResponse> send(Context& context, const HttpRequest& request);

  private:
    Result<void> prepare();
    [[nodiscard]] Error failure(CURLcode code, const std::string& url, const Transfer& transfer, bool sent) const;
    [[nodiscard]] long new_connections() const {
        long count = 0;
        curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &count);
        return count;
    }
    static Error ended(const Context& context, const std::string& url, bool sent);

    HttpsSettings settings_;
    CURLM* multi_ = nullptr;
    CURL* easy_ = nullptr;
    std::array<char, CURL_ERROR_SIZE> detail_{};
    TlsWatch watch_;
};

Result<void> HttpsClient::Impl::prepare() {
    if (!settings_.base_url.starts_with("https://")) {
        return Error{ErrorCode::config, Retry::never, "'" + settings_.base_url + "' is no https URL",
                     "give https://HOST:PORT"};
    }
    for (const auto* file : {&settings_.ca, &settings_.cert}) {
        if ((file == &settings_.ca || !file->empty()) && !readable(*file)) {
            return Error{ErrorCode::config, Retry::never, "certificate file '" + file->string() + "' cannot be read",
                         "check the path and its permissions; does a certs stage make it?"};
        }
    }
    if (easy_ != nullptr) return {};
    multi_ = curl_multi_init();
    easy_ = curl_easy_init();
    if (multi_ == nullptr || easy_ == nullptr) {
        return Error{ErrorCode::internal, Retry::never, "libcurl gave no handle", "is there memory left?"};
    }
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1L);

    bool ok = true;
    const auto set = [&](CURLoption option, auto value) {
        ok = curl_easy_setopt(easy_, option, value) == CURLE_OK && ok;
    };
    set(CURLOPT_PROTOCOLS_STR, "https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // do not wait for a resolver thread that still asks for a name
    set(CURLOPT_PROXY, "");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PATH_AS_IS, 1L);
    set(CURLOPT_MAXAGE_CONN, max_idle_seconds);
    set(CURLOPT_USERAGENT, "qkd-macsec");
    set(CURLOPT_ERRORBUFFER, detail_.data());
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_OPENSOCKETFUNCTION, &on_open_socket);

    set(CURLOPT_SSLVERSION,
        static_cast<long>(settings_.tls13_only ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_CAINFO, settings_.ca.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));  // else the system's authorities count as well
    // Resuming is refused by servers that ask for client certificates without a session ID context.
    set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    watch_.expected_name = &settings_.expected_name;
    set(CURLOPT_SSL_CTX_FUNCTION, &on_tls_context);
    set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(&watch_));
    if (!settings_.expected_name.empty()) {
        // OpenSSL compares the name while it verifies the chain, in place of libcurl's comparison with the URL.
        set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!settings_.cert.empty()) {
        set(CURLOPT_SSLCERT, settings_.cert.c_str());
        curl_blob blob{settings_.key.writable().data(), settings_.key.size(), CURL_BLOB_NOCOPY};
        set(CURLOPT_SSLKEY_BLOB, &blob);
        set(CURLOPT_KEYPASSWD, "");  // an encrypted key fails instead of asking on the terminal
    }
    if (!ok) {
        return Error{ErrorCode::internal, Retry::never, "this libcurl lacks an option that is needed",
                     "use libcurl 7.87 or newer, built with OpenSSL"};
    }
    return {};
}

Result<HttpResponse> HttpsClient::Impl::send(Context& context, const HttpRequest& request) {
    if (auto ready = prepare(); !ready) return std::move(ready).error();

    const std::string url = settings_.base_url + request.target;
    CurlList headers;
    const auto is_accept = [](const HttpHeader& header) { return same_name(header.name, "Accept"); };
    if (std::none_of(request.headers.begin(), request.headers.end(), is_accept)) {
        headers.add("Accept: application/json");
    }
    // An empty one keeps libcurl from claiming a web form.
    headers.add(request.content_type.empty() ? "Content-Type:" : ("Content-Type: " + request.content_type).c_str());
    for (const HttpHeader& header : request.headers) {
        if (!fit_for_header(header)) {
            return Error{
                ErrorCode::config, Retry::never, url + ": a header has a name or a value that HTTP cannot carry",
                "a name has no spaces, a value is one line of ASCII; look at the secrets that go into headers"};
        }
        SecretBytes line(header.name + (header.value.empty() ? ";" : ": "));
        line.append(header.value.reveal());
        line.append(std::string_view("\0", 1));
        headers.add(line.reveal_text().data());
    }
    Transfer transfer;
    transfer.easy = easy_;
    transfer.max_body = settings_.max_body;
    detail_[0] = '\0';
    watch_.fatal_alert = -1;
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers.head);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, &transfer);
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_within.count()));
    const bool has_body = !request.content_type.empty();
    const std::string usual = has_body ? "POST" : "GET";
    const bool special = !request.method.empty() && request.method != usual;
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, special ? request.method.c_str() : nullptr);
    if (!has_body && request.method != "POST") {
        curl_easy_setopt(easy_, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request.body.c_str());
        curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    }
    // CURLINFO_REQUEST_SIZE is of the transfer before until the new one has begun; so look only at our own.
    bool begun = false;
    curl_multi_add_handle(multi_, easy_);
    const CURLMsg* done = nullptr;
    int running = 1;
    bool broken = false;
    while (done == nullptr) {
        if (context.stop_requested() || context.remaining().count() == 0) break;
        broken = curl_multi_perform(multi_, &running) != CURLM_OK;
        if (broken) break;
        begun = true;
        int queued = 0;
        done = curl_multi_info_read(multi_, &queued);
        if (done != nullptr) break;
        curl_waitfd cancel{context.cancel_fd(), CURL_WAIT_POLLIN, 0};
        const auto slice = std::min<std::chrono::milliseconds::rep>(context.remaining().count() + 1, poll_slice_ms);
        curl_multi_poll(multi_, &cancel, context.cancel_fd() >= 0 ? 1U : 0U, static_cast<int>(slice), nullptr);
        if (cancel.revents != 0) break;
    }
    const CURLcode code = done != nullptr ? done->data.result : CURLE_OK;
    const bool sent = begun && request_left(easy_);
    curl_multi_remove_handle(multi_, easy_);  // ends an unfinished transfer and its connection
    // These point into this call's frame.
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, nullptr);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, nullptr);

    if (broken)
        return Error{ErrorCode::internal, Retry::safe, url + ": libcurl failed", "is there memory left?", {}, sent};
    if (done == nullptr) return ended(context, url, sent);
    if (code != CURLE_OK) return failure(code, url, transfer, sent);

    HttpResponse response;
    long status = 0;
    char* type = nullptr;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
    response.status = static_cast<int>(status);
    response.reused = new_connections() == 0;
    if (type != nullptr) response.content_type = type;
    response.retry_after = std::chrono::seconds{std::clamp<curl_off_t>(retry_after, 0, longest_retry_after_s)};
    response.body = std::move(transfer.body);
    return response;
}

Error HttpsClient::Impl::ended(const Context& context, const std::string& url, bool sent) {
    const bool stopped = context.stop_requested() || context.remaining().count() > 0;
    Error error{stopped ? ErrorCode::cancelled : ErrorCode::timeout, Retry::safe,
                url + (stopped ? ": interrupted"
                       : sent  ? ": no answer in time"
                               : ": no connection in time"),
                stopped ? "run again when ready" : "is the server well, and the stage's timeout long enough?"};
    error.maybe_consumed = sent;
    return error;
}

Error HttpsClient::Impl::failure(CURLcode code, const std::string& url, const Transfer& transfer, bool sent) const {
    // on_open_socket forbade to dial again: what really happened is that the connection broke.
    if (code == CURLE_COULDNT_CONNECT && sent) code = CURLE_GOT_NOTHING;
    const std::string_view detail = code == CURLE_GOT_NOTHING ? "" : detail_.data();
    const std::string what = url + ": " + std::string(detail.empty() ? curl_easy_strerror(code) : detail);
    const auto make = [&](ErrorCode kind, Retry retry, const char* hint) {
        return Error{kind, retry, what, hint, {}, kind != ErrorCode::auth && sent};
    };

    // TLS 1.3: the client is done with the handshake before the server has looked at its certificate, so the refusal
    // may come with any later error.
    if (is_refusal(watch_.fatal_alert)) {
        return {ErrorCode::auth, Retry::never,
                url + ": the server refused the TLS connection: " + SSL_alert_desc_string_long(watch_.fatal_alert),
                "check the client certificate, whether the server knows its CA, and the TLS version"};
    }
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
            return make(ErrorCode::unreachable, Retry::safe, "check the host name and the name service");
        case CURLE_PEER_FAILED_VERIFICATION:
            return make(ErrorCode::auth, Retry::never,
                        "the server's certificate is not signed by the configured CA, expired, or bears another name "
                        "than expected");
        case CURLE_SSL_CERTPROBLEM:
            return make(ErrorCode::config, Retry::never,
                        "the client certificate and its key must be PEM, unencrypted, and belong together");
        case CURLE_SSL_CACERT_BADFILE:
            return make(ErrorCode::config, Retry::never, "the CA file must hold PEM certificates");
        case CURLE_SSL_CONNECT_ERROR:
            if (contains_any(detail, {"wrong version number", "http request"})) {
                return make(ErrorCode::protocol, Retry::never, "this port does not speak TLS: check the URL");
            }
            if (contains_any(detail, {"unsupported protocol", "no ciphers"})) {
                return make(ErrorCode::auth, Retry::never, "client and server have no TLS version in common");
            }
            return make(ErrorCode::auth, Retry::safe,
                        "the TLS handshake broke off; some servers refuse a client certificate in this way");
        case CURLE_WRITE_ERROR:
        case CURLE_FILESIZE_EXCEEDED:
            if (transfer.too_large) {
                return Error{ErrorCode::protocol,
                             Retry::never,
                             url + ": the answer is larger than " + std::to_string(settings_.max_body) + " octets",
                             "is this the right server?",
                             {},
                             sent};
            }
            break;
        case CURLE_SEND_ERROR:
            // Reset before anything could be sent: the refusal was on its way, but the reset overtook it.
            if (!sent && new_connections() > 0) {
                return {ErrorCode::auth, Retry::safe, url + ": the server ended the connection after the TLS handshake",
                        "it probably refuses our client certificate: does it know its CA?"};
            }
            [[fallthrough]];
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
            return make(ErrorCode::unreachable, Retry::safe,
                        "the connection broke before the answer was complete; when this happens every time, the "
                        "server may refuse our client certificate in this way");
        case CURLE_OPERATION_TIMEDOUT:
            return make(ErrorCode::unreachable, Retry::safe, "is the server well, and does a firewall stand between?");
        case CURLE_COULDNT_CONNECT:
            return make(ErrorCode::unreachable, Retry::safe, "is the server running, and is the port right?");
        case CURLE_OUT_OF_MEMORY: return make(ErrorCode::internal, Retry::safe, "free some memory");
        default: break;
    }
    return make(ErrorCode::protocol, Retry::never, "the server does not answer as an HTTP/1.1 server should");
}

HttpsClient::HttpsClient(HttpsSettings settings) : impl_(std::make_unique<Impl>(std::move(settings))) {}
HttpsClient::HttpsClient(HttpsClient&&) noexcept = default;
HttpsClient& HttpsClient::operator=(HttpsClient&&) noexcept = default;
HttpsClient::~HttpsClient() = default;

Result<HttpResponse> HttpsClient::send(Context& context, const HttpRequest& request) {
    return impl_->send(context, request);
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    constexpr std::string_view unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string out;
    for (const char c : text) {
        if (unreserved.find(c) != std::string_view::npos) {
            out += c;
        } else {
            const auto octet = static_cast<unsigned char>(c);
            out += {'%', digits[octet >> 4U], digits[octet & 15U]};
        }
    }
    return out;
}

}  // namespace qkd::net
