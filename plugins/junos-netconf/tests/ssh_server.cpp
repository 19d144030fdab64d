// One thread accepts, one thread per connection serves.
#include "ssh_server.hpp"

#include <arpa/inet.h>
#include <libssh/server.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace qkd::junos::test {

SshServer::SshServer(SshServerOptions options) : options_(std::move(options)) {
    ssh_init();
    for (const auto type : options_.host_keys) {
        ssh_key key = nullptr;
        const int bits = type == SSH_KEYTYPE_RSA ? 2048 : type == SSH_KEYTYPE_ED25519 ? 0 : 256;
        if (ssh_pki_generate(type, bits, &key) != SSH_OK) throw std::runtime_error("no host key");
        keys_.push_back(key);
        unsigned char* hash = nullptr;
        std::size_t size = 0;
        ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &size);
        char* text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, size);
        fingerprints_.emplace_back(text);
        ssh_string_free_char(text);
        ssh_clean_pubkey_hash(&hash);
        ssh_pki_export_pubkey_base64(key, &text);
        public_keys_.push_back(std::string(ssh_key_type_to_char(type)) + " " + text);
        ssh_string_free_char(text);
    }
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("cannot listen");
    port_ = ntohs(address.sin_port);
    stop_ = ::eventfd(0, EFD_CLOEXEC);
    acceptor_ = std::thread([this] { accept_all(); });
}

SshServer::~SshServer() {
    const std::uint64_t one = 1;
    (void)!::write(stop_, &one, sizeof one);
    acceptor_.join();
    {
        const std::lock_guard guard(mutex_);
        for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& session : sessions_) session.join();
    for (auto* key : keys_) ssh_key_free(key);
    ::close(listener_);
    ::close(stop_);
}

net::SshTarget SshServer::target() const {
    net::SshTarget target;
    target.host = "127.0.0.1";
    target.port = static_cast<std::uint16_t>(port_);
    target.host_key = fingerprints_.front();
    return target;
}

void SshServer::accept_all() {
    for (;;) {
        std::array<pollfd, 2> set{pollfd{listener_, POLLIN, 0}, pollfd{stop_, POLLIN, 0}};
        if (::poll(set.data(), set.size(), -1) < 0) continue;
        if (set[1].revents != 0) return;
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) continue;
        const std::lock_guard guard(mutex_);
        open_.insert(fd);
        sessions_.emplace_back([this, fd] { serve(fd); });
    }
}

void SshServer::serve(int fd) {
    ssh_bind bind = ssh_bind_new();
    bool no_configuration = false;
    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no_configuration);
    for (auto* key : keys_) ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, ssh_key_dup(key));
    ssh_session session = ssh_new();
    // The socket belongs to libssh from here on; it closes a duplicate, so that ours stays valid for shutdown().
    if (ssh_bind_accept_fd(bind, session, ::dup(fd)) == SSH_OK && ssh_handle_key_exchange(session) == SSH_OK)
        talk(session);
    ssh_disconnect(session);
    ssh_free(session);
    ssh_bind_free(bind);
    const std::lock_guard guard(mutex_);
    open_.erase(fd);
    ::close(fd);
}

// libssh marks it as deprecated in favour of callbacks; the plain loop below is the simpler server.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void SshServer::talk(ssh_session session) {
    const int methods = options_.password      ? SSH_AUTH_METHOD_PASSWORD
                        : options_.interactive ? SSH_AUTH_METHOD_INTERACTIVE
                                               : SSH_AUTH_METHOD_PUBLICKEY;
    ssh_set_auth_methods(session, methods);
    ssh_channel channel = nullptr;
    while (ssh_message message = ssh_message_get(session)) {
        const int type = ssh_message_type(message);
        const int subtype = ssh_message_subtype(message);
        bool start = false;
        bool answered = false;
        if (type == SSH_REQUEST_SERVICE) {
            ssh_message_service_reply_success(message);
            answered = true;
        } else if (type == SSH_REQUEST_AUTH && subtype == SSH_AUTH_METHOD_PASSWORD && options_.password) {
            if (options_.secret == ssh_message_auth_password(message)) {
                ssh_message_auth_reply_success(message, 0);
                answered = true;
            }
        } else if (type == SSH_REQUEST_AUTH && subtype == SSH_AUTH_METHOD_INTERACTIVE && options_.interactive) {
            if (ssh_message_auth_kbdint_is_response(message) == 0) {
                const char* prompts[] = {"Password: ", "Say anything: "};
                char echo[] = {0, 1};
                ssh_message_auth_interactive_request(message, "login", "", 2, prompts, echo);
                answered = true;
            } else if (const char* said = ssh_userauth_kbdint_getanswer(session, 0);
                       said != nullptr && options_.secret == said) {
                // A prompt that echoes must not get the password.
                const char* shown = ssh_userauth_kbdint_getanswer(session, 1);
                if (shown == nullptr || options_.secret != shown) {
                    ssh_message_auth_reply_success(message, 0);
                    answered = true;
                }
            }
        } else if (type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_SESSION) {
            channel = ssh_message_channel_request_open_reply_accept(message);
            answered = true;
        } else if (type == SSH_REQUEST_CHANNEL && subtype == SSH_CHANNEL_REQUEST_SUBSYSTEM && options_.subsystem) {
            ssh_message_channel_request_reply_success(message);
            answered = start = true;
        }
        if (!answered) ssh_message_reply_default(message);
        ssh_message_free(message);
        if (start && options_.script) {
            Peer peer(channel);
            options_.script(peer);
            ssh_channel_send_eof(channel);
            ssh_channel_close(channel);
        }
    }
    if (channel != nullptr) ssh_channel_free(channel);
}

#pragma GCC diagnostic pop

bool Peer::more() {
    std::array<char, 4096> chunk{};
    const int count = ssh_channel_read(channel_, chunk.data(), chunk.size(), 0);
    if (count <= 0) return false;
    seen_.append(chunk.data(), static_cast<std::size_t>(count));
    return true;
}

bool Peer::await(const std::string& text) {
    std::size_t found = 0;
    while ((found = seen_.find(text)) == std::string::npos) {
        if (!more()) return false;
    }
    seen_.erase(0, found + text.size());
    return true;
}

std::string Peer::take() {
    if (seen_.empty()) more();
    return std::exchange(seen_, {});
}

void Peer::say(const std::string& text) {
    ssh_channel_write(channel_, text.data(), static_cast<std::uint32_t>(text.size()));
}

}  // namespace qkd::junos::test
