// The scripted TLS server, on OpenSSL with blocking sockets.
#include "tls_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

namespace qkd::support {

Reply answer(int status, const std::string& body, const std::string& headers) {
    Reply reply;
    reply.bytes = "HTTP/1.1 " + std::to_string(status) + " Some Reason\r\n" + headers +
                  "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return reply;
}

class TlsServer::Impl {
  public:
    Impl(Options options, Handler handler) : options_(std::move(options)), handler_(std::move(handler)) {
        (void)std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): a peer that left early is no reason to die
        if (!options_.plain) set_up_tls();
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 16) != 0 ||
            ::getsockname(listener_, generic, &size) != 0) {
            throw std::runtime_error("test server: no port");
        }
        port_ = ntohs(address.sin_port);
        acceptor_ = std::thread([this] { accept_all(); });
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
        }
        stop_.notify_all();
        ::shutdown(listener_, SHUT_RDWR);
        acceptor_.join();
        for (auto& thread : threads_) thread.join();
        ::close(listener_);
        SSL_CTX_free(tls_);
    }

    int port_ = 0;
    mutable std::mutex mutex_;
    std::vector<SeenRequest> seen_;
    int connections_ = 0;

  private:
    void set_up_tls() {
        tls_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_min_proto_version(tls_, options_.min_version);
        SSL_CTX_set_max_proto_version(tls_, options_.max_version);
        bool ok = SSL_CTX_use_certificate_chain_file(tls_, options_.identity.cert.c_str()) == 1 &&
                  SSL_CTX_use_PrivateKey_file(tls_, options_.identity.key.c_str(), SSL_FILETYPE_PEM) == 1;
        if (!options_.ciphers.empty()) ok = SSL_CTX_set_cipher_list(tls_, options_.ciphers.c_str()) == 1 && ok;
        if (!options_.client_ca.empty()) {
            ok = SSL_CTX_load_verify_file(tls_, options_.client_ca.c_str()) == 1 && ok;
            SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
        }
        if (!ok) throw std::runtime_error("test server: TLS set-up failed");
    }

    void accept_all() {
        for (;;) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            const std::lock_guard lock(mutex_);
            if (stopping_) {
                ::close(fd);
                return;
            }
            open_.insert(fd);
            const int number = ++connections_;
            threads_.emplace_back([this, fd, number] { serve(fd, number); });
        }
    }

    void serve(int fd, int number) {
        SSL* tls = tls_ == nullptr ? nullptr : SSL_new(tls_);
        if (tls == nullptr) {
            const Reply reply = handler_({});
            (void)!::write(fd, reply.bytes.data(), reply.bytes.size());
        } else {
            SSL_set_fd(tls, fd);
            if (SSL_accept(tls) == 1) {
                while (serve_one(tls, number)) {
                }
                SSL_shutdown(tls);
            }
            SSL_free(tls);
        }
        const std::lock_guard lock(mutex_);
        open_.erase(fd);
        ::close(fd);
    }

    bool serve_one(SSL* tls, int number) {
        std::string text;
        const auto more = [&] {
            char buffer[4096];
            const int n = SSL_read(tls, buffer, sizeof buffer);
            if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
            return n > 0;
        };
        std::size_t end = 0;
        while ((end = text.find("\r\n\r\n")) == std::string::npos) {
            if (!more()) return false;
        }
        SeenRequest request;
        request.head = text.substr(0, end + 2);
        request.method = text.substr(0, text.find(' '));
        const std::size_t target = request.method.size() + 1;
        request.target = text.substr(target, text.find(' ', target) - target);
        request.connection = number;
        std::size_t length = 0;
        if (const auto at = request.head.find("Content-Length: "); at != std::string::npos) {
            length = std::stoul(request.head.substr(at + 16));
        }
        while (text.size() < end + 4 + length) {
            if (!more()) return false;
        }
        request.body = text.substr(end + 4);

        std::unique_lock lock(mutex_);
        seen_.push_back(request);
        const Reply reply = handler_(request);
        lock.unlock();
        if (!reply.bytes.empty()) {
            // Whoever gets too much may close before the end.
            if (SSL_write(tls, reply.bytes.data(), static_cast<int>(reply.bytes.size())) <= 0) return false;
        }
        if (reply.hang) {
            lock.lock();
            stop_.wait(lock, [this] { return stopping_; });
            return false;
        }
        return !reply.close;
    }

    Options options_;
    Handler handler_;
    SSL_CTX* tls_ = nullptr;
    int listener_ = -1;
    bool stopping_ = false;
    std::condition_variable stop_;
    std::set<int> open_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

TlsServer::TlsServer(Options options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {}
TlsServer::~TlsServer() = default;

int TlsServer::port() const {
    return impl_->port_;
}

std::string TlsServer::url(const std::string& host) const {
    return "https://" + host + ":" + std::to_string(port());
}

std::vector<SeenRequest> TlsServer::requests() const {
    const std::lock_guard lock(impl_->mutex_);
    return impl_->seen_;
}

int TlsServer::connections() const {
    const std::lock_guard lock(impl_->mutex_);
    return impl_->connections_;
}

}  // namespace qkd::support
