// certs-x509: client certificates for SAEs from a CA in a folder, and the copies of them on the devices.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "folder.hpp"
#include "qkd/sdk/certs.hpp"
#include "qkd/sdk/plugin.hpp"
#include "x509.hpp"

namespace qkd::certs {
namespace {

constexpr mode_t public_mode = 0644;
constexpr mode_t private_mode = 0600;

/// What is in the folder, and what has to be done about it.
struct Findings {
    Pair ca;
    Pair client;
    bool make_ca = false;
    std::string renew;                 ///< why the client's certificate is made anew; empty: it is not
    std::string warning;               ///< what should be done by a person
    std::vector<std::string> exposed;  ///< key files that others may read
};

std::string text_of(const std::optional<FileContent>& file) {
    return file ? std::string(file->bytes.reveal_text()) : std::string();
}

class X509Certs final : public CertStage {
  public:
    Result<void> configure(const ConfigView& config) override;
    Result<void> probe(Context& context) override;
    Result<Change> ensure(Context& context, const CertSubject& subject, DeviceSession& session) override;
    Result<std::string> plan(Context& context, const CertSubject& subject, DeviceSession& session) override;

  private:
    struct Upload {
        std::string path;
        std::string_view content;
        unsigned mode;
    };

    Result<Findings> inspect(const std::string& sae) const;
    Result<void> judge_client(Findings& found, const std::string& sae, std::chrono::sys_seconds ca_expires) const;
    Result<bool> make_local(Context& context, const std::string& sae, Findings& found) const;
    [[nodiscard]] std::vector<Upload> copies(const std::string& sae, const Findings& found) const;
    static Result<bool> is_there(Context& context, FileAccess& files, const Upload& upload);
    Result<bool> upload(Context& context, FileAccess& files, const std::vector<Upload>& uploads) const;

    std::filesystem::path folder_;
    bool generate_ = true;
    Wish ca_wish_;
    Wish client_wish_;
    int min_valid_days_ = 0;
    std::string device_directory_;
    bool upload_ = true;
};

/// SAE IDs become file names and host names here.
Result<void> check_sae(const std::string& sae) {
    const auto usable = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    if (!sae.empty() && sae.size() <= 64 && sae.front() != '.' && sae != "root" &&
        std::all_of(sae.begin(), sae.end(), usable)) {
        return {};
    }
    return Error{ErrorCode::config, Retry::never, "an SAE ID that cannot name a certificate's files",
                 "1 to 64 letters, digits, '.', '_' and '-', not beginning with '.', and not 'root'"};
}

Result<void> X509Certs::configure(const ConfigView& config) {
    const std::string type = config.string("key_type");
    const KeyType key_type = type == "rsa-2048"   ? KeyType::rsa_2048
                             : type == "rsa-3072" ? KeyType::rsa_3072
                                                  : KeyType::ec_p256;
    folder_ = config.path("directory");
    generate_ = config.string("ca") == "generate";
    ca_wish_ = {config.string("ca_name"), static_cast<int>(config.integer("ca_valid_days")), key_type};
    client_wish_ = {"", static_cast<int>(config.integer("valid_days")), key_type};
    min_valid_days_ = static_cast<int>(config.integer("min_valid_days"));
    device_directory_ = config.string("device_directory");
    upload_ = config.boolean("upload");
    while (device_directory_.size() > 1 && device_directory_.ends_with('/')) device_directory_.pop_back();
    const auto wrong = [&config](const char* what, const char* hint) {
        return Error{ErrorCode::config, Retry::never, config.name() + ": " + what, hint};
    };
    if (ca_wish_.name.empty() || ca_wish_.name.size() > 64) {
        return wrong("ca_name is empty or longer than 64 characters", "RFC 5280 allows 1 to 64 characters");
    }
    if (client_wish_.valid_days <= min_valid_days_) {
        return wrong("valid_days is not above min_valid_days", "a new certificate would be renewed in every run");
    }
    if (ca_wish_.valid_days <= min_valid_days_) {
        return wrong("ca_valid_days is not above min_valid_days",
                     "no certificate of this CA would be valid long enough");
    }
    if (device_directory_.empty()) return wrong("device_directory is empty", "give a directory, such as certs");
    return {};
}

Result<Findings> X509Certs::inspect(const std::string& sae) const {
    std::array<std::optional<FileContent>, 4> files;
    const std::array names{std::string("root.crt"), std::string("root.key"), sae + ".crt", sae + ".key"};
    Findings found;
    for (std::size_t i = 0; i < names.size(); ++i) {
        auto file = read_file(folder_ / names[i]);
        if (!file) return std::move(file).error();
        files[i] = std::move(file).value();
        if (files[i] && files[i]->open_to_others && names[i].ends_with(".key")) found.exposed.push_back(names[i]);
    }
    found.ca.cert = text_of(files[0]);
    if (files[1]) found.ca.key = std::move(files[1]->bytes);
    found.client.cert = text_of(files[2]);
    if (files[3]) found.client.key = std::move(files[3]->bytes);

    const std::string ca_path = (folder_ / names[0]).string();
    if (!files[0]) {
        if (!generate_ || files[1]) {
            return Error{ErrorCode::config, Retry::never, "there is no CA certificate " + ca_path,
                         generate_ ? "root.key is there alone: put its certificate back or take it away"
                                   : "put root.crt there, and root.key if certificates are to be made here"};
        }
        found.make_ca = true;
        found.renew = "there is no CA yet";
        return found;
    }
    const CaState state = judge_ca(found.ca.cert, found.ca.key);
    if (!state.unusable.empty()) {
        return Error{
            ErrorCode::config, Retry::never, "the CA " + ca_path + " cannot be used: " + state.unusable,
            "put a good root.crt and root.key there; without them, and with ca = \"generate\", a new CA is made, "
            "which every KME must be told to trust"};
    }
    if (auto judged = judge_client(found, sae, state.expires); !judged) return std::move(judged).error();
    return found;
}

/// Sets `renew` or `warning`; an error when the certificate cannot be used and cannot be made here.
Result<void> X509Certs::judge_client(Findings& found, const std::string& sae,
                                     std::chrono::sys_seconds ca_expires) const {
    Judgement client{Health::bad, "there is no certificate yet"};
    if (!found.client.cert.empty() || !found.client.key.empty()) {
        client = judge(found.ca.cert, found.client.cert, found.client.key, sae, min_valid_days_);
    }
    if (client.health == Health::good) return {};
    const bool lasts = ca_expires > std::chrono::system_clock::now() + std::chrono::days{min_valid_days_};
    if (!found.ca.key.empty() && (lasts || client.health == Health::bad)) {
        found.renew = client.why;
        if (!lasts) found.warning = "the CA itself expires soon: put a new one there and let every KME trust it";
        return {};
    }
    if (client.health == Health::expiring) {
        found.warning = sae + ": " + client.why + ", and " +
                        (lasts ? "root.key is not here to renew it" : "the CA itself expires soon");
        return {};
    }
    return Error{ErrorCode::config, Retry::never, (folder_ / (sae + ".crt")).string() + ": " + client.why,
                 "put a good certificate and key there, or root.key so that they can be made here"};
}

/// Brings the folder into order. Called under the lock.
Result<bool> X509Certs::make_local(Context& context, const std::string& sae, Findings& found) const {
    auto inspected = inspect(sae);
    if (!inspected) return std::move(inspected).error();
    found = std::move(inspected).value();
    if (!found.warning.empty()) context.log(LogLevel::warning, found.warning);
    for (const auto& name : found.exposed) {
        context.log(LogLevel::warning, (folder_ / name).string() + " was open to others; now it is not");
        if (auto done = make_private(folder_ / name); !done) return std::move(done).error();
    }
    bool changed = !found.exposed.empty();
    if (found.make_ca) {
        auto ca = make_ca(context, ca_wish_);
        if (!ca) return std::move(ca).error();
        found.ca = std::move(ca).value();
        // The key first: a certificate without its key would pass for a provided CA.
        auto written = write_files(folder_, {{"root.key", found.ca.key.reveal_text(), private_mode},
                                             {"root.crt", found.ca.cert, public_mode}});
        if (!written) return std::move(written).error();
        context.log(LogLevel::notice, "made the CA " + (folder_ / "root.crt").string() + "; the KMEs must trust it");
        changed = true;
    }
    if (!found.renew.empty()) {
        Wish wish = client_wish_;
        wish.name = sae;
        auto client = issue(context, found.ca, wish);
        if (!client) return std::move(client).error();
        found.client = std::move(client).value();
        auto written = write_files(folder_, {{sae + ".key", found.client.key.reveal_text(), private_mode},
                                             {sae + ".crt", found.client.cert, public_mode}});
        if (!written) return std::move(written).error();
        context.log(LogLevel::info, "made a certificate for " + sae + ": " + found.renew);
        changed = true;
    }
    return changed;
}

std::vector<X509Certs::Upload> X509Certs::copies(const std::string& sae, const Findings& found) const {
    const std::string base = device_directory_ == "/" ? "/" : device_directory_ + "/";
    return {{base + "root.crt", found.ca.cert, public_mode},
            {base + sae + ".key", found.client.key.reveal_text(), private_mode},
            {base + sae + ".crt", found.client.cert, public_mode}};
}

Result<bool> X509Certs::is_there(Context& context, FileAccess& files, const Upload& upload) {
    auto there = files.get(context, upload.path);
    if (there) return there->same_as(SecretBytes(upload.content));
    if (there.error().code == ErrorCode::not_found) return false;
    return std::move(there).error();
}

/// The directory, and those above it as far as they are missing.
Result<void> make_directories(Context& context, FileAccess& files, const std::string& directory) {
    auto made = files.make_directory(context, directory, 0700);
    const auto slash = directory.rfind('/');
    if (made || slash == std::string::npos || slash == 0) return made;
    if (auto above = make_directories(context, files, directory.substr(0, slash)); !above) return above;
    return files.make_directory(context, directory, 0700);
}

Result<bool> X509Certs::upload(Context& context, FileAccess& files, const std::vector<Upload>& uploads) const {
    bool changed = false;
    for (const Upload& upload : uploads) {
        auto there = is_there(context, files, upload);
        if (!there) return there;
        if (*there) continue;
        if (!changed) {
            if (auto made = make_directories(context, files, device_directory_); !made) return std::move(made).error();
        }
        if (auto put = files.put(context, upload.path, SecretBytes(upload.content), upload.mode); !put) {
            return std::move(put).error();
        }
        there = is_there(context, files, upload);
        if (!there) return there;
        if (!*there) {
            return Error{ErrorCode::conflict, Retry::safe, upload.path + " on the device is not what was written to it",
                         "does something else write there, or is the device's file system full?"};
        }
        changed = true;
    }
    return changed;
}

Result<Change> X509Certs::ensure(Context& context, const CertSubject& subject, DeviceSession& session) {
    if (auto good = check_sae(subject.sae); !good) return std::move(good).error();
    Findings found;
    bool changed = false;
    {
        auto lock = FolderLock::take(context, folder_);
        if (!lock) return std::move(lock).error();
        auto made = make_local(context, subject.sae, found);
        if (!made) return std::move(made).error();
        changed = *made;
    }
    if (upload_ && session.files() != nullptr) {
        auto uploaded = upload(context, *session.files(), copies(subject.sae, found));
        if (!uploaded) return std::move(uploaded).error();
        changed = changed || *uploaded;
    }
    return changed ? Change::changed : Change::unchanged;
}

Result<std::string> X509Certs::plan(Context& context, const CertSubject& subject, DeviceSession& session) {
    if (auto good = check_sae(subject.sae); !good) return std::move(good).error();
    const auto found = inspect(subject.sae);
    if (!found) return found.error();
    std::string words;
    const auto say = [&words](const std::string& more) { words += (words.empty() ? "" : "; ") + more; };
    for (const auto& name : found->exposed) say("close " + (folder_ / name).string() + " to others");
    if (found->make_ca) say("make the CA " + (folder_ / "root.crt").string());
    if (!found->renew.empty()) {
        say("make " + (folder_ / (subject.sae + ".crt")).string() + " and its key (" + found->renew + ")");
    }
    if (upload_ && session.files() != nullptr) {
        std::string names;
        for (const Upload& copy : copies(subject.sae, *found)) {
            const bool is_root = copy.path.ends_with("/root.crt");
            bool stays = is_root ? !found->make_ca : found->renew.empty();
            if (stays) {
                auto there = is_there(context, *session.files(), copy);
                if (!there) return std::move(there).error();
                stays = *there;
            }
            if (!stays) names += (names.empty() ? "" : ", ") + copy.path;
        }
        if (!names.empty()) say("upload " + names);
    }
    return words;
}

Result<void> X509Certs::probe(Context&) {
    auto path = folder_;
    std::error_code ignored;
    while (!std::filesystem::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
    if (!std::filesystem::is_directory(path, ignored) || ::access(path.c_str(), W_OK | X_OK) != 0) {
        return Error{ErrorCode::config, Retry::never, path.string() + " is no directory that we may write",
                     "check `directory` of the certs stage, its owner and its permissions"};
    }
    auto cert = read_file(folder_ / "root.crt");
    auto key = read_file(folder_ / "root.key");
    if (!cert || !key) return !cert ? std::move(cert).error() : std::move(key).error();
    if (!*cert) {
        if (generate_ && !*key) return {};
        return Error{ErrorCode::config, Retry::never, "there is no CA certificate " + (folder_ / "root.crt").string(),
                     "put root.crt there, or use ca = \"generate\" with an empty directory"};
    }
    const CaState state = judge_ca(text_of(*cert), *key ? (*key)->bytes.clone() : SecretBytes());
    if (state.unusable.empty()) return {};
    return Error{ErrorCode::config, Retry::never,
                 "the CA " + (folder_ / "root.crt").string() + " cannot be used: " + state.unusable,
                 "put a good root.crt and root.key there"};
}

constexpr std::array stages{StageInfo{StageKind::certs, "", "", &create_stage<X509Certs>, &destroy_stage}};
constexpr std::array fields{
    Field{Scope::certs, FieldType::path, "directory", true, nullptr, nullptr,
          "Directory on this machine for root.crt, root.key, SAE.crt and SAE.key; made when absent."},
    Field{Scope::certs, FieldType::one_of, "ca", false, "generate", "generate|provided",
          "generate makes a CA when the directory has none; provided insists that root.crt is there."},
    Field{Scope::certs, FieldType::string, "ca_name", false, "qkd-macsec CA", nullptr,
          "Common name of a generated CA, 1 to 64 characters."},
    Field{Scope::certs, FieldType::integer, "ca_valid_days", false, "1825", "2..36500",
          "Days for which a generated CA is valid."},
    Field{Scope::certs, FieldType::integer, "valid_days", false, "365", "1..3650",
          "Days for which a new client certificate is valid; never longer than its CA."},
    Field{Scope::certs, FieldType::integer, "min_valid_days", false, "10", "0..3649",
          "A certificate that expires within so many days is renewed."},
    Field{Scope::certs, FieldType::one_of, "key_type", false, "ec-p256", "ec-p256|rsa-2048|rsa-3072",
          "Kind of new keys, of the CA and of SAEs."},
    Field{
        Scope::certs, FieldType::string, "device_directory", false, "certs", nullptr,
        "Directory on the devices for the copies; made 0700 when absent. A relative path counts from the login user's "
        "home directory."},
    Field{Scope::certs, FieldType::boolean, "upload", false, "true", nullptr,
          "Keep copies of root.crt, SAE.crt and SAE.key on the device, for what runs there."},
};

}  // namespace
}  // namespace qkd::certs

using qkd::certs::fields;
using qkd::certs::stages;
QKD_PLUGIN("certs-x509", "1.0.0", "qkd-macsec", "Client certificates for SAEs from a CA in a directory", "stable",
           stages, fields)
