// qkd-macsec import: an inventory of the Python script becomes a pipeline.
#include <unistd.h>

#include <filesystem>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/files.hpp"
#include "cli/key_words.hpp"
#include "cli/session.hpp"
#include "engine/base/text.hpp"
#include "engine/secrets/seal.hpp"
#include "import/pipeline_text.hpp"

namespace qkd::cli {
namespace {

namespace fs = std::filesystem;

int refuse(const Error& error) {
    complain(error);
    return exit_usage;
}

/// What is written besides the pipeline.
struct Work {
    fs::path output;
    fs::path folder;
    Created files;
    std::optional<SecretBytes> seal_key;
};

/// The reference that stands for a secret in the pipeline: a file of its own, or its sealed text.
Result<std::string> keep(Work& work, const SecretBytes& secret, const char* what) {
    if (secret.empty()) return std::string();
    if (work.seal_key) return engine::sealed_reference(*work.seal_key, secret);
    const std::string name = work.output.stem().string() + "." + what;
    SecretBytes content = secret.clone();
    // The reader drops one line end, so that a password that ends in one keeps it; keys in text armour stay as they are.
    if (!secret.reveal_text().starts_with("-----BEGIN")) content.append("\n");
    if (auto made = work.files.create(work.output.parent_path() / name, content.reveal_text(), 0600); !made) {
        return std::move(made).error();
    }
    return "file:" + name;
}

/// known_hosts beside the pipeline: an empty one when there is none, so that nothing connects before somebody has put
/// verified keys into it.
Result<void> keep_known_hosts(Work& work, const Arguments& arguments, std::string& path) {
    if (arguments.has("known-hosts")) {
        path = fs::absolute(arguments.value("known-hosts")).lexically_normal().string();
        return {};
    }
    path = "known_hosts";
    std::error_code ignored;
    if (fs::exists(work.output.parent_path() / path, ignored)) return {};
    return work.files.create(work.output.parent_path() / path,
                             "# Host keys of the devices, one line each: ssh-keyscan HOST >> this file, then compare\n"
                             "# with what the device itself says (show security ssh key-fingerprint).\n",
                             0644);
}

Result<void> write(Work& work, const Arguments& arguments, const inventory::Reading& reading) {
    inventory::PipelineOptions options;
    options.name = inventory::pipeline_name(work.output.stem());
    options.source = arguments.words().front();
    if (arguments.has("seal-key")) {
        options.seal_key = reference_of(arguments.value("seal-key"));
        auto key = load_key(options.seal_key, work.folder);
        if (!key) return std::move(key).error();
        work.seal_key = std::move(*key);
    }
    if (arguments.has("ssh-key")) {
        options.ssh_key = "file:" + fs::absolute(arguments.value("ssh-key")).lexically_normal().string();
    } else {
        auto kept = keep(work, reading.inventory.password, "device-password");
        if (!kept) return std::move(kept).error();
        options.device_password = std::move(*kept);
    }
    auto kept = keep(work, reading.inventory.ca_password, "ca-password");
    if (!kept) return std::move(kept).error();
    options.ca_password = std::move(*kept);
    if (auto known = keep_known_hosts(work, arguments, options.known_hosts); !known) return known;
    return work.files.create(work.output, inventory::pipeline_text(reading.inventory, options, reading.findings), 0644);
}

int import(const Arguments& arguments) {
    if (!arguments.has("output")) {
        return refuse({ErrorCode::config, Retry::never, "import needs -o PIPELINE", "name the pipeline file to make"});
    }
    Work work;
    work.output = arguments.value("output");
    std::error_code ignored;
    work.folder = fs::absolute(work.output, ignored).lexically_normal().parent_path();
    if (work.output.filename().empty() || !fs::is_directory(work.folder, ignored)) {
        return refuse({ErrorCode::config, Retry::never,
                       "-o " + engine::printable(work.output.string()) +
                           " is no file in "
                           "an existing folder",
                       "create the folder first"});
    }
    // Before anything is read or written; create_file() makes sure again.
    if (fs::symlink_status(work.output, ignored).type() != fs::file_type::not_found) {
        return refuse({ErrorCode::conflict, Retry::never, work.output.string() + " is there already",
                       "nothing is overwritten: remove it, or name another file"});
    }
    auto reading = inventory::read_inventory(fs::path(arguments.words().front()));
    if (reading.ok() && reading.inventory.password.empty() && !arguments.has("ssh-key")) {
        return refuse({ErrorCode::config, Retry::never, "the inventory has no password for the devices",
                       "name a private key: --ssh-key FILE"});
    }
    const std::string findings = findings_text(reading.findings, colour_wanted(arguments, STDERR_FILENO));
    std::fwrite(findings.data(), 1, findings.size(), stderr);
    if (!reading.ok()) {
        return refuse({ErrorCode::config, Retry::never,
                       arguments.words().front() + ": " + findings_count(reading.findings), "nothing was written"});
    }
    if (auto written = write(work, arguments, reading); !written) return refuse(written.error());
    for (const auto& file : work.files.files()) answer("wrote " + file.string() + "\n");
    work.files.keep();
    answer("next: put the devices' host keys into known_hosts, then qkd-macsec check " + work.output.string() + "\n");
    return exit_ok;
}

}  // namespace

Command import_command() {
    return {
        "import",
        "turn an inventory of the Python script into a pipeline",
        {"import TARGETS -o PIPELINE [--seal-key KEY] [--ssh-key FILE] [--known-hosts FILE]"},
        "Reads TARGETS, the script's targets.yaml or targets.json, and writes PIPELINE: one link of the master, the "
        "slave "
        "and the additional slaves, with their KMEs, certificates and connectivity association. What has no "
        "counterpart "
        "is said on standard error and in comments of the new file.\n"
        "\n"
        "Passwords go into files of their own beside PIPELINE, mode 0600, or with --seal-key into PIPELINE itself, "
        "sealed. Nothing is asked, nothing is overwritten, and when something fails nothing is left behind. TARGETS "
        "stays "
        "as it is, with its passwords in clear: remove it when all is well.",
        {{"output", 'o', "PIPELINE", false, "the file to make"},
         {"seal-key", 0, "KEY", false,
          "seal passwords under this key; as it will stand in PIPELINE: a path or a reference such as file:seal.key, "
          "relative to PIPELINE's folder"},
         {"ssh-key", 0, "FILE", false, "log in with this private key instead of the inventory's password"},
         {"known-hosts", 0, "FILE", false, "host keys of the devices, instead of known_hosts beside PIPELINE"}},
        1,
        1,
        "the inventory TARGETS is missing",
        "  0    PIPELINE was written\n"
        "  2    the inventory has errors, a file is there already, or wrong usage; nothing was written\n"
        "  3    internal error",
        "  qkd-macsec import targets.yaml -o ring.toml\n"
        "  (umask 077; openssl rand -hex 32 > seal.key)\n"
        "  qkd-macsec import targets.yaml -o ring.toml --seal-key seal.key",
        import};
}

}  // namespace qkd::cli
