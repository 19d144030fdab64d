// Resolves keys and reads secrets for commands that run no pipeline.
#include "cli/key_words.hpp"

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/secrets/references.hpp"

namespace qkd::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_octets = std::size_t{64} << 10U;

/// For secret commands: a deadline and nobody who listens.
class QuietContext final : public Context {
  public:
    QuietContext() : Context(Clock::now() + std::chrono::seconds{30}, {}, -1) {}
    void log(LogLevel, std::string_view) override {}
    void event(std::string_view, std::span<const Attr>) override {}
};

/// A terminal does not show what is typed while this lives.
class NoEcho {
  public:
    NoEcho() : active_(::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
        if (!active_) return;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        // The question comes after: what was typed before it is dropped, what is typed after it is not shown.
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        std::fputs("secret: ", stderr);
    }
    ~NoEcho() {
        if (!active_) return;
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
        std::fputs("\n", stderr);
    }
    NoEcho(const NoEcho&) = delete;
    NoEcho& operator=(const NoEcho&) = delete;
    [[nodiscard]] bool active() const noexcept { return active_; }

  private:
    termios before_{};
    bool active_;
};

Error wrong(std::string what, std::string hint) {
    return {ErrorCode::config, Retry::never, std::move(what), std::move(hint)};
}

}  // namespace

std::string reference_of(const std::string& word) {
    for (const char* form : {"file:", "env:", "command:", "credential:", "sealed:", "scrypt:"}) {
        if (word.starts_with(form)) return word;
    }
    return "file:" + word;
}

Result<std::string> absolute_reference(const std::string& reference, const fs::path& folder) {
    auto parsed = engine::parse_secret_ref(reference);
    if (!parsed) return std::move(parsed).error();
    if (parsed->form == engine::SecretRef::Form::file) {
        parsed->text = (fs::absolute(folder) / parsed->text).lexically_normal().string();
    }
    return engine::to_string(*parsed);
}

Result<SecretBytes> load_key(const std::string& reference, const fs::path& folder) {
    auto absolute = absolute_reference(reference, folder);
    if (!absolute) return std::move(absolute).error();
    QuietContext context;
    auto key = engine::load_seal_key({*absolute, {}}, false, context);
    if (!key && key.error().code == ErrorCode::not_found) {
        Error error = std::move(key).error();
        error.hint = "make one: (umask 077; openssl rand -hex 32 > seal.key)";
        return error;
    }
    return key;
}

Result<SecretBytes> load_state_key(const fs::path& state) {
    QuietContext context;
    return engine::load_seal_key({"", state}, false, context);
}

Result<SecretBytes> read_secret_input() {
    const NoEcho echo;
    SecretBytes text = SecretBytes::zeros(most_octets + 1);
    std::size_t used = 0;
    for (;;) {
        if (used == text.size()) return wrong("a secret of more than 64 KiB on standard input", "seal a smaller one");
        const ssize_t got = ::read(STDIN_FILENO, text.writable().data() + used, text.size() - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return wrong(std::string("standard input: ") + std::strerror(errno), "");
        used += static_cast<std::size_t>(got);
        if (got == 0 || (echo.active() && text.reveal_text().substr(0, used).ends_with('\n'))) break;
    }
    text.resize(used);
    engine::drop_line_end(text);
    if (text.empty()) return wrong("there is no secret on standard input", "qkd-macsec secret seal PIPELINE < FILE");
    return text;
}

Result<SecretBytes> read_secret_from(const fs::path& file) {
    QuietContext context;
    return engine::resolve_secret({engine::SecretRef::Form::file, file.string(), {}, {}}, {}, context);
}

}  // namespace qkd::cli
