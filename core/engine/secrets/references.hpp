// Secret references of a pipeline file and what they stand for.
//
//   file:PATH            the content of a file that only we (or root) can read and write; one line end at its end is
//                        dropped unless it is a PEM or SSH key ("-----BEGIN")
//   env:NAME             the value of an environment variable
//   command:[...]        what a program prints; its arguments as a JSON array of strings: command:["pass","show","kme"]
//                        In TOML also as an array: key = ["command:", "pass", "show", "kme"]
//   credential:NAME      a file in the directory that systemd names in CREDENTIALS_DIRECTORY (LoadCredential= of a unit)
//   sealed:BASE64        a text sealed under the pipeline's seal_key
//
// seal_key alone may also be made of a passphrase: scrypt:PARAMETERS,REFERENCE, see passphrase.hpp.
//
// Anything else is a literal, and a literal secret is refused. Nothing here puts a literal into a message.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

inline constexpr const char* secret_forms =
    "file:PATH, env:NAME, command:[\"PROGRAM\",\"ARGUMENT\"], credential:NAME or sealed:BASE64";
inline constexpr const char* seal_key_forms = "file:, env:, command:, credential: or scrypt:";

struct SecretRef {
    enum class Form : std::uint8_t { file, environment, command, credential, sealed };
    Form form = Form::file;
    std::string text;               ///< path, name or base64
    std::vector<std::string> argv;  ///< command only
    std::string scrypt{};           ///< parameters; then the secret is a passphrase that makes a seal key
};

/// Takes a reference apart; looks at nothing but the text.
Result<SecretRef> parse_secret_ref(std::string_view text);
/// The text form; parse_secret_ref() of it gives the same again.
std::string to_string(const SecretRef& reference);

/// Where `sealed:` values find their key.
struct SealKeySource {
    std::string reference;        ///< `seal_key`, paths absolute; empty = the file seal.key in `state`
    std::filesystem::path state;  ///< absolute
};

/// Is the thing there that the reference names, and nobody else's to read? Reads and runs nothing.
/// not_found when a file is missing.
Result<void> check_secret(const SecretRef& reference, const SealKeySource& seal_key);

/// The same for a seal_key.
Result<void> check_seal_key(const SecretRef& reference);

/// The secret itself, within the context's deadline. Relative paths count from the current directory: make them
/// absolute before.
Result<SecretBytes> resolve_secret(const SecretRef& reference, const SealKeySource& seal_key, Context& context);

/// Takes one line end off, as editors and `echo` leave one; keys in text armour ("-----BEGIN") stay whole.
void drop_line_end(SecretBytes& secret);

/// The 32 octets of the seal key. Without a reference and with `make`, a new one is made in `state` (0600, durable)
/// when there is none; two processes that try at once get the same one. `state` must exist.
Result<SecretBytes> load_seal_key(const SealKeySource& source, bool make, Context& context);

}  // namespace qkd::engine
