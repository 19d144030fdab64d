// The HTTPS side of a KME: its addresses, who we are, and when another address may be tried.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kme-common/refusal.hpp"
#include "qkd/sdk/config.hpp"
#include "qkd/sdk/net/http.hpp"

namespace qkd::kme {

/// Fields that mean the same for every KME that is spoken to over HTTPS, so that one word switches a table.
inline constexpr Field url_field{Scope::kme,
                                 FieldType::url,
                                 "url",
                                 true,
                                 nullptr,
                                 "https",
                                 "Address of the KME, with a path prefix if there is one."};
inline constexpr Field standby_field{
    Scope::kme,
    FieldType::string_list,
    "standby_urls",
    false,
    nullptr,
    nullptr,
    "Further addresses of the same KME, tried in this order when a request could certainly not be delivered."};
inline constexpr Field ca_field{
    Scope::kme,
    FieldType::path,
    "ca",
    true,
    nullptr,
    nullptr,
    "PEM file of the only certificate authorities that the KME's certificate may come from."};
inline constexpr Field cert_field{
    Scope::kme,
    FieldType::path,
    "cert",
    true,
    nullptr,
    nullptr,
    "PEM file of the SAE's client certificate, with intermediate certificates if there are any."};
inline constexpr Field key_field{Scope::kme,
                                 FieldType::secret,
                                 "key",
                                 true,
                                 nullptr,
                                 nullptr,
                                 "Private key of the client certificate, PEM, unencrypted."};
inline constexpr Field name_field{
    Scope::kme,
    FieldType::string,
    "expected_kme_name",
    false,
    nullptr,
    nullptr,
    "Name that the KME's certificate must bear when it is not the host of url: a DNS subject alternative name or, "
    "without such, the common name."};
inline constexpr Field tls_field{
    Scope::kme, FieldType::one_of, "tls_min", false, "1.2", "1.2|1.3", "Oldest version of TLS that is accepted."};

/// One KME under one or several addresses. A request is delivered once at most: another address is tried only while
/// nothing of the request can have reached the one before (no connection, or TLS failed). An address that answered is
/// kept; one that failed is left for the next call. One thread at a time.
class Client {
  public:
    /// Reads the fields above. `config` must outlive this object. Errors: config.
    Result<void> configure(const ConfigView& config);

    /// Any answer of the KME, whatever its status. Errors as net::HttpsClient::send; a status call never says
    /// maybe_consumed, and a fetch that says so is not to be repeated.
    Result<net::HttpResponse> send(Context& context, Call call, const net::HttpRequest& request);

    /// Address of the last request, and before any of the first.
    [[nodiscard]] const std::string& url() const { return addresses_[current_].url; }

  private:
    struct Address {
        std::string url;
        std::optional<net::HttpsClient> client;
    };
    Result<net::HttpResponse> try_all(Context& context, const net::HttpRequest& request);
    Result<net::HttpResponse> try_one(Context& context, Address& address, const net::HttpRequest& request);
    [[nodiscard]] std::size_t next(std::size_t index) const { return (index + 1) % addresses_.size(); }

    const ConfigView* config_ = nullptr;
    std::vector<Address> addresses_{1};
    std::size_t current_ = 0;    ///< asked last
    std::size_t preferred_ = 0;  ///< asked first next time
};

}  // namespace qkd::kme
