// HTTPS by cpp-httplib and OpenSSL. httplib parses HTTP and keeps connections alive; this file adds what it lacks: the
// name in the client certificate, a thread per connection, ending a connection without an answer, and a prompt stop.
#include "server.hpp"

#include <fcntl.h>
#include <httplib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

namespace qkd::kme_sim {
namespace {

/// The sockets that are being served, and the end of them all.
class Connections {
  public:
    /// A second descriptor of the socket: httplib closes its own at its own time, and a number may be used again.
    int add(int socket) {
        const int copy = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) return -1;
        const std::lock_guard lock(mutex_);
        sockets_.insert(copy);
        if (stopped_) ::shutdown(copy, SHUT_RDWR);
        return copy;
    }

    void remove(int copy) {
        const std::lock_guard lock(mutex_);
        sockets_.erase(copy);
        ::close(copy);
    }

    void stop() {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
        wake_.notify_all();
    }

    /// Waits for `delay` (0 = for ever), but not longer than the caller or this server lives.
    void wait(int socket, std::chrono::milliseconds delay) {
        const auto end = std::chrono::steady_clock::now() + delay;
        std::unique_lock lock(mutex_);
        while (!stopped_ && (delay.count() == 0 || std::chrono::steady_clock::now() < end)) {
            pollfd peer{socket, POLLRDHUP, 0};
            if (::poll(&peer, 1, 0) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return;
            // A caller that goes away is noticed within 50 ms; nothing else depends on this figure.
            auto next = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
            wake_.wait_until(lock, delay.count() == 0 ? next : std::min(next, end));
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable wake_;
    std::set<int> sockets_;
    bool stopped_ = false;
};

thread_local int served_socket = -1;  ///< what Connections::add gave for this thread's connection

/// A thread per connection: callers keep connections open, so a fixed pool would starve the next one.
class ThreadPerConnection : public httplib::TaskQueue {
  public:
    explicit ThreadPerConnection(Connections& connections) : connections_(connections) {}

    void enqueue(std::function<void()> task) override {
        std::unique_lock lock(mutex_);
        ended_.wait(lock, [this] { return running_ < 2000; });
        ++running_;
        lock.unlock();
        const auto serve = [this, task = std::move(task)] {
            task();
            if (served_socket >= 0) connections_.remove(std::exchange(served_socket, -1));
            const std::lock_guard end(mutex_);
            --running_;
            ended_.notify_all();
        };
        try {
            std::thread(serve).detach();
        } catch (const std::system_error&) {
            serve();  // no thread to be had: slower, but this caller is served
        }
    }

    void shutdown() override {
        connections_.stop();
        std::unique_lock lock(mutex_);
        ended_.wait(lock, [this] { return running_ == 0; });
    }

  private:
    Connections& connections_;
    std::mutex mutex_;
    std::condition_variable ended_;
    int running_ = 0;
};

class HttpsServer : public httplib::SSLServer {
  public:
    using httplib::SSLServer::SSLServer;
    /// httplib lets five callers queue; a burst of links would run into SYN retransmissions of a second.
    void widen_backlog() { ::listen(svr_sock_, 512); }
};

/// Called by OpenSSL as a connection proceeds. Registered from its first byte on, it cannot stall a stop either.
void note_handshake(const SSL* ssl, int where, int /*result*/) {
    if ((where & SSL_CB_HANDSHAKE_START) == 0 || served_socket >= 0) return;
    auto* connections = static_cast<Connections*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    served_socket = connections->add(SSL_get_fd(ssl));
}

std::string openssl_reason() {
    const unsigned long code = ERR_get_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    ERR_clear_error();
    return reason == nullptr ? "unreadable" : reason;
}

/// Empty if all is well, else what is wrong.
std::string set_up_tls(SSL_CTX& context, const KmeSettings& settings, const std::string& ca) {
    SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(&context, settings.cert.c_str()) != 1) {
        return "certificate " + settings.cert + ": " + openssl_reason();
    }
    if (SSL_CTX_use_PrivateKey_file(&context, settings.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return "private key " + settings.key + ": " + openssl_reason();
    }
    if (SSL_CTX_check_private_key(&context) != 1)
        return settings.cert + " and " + settings.key + " do not belong together";
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(ca.c_str());
    if (names == nullptr || SSL_CTX_load_verify_file(&context, ca.c_str()) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return "CA " + ca + ": " + openssl_reason();
    }
    SSL_CTX_set_client_CA_list(&context, names);
    SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Without it OpenSSL refuses to resume a session that had a client certificate.
    const auto* id = reinterpret_cast<const unsigned char*>("kme-sim");
    SSL_CTX_set_session_id_context(&context, id, 7);
    return {};
}

std::string common_name(const SSL* ssl) {
    X509* certificate = SSL_get1_peer_certificate(ssl);
    if (certificate == nullptr) return {};
    std::string name;
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) {
        unsigned char* text = nullptr;
        const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (size > 0) name.assign(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
        OPENSSL_free(text);
    }
    X509_free(certificate);
    return name;
}

}  // namespace

class KmeServer::Impl {
  public:
    Impl(KmeSettings settings, const std::string& ca, Service& service)
        : settings_(std::move(settings)), service_(service), http_([&](SSL_CTX& context) {
              tls_error_ = set_up_tls(context, settings_, ca);
              SSL_CTX_set_app_data(&context, &connections_);
              SSL_CTX_set_info_callback(&context, note_handshake);
              return tls_error_.empty();
          }) {}

    Result<void> start() {
        if (!tls_error_.empty() || !http_.is_valid()) {
            return Error{.code = ErrorCode::config,
                         .what = settings_.name + ": " + tls_error_,
                         .hint = "check cert, key and ca in the configuration"};
        }
        http_.new_task_queue = [this] { return new ThreadPerConnection(connections_); };
        http_.set_socket_options([](int socket) {
            // Not httplib's SO_REUSEPORT, with which two servers could share a port unnoticed.
            const int yes = 1;
            ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        });
        http_.set_tcp_nodelay(true);
        http_.set_keep_alive_max_count(1000000);
        http_.set_keep_alive_timeout(60);
        http_.set_payload_max_length(1 << 20);
        const httplib::Server::Handler handler = [this](const httplib::Request& request, httplib::Response& response) {
            handle(request, response);
        };
        http_.Get(".*", handler).Post(".*", handler).Put(".*", handler).Patch(".*", handler);
        http_.Delete(".*", handler).Options(".*", handler);
        port_ = settings_.port == 0                                  ? http_.bind_to_any_port(settings_.host)
                : http_.bind_to_port(settings_.host, settings_.port) ? settings_.port
                                                                     : -1;
        if (port_ < 0) {
            return Error{
                .code = ErrorCode::config,
                .what = settings_.name + ": cannot listen on " + settings_.host + ":" + std::to_string(settings_.port),
                .hint = "port = 0 takes any free port"};
        }
        http_.widen_backlog();
        listener_ = std::thread([this] { http_.listen_after_bind(); });
        while (!http_.is_running()) std::this_thread::yield();  // stop() before that moment would be lost
        return {};
    }

    void stop() {
        if (!listener_.joinable()) return;
        http_.stop();
        connections_.stop();
        listener_.join();
    }

    [[nodiscard]] const KmeSettings& settings() const { return settings_; }
    [[nodiscard]] int port() const { return port_; }

  private:
    void handle(const httplib::Request& in, httplib::Response& out) {
        const Request request{.kme = settings_.name,
                              .caller = common_name(in.ssl),
                              .method = in.method,
                              .target = in.target,
                              .content_type = in.get_header_value("Content-Type"),
                              .body = in.body};
        const Response response = service_.answer(request);
        const bool send = response.delivery == Response::Delivery::send;
        // No key is in the request line, so it may be logged.
        std::fprintf(stderr, "%s %s: %s %s %s: %s\n", to_rfc3339(now()).c_str(), settings_.name.c_str(),
                     request.caller.c_str(), in.method.c_str(), in.target.c_str(),
                     send ? std::to_string(response.status).c_str() : "no answer (scripted)");
        if (response.delay.count() > 0 || response.delivery == Response::Delivery::hang) {
            connections_.wait(served_socket, response.delay);
        }
        if (!send) {
            ::shutdown(served_socket, SHUT_RDWR);
            return;
        }
        out.status = response.status;
        if (!response.allow.empty()) out.set_header("Allow", response.allow);
        if (!response.body.empty()) out.set_content(response.body, response.content_type);
    }

    const KmeSettings settings_;
    Service& service_;
    std::string tls_error_;
    Connections connections_;
    HttpsServer http_;
    std::thread listener_;
    int port_ = -1;
};

KmeServer::KmeServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KmeServer::~KmeServer() {
    stop();
}
void KmeServer::stop() {
    impl_->stop();
}
const std::string& KmeServer::name() const {
    return impl_->settings().name;
}
int KmeServer::port() const {
    return impl_->port();
}

Result<std::unique_ptr<KmeServer>> KmeServer::start(const KmeSettings& settings, const std::string& ca,
                                                    Service& service) {
    auto impl = std::make_unique<Impl>(settings, ca, service);
    if (Result<void> started = impl->start(); !started) return started.error();
    return std::unique_ptr<KmeServer>(new KmeServer(std::move(impl)));
}

}  // namespace qkd::kme_sim
