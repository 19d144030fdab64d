// HTTPS for plugins: blocking calls that keep the context's deadline and can be interrupted.
// Link qkd::sdk-http. The process has called curl_global_init (the engine does).
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::net {

/// How to reach one server and how both sides prove who they are.
struct HttpsSettings {
    std::string base_url;        ///< "https://host:port/prefix", without a slash at its end; nothing but https
    std::filesystem::path ca;    ///< PEM; the only certificate authorities that are trusted
    std::filesystem::path cert;  ///< PEM chain of the client; empty: no client certificate
    SecretBytes key;             ///< PEM, unencrypted; belongs to `cert`
    std::string expected_name;   ///< name that the server's certificate must bear; empty: the host of base_url
    bool tls13_only = false;     ///< false: TLS 1.2 or newer
    std::size_t max_body = std::size_t{1} << 20U;  ///< octets; a larger answer is an error
};

/// A header line of a request. The value may be a secret such as a token: it is wiped here, but the request that libcurl
/// builds of it is not.
struct HttpHeader {
    std::string name;   ///< RFC 9110 token
    SecretBytes value;  ///< printable ASCII
};

struct HttpRequest {
    std::string target;        ///< path and query behind base_url, escaped, begins with a slash
    std::string body;          ///< not for secrets
    std::string content_type;  ///< of the body; empty: there is none
    std::string method{};      ///< empty: POST when there is a content type, else GET
    /// Sent besides those that HTTP needs; a header of one's own named Accept stands in for application/json.
    std::span<const HttpHeader> headers{};
    /// Until TCP and TLS are up, to have time left for another server; 0 = the context's deadline decides alone.
    std::chrono::milliseconds connect_within{0};
};

struct HttpResponse {
    int status = 0;
    std::string content_type;
    std::chrono::milliseconds retry_after{0};  ///< the server's Retry-After, at most a day; 0 = none
    bool reused = false;                       ///< came over a connection that was open before
    SecretBytes body;
};

/// One server, one connection at a time, kept open between calls and not used again after 4 s of idleness.
/// One thread at a time. Follows no redirects, uses no proxy (whatever the environment says), speaks HTTP/1.1.
class HttpsClient {
  public:
    explicit HttpsClient(HttpsSettings settings);
    HttpsClient(HttpsClient&&) noexcept;
    HttpsClient& operator=(HttpsClient&&) noexcept;
    ~HttpsClient();

    /// Any answer of the server is a value, whatever its status. A request is sent once at most: unlike libcurl by
    /// itself, this does not repeat a request whose connection broke before the answer.
    /// Errors (maybe_consumed: the request may have reached the server):
    ///   unreachable  no connection (within connect_within), or it broke before the whole answer
    ///   auth         one side's certificate was refused, also when TLS 1.3 tells so only after the handshake
    ///   config       a certificate or key file here is missing or broken
    ///   protocol     no HTTP, no TLS, or too large an answer
    ///   timeout, cancelled
    Result<HttpResponse> send(Context& context, const HttpRequest& request);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/// Everything but the unreserved characters of RFC 3986 section 2.3 as %XX.
std::string percent_encode(std::string_view text);

}  // namespace qkd::net
