// A TLS server for tests that answers each request with exactly the bytes a test wants, or breaks off, or says nothing.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pki.hpp"

namespace qkd::support {

struct SeenRequest {
    std::string method;
    std::string target;
    std::string head;  ///< the whole head with its lines
    std::string body;
    int connection = 0;  ///< counted from 1
};

struct Reply {
    std::string bytes{};  ///< sent as they are
    bool close = false;   ///< then end the connection
    bool hang = false;    ///< then say nothing until the server ends
};

/// A well-formed HTTP/1.1 answer with Content-Length. `headers`: whole lines with CRLF.
Reply answer(int status, const std::string& body, const std::string& headers = "Content-Type: application/json\r\n");

/// Listens on 127.0.0.1 from construction to destruction; a thread for each connection.
class TlsServer {
  public:
    struct Options {
        Identity identity{};
        std::filesystem::path client_ca{};  ///< empty: client certificates are not asked for
        int min_version = 0;                ///< TLS1_2_VERSION ...; 0 = any
        int max_version = 0;
        std::string ciphers{};  ///< TLS 1.2 cipher list; empty = OpenSSL's
        bool plain = false;     ///< no TLS: each connection gets the handler's answer to an empty request at once
    };
    /// Called in the connections' threads, one at a time.
    using Handler = std::function<Reply(const SeenRequest&)>;

    TlsServer(Options options, Handler handler);
    ~TlsServer();
    TlsServer(const TlsServer&) = delete;
    TlsServer& operator=(const TlsServer&) = delete;

    [[nodiscard]] int port() const;
    [[nodiscard]] std::string url(const std::string& host = "127.0.0.1") const;
    [[nodiscard]] std::vector<SeenRequest> requests() const;
    [[nodiscard]] int connections() const;  ///< accepted, with or without a finished handshake

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace qkd::support
