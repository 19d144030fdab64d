// Secret references: taken apart, checked, resolved.
#include "engine/secrets/references.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/text.hpp"
#include "engine/secrets/command.hpp"
#include "engine/secrets/passphrase.hpp"
#include "engine/secrets/seal.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_file = std::size_t{1} << 20U;

Error wrong(std::string what, std::string hint, ErrorCode code = ErrorCode::config) {
    return {code, Retry::never, std::move(what), std::move(hint)};
}

bool is_variable_name(std::string_view name) {
    if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
    return name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
           std::string_view::npos;
}

class Descriptor {
  public:
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

  private:
    int fd_;
};

/// systemd lets the unit's user in by an access list, whose mask shows as the group's bits.
enum class Group : std::uint8_t { nothing, may_read };

/// Type, owner, mode and size of an open secret file. Checked on the descriptor, so that what was checked is what is
/// read.
Result<std::size_t> check_open_file(int fd, const std::string& path, Group group = Group::nothing) {
    struct stat info {};
    if (fstat(fd, &info) != 0) return wrong("cannot examine " + path + ": " + std::strerror(errno), "check the file");
    if (!S_ISREG(info.st_mode)) return wrong(path + " is no regular file", "name the file that holds the secret");
    if (info.st_uid != geteuid() && info.st_uid != 0) {
        return wrong("secret file " + path + " belongs to user " + std::to_string(info.st_uid),
                     "it must belong to root or to the user who runs qkd-macsec: chown");
    }
    const mode_t mask = group == Group::may_read ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if ((info.st_mode & mask) != 0) {
        return wrong("secret file " + path + " is open to its group or to others", "chmod 600 " + path);
    }
    if (info.st_size <= 0) return wrong("secret file " + path + " is empty", "put the secret into it");
    if (static_cast<std::size_t>(info.st_size) > largest_file) {
        return wrong("secret file " + path + " is larger than 1 MiB", "name the file that holds the secret");
    }
    return static_cast<std::size_t>(info.st_size);
}

/// O_NONBLOCK: a named pipe must not hold us up before it is recognised as one.
int open_secret_file(const std::string& path) {
    return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

Error not_opened(const std::string& path, int failure) {
    if (failure == ENOENT || failure == ENOTDIR) {
        return wrong("secret file " + path + " does not exist", "make it with mode 0600", ErrorCode::not_found);
    }
    return wrong("secret file " + path + " cannot be read: " + std::strerror(failure),
                 "it must be readable for the user who runs qkd-macsec");
}

Result<SecretBytes> read_secret_file(const std::string& path, Group group = Group::nothing) {
    const Descriptor file(open_secret_file(path));
    if (file.get() < 0) return not_opened(path, errno);
    const auto size = check_open_file(file.get(), path, group);
    if (!size) return size.error();
    SecretBytes content = SecretBytes::zeros(*size);
    std::size_t used = 0;
    while (used < content.size()) {
        const ssize_t got = ::read(file.get(), content.writable().data() + used, content.size() - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return not_opened(path, errno);
        if (got == 0) break;
        used += static_cast<std::size_t>(got);
    }
    content.resize(used);
    return content;
}

/// Where systemd put the credential of this name.
Result<std::string> credential_file(const std::string& name) {
    const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
    if (directory == nullptr || *directory != '/') {
        return wrong("credential:" + name + ", but systemd gave no credentials (CREDENTIALS_DIRECTORY is not set)",
                     "say LoadCredential=" + name +
                         ":PATH in the unit, or run this in one: systemd-run -p LoadCredential=" + name + ":PATH ...");
    }
    return std::string(directory) + "/" + name;
}

bool is_credential_name(std::string_view name) {
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
           name.find_first_of("/:\n") == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

Result<SecretRef> parse_command(std::string_view text) {
    constexpr const char* hint =
        "write the program and its arguments as a JSON array: command:[\"pass\",\"show\",\"kme\"]";
    const auto json = nlohmann::json::parse(text, nullptr, false);
    SecretRef reference{SecretRef::Form::command, {}, {}, {}};
    if (!json.is_array() || json.empty()) return wrong("a secret command is no list of words", hint);
    for (const auto& word : json) {
        const auto* argument = word.get_ptr<const std::string*>();
        if (argument == nullptr) return wrong("a secret command is no list of words", hint);
        if (argument->find('\0') != std::string::npos) return wrong("a secret command holds a NUL character", hint);
        reference.argv.push_back(*argument);
    }
    if (reference.argv.front().empty()) return wrong("a secret command has no program", hint);
    return reference;
}

Error only_a_seal_key() {
    return wrong("scrypt: makes a seal key of a passphrase, and nothing else", "it may stand behind seal_key only");
}

Error sealed_itself() {
    return wrong("a seal key cannot be sealed itself", std::string("use ") + seal_key_forms);
}

/// PARAMETERS,REFERENCE, with the commas of the parameters counted.
Result<SecretRef> parse_passphrase(std::string_view text) {
    std::size_t end = 0;
    for (int comma = 0; comma < 5 && end != std::string_view::npos; ++comma)
        end = text.find(',', end + (comma > 0 ? 1 : 0));
    const auto parameters = text.substr(0, end);
    if (auto scrypt = parse_scrypt(parameters); !scrypt) return std::move(scrypt).error();
    if (end == std::string_view::npos) {
        return wrong("scrypt: without a passphrase's reference behind its parameters",
                     "make it by `qkd-macsec secret passphrase KEY`");
    }
    auto reference = parse_secret_ref(text.substr(end + 1));
    if (!reference) return reference;
    if (reference->form == SecretRef::Form::sealed || !reference->scrypt.empty())
        return wrong("a passphrase can be neither sealed nor made of another",
                     "use file:, env:, command: or credential:");
    reference->scrypt = parameters;
    return reference;
}

/// Makes state/seal.key. An existing one stays: link() fails then, and the caller reads what is there.
Result<void> make_seal_key(const fs::path& file) {
    const auto failed = [&](const char* step) {
        return wrong("cannot make " + file.string() + ": " + step + ": " + std::strerror(errno),
                     "the state directory must be writable", ErrorCode::internal);
    };
    auto key = new_seal_key();
    if (!key) return std::move(key).error();
    SecretBytes text = hex_encode(*key);
    text.append("\n");
    std::string draft = file.string() + ".XXXXXX";
    const Descriptor out(mkostemp(draft.data(), O_CLOEXEC));  // mode 0600
    if (out.get() < 0) return failed("create");
    const auto bytes = text.reveal();
    const bool written =
        ::write(out.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && ::fsync(out.get()) == 0;
    const bool linked = written && (::link(draft.c_str(), file.c_str()) == 0 || errno == EEXIST);
    const int failure = errno;
    ::unlink(draft.c_str());
    if (!linked) {
        errno = failure;
        return failed(written ? "link" : "write");
    }
    const Descriptor directory(::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.get() < 0 || ::fsync(directory.get()) != 0) return failed("fsync");
    return {};
}

std::string default_seal_key(const SealKeySource& source) {
    return (source.state / "seal.key").string();
}

}  // namespace

void drop_line_end(SecretBytes& secret) {
    const auto text = secret.reveal_text();
    if (text.starts_with("-----BEGIN")) return;
    std::size_t size = text.size();
    if (text.ends_with("\r\n")) {
        size -= 2;
    } else if (text.ends_with('\n')) {
        size -= 1;
    }
    secret.resize(size);
}

Result<SecretRef> parse_secret_ref(std::string_view text) {
    constexpr std::array forms = {
        std::pair{std::string_view("file:"), SecretRef::Form::file},
        std::pair{std::string_view("env:"), SecretRef::Form::environment},
        std::pair{std::string_view("command:"), SecretRef::Form::command},
        std::pair{std::string_view("credential:"), SecretRef::Form::credential},
        std::pair{std::string_view("sealed:"), SecretRef::Form::sealed},
    };
    if (constexpr std::string_view word = "scrypt:"; text.starts_with(word))
        return parse_passphrase(text.substr(word.size()));
    for (const auto& [word, form] : forms) {
        if (!text.starts_with(word)) continue;
        const auto rest = text.substr(word.size());
        if (form == SecretRef::Form::command) return parse_command(rest);
        if (rest.empty()) return wrong("a secret reference names nothing", secret_forms);
        if (form == SecretRef::Form::environment && !is_variable_name(rest)) {
            return wrong("no name of an environment variable behind env:", "env:NAME with letters, digits and '_'");
        }
        if (form == SecretRef::Form::credential && !is_credential_name(rest)) {
            return wrong("no name of a credential behind credential:", "credential:NAME, as LoadCredential= names it");
        }
        if (form == SecretRef::Form::sealed && !base64_decode(rest)) {
            return wrong("no base64 behind sealed:", "copy the whole text that was sealed, on one line");
        }
        return SecretRef{form, std::string(rest), {}, {}};
    }
    return wrong("a secret must not stand in the file itself", secret_forms);
}

std::string to_string(const SecretRef& reference) {
    if (!reference.scrypt.empty()) {
        SecretRef passphrase = reference;
        passphrase.scrypt.clear();
        return "scrypt:" + reference.scrypt + "," + to_string(passphrase);
    }
    switch (reference.form) {
        case SecretRef::Form::file: return "file:" + reference.text;
        case SecretRef::Form::environment: return "env:" + reference.text;
        case SecretRef::Form::credential: return "credential:" + reference.text;
        case SecretRef::Form::sealed: return "sealed:" + reference.text;
        case SecretRef::Form::command: break;
    }
    using Json = nlohmann::json;
    return "command:" + Json(reference.argv).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Version octet, nonce and tag around nothing, see seal.hpp.
constexpr std::size_t least_sealed_octets = 1 + 12 + 16;

Result<void> check_secret(const SecretRef& reference, const SealKeySource& seal_key) {
    if (!reference.scrypt.empty()) return only_a_seal_key();
    switch (reference.form) {
        case SecretRef::Form::file: {
            const Descriptor file(open_secret_file(reference.text));
            if (file.get() < 0) return not_opened(reference.text, errno);
            const auto size = check_open_file(file.get(), reference.text);
            if (!size) return size.error();
            return {};
        }
        case SecretRef::Form::environment: {
            const char* value = std::getenv(reference.text.c_str());
            if (value != nullptr && *value != '\0') return {};
            return wrong("environment variable " + reference.text + " is not set or empty",
                         "set it for qkd-macsec, or use file:");
        }
        case SecretRef::Form::command: return check_program(reference.argv.front());
        case SecretRef::Form::credential: {
            auto path = credential_file(reference.text);
            if (!path) return std::move(path).error();
            const Descriptor file(open_secret_file(*path));
            if (file.get() < 0) return not_opened(*path, errno);
            const auto size = check_open_file(file.get(), *path, Group::may_read);
            if (!size) return size.error();
            return {};
        }
        case SecretRef::Form::sealed: {
            const auto text = base64_decode(reference.text);
            if (!text || text->size() < least_sealed_octets) {
                return wrong("a sealed secret that is cut short or no base64", "seal it again");
            }
            if (!seal_key.reference.empty()) return {};  // seal_key is checked where it stands
            struct stat info {};
            if (stat(default_seal_key(seal_key).c_str(), &info) == 0) return {};
            return wrong("a sealed secret, but there is no seal key", "give [pipeline] seal_key, or use file:");
        }
    }
    return {};
}

Result<void> check_seal_key(const SecretRef& reference) {
    if (reference.form == SecretRef::Form::sealed) return sealed_itself();
    SecretRef source = reference;
    source.scrypt.clear();
    return check_secret(source, {});
}

Result<SecretBytes> resolve_secret(const SecretRef& reference, const SealKeySource& seal_key, Context& context) {
    if (!reference.scrypt.empty()) return only_a_seal_key();
    switch (reference.form) {
        case SecretRef::Form::file: {
            auto content = read_secret_file(reference.text);
            if (content) drop_line_end(*content);
            return content;
        }
        case SecretRef::Form::environment: {
            if (auto there = check_secret(reference, seal_key); !there) return std::move(there).error();
            return SecretBytes(std::string_view(std::getenv(reference.text.c_str())));
        }
        case SecretRef::Form::command: {
            auto output = run_secret_command(reference.argv, context);
            if (output) drop_line_end(*output);
            return output;
        }
        case SecretRef::Form::credential: {
            auto path = credential_file(reference.text);
            if (!path) return std::move(path).error();
            auto content = read_secret_file(*path, Group::may_read);
            if (content) drop_line_end(*content);
            return content;
        }
        case SecretRef::Form::sealed: break;
    }
    auto key = load_seal_key(seal_key, false, context);
    if (!key) return std::move(key).error();
    const auto sealed = base64_decode(reference.text);
    if (!sealed) return sealed.error();
    return unseal(*key, sealed->reveal(), seal_purpose_secret);
}

Result<SecretBytes> load_seal_key(const SealKeySource& source, bool make, Context& context) {
    const bool given = !source.reference.empty();
    auto reference = given ? parse_secret_ref(source.reference)
                           : Result<SecretRef>(SecretRef{SecretRef::Form::file, default_seal_key(source), {}, {}});
    if (!reference) return std::move(reference).error();
    if (reference->form == SecretRef::Form::sealed) return sealed_itself();
    if (!reference->scrypt.empty()) {
        const auto scrypt = parse_scrypt(std::exchange(reference->scrypt, {}));
        if (!scrypt) return scrypt.error();
        const auto passphrase = resolve_secret(*reference, source, context);
        if (!passphrase) return passphrase.error();
        return derive_seal_key(*scrypt, *passphrase);
    }
    // Files are read whole here: the last of 32 random octets may look like a line end.
    const auto fetch = [&]() -> Result<SecretBytes> {
        if (reference->form == SecretRef::Form::file) return read_secret_file(reference->text);
        if (reference->form != SecretRef::Form::credential) return resolve_secret(*reference, source, context);
        auto path = credential_file(reference->text);
        if (!path) return std::move(path).error();
        return read_secret_file(*path, Group::may_read);
    };
    auto content = fetch();
    if (!content && make && !given && content.error().code == ErrorCode::not_found) {
        if (auto made = make_seal_key(reference->text); !made) return std::move(made).error();
        content = fetch();
    }
    if (!content) return std::move(content).error();
    return parse_seal_key(*content);
}

}  // namespace qkd::engine
