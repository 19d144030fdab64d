// SshSession over libssh2: set-up, host key, authentication, channels and teardown.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>

#include "impl.hpp"
#include "kexinit.hpp"
#include "known_hosts.hpp"

namespace qkd::net {
namespace {

// Order of preference. Key exchange: the elliptic curves cost 0.6 ms, group16 28 ms. What this libssh2 does not know is
// left out, so newer ones bring rsa-sha2 and GCM without a change here. ssh-rsa (SHA-1) and CBC are
// not offered.
constexpr const char* kex_methods =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
    "diffie-hellman-group14-sha256,diffie-hellman-group16-sha512";
constexpr const char* ciphers = "aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr";
constexpr const char* macs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
constexpr std::array host_key_types{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                                    "ssh-rsa"};

constexpr std::size_t kept_first_bytes = 16384;
// A proxy that closed the connection is about to end, and says why.
constexpr std::chrono::milliseconds end_of_proxy{100};
constexpr std::size_t header = alignof(std::max_align_t);

// libssh2 holds passwords, private keys and whatever crosses the session: its memory is wiped when it is given back.
void* allocate(std::size_t size, void** /*abstract*/) {
    if (size > std::numeric_limits<std::size_t>::max() - header) return nullptr;
    auto* memory = static_cast<unsigned char*>(std::malloc(size + header));
    if (memory == nullptr) return nullptr;
    std::memcpy(memory, &size, sizeof size);
    return memory + header;
}

void release(void* pointer, void** /*abstract*/) {
    if (pointer == nullptr) return;
    auto* memory = static_cast<unsigned char*>(pointer) - header;
    std::size_t size = 0;
    std::memcpy(&size, memory, sizeof size);
    wipe(memory, size + header);
    std::free(memory);
}

void* reallocate(void* pointer, std::size_t size, void** abstract) {
    void* fresh = allocate(size, abstract);
    if (fresh == nullptr || pointer == nullptr) return fresh;
    std::size_t old = 0;
    std::memcpy(&old, static_cast<unsigned char*>(pointer) - header, sizeof old);
    std::memcpy(fresh, pointer, std::min(old, size));
    release(pointer, abstract);
    return fresh;
}

ssize_t receive(libssh2_socket_t fd, void* buffer, std::size_t size, int /*flags*/, void** abstract) {
    const ssize_t count = ::recv(fd, buffer, size, MSG_NOSIGNAL);
    if (count < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    auto* impl = static_cast<SshSession::Impl*>(*abstract);
    if (impl->setting_up && impl->first_bytes.size() < kept_first_bytes) {
        const auto* bytes = static_cast<const std::uint8_t*>(buffer);
        const std::size_t room = kept_first_bytes - impl->first_bytes.size();
        impl->first_bytes.insert(impl->first_bytes.end(), bytes,
                                 bytes + std::min(static_cast<std::size_t>(count), room));
    }
    return count;
}

void answer_prompts(const char* /*name*/, int /*name_size*/, const char* /*text*/, int /*text_size*/, int count,
                    const LIBSSH2_USERAUTH_KBDINT_PROMPT* prompts, LIBSSH2_USERAUTH_KBDINT_RESPONSE* responses,
                    void** abstract) {
    const auto* impl = static_cast<SshSession::Impl*>(*abstract);
    for (int i = 0; i < count; ++i) {
        responses[i].text = nullptr;
        responses[i].length = 0;
        // A prompt that echoes does not ask for a password (RFC 4256 section 3.3).
        if (prompts[i].echo != 0 || impl->answer == nullptr || impl->answer->empty()) continue;
        const auto secret = impl->answer->reveal();
        auto* text = static_cast<char*>(allocate(secret.size(), nullptr));
        if (text == nullptr) continue;
        std::memcpy(text, secret.data(), secret.size());
        responses[i].text = text;
        responses[i].length = static_cast<unsigned>(secret.size());
    }
}

std::string joined(const std::vector<std::string>& words) {
    std::string out;
    for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
    return out.empty() ? "nothing" : out.substr(0, 400);
}

// The signature algorithms for host keys of one type.
std::string methods_of(const std::string& type) {
    return type == "ssh-rsa" ? "rsa-sha2-512,rsa-sha2-256" : type;
}

// Those of `names` that this libssh2 knows. It would leave out the others by itself, but 1.10 copies over itself then.
std::string known_methods(LIBSSH2_SESSION* session, int method, std::string_view names) {
    const char** supported = nullptr;
    const int count = libssh2_session_supported_algs(session, method, &supported);
    std::string out;
    while (!names.empty()) {
        const auto comma = std::min(names.find(','), names.size());
        const auto name = names.substr(0, comma);
        names.remove_prefix(std::min(comma + 1, names.size()));
        for (int i = 0; i < count; ++i) {
            if (name == supported[i]) out.append(out.empty() ? "" : ",").append(name);
        }
    }
    if (supported != nullptr) libssh2_free(session, supported);
    return out;
}

std::string keyscan_hint(const SshTarget& target, const std::string& type) {
    std::string word = "ed25519";
    if (type.starts_with("ecdsa")) word = "ecdsa";
    if (type == "ssh-rsa") word = "rsa";
    return "compare the fingerprint with the device's own, then trust it: ssh-keyscan -p " +
           std::to_string(target.port) + " -t " + word + " " + target.host + " >> " +
           (target.known_hosts.empty() ? std::string("KNOWN_HOSTS") : target.known_hosts.string());
}

Error handshake_error(SshSession::Impl& impl, ssize_t rc) {
    const ServerOffer offer = read_server_offer(impl.first_bytes);
    const std::string what = "SSH with " + impl.peer + ": ";
    if (only_rsa(offer)) {
        return {ErrorCode::auth, Retry::never,
                what + "the device offers only RSA host keys (" + joined(offer.host_keys) + "), and libssh2 " +
                    libssh2_version(0) + " verifies RSA by SHA-1 only, which is not trusted",
                "enable ed25519 or ecdsa host keys on the device (Junos: set system services ssh hostkey-algorithm "
                "ssh-ed25519), or build with libssh2 1.11 or newer"};
    }
    if (offer.banner.empty()) {
        return {impl.proxy ? ErrorCode::unreachable : ErrorCode::protocol, Retry::safe,
                what + "no SSH server answers there" + impl.words_of_proxy(end_of_proxy),
                "check the port; Junos: set system services netconf ssh (830) or set system services ssh (22)"};
    }
    if (rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE || rc == LIBSSH2_ERROR_KEX_FAILURE) {
        return {ErrorCode::protocol, Retry::never,
                what + "nothing in common; the device offers key exchange " + joined(offer.kex) + "; host keys " +
                    joined(offer.host_keys) + "; ciphers " + joined(offer.ciphers) + "; MACs " + joined(offer.macs),
                "needed: curve25519 or ecdh, an ed25519 or ecdsa host key, AES-CTR and hmac-sha2"};
    }
    Error error = impl.error(ErrorCode::unreachable, "key exchange");
    error.retry = Retry::safe;
    return error;
}

Result<void> connect_to(Context& context, const SshTarget& target, SshSession::Impl& impl) {
    if (target.proxy_command.empty()) {
        auto fd = connect_tcp(context, target.host, target.port, target.connect_timeout);
        if (!fd) return std::move(fd).error();
        impl.fd = *fd;
        return {};
    }
    auto command = expand_proxy_command(target);
    if (!command) return std::move(command).error();
    auto program = Program::start(*command);
    if (!program) return std::move(program).error();
    impl.proxy = std::move(*program);
    impl.fd = impl.proxy->socket();
    return {};
}

bool contains(const std::vector<HostKey>& keys, std::span<const std::uint8_t> blob) {
    return std::any_of(keys.begin(), keys.end(), [&](const HostKey& key) {
        return std::equal(key.blob.begin(), key.blob.end(), blob.begin(), blob.end());
    });
}

enum class Verdict : std::uint8_t { trusted, try_another_type };

// Compares the key the device proved to have with what is trusted.
Result<Verdict> judge(SshSession::Impl& impl, const SshTarget& target, const KnownHost& known, bool more_types) {
    std::size_t size = 0;
    int kind = 0;
    const char* key = libssh2_session_hostkey(impl.session, &size, &kind);
    if (key == nullptr) return Error{ErrorCode::protocol, Retry::never, "SSH with " + impl.peer + ": no host key", ""};
    const std::span<const std::uint8_t> blob(reinterpret_cast<const std::uint8_t*>(key), size);
    impl.fingerprint = fingerprint(blob);
    const std::string type = blob_type(blob);
    const std::string shown = type + " " + impl.fingerprint;
    const auto refuse = [&](const std::string& why, const std::string& hint) {
        return Error{ErrorCode::auth, Retry::never, "SSH with " + impl.peer + ": " + why, hint};
    };
    if (contains(known.revoked, blob))
        return refuse("the device's host key is marked @revoked in known_hosts: " + shown,
                      "give the device a new host key; do not trust this one");
    if (!target.host_key.empty()) {
        std::string pinned = target.host_key;
        while (pinned.ends_with('=')) pinned.pop_back();
        if (pinned == impl.fingerprint) return Verdict::trusted;
        if (more_types) return Verdict::try_another_type;
        return refuse("the device's host key is " + shown + ", not the pinned " + target.host_key,
                      "find out why it differs; if the device was replaced, pin the new fingerprint");
    }
    if (contains(known.keys, blob)) return Verdict::trusted;
    const bool same_type =
        std::any_of(known.keys.begin(), known.keys.end(), [&](const HostKey& other) { return other.type == type; });
    if (same_type)
        return refuse("the device's host key is not the one in " + target.known_hosts.string() + ": it shows " + shown,
                      "somebody may be listening in, or the device was replaced: verify on its console, then remove "
                      "the old line (ssh-keygen -R) and add the new one");
    if (known.certificate_authority && known.keys.empty())
        return refuse("host key " + shown +
                          ": known_hosts has only a @cert-authority line for it, which is not "
                          "supported",
                      "list the device's plain host key: " + keyscan_hint(target, type));
    return refuse("unknown host key " + shown, keyscan_hint(target, type));
}

class ChannelStream final : public ByteStream {
  public:
    ChannelStream(std::shared_ptr<SshSession::Impl> impl, LIBSSH2_CHANNEL* channel)
        : impl_(std::move(impl)), channel_(channel) {}
    ~ChannelStream() override { close(); }

    Result<std::size_t> read(Context& context, std::span<std::uint8_t> into) override {
        if (!alive()) return gone();
        for (;;) {
            auto rc = impl_->run(
                context, "waiting for data",
                [&] { return libssh2_channel_read(channel_, reinterpret_cast<char*>(into.data()), into.size()); },
                false);
            if (!rc) return std::move(rc).error();
            if (*rc > 0) return static_cast<std::size_t>(*rc);
            if (*rc < 0) {
                if (impl_->transport_failed(*rc) && *rc == LIBSSH2_ERROR_SOCKET_DISCONNECT) return std::size_t{0};
                return impl_->error(ErrorCode::unreachable, "reading");
            }
            if (libssh2_channel_eof(channel_) != 0) return std::size_t{0};
            // Nothing for this channel yet although something came.
            if (auto ready = impl_->wait(context, "waiting for data"); !ready) return std::move(ready).error();
        }
    }

    Result<void> write(Context& context, std::span<const std::uint8_t> bytes) override {
        while (!bytes.empty()) {
            if (!alive()) return gone();
            auto rc = impl_->run(context, "sending", [&] {
                return libssh2_channel_write(channel_, reinterpret_cast<const char*>(bytes.data()), bytes.size());
            });
            if (!rc) return std::move(rc).error();
            if (*rc < 0) {
                (void)impl_->transport_failed(*rc);
                return impl_->error(ErrorCode::unreachable, "sending");
            }
            bytes = bytes.subspan(static_cast<std::size_t>(*rc));
        }
        return {};
    }

    void close() noexcept override {
        if (channel_ == nullptr) return;
        // One try: what is still in the way is cleaned up with the session.
        if (!impl_->broken) (void)libssh2_channel_free(channel_);
        channel_ = nullptr;
    }
    [[nodiscard]] bool alive() const noexcept override { return channel_ != nullptr && !impl_->broken; }

  private:
    Error gone() const {
        return {ErrorCode::unreachable, Retry::safe, "SSH with " + impl_->peer + ": the channel is closed",
                "open a new session"};
    }

    std::shared_ptr<SshSession::Impl> impl_;
    LIBSSH2_CHANNEL* channel_;
};

int initialise_library() {
    static std::once_flag once;
    static int rc = 0;
    std::call_once(once, [] { rc = libssh2_init(0); });
    return rc;
}

}  // namespace

SshSession::Impl::~Impl() {
    if (fd >= 0) ::shutdown(fd, SHUT_RDWR);
    if (session != nullptr) {
        for (int i = 0; i < farewell_calls && libssh2_session_free(session) == LIBSSH2_ERROR_EAGAIN; ++i) {
        }
    }
    if (fd >= 0 && proxy == nullptr) ::close(fd);
}

Result<void> SshSession::Impl::wait(Context& context, const char* doing) {
    const int directions = libssh2_session_block_directions(session);
    short events = 0;
    if ((directions & LIBSSH2_SESSION_BLOCK_INBOUND) != 0) events |= POLLIN;
    if ((directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0) events |= POLLOUT;
    if (events == 0) events = POLLIN;
    if (setting_up) acknowledge_at_once(fd);
    auto ready = wait_for(context, fd, events, "SSH with " + peer + ": " + doing);
    if (!ready) ready.error().what += words_of_proxy({});
    return ready;
}

std::string SshSession::Impl::words_of_proxy(std::chrono::milliseconds patience) {
    if (proxy == nullptr) return {};
    const std::string words = proxy->last_words(patience);
    return words.empty() ? words : "; proxy_command " + words;
}

Error SshSession::Impl::error(ErrorCode code, const std::string& doing) {
    char* text = nullptr;
    const int number = session != nullptr ? libssh2_session_last_error(session, &text, nullptr, 0) : 0;
    return {code, code == ErrorCode::unreachable ? Retry::safe : Retry::never,
            "SSH with " + peer + ": " + doing + ": " + (text != nullptr && *text != '\0' ? text : "failed") + " (" +
                std::to_string(number) + ")" +
                words_of_proxy(code == ErrorCode::unreachable ? end_of_proxy : std::chrono::milliseconds{0}),
            ""};
}

bool SshSession::Impl::transport_failed(ssize_t rc) {
    switch (rc) {
        case LIBSSH2_ERROR_SOCKET_DISCONNECT:
        case LIBSSH2_ERROR_SOCKET_SEND:
        case LIBSSH2_ERROR_SOCKET_RECV:
        case LIBSSH2_ERROR_SOCKET_TIMEOUT:
        case LIBSSH2_ERROR_TIMEOUT:
        case LIBSSH2_ERROR_INVALID_MAC:
        case LIBSSH2_ERROR_DECRYPT:
        case LIBSSH2_ERROR_PROTO: broken = true; return true;
        default: return false;
    }
}

Result<void> SshSession::Impl::handshake(Context& context, const std::string& host_key_methods) {
    session = libssh2_session_init_ex(allocate, release, reallocate, this);
    if (session == nullptr) return Error{ErrorCode::internal, Retry::never, "libssh2_session_init failed", ""};
    libssh2_session_set_blocking(session, 0);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, reinterpret_cast<void*>(&receive));
    const std::array<std::pair<int, const char*>, 6> preferences{{{LIBSSH2_METHOD_KEX, kex_methods},
                                                                  {LIBSSH2_METHOD_HOSTKEY, host_key_methods.c_str()},
                                                                  {LIBSSH2_METHOD_CRYPT_CS, ciphers},
                                                                  {LIBSSH2_METHOD_CRYPT_SC, ciphers},
                                                                  {LIBSSH2_METHOD_MAC_CS, macs},
                                                                  {LIBSSH2_METHOD_MAC_SC, macs}}};
    for (const auto& [method, names] : preferences) {
        const std::string known = known_methods(session, method, names);
        if (known.empty() || libssh2_session_method_pref(session, method, known.c_str()) != 0)
            return Error{ErrorCode::auth, Retry::never,
                         "SSH with " + peer + ": libssh2 " + libssh2_version(0) + " supports none of " + names,
                         "use an ed25519 or ecdsa host key"};
    }
    auto rc = run(context, "key exchange", [&] { return libssh2_session_handshake(session, fd); });
    if (!rc) return std::move(rc).error();
    if (*rc != 0) return handshake_error(*this, *rc);
    return {};
}

Result<LIBSSH2_CHANNEL*> SshSession::Impl::open_channel(Context& context) {
    if (broken) return error(ErrorCode::unreachable, "the session is closed");
    setting_up = true;
    auto channel = run_pointer(context, "opening a channel", [&] { return libssh2_channel_open_session(session); });
    if (!channel) return channel;
    if (*channel == nullptr) {
        (void)transport_failed(libssh2_session_last_errno(session));
        Error failure = error(broken ? ErrorCode::unreachable : ErrorCode::rejected, "opening a channel");
        failure.hint = "Junos limits the sessions per connection and in all (system services ssh)";
        return failure;
    }
    libssh2_channel_handle_extended_data(*channel, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
    return channel;
}

std::unique_ptr<ByteStream> make_stream(std::shared_ptr<SshSession::Impl> impl, LIBSSH2_CHANNEL* channel) {
    return std::make_unique<ChannelStream>(std::move(impl), channel);
}

Result<std::vector<std::string>> expand_proxy_command(const SshTarget& target) {
    const auto wrong = [](const std::string& what, const std::string& hint) {
        return Error{ErrorCode::config, Retry::never, "proxy_command: " + what, hint};
    };
    std::vector<std::string> command;
    for (const std::string& word : target.proxy_command) {
        std::string& out = command.emplace_back();
        for (std::size_t i = 0; i < word.size(); ++i) {
            if (word[i] != '%') {
                out += word[i];
                continue;
            }
            const char letter = ++i < word.size() ? word[i] : '\0';
            const std::string by = letter == 'h'   ? target.host
                                   : letter == 'p' ? std::to_string(target.port)
                                   : letter == 'r' ? target.user
                                                   : "%";
            if (letter != 'h' && letter != 'p' && letter != 'r' && letter != '%')
                return wrong("'" + word + "' has a % word that is not known",
                             "%h host, %p port, %r user, %% a percent sign");
            if (out.empty() && by.starts_with('-'))
                return wrong("'" + by + "' would be taken for an option", "correct host and user");
            out += by;
        }
        if (out.find('\0') != std::string::npos) return wrong("a word holds a NUL character", "take it out");
    }
    if (command.empty() || command.front().empty())
        return wrong("there is no program", R"(say proxy_command = ["ssh", "-W", "%h:%p", "jump.example"])");
    return command;
}

SshSession::SshSession(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

SshSession::~SshSession() {
    impl_->broken = true;
}

Result<std::unique_ptr<SshSession>> SshSession::connect(Context& context, const SshTarget& target) {
    if (initialise_library() != 0) return Error{ErrorCode::internal, Retry::never, "libssh2_init failed", ""};
    KnownHost known;
    if (!target.known_hosts.empty()) {
        auto found = find_known_host(target.known_hosts, target.host, target.port);
        if (!found) return std::move(found).error();
        known = std::move(found).value();
    }
    // The types we could verify come first, so that a device with several keys shows one that we know. A pinned
    // fingerprint does not say its type: then one type after the other is asked for.
    std::vector<std::string> types;
    if (target.host_key.empty()) {
        for (const char* type : host_key_types) {
            if (std::any_of(known.keys.begin(), known.keys.end(), [&](const auto& key) { return key.type == type; }))
                types.emplace_back(type);
        }
    }
    for (const char* type : host_key_types) {
        if (std::find(types.begin(), types.end(), type) == types.end()) types.emplace_back(type);
    }
    for (;;) {
        auto impl = std::make_shared<Impl>();
        impl->peer = target.host + " port " + std::to_string(target.port);
        if (auto connected = connect_to(context, target, *impl); !connected) return std::move(connected).error();
        std::string methods;
        for (const auto& type : types) methods += (methods.empty() ? "" : ",") + methods_of(type);
        if (auto done = impl->handshake(context, methods); !done) return std::move(done).error();

        std::size_t size = 0;
        int kind = 0;
        const char* key = libssh2_session_hostkey(impl->session, &size, &kind);
        const std::string shown = key == nullptr ? "" : blob_type({reinterpret_cast<const std::uint8_t*>(key), size});
        std::erase(types, shown);
        // Another attempt makes sense only for a type that the device has as well.
        const ServerOffer offer = read_server_offer(impl->first_bytes);
        std::erase_if(types, [&](const std::string& type) {
            return std::find(offer.host_keys.begin(), offer.host_keys.end(), type) == offer.host_keys.end();
        });
        auto verdict = judge(*impl, target, known, !types.empty());
        if (!verdict) return std::move(verdict).error();
        if (*verdict == Verdict::try_another_type) continue;
        impl->first_bytes.clear();
        return std::make_unique<SshSession>(std::move(impl));
    }
}

Result<void> SshSession::login_key(Context& context, const std::string& user, const SecretBytes& private_key) {
    const auto key = private_key.reveal_text();
    auto rc = impl_->run(context, "authenticating by key", [&] {
        return libssh2_userauth_publickey_frommemory(impl_->session, user.data(), user.size(), nullptr, 0, key.data(),
                                                     key.size(), nullptr);
    });
    if (!rc) return std::move(rc).error();
    if (*rc == 0) return {};
    if (impl_->transport_failed(*rc)) return impl_->error(ErrorCode::unreachable, "authenticating by key");
    Error error = impl_->error(ErrorCode::auth, "user " + user + ", authenticating by key");
    error.hint = *rc == LIBSSH2_ERROR_FILE || *rc == LIBSSH2_ERROR_METHOD_NOT_SUPPORTED
                     ? "the private key must be ed25519 or ecdsa, in OpenSSH or PEM form, without passphrase"
                     : "check that the device has this user with the matching public key (system login user ... "
                       "authentication); RSA keys need libssh2 1.11 or newer, so prefer ed25519 or ecdsa";
    return error;
}

Result<void> SshSession::login_password(Context& context, const std::string& user, const SecretBytes& password) {
    const auto name_size = static_cast<unsigned>(user.size());
    auto methods = impl_->run_pointer(context, "asking for the authentication methods",
                                      [&] { return libssh2_userauth_list(impl_->session, user.data(), name_size); });
    if (!methods) return std::move(methods).error();
    const std::string offered = *methods != nullptr ? *methods : "";
    if (offered.empty()) {
        if (libssh2_userauth_authenticated(impl_->session) != 0)
            return Error{ErrorCode::auth, Retry::never,
                         "SSH with " + impl_->peer + ": the device lets user " + user + " in without authentication",
                         "give the user a key or a password"};
        (void)impl_->transport_failed(libssh2_session_last_errno(impl_->session));
        return impl_->error(ErrorCode::unreachable, "asking for the authentication methods");
    }
    const auto text = password.reveal_text();
    ssize_t rc = LIBSSH2_ERROR_AUTHENTICATION_FAILED;
    const bool has_password = ("," + offered + ",").find(",password,") != std::string::npos;
    const bool has_interactive = offered.find("keyboard-interactive") != std::string::npos;
    if (has_password) {
        auto done = impl_->run(context, "authenticating by password", [&] {
            return libssh2_userauth_password_ex(impl_->session, user.data(), name_size, text.data(),
                                                static_cast<unsigned>(text.size()), nullptr);
        });
        if (!done) return std::move(done).error();
        rc = *done;
    }
    if (rc != 0 && has_interactive && !impl_->transport_failed(rc)) {
        impl_->answer = &password;
        auto done = impl_->run(context, "authenticating by password", [&] {
            return libssh2_userauth_keyboard_interactive_ex(impl_->session, user.data(), name_size, &answer_prompts);
        });
        impl_->answer = nullptr;
        if (!done) return std::move(done).error();
        rc = *done;
    }
    if (rc == 0) return {};
    if (impl_->transport_failed(rc)) return impl_->error(ErrorCode::unreachable, "authenticating by password");
    return Error{ErrorCode::auth, Retry::never,
                 "SSH with " + impl_->peer + ": user " + user +
                     ": the password was not accepted (the device offers: " + offered + ")",
                 has_password || has_interactive ? "check user and password"
                                                 : "the device takes no passwords; configure ssh_key"};
}

Result<std::unique_ptr<ByteStream>> SshSession::subsystem(Context& context, const std::string& name) {
    auto channel = impl_->open_channel(context);
    if (!channel) return std::move(channel).error();
    auto stream = make_stream(impl_, *channel);
    auto rc =
        impl_->run(context, "starting a subsystem", [&] { return libssh2_channel_subsystem(*channel, name.c_str()); });
    impl_->setting_up = false;
    if (!rc) return std::move(rc).error();
    if (*rc == 0) return stream;
    if (impl_->transport_failed(*rc)) return impl_->error(ErrorCode::unreachable, "starting subsystem " + name);
    return Error{ErrorCode::unsupported, Retry::never,
                 "SSH with " + impl_->peer + ": the device refuses the subsystem " + name,
                 name == "netconf" ? "Junos: set system services netconf ssh, and check the user's login class" : ""};
}

Result<std::unique_ptr<ByteStream>> SshSession::exec(Context& context, const std::string& command) {
    auto channel = impl_->open_channel(context);
    if (!channel) return std::move(channel).error();
    auto stream = make_stream(impl_, *channel);
    auto rc =
        impl_->run(context, "starting a command", [&] { return libssh2_channel_exec(*channel, command.c_str()); });
    impl_->setting_up = false;
    if (!rc) return std::move(rc).error();
    if (*rc == 0) return stream;
    (void)impl_->transport_failed(*rc);
    return impl_->error(impl_->broken ? ErrorCode::unreachable : ErrorCode::rejected, "starting a command");
}

const std::string& SshSession::fingerprint() const noexcept {
    return impl_->fingerprint;
}

bool SshSession::alive() const noexcept {
    return !impl_->broken;
}

}  // namespace qkd::net
