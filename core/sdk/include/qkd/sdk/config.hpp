// Configuration as data: the field table of a plugin, and the checked values it is given.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd {

/// Which table of the pipeline file a field stands in.
enum class Scope : std::uint8_t {
    device,   ///< [device.NAME]
    kme,      ///< [kme.NAME]
    key_ids,  ///< key_ids = { ... } of a link
    certs,    ///< [[stage]] kind = "certs"
    persist   ///< [[stage]] kind = "persist"
};

enum class FieldType : std::uint8_t {
    string,
    integer,  ///< allowed: "MIN..MAX"
    boolean,
    duration,    ///< "10s", "500ms", "2m", "1h"; allowed: "MIN..MAX" in the same notation
    one_of,      ///< allowed: "a|b|c"
    path,        ///< relative paths count from the file that names them; given absolute to the plugin
    secret,      ///< "file:", "env:", "command:" (argv list), "credential:" or "sealed:"; a literal is refused
    url,         ///< allowed: schemes such as "https" or "http|https"
    string_list  ///< array of strings
};

/// One line of a plugin's field table. Plain constant data: read without running any code of the plugin.
struct Field {
    Scope scope;
    FieldType type;
    const char* key;
    bool required;              ///< a required field has no default
    const char* default_value;  ///< as it would be written in the file, without quotes; nullptr = none
    const char* allowed;        ///< range or words, see FieldType; nullptr = anything of the type
    const char* doc;            ///< one sentence, says units
};

/// The checked values of one table. Owned by the engine, outlives the plugin object. Safe to read from several threads.
/// Asking for a key that is not in the field table, or by another type, is a defect and gives an empty value.
/// The engine has replaced {sae} and {state} in strings, paths and secrets (member's SAE ID, state directory).
class ConfigView {
  public:
    virtual ~ConfigView() = default;
    /// Given in the file or by default.
    [[nodiscard]] virtual bool has(std::string_view key) const = 0;
    [[nodiscard]] virtual std::string string(std::string_view key) const = 0;  ///< string, one_of, url
    [[nodiscard]] virtual std::int64_t integer(std::string_view key) const = 0;
    [[nodiscard]] virtual bool boolean(std::string_view key) const = 0;
    [[nodiscard]] virtual std::chrono::milliseconds duration(std::string_view key) const = 0;
    [[nodiscard]] virtual std::filesystem::path path(std::string_view key) const = 0;
    [[nodiscard]] virtual std::vector<std::string> list(std::string_view key) const = 0;
    /// Fetches the secret now (reads the file, runs the command, within the context's deadline). Not cached.
    [[nodiscard]] virtual Result<SecretBytes> secret(std::string_view key, Context& context) const = 0;
    /// The path behind a `file:` secret, empty for the other forms; for libraries that insist on reading the file.
    [[nodiscard]] virtual std::filesystem::path secret_path(std::string_view key) const = 0;
    /// Name of the noun or stage this table belongs to, for messages ("device.mx1").
    [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace qkd
