// qkd-macsec secret: seals secrets for a pipeline file, and moves a pipeline to another seal key.
#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/files.hpp"
#include "cli/key_words.hpp"
#include "engine/base/text.hpp"
#include "engine/pipeline/toml_document.hpp"
#include "engine/secrets/passphrase.hpp"
#include "engine/secrets/references.hpp"
#include "engine/secrets/seal.hpp"
#include "engine/state/journal.hpp"
#include "engine/state/lock.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::cli {
namespace {

namespace fs = std::filesystem;
using engine::TomlValue;

constexpr std::string_view sealed_form = "sealed:";

Error wrong(std::string what, std::string hint) {
    return {ErrorCode::config, Retry::never, std::move(what), std::move(hint)};
}
Error wrong_in(const fs::path& file, const TomlValue& value, const std::string& what, std::string hint) {
    return wrong(
        file.string() + ":" + std::to_string(value.place.line) + ":" + std::to_string(value.place.column) + ": " + what,
        std::move(hint));
}

int refuse(const Error& error) {
    complain(error);
    return exit_usage;
}

Result<TomlValue> read_file(const fs::path& file) {
    auto read = engine::read_toml(file, 0);
    if (auto* problem = std::get_if<engine::TomlProblem>(&read)) {
        std::string place = file.string() + ": ";
        if (problem->place.line != 0) {
            place = file.string() + ":" + std::to_string(problem->place.line) + ":" +
                    std::to_string(problem->place.column) + ": ";
        }
        return wrong(place + problem->what, problem->hint);
    }
    return std::move(*std::get_if<TomlValue>(&read));
}

/// What these commands need to know of a pipeline file. It need not be right otherwise: the sealed value that is asked for
/// may be the one that is still missing in it.
struct Place {
    fs::path file;
    fs::path folder;
    TomlValue root;
    const TomlValue* seal_key = nullptr;
    std::string reference;  ///< of seal_key; empty = STATE/seal.key
    fs::path state;
    fs::path inventory;  ///< empty: none
};

std::string text_of(const TomlValue& table, std::string_view key, const char* otherwise) {
    const TomlValue* value = table.find(key);
    return value == nullptr || value->type != TomlValue::Type::string ? otherwise : value->text;
}

Result<void> open_place(const fs::path& file, Place& place) {
    auto root = read_file(file);
    if (!root) return std::move(root).error();
    place.file = file;
    place.folder = fs::absolute(file).lexically_normal().parent_path();
    place.root = std::move(*root);
    const TomlValue* pipeline = place.root.find("pipeline");
    if (pipeline == nullptr || pipeline->type != TomlValue::Type::table) {
        return wrong(file.string() + " has no table [pipeline]", "name a pipeline file");
    }
    place.seal_key = pipeline->find("seal_key");
    if (place.seal_key != nullptr) {
        if (place.seal_key->type != TomlValue::Type::string) {
            return wrong_in(file, *place.seal_key, "seal_key is no string",
                            "write it as one: \"file:PATH\" or 'command:[\"PROGRAM\",\"ARGUMENT\"]'");
        }
        place.reference = place.seal_key->text;
    }
    place.state = (place.folder / text_of(*pipeline, "state", "state")).lexically_normal();
    if (const auto inventory = text_of(*pipeline, "inventory", ""); !inventory.empty()) {
        place.inventory = (place.folder / inventory).lexically_normal();
    }
    return {};
}

Result<SecretBytes> key_of(const Place& place) {
    if (!place.reference.empty()) return load_key(place.reference, place.folder);
    auto key = load_state_key(place.state);
    if (!key && key.error().code == ErrorCode::not_found) {
        return wrong(place.file.string() + " has no seal_key in [pipeline], and there is no " +
                         (place.state / "seal.key").string(),
                     "make a key, (umask 077; openssl rand -hex 32 > seal.key), and say seal_key = \"file:seal.key\"");
    }
    return key;
}

// ---------------------------------------------------------------- seal

int seal(const Arguments& arguments) {
    const auto& words = arguments.words();
    const bool has_pipeline = words.size() > 1;
    if (has_pipeline == arguments.has("seal-key")) {
        return refuse(wrong(has_pipeline ? "a PIPELINE and --seal-key: the key is the one or the other"
                                         : "secret seal needs a PIPELINE, or --seal-key KEY",
                            "see `qkd-macsec secret --help`"));
    }
    if (arguments.has("new-key")) return refuse(wrong("--new-key belongs to `secret rekey`", ""));
    std::optional<Result<SecretBytes>> key;
    if (has_pipeline) {
        Place place;
        if (auto opened = open_place(words[1], place); !opened) return refuse(opened.error());
        key = key_of(place);
    } else {
        key = load_key(reference_of(arguments.value("seal-key")), fs::current_path());
    }
    if (!*key) return refuse(key->error());
    const auto secret = arguments.has("file") ? read_secret_from(arguments.value("file")) : read_secret_input();
    if (!secret) return refuse(secret.error());
    const auto sealed = engine::sealed_reference(**key, *secret);
    if (!sealed) return refuse(sealed.error());
    answer(*sealed + "\n");
    return exit_ok;
}

// ---------------------------------------------------------------- rekey

void find_sealed(const TomlValue& value, std::vector<const TomlValue*>& found) {
    if (value.type == TomlValue::Type::string && value.text.starts_with(sealed_form)) found.push_back(&value);
    for (const auto& child : value.children) find_sealed(child, found);
}

Result<SecretBytes> open_sealed(const SecretBytes& key, const std::string& text) {
    const auto octets = base64_decode(std::string_view(text).substr(sealed_form.size()));
    if (!octets) return octets.error();
    return engine::unseal(key, octets->reveal(), engine::seal_purpose_secret);
}

/// Every occurrence. The texts are base64: they stand in a TOML string as they are.
std::size_t replace_all(std::string& text, const std::string& from, const std::string& to) {
    std::size_t count = 0;
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
        ++count;
    }
    return count;
}

Result<std::string> content_of(const fs::path& file) {
    std::FILE* in = std::fopen(file.c_str(), "rbe");
    if (in == nullptr) return wrong("cannot read " + file.string(), "");
    std::string text;
    char block[4096];
    for (std::size_t got = 0; (got = std::fread(block, 1, sizeof block, in)) > 0;) text.append(block, got);
    std::fclose(in);
    return text;
}

struct Rekeyed {
    std::string text;
    std::size_t values = 0;   ///< sealed values in the file
    std::size_t already = 0;  ///< of these, opened under the new key before: an earlier attempt was interrupted
};

/// The file's text with every sealed value under the new key.
Result<Rekeyed> reseal(const fs::path& file, const TomlValue& root, const SecretBytes& old_key,
                       const SecretBytes& new_key) {
    auto content = content_of(file);
    if (!content) return std::move(content).error();
    Rekeyed rekeyed{std::move(*content), 0, 0};
    std::vector<const TomlValue*> values;
    find_sealed(root, values);
    rekeyed.values = values.size();
    std::set<std::string> done;
    for (const auto* value : values) {
        auto plain = open_sealed(old_key, value->text);
        if (!plain) {
            if (!open_sealed(new_key, value->text)) {
                return wrong_in(file, *value,
                                "this sealed value opens neither under the present key nor under the new one",
                                "seal the secret again: qkd-macsec secret seal");
            }
            ++rekeyed.already;
            continue;
        }
        if (!done.insert(value->text).second) continue;  // the same text twice: both were replaced at once
        auto sealed = engine::sealed_reference(new_key, *plain);
        if (!sealed) return std::move(sealed).error();
        if (replace_all(rekeyed.text, value->text, *sealed) == 0) {
            return wrong_in(file, *value, "this sealed value is spread over several lines or written with escapes",
                            "write it as one plain string");
        }
    }
    return rekeyed;
}

/// The value of a TOML string as it can stand between double quotes.
std::string toml_quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

/// Puts the new reference where seal_key stands, or behind the header of [pipeline]. Only the plain forms are found here;
/// what comes out is read again before it counts.
bool put_reference(std::string& text, const Place& place, const std::string& reference) {
    std::size_t begin = 0;
    const TomlValue* pipeline = place.root.find("pipeline");
    const unsigned line = place.seal_key != nullptr ? place.seal_key->place.line : pipeline->key_place.line;
    for (unsigned n = 1; n < line; ++n) {
        begin = text.find('\n', begin);
        if (begin == std::string::npos) return false;
        ++begin;
    }
    std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    if (place.seal_key == nullptr) {
        text.insert(end, "\nseal_key = " + toml_quoted(reference));
        return true;
    }
    // Columns count characters, so the value is looked for behind its key.
    const auto equals = text.find('=', text.find("seal_key", begin));
    const auto open = equals == std::string::npos ? equals : text.find_first_of("\"'", equals);
    if (open == std::string::npos || open > end) return false;
    std::size_t close = open + 1;
    while (close < end && text[close] != text[open]) close += text[open] == '"' && text[close] == '\\' ? 2 : 1;
    if (close >= end) return false;
    text.replace(open, close + 1 - open, toml_quoted(reference));
    return true;
}

/// The new file says what it should: as many sealed values as before, all of which open, and in the pipeline file the new key.
Result<void> verify(const fs::path& file, std::size_t values, const SecretBytes& new_key,
                    const std::string& reference) {
    const auto root = read_file(file);
    const auto unfit = [] {
        return wrong("the new key cannot be put into this file by a program",
                     "give [pipeline] and seal_key a line of their own each: seal_key = \"...\"; nothing was changed");
    };
    if (!root) return unfit();
    std::vector<const TomlValue*> found;
    find_sealed(*root, found);
    const bool open = std::all_of(found.begin(), found.end(),
                                  [&](const TomlValue* value) { return open_sealed(new_key, value->text).ok(); });
    if (!open || found.size() != values) return unfit();
    if (reference.empty()) return {};
    const TomlValue* pipeline = root->find("pipeline");
    if (pipeline == nullptr || text_of(*pipeline, "seal_key", "") != reference) return unfit();
    return {};
}

/// Where the persist stage seals what it remembers; null when it does not.
const TomlValue* sealed_records(const TomlValue& root) {
    const TomlValue* stages = root.find("stage");
    if (stages == nullptr) return nullptr;
    for (const auto& stage : stages->children) {
        const TomlValue* sealed = stage.find("sealed");
        if (text_of(stage, "kind", "") == "persist" && sealed != nullptr && sealed->boolean) return sealed;
    }
    return nullptr;
}

/// Nobody runs the pipeline, and nothing of it is sealed elsewhere.
Result<std::optional<engine::StateLock>> quiet_state(const Place& place) {
    if (const TomlValue* sealed = sealed_records(place.root)) {
        return wrong_in(place.file, *sealed, "what the persist stage remembers is sealed under the present key",
                        "say sealed = false and run once, then rekey, then seal again");
    }
    std::error_code ignored;
    if (!fs::is_directory(place.state, ignored)) return std::optional<engine::StateLock>();
    auto lock = engine::StateLock::take(place.state);
    if (!lock) return std::move(lock).error();
    const auto links = engine::journalled_links(place.state);
    if (!links.empty()) {
        return wrong("the journal in " + place.state.string() + " is sealed under the present key: " +
                         counted(links.size(), "link") + " with an unfinished rotation, such as " + links.front(),
                     "end it first: qkd-macsec run " + place.file.string());
    }
    return std::optional<engine::StateLock>(std::move(*lock));
}

int rekey(const Arguments& arguments) {
    if (arguments.words().size() < 2) return refuse(wrong("secret rekey needs a PIPELINE", ""));
    if (!arguments.has("new-key")) {
        return refuse(wrong("secret rekey needs --new-key KEY",
                            "make one: (umask 077; openssl rand -hex 32 > new.key); then --new-key file:new.key"));
    }
    if (arguments.has("seal-key") || arguments.has("file")) {
        return refuse(wrong("--seal-key and --file belong to `secret seal`", "the present key is the pipeline's own"));
    }
    Place place;
    if (auto opened = open_place(arguments.words()[1], place); !opened) return refuse(opened.error());
    const std::string reference = reference_of(arguments.value("new-key"));
    if (reference == place.reference) {
        return refuse(wrong("--new-key names the key that is in use", "put the new key into another file"));
    }
    auto lock = quiet_state(place);
    if (!lock) return refuse(lock.error());
    const auto old_key = key_of(place);
    if (!old_key) return refuse(old_key.error());
    const auto new_key = load_key(reference, place.folder);
    if (!new_key) return refuse(new_key.error());

    auto pipeline = reseal(place.file, place.root, *old_key, *new_key);
    if (!pipeline) return refuse(pipeline.error());
    if (!put_reference(pipeline->text, place, reference)) {
        return refuse(verify("/dev/null", 0, *new_key, reference).error());
    }
    std::size_t values = pipeline->values;
    // The inventory first: until the pipeline file names the new key, doing all of this once more finishes it.
    if (!place.inventory.empty()) {
        const auto root = read_file(place.inventory);
        if (!root) return refuse(root.error());
        const auto inventory = reseal(place.inventory, *root, *old_key, *new_key);
        if (!inventory) return refuse(inventory.error());
        values += inventory->values;
        if (inventory->values > inventory->already) {
            const auto done = replace_file(place.inventory, inventory->text, [&](const fs::path& file) {
                return verify(file, inventory->values, *new_key, "");
            });
            if (!done) return refuse(done.error());
        }
    }
    const auto done = replace_file(place.file, pipeline->text, [&](const fs::path& file) {
        return verify(file, pipeline->values, *new_key, reference);
    });
    if (!done) return refuse(done.error());
    answer(place.file.string() + ": " + counted(values, "sealed value") + " under " + reference +
           "; the old key opens nothing of this pipeline any more\n");
    return exit_ok;
}

// ---------------------------------------------------------------- passphrase

int passphrase(const Arguments& arguments) {
    const auto& words = arguments.words();
    if (words.size() != 2 || arguments.has("seal-key") || arguments.has("file") || arguments.has("new-key")) {
        return refuse(wrong("secret passphrase needs a KEY that holds the passphrase, and no options",
                            "see `qkd-macsec secret --help`"));
    }
    const std::string reference = reference_of(words[1]);
    auto scrypt = engine::new_scrypt();
    if (!scrypt) return refuse(scrypt.error());
    const std::string made = "scrypt:" + engine::to_string(*scrypt) + "," + reference;
    // As a run would: the passphrase is there, long enough, and this machine has the memory.
    if (const auto key = load_key(made, fs::current_path()); !key) return refuse(key.error());
    answer(made + "\n");
    return exit_ok;
}

int secret(const Arguments& arguments) {
    const auto& words = arguments.words();
    const std::vector<std::string> actions = {"seal", "rekey", "passphrase"};
    if (words[0] == "seal") return seal(arguments);
    if (words[0] == "passphrase") return passphrase(arguments);
    if (words[0] == "rekey") return rekey(arguments);
    const auto near = engine::nearest(words[0], actions);
    // What was typed here may be a secret: it is not repeated.
    return refuse(wrong(
        "secret knows seal, rekey and passphrase" + (near.empty() ? std::string() : "; did you mean '" + near + "'?"),
        "see `qkd-macsec secret --help`; a secret never stands on the command line"));
}

}  // namespace

Command secret_command() {
    return {
        "secret",
        "seal secrets for a pipeline file, and change the key that seals them",
        {"secret seal PIPELINE [--file FILE]", "secret seal --seal-key KEY [--file FILE]",
         "secret rekey PIPELINE --new-key KEY", "secret passphrase KEY"},
        "seal reads a secret from standard input (or from FILE, mode 0600) and prints it as sealed:BASE64, ready to "
        "stand "
        "in PIPELINE: AES-256-GCM under the pipeline's seal_key. One line end at the end of the secret is dropped. A "
        "secret is never taken from the command line, where others could read it.\n"
        "\n"
        "rekey seals every sealed: value of PIPELINE and of its inventory again under another key and names that key "
        "as "
        "seal_key. The old file stays until the new one is complete and on the disk; when it was interrupted, the same "
        "command goes on. It refuses while a rotation is unfinished, because the journal is sealed under the present "
        "key.\n"
        "\n"
        "passphrase prints a KEY made of a passphrase: scrypt with a fresh salt, ready to stand as seal_key or behind "
        "--new-key. KEY names where the passphrase is, 12 characters or more.\n"
        "\n"
        "A KEY is a path or a reference (file:PATH, env:NAME, command:[...], credential:NAME); it holds 32 octets or "
        "64 "
        "hexadecimal digits. Or it is what `secret passphrase` printed. For rekey it is written as it will stand in "
        "PIPELINE: paths count from PIPELINE's folder.",
        {{"file", 0, "FILE", false, "seal: the secret's file instead of standard input"},
         {"seal-key", 0, "KEY", false, "seal: the key, where there is no pipeline file yet"},
         {"new-key", 0, "KEY", false, "rekey: the key to change to"}},
        1,
        2,
        "say `secret seal`, `secret rekey` or `secret passphrase`",
        "  0    done\n"
        "  2    wrong usage, a file or key that cannot be used; nothing was changed\n"
        "  3    internal error",
        "  pass show kme/password | qkd-macsec secret seal ring.toml\n"
        "  (umask 077; openssl rand -hex 32 > seal-2.key)\n"
        "  qkd-macsec secret rekey ring.toml --new-key seal-2.key\n"
        "  qkd-macsec secret passphrase credential:ring",
        secret};
}

}  // namespace qkd::cli
